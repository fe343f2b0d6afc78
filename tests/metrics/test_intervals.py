"""Intervals of rates: where few people err, as wide as so many people allow; never lower by an error more."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, sem, t

from facerec.datasets.pairs import Pairs
from facerec.evaluation.gallery_sizes import by_gallery_size
from facerec.evaluation.identification import Searches, identification, summarise
from facerec.evaluation.verification import by_group, verification
from facerec.metrics.intervals import (
    bounded,
    independent,
    interval,
    mean_interval,
    measured,
    people_weights,
    rate_interval,
    rates,
    share,
    tally,
)
from facerec.types import Threshold


def none_of(people: int) -> float:
    """The high end of a rate that none of so many people gave an error to."""
    return 1 - 0.025 ** (1 / people)


def searches_of(people: int, each: int) -> NDArray[np.intp]:
    """Who makes each search: person 0 `each` times, person 1 as often, and so on."""
    return np.repeat(np.arange(people), each)


def ends_of(wrong: NDArray[np.bool_], who: NDArray[np.intp]) -> list[float]:
    """The interval of the share of wrong searches."""
    found = {"rate": tally(np.ones(len(who), np.bool_), wrong)}
    return measured(lambda weights: rates(found, weights), who, who, 200, 0, found)[1]["rate"]


def bound_by_loop(errors: list[int], whole: int) -> float:
    """The high end of the outer bound by scipy, over every number of people who may stand for all who err."""
    people = len(errors)
    parts = sorted((min(own * people / whole, 1) for own in errors), reverse=True)
    ends = [binomtest(j, people).proportion_ci(0.95, "exact").high for j in range(people + 1)]
    return max(end * (sum(parts[:j]) / j if j else 1) for j, end in enumerate(ends))


# ------------------------------------------------------------------------------------------------- the rule


@pytest.mark.parametrize("people", [1, 2, 30, 1000])
def test_the_end_is_where_nothing_seen_becomes_unlikely(people: int) -> None:
    who = searches_of(people, 3)
    low, high = ends_of(np.zeros(len(who), np.bool_), who)
    assert low == pytest.approx(0, abs=1e-12)
    assert binom.pmf(0, people, high) == pytest.approx(0.025)
    assert people < 10 or high == pytest.approx(3.7 / people, rel=0.1)
    assert ends_of(np.ones(len(who), np.bool_), who) == pytest.approx([1 - high, 1.0])


def test_it_only_widens_and_only_where_it_has_a_say() -> None:
    who, nobody = np.arange(30), tally(np.ones(30, np.bool_), np.zeros(30))
    everybody, half = tally(np.ones(30, np.bool_), np.ones(30)), tally(np.ones(30, np.bool_), np.arange(30) % 2)
    assert bounded([0.0, 0.5], nobody, who, who) == [0.0, 0.5]
    assert bounded([0.2, 1.0], everybody, who, who) == [0.2, 1.0]
    assert bounded([0.1, 0.9], half, who, who) == [0.1, 0.9]
    assert bounded(None, nobody, who, who) is None
    assert bounded([0.0, 0.0], tally(np.zeros(30, np.bool_), np.zeros(30)), who, who) == [0.0, 0.0]
    assert bounded([0.0, 0.0], None, who, who) == [0.0, 0.0]


@pytest.mark.parametrize("errors", [[0] * 9, [1] + [0] * 8, [4, 1, 0, 2, 0, 0, 4, 0, 0], [1] * 9, [3] * 9, [4] * 9])
def test_the_outer_bound_is_the_slow_one(errors: list[int]) -> None:
    """Nine people with four searches each."""
    who = searches_of(9, 4)
    wrong = np.concatenate([np.arange(4) < own for own in errors])
    ends = bounded([0.5, 0.5], tally(np.ones(36, np.bool_), wrong), who, who)
    high, low = bound_by_loop(errors, 36), 1 - bound_by_loop([4 - own for own in errors], 36)
    assert ends == pytest.approx([min(low, 0.5), max(high, 0.5)])


@pytest.mark.parametrize("wrong", [0, 1, 5, 30, 59, 60])
def test_with_a_search_each_the_outer_bound_is_clopper_and_pearson_s(wrong: int) -> None:
    exact = binomtest(wrong, 60).proportion_ci(0.95, "exact")
    low, high = ends_of(np.arange(60) < wrong, np.arange(60))
    assert low <= exact.low + 1e-12
    assert high >= exact.high - 1e-12
    assert rate_interval(np.arange(60) < wrong, np.arange(60), 100, 0) == pytest.approx((exact.low, exact.high))


def test_where_many_people_err_the_bootstrap_stands_alone() -> None:
    who, wrong = searches_of(60, 10), np.arange(600) % 10 < 3
    wrong[::7] = False
    found = tally(np.ones(600, np.bool_), wrong)
    (drawn,) = (interval(found.rate(weights)) for weights in people_weights(who, who, 200, 0))
    assert ends_of(wrong, who) == drawn


def test_nobody_counts_for_more_than_one_person() -> None:
    """One of ten people makes half of the searches, always wrongly: that is one person who errs, not five."""
    who = np.concatenate([np.zeros(9, np.intp), np.arange(1, 10)])
    assert binomtest(1, 10).proportion_ci(0.95, "exact").high < 0.5
    _, high = bounded([0.5, 0.5], tally(np.ones(18, np.bool_), who == 0), who, who) or [0, 1]
    assert high == 0.5


# ------------------------------------------------------------------------------------------------- monotone


def orders(who: NDArray[np.intp]) -> dict[str, NDArray[np.intp]]:
    """In which order searches go wrong: one of everybody and then the next, one person's after the other's, any."""
    turn = np.array([np.count_nonzero(who[:i] == person) for i, person in enumerate(who)])
    rng = np.random.default_rng(3)
    return {"spread": np.lexsort((who, turn)), "on few": np.lexsort((turn, who)), "mixed": rng.permutation(len(who))}


def rises(ends: list[list[float]]) -> bool:
    """Neither end ever falls (but for what float64 rounds)."""
    return bool((np.diff(np.array(ends), axis=0) >= -1e-12).all())


@pytest.mark.parametrize("order", ["spread", "on few", "mixed"])
@pytest.mark.parametrize("crowd", ["equal", "unequal", "one each", "two people"])
def test_an_error_more_never_lowers_either_end(crowd: str, order: str) -> None:
    """Errors are added one at a time to the same searches, from none to all."""
    who = {
        "equal": searches_of(20, 6),
        "unequal": np.repeat(np.arange(20), [1, 2, 3, 4, 20] * 4),
        "one each": np.arange(40),
        "two people": searches_of(2, 15),
    }[crowd]
    wrong, ends = np.zeros(len(who), np.bool_), []
    ends.append(ends_of(wrong, who))
    for search in orders(who)[order]:
        wrong[search] = True
        ends.append(ends_of(wrong, who))
        assert ends[-1][0] - 1e-12 <= wrong.mean() <= ends[-1][1] + 1e-12
    assert rises(ends)


def test_none_and_one_of_sixty_people() -> None:
    """Ten searches each: 0 errors of 600 say up to 6 %, and 1 error says no less."""
    who, wrong = searches_of(60, 10), np.zeros(600, np.bool_)
    assert ends_of(wrong, who) == pytest.approx([0, 0.0596], abs=1e-4)
    wrong[0] = True
    assert ends_of(wrong, who) == pytest.approx([0, 0.0596], abs=1e-4)
    wrong[:10] = True  # one person, always
    assert ends_of(wrong, who) == pytest.approx([0, 0.0894], abs=1e-4)


@pytest.mark.parametrize("order", ["spread", "on few", "mixed"])
def test_the_ends_of_fnir_and_of_rank_rise_with_the_misses(order: str) -> None:
    """Fixed searches of twelve people, found or not; two strangers give FPIR."""
    who = np.concatenate([searches_of(12, 4), [12, 13]])
    mated, far = who < 12, np.zeros(50, np.bool_)
    fnir, rank = [], []
    for search in [49, *orders(who[:48])[order]]:
        far[search] = True  # first a stranger
        distance = np.where(far, 1.5, 0.5).astype(np.float32)
        searches = Searches(tuple(map(str, who)), mated, mated & ~far, distance, np.zeros(0), ((),) * 50, 12)
        found = summarise(searches, {}, None).ci95
        fnir.append(found["fnir_at_fpir"]["0.1"])
        rank.append([-end for end in found["rank1_rate"][::-1]])
    assert rises(rank)
    assert rises(fnir)


@pytest.mark.parametrize("order", ["spread", "on few", "mixed"])
def test_the_ends_of_fmr_rise_with_the_false_matches(order: str) -> None:
    """Pairs of two people each, some of whom are in many."""
    a = np.array([0, 0, 0, 0, 1, 1, 2, 4, 6, 8, 10, 12])
    b = np.array([1, 2, 3, 4, 2, 3, 3, 5, 7, 9, 11, 13])
    wrong, chosen = np.zeros(12, np.bool_), np.ones(12, np.bool_)

    def ends() -> list[float]:
        found = {"fmr": tally(chosen, wrong)}
        return measured(lambda weights: rates(found, weights), a, b, 500, 0, found)[1]["fmr"]

    all_ends = [ends()]
    assert all_ends[0] == pytest.approx([0, none_of(12)])
    for pair in orders(a)[order]:
        wrong[pair] = True
        all_ends.append(ends())
    assert rises(all_ends)


# ------------------------------------------------------------------------------------------------- who is counted


def test_people_are_the_trials() -> None:
    a, b = ["Ann", "Ann", "Ann", "Bob", "Cy"], ["Ann", "Ann", "Bob", "Cy", "Dee"]
    for chosen, trials in (
        ([1, 1, 0, 0, 0], 1),
        ([0, 0, 1, 0, 0], 1),
        ([0, 0, 1, 1, 1], 3),
        ([1] * 5, 4),
        ([0] * 5, 0),
    ):
        assert independent(np.array(chosen, np.bool_), a, b) == trials


def test_only_what_is_named_as_a_rate_is_widened() -> None:
    people = [f"p{i // 2}" for i in range(20)]  # two comparisons each
    wrong = np.zeros(20)

    def statistic(weights: np.ndarray) -> dict[str, object]:
        return {
            "rate": share(weights, wrong),
            "many": {"one": share(weights, wrong)},
            "distance": share(weights, wrong),
        }

    everything = tally(np.ones(20, np.bool_), wrong)
    values, ci95 = measured(statistic, people, people, 50, 0, {"rate": everything, "many": {"one": everything}})
    assert values == {"rate": 0, "many": {"one": 0}, "distance": 0}
    end = pytest.approx([0, none_of(10)])
    assert ci95 == {"rate": end, "many": {"one": end}, "distance": [0, 0]}


def test_perfect_searches() -> None:
    """Twelve people on an axis each, the first five enrolled and searched for twice."""
    rows = dict(zip([f"p{i:02}" for i in range(12)], np.eye(12, dtype=np.float32), strict=True))
    enrolled = {name: [row] for name, row in list(rows.items())[:5]}
    probes = {name: [row, row] for name, row in rows.items()}
    threshold = Threshold(1.0, "given")
    found = identification(enrolled, probes, threshold).ci95
    mated, others = none_of(5), none_of(7)
    assert found["rank1_rate"] == pytest.approx([1 - mated, 1])
    assert found["rank_k"]["5"] == pytest.approx([1 - mated, 1])
    assert found["fnir_at_fpir"]["0.01"] == pytest.approx([0, mated])
    assert found["fnir_at_gallery_threshold"] == pytest.approx([0, mated])
    assert found["fpir_at_gallery_threshold"] == pytest.approx([0, others])
    assert found["threshold_at_fpir"]["0.01"][0] > 1, "a distance is no rate"
    (size,) = by_gallery_size(enrolled, probes, [3], np.zeros((0, 12), np.float32), threshold)
    assert size.ci95["fnir_at_gallery_threshold"] == pytest.approx([0, mated]), "each of the five was in some draw"
    assert size.ci95["fpir_at_gallery_threshold"] == pytest.approx([0, none_of(12)]), "and out of some"


def test_perfect_pairs() -> None:
    """Four people, two photos each; 4 genuine pairs, and 2 impostor pairs of three people."""
    names = [f"p{i}" for i in range(4)]
    vectors = {f"{name}/{k}": row for name, row in zip(names, np.eye(4, dtype=np.float32), strict=True) for k in (0, 1)}
    a = [*(f"{name}/0" for name in names), "p0/0", "p1/0"]
    b = [*(f"{name}/1" for name in names), "p1/0", "p2/0"]
    pairs = Pairs(tuple(a), tuple(b), np.array([True] * 4 + [False] * 2), None)
    found = verification(pairs, vectors).ci95
    most = {people: none_of(people) for people in (2, 4)}
    assert found["accuracy_mean"] == pytest.approx([1 - most[4], 1])
    assert found["tar_at_fmr"]["1e-3"] == pytest.approx([1 - most[4], 1])
    assert found["eer"] == pytest.approx([0, most[2]]), "of both kinds of pairs the fewer"
    assert found["auc"] == [1, 1]
    distances = np.array([0] * 4 + [2] * 2, np.float32)
    own = by_group(distances, pairs, ["all"] * 6, {"here": 1.0})["all"]["ci95"]
    assert own["fmr_at_threshold"]["here"] == pytest.approx([0, most[2]])
    assert own["fnmr_at_threshold"]["here"] == pytest.approx([0, most[4]])
    assert own["accuracy"] == pytest.approx([1 - most[4], 1])


# ----------------------------------------------------------------------------------------- the mean of a few runs


def test_the_interval_of_a_mean_is_students() -> None:
    runs = [0.71, 0.64, 0.69, 0.8]
    known = t.interval(0.95, 3, loc=np.mean(runs), scale=sem(runs))
    assert mean_interval(runs) == pytest.approx(known)
    assert mean_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)
