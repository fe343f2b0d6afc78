"""P x K batches: their shape, that nobody is wasted, and that they follow from (seed, epoch) alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_oracles import most_batches

from facerec.datasets.batches import Batch, Copies, beside_unlabelled, identity_batches, shuffled_batches
from facerec.errors import DataError

photo_counts = st.lists(st.integers(0, 13), min_size=1, max_size=6)


def labels_of(counts: list[int], seed: int = 0) -> np.ndarray:
    """Person i has counts[i] photos; the photos lie in any order."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def batches_or_none(counts: list[int], people: int, photos: int, seed: int, epoch: int) -> list[Batch]:
    try:
        return identity_batches(labels_of(counts), people, photos, seed, epoch)
    except DataError:
        return []


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@settings(deadline=None)
@given(photo_counts, st.integers(2, 4), st.integers(1, 4), st.integers(0, 99), st.integers(0, 99))
def test_batches_are_people_times_photos_without_repeats_and_as_many_as_can_be(
    counts: list[int], people: int, photos: int, seed: int, epoch: int
) -> None:
    labels = labels_of(counts)
    batches = batches_or_none(counts, people, photos, seed, epoch)
    for batch in batches:
        assert batch.shape == (people * photos,)
        assert batch.dtype == np.int64
        persons, times = np.unique(labels[batch], return_counts=True)
        assert len(persons) == people
        assert (times == photos).all()
        assert all(counts[person] >= photos for person in persons)
    used = np.concatenate([*batches, np.array([], np.int64)])
    assert len(np.unique(used)) == len(used), "a photo at most once an epoch"
    assert len(batches) == most_batches(tuple(sorted(n // photos for n in counts)), people)


@pytest.mark.parametrize(
    ("counts", "people", "photos", "expected"),
    [
        ([4, 4, 4, 4], 2, 4, 2),
        ([8, 4, 4], 2, 4, 2),  # the one with most goes first, or one batch only comes out
        ([40, 4, 4], 2, 4, 2),  # somebody with very many photos cannot be paired with themselves
        ([7, 7, 3], 2, 4, 1),  # 3 photos are too few, 3 of each 7 are left over
        ([2] * 9, 3, 2, 3),
    ],
)
def test_number_of_batches_by_hand(counts: list[int], people: int, photos: int, expected: int) -> None:
    assert len(identity_batches(labels_of(counts), people, photos, seed=0, epoch=0)) == expected


@settings(deadline=None)
@given(photo_counts, st.integers(0, 5), st.integers(0, 5))
def test_batches_follow_from_seed_and_epoch_alone(counts: list[int], seed: int, epoch: int) -> None:
    first = batches_or_none(counts, 2, 2, seed, epoch)
    np.random.default_rng(1).random(5)
    np.random.seed(epoch)  # nor does numpy's global state matter
    batches_or_none(counts, 2, 2, seed + 1, epoch)
    assert same(first, batches_or_none(counts, 2, 2, seed, epoch))


def test_another_epoch_or_seed_gives_other_batches() -> None:
    labels = labels_of([20] * 20)
    plans = [identity_batches(labels, 4, 4, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1))]
    for i, plan in enumerate(plans):
        assert not any(same(plan, other) for other in plans[i + 1 :])


def test_over_the_epochs_every_photo_of_everybody_with_enough_takes_part() -> None:
    counts = [7, 5, 4, 3]
    labels = labels_of(counts)
    used = {int(i) for epoch in range(60) for batch in identity_batches(labels, 2, 4, 0, epoch) for i in batch}
    assert used == {int(i) for i in np.flatnonzero(labels != 3)}


def test_people_need_not_be_numbered_without_gaps() -> None:
    labels = np.array([9, 9, 5, 5, -2, -2])
    (batch,) = identity_batches(labels, 3, 2, seed=0, epoch=0)
    assert sorted(batch.tolist()) == [0, 1, 2, 3, 4, 5]


def test_too_few_people_is_one_line_that_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"needs 3 people with 4 photos each, and only 2 have .* `people_per_batch`"):
        identity_batches(labels_of([4, 9, 3, 1]), 3, 4, seed=0, epoch=0)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 9), st.integers(0, 9))
def test_shuffled_batches_hold_each_photo_once_but_for_a_short_rest(
    count: int, size: int, seed: int, epoch: int
) -> None:
    if count < size:
        with pytest.raises(DataError, match=f"needs {size} photos, and there are only {count}"):
            shuffled_batches(count, size, seed, epoch)
        return
    batches = shuffled_batches(count, size, seed, epoch)
    assert [len(batch) for batch in batches] == [size] * (count // size)
    assert len(np.unique(np.concatenate(batches))) == count // size * size
    assert same(batches, shuffled_batches(count, size, seed, epoch))


def test_shuffled_batches_differ_between_epochs() -> None:
    assert not same(shuffled_batches(100, 10, 0, 0), shuffled_batches(100, 10, 0, 1))


def test_copies_of_a_photo_are_spread_and_a_frequent_photo_meets_the_others() -> None:
    """A person with 12 photos shown once and 4 shown three times: half of each four are of the frequent kind."""
    number = np.array([0] * 12 + [0, 1, 2] * 4)
    of = np.array([1] * 12 + [3] * 12)
    photo = np.array([*range(12), *np.repeat(np.arange(12, 16), 3)])
    labels = np.repeat([0, 1], 24)
    copies = Copies(np.tile(number, 2), np.tile(of, 2))
    frequent, meetings = [], 0
    for epoch in range(200):
        for batch in identity_batches(labels, 2, 4, 0, epoch, copies):
            for own in (batch[batch < 24], batch[batch >= 24] - 24):
                frequent.append(int((photo[own] >= 12).sum()))
                meetings += len(np.unique(photo[own])) < 4
    counts = np.bincount(frequent, minlength=5) / len(frequent)
    assert np.mean(frequent) == pytest.approx(2)
    assert counts[0] < 0.05
    assert counts[4] < 0.05
    assert meetings / len(frequent) < 0.25


def test_photos_shown_once_make_the_batches_they_always_made() -> None:
    labels = labels_of([7, 5, 4, 3])
    once = Copies(np.zeros(len(labels), np.int64), np.ones(len(labels), np.int64))
    assert same(identity_batches(labels, 2, 3, 1, 2), identity_batches(labels, 2, 3, 1, 2, once))


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 40), st.floats(0.01, 0.9), st.integers(0, 9))
def test_unlabelled_photos_are_their_share_of_every_batch(
    batches: int, size: int, count: int, share: float, epoch: int
) -> None:
    labelled = shuffled_batches(batches * size, size, 0, epoch)
    both = beside_unlabelled(labelled, 1000, count, share, 0, epoch)
    extra = max(1, round(size * share / (1 - share)))
    for before, after in zip(labelled, both, strict=True):
        assert len(after) == size + extra
        assert np.array_equal(after[after < 1000], before)
    shown = np.bincount(np.concatenate(both)[np.concatenate(both) >= 1000] - 1000, minlength=count)
    assert shown.sum() == batches * extra
    assert shown.max() - shown.min() <= 1, "nobody comes again before all have come"
    assert same(both, beside_unlabelled(labelled, 1000, count, share, 0, epoch))


def test_unlabelled_photos_are_spread_so_that_every_process_gets_some() -> None:
    (batch,) = beside_unlabelled([np.arange(12)], 100, 50, 0.25, 0, 0)
    assert [int((part >= 100).sum()) for part in np.array_split(batch, 4)] == [1, 1, 1, 1]
    assert beside_unlabelled([np.arange(4)], 100, 0, 0.25, 0, 0)[0].tolist() == [0, 1, 2, 3]


def test_other_epochs_and_seeds_show_other_unlabelled_photos() -> None:
    plans = [
        beside_unlabelled([np.arange(20)], 100, 50, 0.5, seed, epoch)
        for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]
    for i, plan in enumerate(plans):
        assert not any(same(plan, other) for other in plans[i + 1 :])
