"""facerec.evaluation.self_search against a gallery that is really made anew without each template, and searched."""

import numpy as np
import oracles
import pytest

from facerec.decision.population import calibrate_people
from facerec.evaluation.self_search import search_itself
from facerec.metrics.intervals import share_interval
from facerec.search.people import EnrolledPeople, PeopleIndex
from facerec.types import Threshold, Vectors

CARD = Threshold(0.9, "the card's")


def unit(rows: np.ndarray) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def some(people: int, most: int, strangers: int = 400, noise: float = 0.5, seed: int = 0) -> EnrolledPeople:
    """Noisy templates, 1 to `most` of each person, in a mixed order."""
    rng = np.random.default_rng(seed)
    owners = [f"P{p}" for p in range(people) for _ in range(1 + p % most)]
    centres = {f"P{p}": rng.standard_normal(12) for p in range(people)}
    order = rng.permutation(len(owners))
    owners = tuple(owners[i] for i in order)
    rows = unit(np.stack([centres[owner] + noise * rng.standard_normal(12) for owner in owners]))
    return EnrolledPeople(rows, owners, unit(rng.standard_normal((strangers, 12))).astype(np.float16), 0.05, CARD)


def index_of(vectors: Vectors, owners: list[str]) -> PeopleIndex:
    return PeopleIndex(np.arange(len(vectors)), owners, vectors)


def oracle(held: EnrolledPeople, limit: float) -> tuple[list[bool], list[bool]]:
    """Whether each mated search misses, and each by somebody left out finds: galleries made without them."""
    missed, named = [], []
    for t, owner in enumerate(held.owners):
        rest = [i for i in range(len(held.owners)) if i != t]
        if owner in [held.owners[i] for i in rest]:
            found = index_of(held.vectors[rest], [held.owners[i] for i in rest]).nearest(held.vectors[t][None], 1)[0][0]
            missed.append(found.person != owner or found.distance > limit)
        others = [i for i in rest if held.owners[i] != owner]
        if others:
            found = index_of(held.vectors[others], [held.owners[i] for i in others]).nearest(held.vectors[t][None], 1)
            named.append(found[0][0].distance <= limit)
    return missed, named


def strangers_within(held: EnrolledPeople, limit: float) -> int:
    """How many of the strangers, taken for ones of the people's kind, are within a distance of somebody."""
    assert held.strangers is not None
    rows, people = list(unit(held.strangers.astype(np.float32))), {}
    for row, owner in zip(held.vectors, held.owners, strict=True):
        people.setdefault(owner, []).append(row)
    means = [oracles.unit_mean_by_loop([row.tolist() for row in own]) for own in people.values()]
    centre, spread, their_centre, their_spread = oracles.kind_by_loop(people, rows)
    similar = [1 - oracles.nearest_mean_by_loop(row, means) / 2 for row in rows]
    return sum(2 - 2 * (their_centre + their_spread * (s - centre) / spread) <= limit for s in similar)


@pytest.mark.parametrize("noise", [0.1, 0.8, 1.5])
def test_as_if_the_gallery_were_made_anew_without_each_template(noise: float) -> None:
    held = some(17, 4, noise=noise)
    made = calibrate_people(index_of(held.vectors, list(held.owners)), held.strangers, held.fpir)
    assert made is not None
    figures = search_itself(held)
    assert (figures.people, figures.templates, figures.threshold) == (17, len(held.owners), made.threshold)
    missed, named = oracle(held, made.distance)
    assert figures.fnir is not None
    assert (figures.fnir.errors, figures.fnir.searches) == (sum(missed), len(missed))
    assert figures.fnir.people == sum(held.owners.count(f"P{p}") > 1 for p in range(17))
    assert figures.fpir_enrolled is not None
    assert (figures.fpir_enrolled.errors, figures.fpir_enrolled.searches) == (sum(named), len(named))
    assert figures.fpir_strangers is not None
    assert (figures.fpir_strangers.errors, figures.fpir_strangers.searches) == (
        strangers_within(held, made.distance),
        400,
    )
    for rate in (figures.fnir, figures.fpir_enrolled, figures.fpir_strangers):
        assert 0 <= rate.ci95[0] <= rate.rate <= rate.ci95[1] <= 1
        assert rate.ci95[1] > rate.ci95[0], "no interval of no width"
    if noise == 1.5:
        assert figures.fnir.errors > 5


def test_intervals_are_over_people_and_never_of_no_width() -> None:
    rng = np.random.default_rng(3)
    owners = tuple(name for name in "abcdefghij" for _ in range(8))
    rows = np.stack([(100 if owner > "e" else 1) * np.eye(10)["abcdefghij".index(owner)] for owner in owners])
    held = EnrolledPeople(unit(rows + 0.8 * rng.standard_normal(rows.shape)), owners, np.zeros((0, 10)), 0.01, CARD)
    fnir = search_itself(held).fnir
    assert fnir is not None
    assert (fnir.searches, fnir.people) == (80, 10)
    independent = share_interval(fnir.errors, 80)
    assert fnir.ci95[1] - fnir.ci95[0] > 1.3 * (independent[1] - independent[0]), "five people have all the misses"
    sound = search_itself(EnrolledPeople(unit(100 * rows), owners, np.zeros((0, 10)), 0.01, CARD)).fnir
    assert sound is not None
    assert (sound.errors, sound.ci95) == (0, share_interval(0, 10))


def test_where_the_gallery_is_too_small_for_a_figure() -> None:
    alone = search_itself(some(1, 1))
    assert (alone.people, alone.templates) == (1, 1)
    assert alone.threshold is not None
    assert (alone.fnir, alone.fpir_enrolled) == (None, None)
    assert alone.fpir_strangers is not None
    one_photo_each = search_itself(some(5, 1))
    assert one_photo_each.fnir is None
    assert one_photo_each.fpir_enrolled is not None
    assert one_photo_each.fpir_enrolled.searches == 5


def test_without_strangers_the_card_decides_and_without_a_card_nobody() -> None:
    held = some(6, 3, strangers=0)
    figures = search_itself(held)
    assert (figures.threshold, figures.fpir_strangers) == (CARD, None)
    missed, named = oracle(held, CARD.distance)
    assert figures.fnir is not None
    assert figures.fpir_enrolled is not None
    assert (figures.fnir.errors, figures.fpir_enrolled.errors) == (sum(missed), sum(named))
    none = search_itself(EnrolledPeople(held.vectors, held.owners, held.strangers, 0.01, None))
    assert (none.threshold, none.fnir, none.fpir_strangers, none.fpir_enrolled) == (None, None, None, None)


def test_templates_that_cancel_out_are_searched_all_the_same() -> None:
    row = unit(np.ones((1, 4)))
    held = EnrolledPeople(np.concatenate([row, row, -row]), ("a", "a", "a"), np.zeros((0, 4)), 0.01, CARD)
    fnir = search_itself(held).fnir
    assert fnir is not None
    missed, _ = oracle(held, CARD.distance)
    assert fnir.errors == sum(missed)
