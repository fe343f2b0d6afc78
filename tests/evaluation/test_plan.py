"""What `facerec plan` foretells: its formulas against drawn distances, its figures against their sources."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import plan_table
import pytest

from facerec.errors import ConfigError
from facerec.evaluation.plan import FIGURES, MOST, Own, Tail, figures, own_photos, plan, search_ms, strangers
from facerec.search.shortlist import LEAST

TAIL = Tail(1.3, 0.001, 18.0, np.array([[0.001, 18.0], [0.0011, 17.0], [0.0009, 19.0]]))


@pytest.mark.parametrize("people", [1, 40, 1_000, 10**6, 10**8, 10**10])
def test_the_threshold_lets_through_what_was_asked_for(people: int) -> None:
    distance, low, high = TAIL.threshold(people, 0.01)
    assert TAIL.fpir(distance, people) == pytest.approx(0.01, rel=1e-6)
    assert 0 < low < distance < high


def test_fpir_is_that_of_drawn_distances() -> None:
    """Of 4,000 strangers, each with 5,000 independent distances of this tail."""
    rng, people = np.random.default_rng(0), 5_000
    lowest = 1 - rng.random(4_000) ** (1 / people)  # the least of 5,000 uniform numbers
    nearest = TAIL.distance * (lowest / TAIL.share) ** (1 / TAIL.power)
    for fpir in (0.01, 0.1, 0.5):
        distance, *_ = TAIL.threshold(people, fpir)
        assert (nearest <= distance).mean() == pytest.approx(fpir, abs=4 * (fpir * (1 - fpir) / 4_000) ** 0.5)


def test_photos_taken_for_others_are_those_of_drawn_distances() -> None:
    """A photo is missed if it lies beyond the threshold or nearer to somebody else."""
    grid = np.arange(0, 2.001, 0.02)
    own, people = Own(grid, 1 - grid / 2, grid, grid), 100_000  # uniform from 0 to 2
    rng = np.random.default_rng(0)
    distances = 2 * rng.random(400_000)
    lowest = -np.expm1(np.log1p(-rng.random(400_000)) / (people - 1))
    other = TAIL.distance * (lowest / TAIL.share) ** (1 / TAIL.power)
    threshold, *_ = TAIL.threshold(people, 0.3)
    found = ((distances <= threshold) & (other < distances)).mean()
    assert own.taken_for_others(TAIL, threshold, people) == pytest.approx(found, rel=0.1)
    assert own.at(0.51)[0] == pytest.approx(0.745)


def test_time_between_above_and_below_measured_sizes() -> None:
    sizes = [{"people": 1_000, "ms": 0.1}, {"people": 10_000, "ms": 1.0}]
    sizes += [{"people": 100_000, "ms": 0.5}, {"people": 1_000_000, "ms": 2.0}]
    assert search_ms(sizes, 3_000) == (pytest.approx(0.3), True)
    assert search_ms(sizes, 10) == (pytest.approx(0.1), False)
    assert search_ms(sizes, LEAST - 1) == (pytest.approx(1.9999), False), "exact, above the largest"
    assert search_ms(sizes, LEAST) == (pytest.approx(0.5), False), "a shortlist, below the smallest"
    assert search_ms(sizes, 10**6) == (pytest.approx(2.0), True)
    assert search_ms(sizes, 10**8) == (pytest.approx(200.0), False)


def test_more_people_cost_more_and_are_missed_more_often() -> None:
    plans = [plan(people) for people in (1, 10, 1_000, LEAST, 10**6, 10**8, MOST["people"])]
    for less, more in pairwise(plans):
        assert less.threshold > more.threshold > 0
        assert less.fnir <= more.fnir <= 1
        assert less.memory_gb < more.memory_gb
        assert less.disk_gb < more.disk_gb
        low, high = more.ci95["fnir"]
        assert low <= more.fnir <= high
    assert [each.index for each in plans] == ["exact"] * 3 + ["shortlist"] * 2 + ["engine"] * 2


def test_more_photos_of_each_person_are_missed_less_often() -> None:
    one, two, four, ten = (plan(10_000, photos) for photos in (1, 2, 4, 10))
    assert one.fnir > two.fnir > four.fnir
    assert (ten.photos_per_person, ten.error_photos, ten.fnir) == (10, 4, four.fnir), "measured with at most so many"
    assert ten.disk_gb > four.disk_gb > one.disk_gb


def test_cores_and_photos_a_day() -> None:
    asked = plan(1_000, photos_per_day=10_000, cores=3)
    assert asked.photos_a_day == pytest.approx(3 * plan(1_000, cores=1).photos_a_day, abs=3)  # type: ignore[operator]
    assert asked.load == pytest.approx(10_000 / asked.photos_a_day)  # type: ignore[operator]
    without = plan(1_000, photos_per_day=10_000)
    assert (without.photos_a_day, without.load) == (None, None)
    json.dumps(asked.to_json(), allow_nan=False)


@pytest.mark.parametrize("name", MOST)
@pytest.mark.parametrize("number", [0, -3, 1.5, True, "many"])
def test_numbers_that_make_no_sense_are_refused(name: str, number: object) -> None:
    for given in (number, MOST[name] + 1):
        with pytest.raises(ConfigError, match=rf"^`{name}` must be [^\n]*$"):
            plan(**{"people": 5, name: given})  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- the figures


def test_every_figure_names_its_source() -> None:
    assert all(part["source"] for name, part in figures().items() if name != "checked")
    assert FIGURES.parent.name == "evaluation", "in the package, so it is installed with it"


def test_times_are_those_of_the_page_of_benchmarks() -> None:
    """If this fails, run `python -m scripts.studies plan` again: the page has newer figures."""
    from scripts.studies.plan import published

    assert {name: figures()[name] for name in ("search", "embedding")} == published()


def test_the_strangers_of_the_figures_are_those_of_the_shipped_model() -> None:
    from facerec.inference.loading import load_embedder
    from facerec.models.cohort import load_cohort
    from scripts.studies.plan import pairs_of, tail_of

    embedder = load_embedder()
    distance, power = tail_of(pairs_of(load_cohort(embedder.path, embedder.card)))
    found = strangers(figures(), 1)
    assert (found.distance, found.power) == (pytest.approx(distance, rel=1e-3), pytest.approx(power, rel=1e-3))


def test_what_was_foretold_for_made_up_people_was_nearly_found() -> None:
    """The file says how wrong it is. Beyond these bounds the model would be of no use."""
    for row in figures()["checked"]:
        assert 0.003 < row["fpir"][0] < 0.03, row
        assert row["fnir"][0] == pytest.approx(row["foretold_fnir"][0], abs=0.05), row
        assert strangers(figures(), 1).threshold(row["people"], 0.01)[0] == pytest.approx(row["foretold"][0], rel=1e-3)
    assert [row["people"] for row in figures()["checked"]][-2:] == [100_000, 1_000_000]


def test_shares_beyond_a_distance_fall_and_lie_within_their_intervals() -> None:
    for photos in figures()["own"]["photos"]:
        own = own_photos(figures(), int(photos))
        assert (np.diff(own.beyond) <= 0).all()
        assert ((own.low <= own.beyond) & (own.beyond <= own.high)).all()
        assert own.beyond[0] > 0.99, "photos nearer than the first distance would count as missed"


def test_the_table_of_sizes_is_what_plan_says() -> None:
    """`PYTHONPATH=. .venv/bin/python tests/support/plan_table.py` writes it anew."""
    page = Path(plan_table.PAGE).read_text("utf-8")
    assert plan_table.BEGIN + plan_table.plan_table() + plan_table.END in page
