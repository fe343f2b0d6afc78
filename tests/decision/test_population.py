"""facerec.decision.population: strangers of the model are taken for strangers of the kind of those who are enrolled."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import oracles
import pytest
from toy_population import COHORT, people, rows_of

from facerec.decision import population
from facerec.decision.calibration import calibrate
from facerec.decision.population import EQUAL, SHIFT, STRETCH, calibrate_people, evidence_of, fit, sampled
from facerec.evaluation.identification import index_people
from facerec.search.people import PeopleIndex
from facerec.search.standing import StandingSearch


@pytest.mark.parametrize(("count", "common"), [(1, 0.3), (2, 0.0), (5, 0.3), (30, 0.5)])
def test_moments_are_those_of_the_loops(count: int, common: float) -> None:
    enrolled, cohort = people(1, count, common=common), COHORT[:70]
    found = fit(index_people(enrolled), cohort)
    centre, spread, their_centre, their_spread = oracles.kind_by_loop(enrolled, list(cohort))
    assert (found.centre, found.spread) == pytest.approx((centre, spread), abs=1e-6)
    assert found.centre + found.shift == pytest.approx(their_centre, abs=1e-6)
    assert found.spread * found.stretch == pytest.approx(their_spread, abs=1e-6)
    made = calibrate_people(index_people(enrolled), cohort, 0.1)
    assert made is not None
    assert made.distance == pytest.approx(oracles.gallery_threshold_by_loop(enrolled, list(cohort), 0.1), abs=1e-5)


@pytest.mark.parametrize("common", [0.2, 0.3])
def test_strangers_of_their_kind_are_let_through_at_the_rate_asked_for(common: float) -> None:
    """Ten galleries: the mean rate is the target's, and by the cohort as it is it is many times that."""
    rates, unmoved, covered = [], [], []
    for seed in range(10):
        enrolled, strangers = people(10 + seed, 40, common=common), rows_of(people(100 + seed, 1000, 1, common))
        index = index_people(enrolled)
        made = calibrate_people(index, COHORT, 0.01)
        raw = calibrate(np.array([f[0].distance for f in index.nearest(COHORT, 1)], np.float32), 0.01, 40)
        assert made is not None
        assert raw is not None
        nearest = np.array([found[0].distance for found in index.nearest(strangers, 1)])
        rates.append((nearest <= made.distance).mean())
        unmoved.append((nearest <= raw.distance).mean())
        low, high = made.prediction(len(strangers))
        covered.append(low <= rates[-1] <= high)
    assert 0.007 < np.mean(rates) < 0.014
    assert np.mean(unmoved) > 0.02
    assert sum(covered) >= 9


def test_where_they_are_of_one_kind_little_changes() -> None:
    found = fit(index_people(people(3, 60)), COHORT)
    assert abs(found.shift) < 0.01
    assert abs(found.stretch - 1) < 0.05


def test_of_one_person_nothing_is_known_and_that_is_said() -> None:
    one, many = (calibrate_people(index_people(people(4, count)), COHORT, 0.05) for count in (1, 100))
    assert one is not None
    assert many is not None
    assert (one.within, many.within) == (60, 59)  # one more of the hundred enrolled would be too many
    raw = calibrate(
        np.array([f[0].distance for f in index_people(people(4, 1)).nearest(COHORT, 1)], np.float32), 0.05, 1
    )
    assert raw is not None
    assert raw.distance - 0.1 < one.distance < raw.distance, "stricter, as the rate is an expected one"
    assert one.least < raw.least == raw.within == raw.most < one.most
    assert one.interval[1] - one.interval[0] > many.interval[1] - many.interval[0] > 0
    found = fit(index_people(people(4, 1)), COHORT)
    assert (found.shift_error, found.stretch_error) == (SHIFT, STRETCH)


def test_more_people_are_believed_more() -> None:
    errors = [fit(index_people(people(5, count, common=0.4)), COHORT).shift_error for count in (2, 5, 20, 100)]
    assert errors == sorted(errors, reverse=True)
    shifts = [fit(index_people(people(5, count, common=0.4)), COHORT).shift for count in (3, 100)]
    assert 0 < shifts[0] < shifts[1]


def test_strangers_of_ones_own_count_as_they_are() -> None:
    index, given = index_people(people(6, 30, common=0.5)), rows_of(people(7, 50, 1, 0.5))
    evidence = evidence_of(index, COHORT, given)
    assert len(evidence.distances) == len(COHORT) + 50 + 30
    nearest = [f[0].distance for f in index.nearest(given, 1)]
    np.testing.assert_allclose(evidence.distances[-80:-30], nearest, atol=1e-6)
    np.testing.assert_array_equal(evidence.errors[-80:], 0)
    np.testing.assert_allclose(evidence.weights[-80:] / evidence.weights[0], 80 / EQUAL)
    alone = evidence_of(index, COHORT[:0], given)
    np.testing.assert_array_equal(alone.distances, evidence.distances[-80:-30])
    made = calibrate_people(index, COHORT[:0], 0.1, given)
    assert made is not None
    assert made.least == made.within == made.most == 5
    assert (made.strangers, made.worth) == (50, 50)
    assert calibrate_people(index, COHORT[:0], 0.1) is None
    assert calibrate_people(index_people({}), COHORT, 0.1) is None


def test_everybody_enrolled_is_a_stranger_to_the_others() -> None:
    """Each one's first photo, however the ids of the photos lie."""
    enrolled = people(8, 40, common=0.4)
    evidence = evidence_of(index_people(enrolled), COHORT)
    means = {name: oracles.unit_mean_by_loop([row.tolist() for row in rows]) for name, rows in enrolled.items()}
    expected = [
        oracles.nearest_mean_by_loop(rows[0], [mean for other, mean in means.items() if other != name])
        for name, rows in enrolled.items()
    ]
    assert evidence.own == 40
    np.testing.assert_allclose(evidence.distances[-40:], expected, atol=1e-5)


def test_of_more_people_than_can_be_searched_some_are(monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_people(people(8, 40, common=0.4))
    whole = evidence_of(index, COHORT)
    monkeypatch.setattr(population, "MOST", 4)
    some, places = evidence_of(index, COHORT), sampled(index)
    assert some.own == 4
    np.testing.assert_array_equal(some.distances[-4:], whole.distances[-40:][places])
    assert (np.diff(places) >= 5).all(), "evenly spread"


def test_one_person_more_or_fewer_changes_one_of_the_sample_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(population, "MOST", 20)
    rng, rows, drawn = np.random.default_rng(0), rows_of(people(8, 300, 1)), []
    for numbers in ([*range(100)], [*range(101)], [*range(300)], sorted(rng.choice(300, 200, replace=False).tolist())):
        index = PeopleIndex(np.array(numbers), [str(n) for n in numbers], rows[numbers])
        drawn.append({index.names[place] for place in sampled(index)})
        assert len(drawn[-1]) == 20
        for gone in range(0, len(numbers), 7):
            fewer = numbers[:gone] + numbers[gone + 1 :]
            left = PeopleIndex(np.array(fewer), [str(n) for n in fewer], rows[fewer])
            assert len(drawn[-1] - {left.names[place] for place in sampled(left)}) <= 1
    assert drawn[0] != drawn[2]


def steps(seed: int) -> Iterator[dict[str, list[np.ndarray]]]:
    """A gallery after each of some days: on each people are enrolled, given further photos, removed and merged."""
    rng, fresh, gallery = np.random.default_rng(seed), people(20 + seed, 400, 2, 0.3), {}
    names = list(fresh)
    rng.shuffle(names)
    for day in range(8):
        today, names = names[: 50 >> day % 3], names[50 >> day % 3 :]
        gallery = gallery | {name: fresh[name] for name in today}
        for name in rng.choice(list(gallery), 5, replace=False):
            gallery[name] = [*gallery[name], *fresh[names.pop()]]
        for name in rng.choice(list(gallery), day, replace=False):
            del gallery[name]
        if day % 2:
            one, two = rng.choice(list(gallery), 2, replace=False)
            gallery[one] = gallery[one] + gallery.pop(two)
        yield gallery


@pytest.mark.parametrize(("seed", "most", "fpir"), [(0, 2000, 0.05), (1, 30, 0.05), (2, 2000, 1e-4)])
def test_what_is_kept_leads_to_the_threshold_that_a_new_calibration_finds(
    seed: int, most: int, fpir: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(population, "MOST", most)
    search, given, numbers = StandingSearch(), rows_of(people(99, 40, 1, 0.3)), {}
    index = PeopleIndex.nobody(64)
    for gallery in steps(seed):
        rows = [
            (numbers.setdefault(row.tobytes(), len(numbers)), name, row) for name in gallery for row in gallery[name]
        ]
        rows.sort(key=lambda row: row[0])
        index = PeopleIndex(
            np.array([number for number, *_ in rows]), [r[1] for r in rows], np.stack([r[2] for r in rows])
        )
        kept, new = calibrate_people(index, COHORT, fpir, given, search), calibrate_people(index, COHORT, fpir, given)
        assert kept is not None
        assert new is not None
        assert kept.distance == pytest.approx(new.distance, abs=1e-6)
        assert dataclasses.replace(kept, distance=new.distance) == new
    assert calibrate_people(index, COHORT[:500], fpir, None, search) == calibrate_people(index, COHORT[:500], fpir)


def test_many_people_who_are_alike_set_the_threshold_themselves() -> None:
    """Pairs of look-alikes, as strangers are look-alikes of them: what mean and spread do not tell."""
    rates, unweighed = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        looks = rng.standard_normal((300, 64))
        rows = np.concatenate([looks + 0.7 * rng.standard_normal(looks.shape) for _ in range(5)])
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        order = rng.permutation(len(rows))
        index = index_people({str(i): [rows[i]] for i in order[:750]})
        made, evidence = calibrate_people(index, COHORT, 0.2), evidence_of(index, COHORT)
        assert made is not None
        cohort = calibrate(evidence.distances[: len(COHORT)], 0.2, 750)
        assert cohort is not None
        nearest = np.array([found[0].distance for found in index.nearest(rows[order[750:]], 1)])
        rates.append((nearest <= made.distance).mean())
        unweighed.append((nearest <= cohort.distance).mean())
    assert np.mean(rates) == pytest.approx(0.2, abs=0.05)
    assert np.mean(unweighed) > 0.4


def test_two_who_are_alike_are_worth_one_stranger() -> None:
    evidence = evidence_of(index_people(people(9, 100)), COHORT[:0], COHORT)
    assert evidence.worth == pytest.approx(len(COHORT))
    evidence = evidence_of(index_people(people(9, EQUAL)), COHORT)
    total, squares = len(COHORT) + EQUAL, len(COHORT) + 2 * EQUAL
    assert evidence.worth == pytest.approx(total**2 / squares)


@pytest.mark.parametrize("cohort", [100, 1200])
def test_one_person_under_two_names_does_not_close_the_gallery(cohort: int) -> None:
    """A rate too low to count is set below the strangers, not below whoever stands there twice."""
    enrolled = people(10, 20, common=0.3)
    once = calibrate_people(index_people(enrolled), COHORT[:cohort], 1e-4)
    twice = calibrate_people(index_people(enrolled | {"again": next(iter(enrolled.values()))}), COHORT[:cohort], 1e-4)
    assert once is not None
    assert twice is not None
    assert once.within == twice.within == 0
    assert twice.distance > once.distance - 0.1
    assert ("by their tail" in twice.threshold.source) == (cohort > 1000)


# ------------------------------------------------------------------------------------- one person under several names


SPELLINGS = ["Ann Lee", "ann lee", "ANN_LEE", "Lee, Ann", "AnnLee"]


@pytest.mark.parametrize("count", [1, 4, 20, 100])
@pytest.mark.parametrize(("names", "noise"), [(SPELLINGS, 0.8), (["Ann", "Bo", "Cy", "Dee", "Eve"], 0.3)])
def test_one_person_under_five_names_leaves_the_threshold_as_it_is(count: int, names: list[str], noise: float) -> None:
    """Names that are spellings of one, or faces that are plainly one: as if all photos were under one name."""
    rng, enrolled = np.random.default_rng(count), people(10, count, common=0.3)
    ann = rng.standard_normal(64)
    photos = ann + noise * rng.standard_normal((10, 64))
    photos = list((photos / np.linalg.norm(photos, axis=1, keepdims=True)).astype(np.float32))
    own = {name: photos[2 * place : 2 * place + 2] for place, name in enumerate(names)}
    once = calibrate_people(index_people(enrolled | {"Ann": photos}), COHORT, 0.01)
    several = calibrate_people(index_people(enrolled | own), COHORT, 0.01)
    assert once is not None
    assert several is not None
    assert several.distance == pytest.approx(once.distance, abs=1e-5)
    assert several.people == count + 5
    pairs = {frozenset((names[0], other)) for other in names[1:]}
    apart = calibrate_people(index_people(enrolled | own), COHORT, 0.01, apart=pairs)
    assert apart is not None
    assert apart.distance <= several.distance, "somebody said that the first of them is another person"
    assert count > 20 or apart.distance < several.distance - 0.01


def test_look_alikes_and_namesakes_are_strangers_to_each_other() -> None:
    """As alike as two people are who are not one; and one name for two faces."""
    rng, enrolled = np.random.default_rng(0), people(10, 10)
    looks = rng.standard_normal(64)
    alike = looks + 0.7 * rng.standard_normal((2, 64))
    names = ("Ann", "Bo")
    rows = (alike / np.linalg.norm(alike, axis=1, keepdims=True)).astype(np.float32)
    pair = {name: [row] for name, row in zip(names, rows, strict=True)}
    namesakes = {"Bo Ray": enrolled.pop("10-0"), "bo ray": enrolled.pop("10-1")}
    index = index_people(enrolled | pair | namesakes)
    assert evidence_of(index, COHORT).own == 12


def test_what_is_kept_serves_people_who_count_as_one() -> None:
    """The search that is brought up to date finds what a new one finds, with Ann under two names and without."""
    search, enrolled = StandingSearch(), people(10, 30, common=0.3)
    for more in ({}, {"again": enrolled["10-1"][:1]}, {"again": enrolled["10-1"][:1], "new": enrolled["10-2"]}, {}):
        index = index_people(enrolled | more)
        kept, new = calibrate_people(index, COHORT, 0.05, None, search), calibrate_people(index, COHORT, 0.05)
        assert kept == new


def test_few_strangers_do_not_tell_who_is_one_person() -> None:
    enrolled = people(10, 20, common=0.3)
    index = index_people(enrolled | {"again": enrolled["10-1"]})
    assert [evidence_of(index, COHORT[:count]).own for count in (99, 100)] == [21, 20]
