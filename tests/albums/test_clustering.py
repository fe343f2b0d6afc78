"""Grouping faces, held against joining two groups at a time, by all distances."""

import itertools
import tracemalloc
from collections.abc import Hashable, Sequence

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from facerec.albums import clustering
from facerec.albums.clustering import Linkage, dense_groups, group_faces
from facerec.metrics.clustering import b_cubed
from facerec.types import Threshold, Vectors

DIMENSION = 8


def unit(rows: np.ndarray) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def faces(seed: int, people: int = 6, photos: int = 4, spread: float = 0.25) -> tuple[Vectors, list[int]]:
    """Vectors of people who overlap somewhat, in random order, and who each is."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), rng.integers(1, photos + 1, people))
    rows = unit(rng.standard_normal((people, DIMENSION)))[who] + spread * rng.standard_normal((len(who), DIMENSION))
    order = rng.permutation(len(who))
    return unit(rows)[order], who[order].tolist()


def strangers(count: int, seed: int = 99) -> Vectors:
    return unit(np.random.default_rng(seed).standard_normal((count, DIMENSION)))


def at(distance: float) -> Threshold:
    return Threshold(distance, "given")


def partition(labels: Sequence[int] | np.ndarray) -> set[frozenset[int]]:
    """Who is with whom; 0 is alone."""
    groups: dict[tuple[int, int], set[int]] = {}
    for face, label in enumerate(labels):
        groups.setdefault((int(label), face if label == 0 else -1), set()).add(face)
    return set(map(frozenset, groups.values()))


def joined_one_by_one(vectors: Vectors, photos: Sequence[Hashable], limit: float) -> set[frozenset[int]]:
    """The oracle: all distances, all pairs of groups, the nearest first."""
    v = vectors.astype(np.float64)
    distances = np.square(v[:, None] - v[None]).sum(axis=2)
    groups = [frozenset({i}) for i in range(len(v))]
    while True:
        allowed = [
            (np.mean([distances[i, j] for i in a for j in b]), a, b)
            for a, b in itertools.combinations(groups, 2)
            if not {photos[i] for i in a} & {photos[j] for j in b}
        ]
        nearest = min(allowed, key=lambda pair: pair[0], default=None)
        if nearest is None or nearest[0] > limit:
            return set(groups)
        groups = [group for group in groups if group not in nearest[1:]] + [nearest[1] | nearest[2]]


@pytest.mark.parametrize("limit", [0.3, 0.8, 1.3, 1.9, 4])
@pytest.mark.parametrize("seed", range(6))
def test_groups_are_those_of_joining_one_by_one(seed: int, limit: float) -> None:
    vectors, _ = faces(seed)
    photos = np.random.default_rng((seed, 1)).integers(0, len(vectors), len(vectors)).tolist()  # some hold several
    assert partition(group_faces(vectors, photos, at(limit)).labels) == joined_one_by_one(vectors, photos, limit)


@pytest.mark.parametrize("limit", [0.2, 0.7, 1.2])
def test_groups_are_scipys_where_every_face_has_its_photo(limit: float) -> None:
    vectors, _ = faces(3, people=30, photos=8)
    theirs = fcluster(linkage(vectors.astype(np.float64), "average", "sqeuclidean"), limit, "distance")
    ours = group_faces(vectors, range(len(vectors)), at(limit)).labels
    assert partition(ours) == partition(theirs)
    assert 1 < len(partition(ours)) < len(vectors)


def test_people_who_are_far_apart_are_found() -> None:
    vectors, who = faces(0, people=4, spread=0.02)
    assert (b_cubed(who, group_faces(vectors, range(len(who)), at(0.3)).labels) == 1).all()


def test_two_faces_of_a_photo_are_never_joined_however_alike() -> None:
    vectors = np.tile(unit(np.ones((1, DIMENSION))), (6, 1))
    labels = group_faces(vectors, ["a", "b", "a", "b", "c", "a"], at(4)).labels
    assert len({labels[0], labels[2], labels[5]}) == 3
    assert labels[1] != labels[3]
    assert partition(group_faces(vectors, list("abcdef"), at(4)).labels) == {frozenset(range(6))}
    assert partition(group_faces(vectors, list("aaaaaa"), at(4)).labels) == {frozenset({i}) for i in range(6)}


def test_the_limit_is_within() -> None:
    vectors = np.eye(2, dtype=np.float32)  # exactly 2 apart
    assert group_faces(vectors, "ab", at(2)).labels.tolist() == [1, 1]
    assert group_faces(vectors, "ab", at(float(np.nextafter(np.float32(2), 0)))).labels.tolist() == [0, 0]


def test_numbers_go_by_size_then_by_the_first_face() -> None:
    axes = np.eye(5, DIMENSION, dtype=np.float32)
    grouping = group_faces(axes[[4, 0, 1, 2, 1, 0, 3, 2, 2]], range(9), at(0.1))
    assert grouping.labels.tolist() == [0, 2, 3, 1, 3, 2, 0, 1, 1]
    assert grouping.groups == 3
    assert group_faces(axes, range(5), at(0.1)).groups == 0
    assert group_faces(axes[:1], range(1), at(0.1)).labels.tolist() == [0]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = faces(5, people=20)
    photos = [i // 2 for i in range(len(vectors))]
    whole = group_faces(vectors, photos, strangers(200), 0.1)
    monkeypatch.setattr(clustering, "_BLOCK", 3 * len(vectors))
    parts = group_faces(vectors, photos, strangers(200), 0.1)
    assert (whole.labels == parts.labels).all()
    assert whole.threshold.distance == pytest.approx(parts.threshold.distance, abs=1e-6)


def test_no_table_of_all_distances_is_made() -> None:
    vectors = unit(np.random.default_rng(0).standard_normal((5000, 4)))
    tracemalloc.start()
    group_faces(vectors, range(5000), at(0.001))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6, "a table of float32 takes 100 MB"


# --------------------------------------------------------------------------------------------- the limit of strangers


@pytest.mark.parametrize("seed", range(4))
def test_the_rate_of_strangers_is_within_the_limit_of_the_groups_in_the_end(seed: int) -> None:
    vectors, _ = faces(seed, people=12, spread=0.1)
    found = group_faces(vectors, range(len(vectors)), strangers(999), 0.05)
    nearest = [
        min(np.square(vectors[list(group)] - stranger).sum(axis=1).mean() for group in partition(found.labels))
        for stranger in strangers(999)
    ]
    assert np.sum(np.array(nearest) <= found.threshold.distance + 1e-6) == 50
    again = group_faces(vectors, range(len(vectors)), at(found.threshold.distance))
    assert (again.labels == found.labels).all()
    groups = len(partition(found.labels))
    assert found.threshold.source == f"50 of 999 strangers would be taken for one of these {groups} people"


def test_a_larger_album_is_held_to_a_smaller_distance() -> None:
    distances = [
        group_faces(vectors, range(len(vectors)), strangers(999), 0.05).threshold.distance
        for vectors, _ in (faces(0, people=people, photos=1) for people in (5, 50, 500))
    ]
    assert distances[0] > distances[1] > distances[2]


def test_too_few_strangers_for_the_rate_keep_the_limit_below_the_nearest() -> None:
    vectors, _ = faces(1)
    found = group_faces(vectors, range(len(vectors)), strangers(9), 0.05)
    nearest = min(np.square(vectors - stranger).sum(axis=1).min() for stranger in strangers(9))
    assert found.threshold.source.startswith("none of 9 strangers")
    assert found.threshold.distance >= nearest - 1e-5, "it only grows"


def test_the_nearest_group_of_each_stranger() -> None:
    vectors, _ = faces(2)
    linked = Linkage(vectors, range(len(vectors)))
    linked.join(0.8)
    groups = [np.flatnonzero(linked.labels == g) for g in range(len(linked))]
    assert 1 < len(groups) < len(vectors)
    expected = [min(np.square(vectors[g] - s).sum(axis=1).mean() for g in groups) for s in strangers(20)]
    assert linked.nearest(strangers(20)) == pytest.approx(expected, abs=1e-5)


# ---------------------------------------------------------------------------------------------------------- B-cubed


def b_cubed_by_loops(people: list[int], labels: list[int], times: list[int]) -> list[float]:
    """The definition, face by face; a face counts `times` of its person."""
    precision = recall = total = 0.0
    for i, (person, label) in enumerate(zip(people, labels, strict=True)):
        group = [j for j in range(len(people)) if j == i or (label != 0 and labels[j] == label)]
        right = sum(people[j] == person for j in group)
        precision += times[person] * right / len(group)
        recall += times[person] * right / people.count(person)
        total += times[person]
    precision, recall = precision / total, recall / total
    return [precision, recall, 2 * precision * recall / (precision + recall)]


@pytest.mark.parametrize("seed", range(10))
def test_b_cubed_by_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    people = np.concatenate([np.arange(5), rng.integers(0, 5, 25)]).tolist()
    labels, times = rng.integers(0, 6, 30).tolist(), rng.integers(0, 3, 5).tolist()
    times[0] += 1
    assert b_cubed(people, labels)[0] == pytest.approx(b_cubed_by_loops(people, labels, [1] * 5))
    weighted = b_cubed(people, labels, [[1] * 5, times])
    assert weighted == pytest.approx(np.array([b_cubed_by_loops(people, labels, t) for t in ([1] * 5, times)]))


def test_b_cubed_of_known_groupings() -> None:
    names = ["ann", "ann", "ann", "bob", "cy"]
    assert b_cubed(names, [2, 2, 2, 0, 0]).tolist() == [[1, 1, 1]]
    assert b_cubed(names, [0, 0, 0, 0, 0])[0] == pytest.approx([1, 3 / 5, 0.75])  # 3 x 1/3 + 2 of 5
    assert b_cubed(names, [1, 1, 1, 1, 1])[0] == pytest.approx([11 / 25, 1, 22 / 36])  # 3 x 3/5 + 2 x 1/5 of 5


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", [0.0, 0.1, 0.4, 1.0, 4.0])
def test_dense_groups_are_chains_of_near_faces(seed: int, limit: float) -> None:
    vectors, _ = faces(seed, people=9, photos=5)
    near = np.square(vectors[:, None].astype(np.float64) - vectors[None]).sum(axis=2) <= limit
    chains = [{face} for face in range(len(vectors))]
    for a, b in np.argwhere(near):
        chains[a] |= chains[b]
        for face in chains[a]:
            chains[face] = chains[a]
    found = dense_groups(vectors, at(limit))
    assert partition(found.labels) == set(map(frozenset, chains))
    sizes = np.bincount(found.labels)[1:].tolist()
    assert sizes == sorted(sizes, reverse=True)
    assert found.threshold == at(limit)


def test_dense_groups_of_one_size_are_numbered_by_their_first_face() -> None:
    axes = np.eye(5, DIMENSION, dtype=np.float32)
    assert dense_groups(axes[[4, 0, 1, 1, 3, 0]], at(0.1)).labels.tolist() == [0, 1, 2, 2, 0, 1]
    assert dense_groups(axes[:1], at(0.1)).labels.tolist() == [0]
    assert dense_groups(axes[[2, 2]], at(0)).labels.tolist() == [1, 1]


def test_strangers_set_how_near_dense_groups_are() -> None:
    vectors, _ = faces(3, people=20)
    crowd = strangers(999)
    found = dense_groups(vectors, crowd, 0.05)
    nearest = np.square(crowd[:, None].astype(np.float64) - vectors[None]).sum(axis=2).min(axis=1)
    assert (nearest <= found.threshold.distance + 1e-6).sum() == 50
    assert found.threshold.source == f"50 of 999 strangers would be as near to one of these {len(vectors)} faces"
    assert (found.labels == dense_groups(vectors, at(found.threshold.distance)).labels).all()
