"""facerec.curation.label_fit: how well photos fit their people, by hand and against loops, and where the lines lie."""

import numpy as np
import pytest
from numpy.typing import NDArray

from facerec.curation import label_fit
from facerec.curation.label_fit import Limits, fit_of, limits_of, misfits, nearest_people, people_of, typical
from facerec.types import Threshold, Vectors

THRESHOLD = Threshold(0.8, "made up")


def crowd(people: int, photos: int, spread: float, seed: int = 0) -> tuple[Vectors, NDArray[np.int64]]:
    """Photos of people around random directions; `spread` is what a photo has of its own, beside 1 of the person's."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), photos)
    directions, own = rng.normal(size=(people, 64)), rng.normal(size=(len(labels), 64))
    vectors = directions[labels] + spread * own
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Squared, of the directions of two sums."""
    return float(np.square(a / np.linalg.norm(a) - b / np.linalg.norm(b)).sum())


def test_leave_one_out_by_hand() -> None:
    x, y, z = np.eye(3, dtype=np.float32)
    fit = fit_of(np.stack([x, x, y, y, z]), np.array([0, 0, 0, 1, 2]))
    half = 2 - np.sqrt(2)  # from x to the middle between x and y
    np.testing.assert_allclose(fit.own, [half, half, 2, np.nan, np.nan], atol=1e-6)
    np.testing.assert_allclose(fit.rival[:4], [2, 2, 0, 2 - 2 / np.sqrt(5)], atol=1e-6)
    assert fit.nearest[2] == 1
    assert fit.nearest[3] == 0


def test_leave_one_out_against_loops() -> None:
    vectors, labels = crowd(9, 4, 1.0)
    labels[5] = 8
    fit = fit_of(vectors, labels)
    for i, label in enumerate(labels):
        others = [j for j in range(len(labels)) if labels[j] == label and j != i]
        rivals = {p: distance(vectors[i], vectors[labels == p].sum(0)) for p in range(9) if p != label}
        assert fit.own[i] == pytest.approx(distance(vectors[i], vectors[others].sum(0)), abs=1e-5)
        assert fit.rival[i] == pytest.approx(min(rivals.values()), abs=1e-5)
        assert fit.nearest[i] == min(rivals, key=rivals.__getitem__)


def test_one_person_has_no_rival() -> None:
    vectors, labels = crowd(1, 3, 0.5)
    assert np.isinf(fit_of(vectors, labels).rival).all()
    assert fit_of(vectors[:0], labels[:0]).own.shape == (0,)


@pytest.mark.parametrize("spread", [0.3, 0.8, 1.5])
def test_limits_lie_between_the_usual_and_the_strange_whatever_the_network(spread: float) -> None:
    vectors, labels = crowd(30, 6, spread)
    limits = limits_of(vectors, labels, None)
    usual = fit_of(vectors, labels).own
    assert np.quantile(usual, 0.95) < limits.own < limits.stranger < 2
    assert 0 < limits.same <= np.quantile(usual, 0.9) + 1e-6
    assert limits.source == "180 photos of 30 people"


def test_a_few_wrong_labels_move_the_limits_little() -> None:
    vectors, labels = crowd(30, 6, 0.8)
    wrong = labels.copy()
    wrong[::30] = (wrong[::30] + 5) % 30
    clean, spoiled = limits_of(vectors, labels, None), limits_of(vectors, wrong, None)
    assert spoiled.own == pytest.approx(clean.own, abs=0.1)
    assert spoiled.stranger == pytest.approx(clean.stranger, abs=0.05)


@pytest.mark.parametrize(("wrong", "strangers"), [(1, 1), (2, 1), (3, 1), (4, 1), (4, 2)])
@pytest.mark.parametrize("people", [12, 3])
def test_photos_of_strangers_do_not_vouch_for_each_other(people: int, wrong: int, strangers: int) -> None:
    """Each is named, in a folder of many people and in one where the model's threshold decides."""
    vectors, labels = crowd(people + strangers, 10, 0.8)
    moved = np.concatenate([np.flatnonzero(labels == people + n)[: wrong // strangers] for n in range(strangers)])
    rows = np.concatenate([np.flatnonzero(labels < people)[len(moved) :], moved])  # person 0 has as many fewer
    filed = np.where(labels < people, labels, 0)[rows]
    limits = limits_of(vectors[rows], filed, Threshold(1.3, "made up"))
    fit = fit_of(vectors[rows], filed, typical(vectors[rows], filed, limits))
    assert np.flatnonzero(misfits(vectors[rows], filed, fit, limits)).tolist() == [*range(len(rows))][-len(moved) :]


def test_a_doubtful_photo_is_wrong_beside_one_that_is_sure_to_be() -> None:
    """In two dimensions, by angles: the person is at 0 degrees, and one photo each is at 95 and at 120."""
    labels, limits = np.zeros(5, np.int64), Limits(own=1.5, stranger=2.5, same=0.5, source="made up")
    for angles, expected in (([0, 0, 0, 95, 120], [3, 4]), ([0, 0, 0, 95, -120], [4])):
        radians = np.deg2rad(np.array(angles))
        vectors = np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
        fit = fit_of(vectors, labels, typical(vectors, labels, limits))
        assert np.flatnonzero(misfits(vectors, labels, fit, limits)).tolist() == expected


def test_people_are_not_alike_by_chance_where_photos_scatter() -> None:
    """Then nine tenths of photos to their own is farther than the nearest two of many strangers."""
    vectors, labels = crowd(400, 3, 2.5)
    limits = limits_of(vectors, labels, None)
    assert limits.same < np.quantile(fit_of(vectors, labels).own, 0.9)
    assert len([pair for pair in nearest_people(people_of(vectors, labels)) if pair[2] <= limits.same]) <= 3


@pytest.mark.parametrize(("people", "photos"), [(9, 6), (30, 1), (1, 40)])
def test_few_data_leave_it_to_the_model(people: int, photos: int) -> None:
    limits = limits_of(*crowd(people, photos, 0.5), THRESHOLD)
    assert (limits.own, limits.stranger, limits.same) == (0.8, 1.4, 0.8)
    assert limits.source == "the model: made up"


def test_with_nothing_to_go_by_nothing_is_judged() -> None:
    limits = limits_of(*crowd(3, 2, 0.5), None)
    assert (limits.own, limits.stranger, limits.same) == (np.inf, np.inf, -np.inf)
    assert limits.to_json() == {"own": None, "stranger": None, "same": None, "source": limits.source}


def mutual(a: list[Vectors], b: list[Vectors], same: bool) -> dict[tuple[int, int], float]:
    """Each other's nearest people, by loops over lists of the photos of each."""

    def apart(x: Vectors, y: Vectors) -> float:
        ways = [np.mean([distance(photo, q.sum(0)) for photo in p]) for p, q in ((x, y), (y, x))]
        return float(max(ways))

    table = np.array([[np.inf if same and i == j else apart(x, y) for j, y in enumerate(b)] for i, x in enumerate(a)])
    nearest = [(i, int(table[i].argmin())) for i in range(len(a))]
    return {(i, j): float(table[i, j]) for i, j in nearest if table[:, j].argmin() == i and (not same or i < j)}


def test_nearest_people_against_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_fit, "_BLOCK", 5)
    vectors, labels = crowd(14, 3, 1.0)
    others, other_labels = crowd(9, 2, 1.0, seed=1)
    a, b = people_of(vectors, labels), people_of(others, other_labels)
    lists = [[v[n == p] for p in range(n.max() + 1)] for v, n in ((vectors, labels), (others, other_labels))]
    for found, expected in (
        (nearest_people(a), mutual(lists[0], lists[0], True)),
        (nearest_people(a, b), mutual(lists[0], lists[1], False)),
        (nearest_people(b, a), mutual(lists[1], lists[0], False)),
    ):
        assert {(i, j) for i, j, _ in found} == set(expected)
        assert [d for *_, d in found] == pytest.approx([expected[i, j] for i, j, _ in found], abs=1e-5)
        assert found


def test_nearest_people_of_nobody() -> None:
    vectors, labels = crowd(3, 2, 0.5)
    some, nobody = people_of(vectors, labels), people_of(vectors[:0], labels[:0])
    assert nearest_people(some, nobody) == nearest_people(nobody, some) == nearest_people(nobody) == []
    assert nearest_people(people_of(vectors[:2], labels[:2])) == []
