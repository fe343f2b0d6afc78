"""P x K batches: P people, K photos of each (Hermans et al. 2017, "In Defense of the Triplet Loss").

The batches depend on (seed, epoch) alone, so a resumed run gets the same batches.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facerec.errors import DataError

Batch = NDArray[np.int64]  # (B,) positions of photos in the training set


class Copies(NamedTuple):
    """Of each of N photos: which copy it is, from 0, of how many that an epoch shows."""

    number: NDArray[np.int64]
    of: NDArray[np.int64]


def identity_batches(
    labels: NDArray[np.int64], people: int, photos: int, seed: int, epoch: int, copies: Copies | None = None
) -> list[Batch]:
    """Return the batches of one epoch: each has `photos` photos of each of `people` people.

    labels: (N,) the person of each photo. No position appears twice in an epoch, and no person twice in a batch. Copies
    of a photo are spread over the epoch, so that they seldom meet, and a photo shown often meets the others. A person
    with n photos can be in floor(n / photos) batches, and with fewer than `photos` in none. People with the most photos
    left are chosen first, which gives the largest number of batches. DataError if not even one batch can be made.
    """
    rng = np.random.default_rng((seed, epoch))
    left = {person: _chunks(np.flatnonzero(labels == person), photos, rng, copies) for person in np.unique(labels)}
    left = {person: chunks for person, chunks in left.items() if chunks}
    if len(left) < people:
        raise DataError(
            f"a batch needs {people} people with {photos} photos each, and only {len(left)} "
            f"{'has' if len(left) == 1 else 'have'} as many; "
            f"lower `people_per_batch` or `photos_per_person`, or add photos"
        )
    batches = []
    while len(left) >= people:
        order = rng.permutation(list(left))
        chosen = sorted(order, key=lambda person: -len(left[person]))[:people]
        batches.append(np.concatenate([left[person].pop() for person in chosen]))
        left = {person: chunks for person, chunks in left.items() if chunks}
    return [batches[i] for i in rng.permutation(len(batches))]


def shuffled_batches(count: int, size: int, seed: int, epoch: int) -> list[Batch]:
    """Return the batches of one epoch without regard to people: every photo at most once, `size` photos a batch.

    count: the number of photos. The rest that does not fill a batch is left out. DataError if `count` < `size`.
    """
    order = np.random.default_rng((seed, epoch)).permutation(count)
    if count < size:
        raise DataError(f"a batch needs {size} photos, and there are only {count}; lower `batch_size`")
    return [order[i : i + size] for i in range(0, count - size + 1, size)]


def beside_unlabelled(batches: list[Batch], first: int, count: int, share: float, seed: int, epoch: int) -> list[Batch]:
    """Return the batches of one epoch with unlabelled photos spread among theirs, as that share of each batch.

    The unlabelled photos are at the positions from `first` to `first + count`; an epoch shows none of them a second
    time before it has shown all. share: above 0 and below 1; a batch gets at least one.
    """
    if not count or not batches:
        return batches
    rng = np.random.default_rng((seed, epoch, 1))  # another stream than the batches' own
    extra = [max(1, round(len(batch) * share / (1 - share))) for batch in batches]
    rounds = [rng.permutation(count) for _ in range(-(-sum(extra) // count))]
    drawn = np.split(first + np.concatenate(rounds)[: sum(extra)], np.cumsum(extra)[:-1])
    return [
        np.insert(batch, np.arange(len(more)) * len(batch) // len(more), more)
        for batch, more in zip(batches, drawn, strict=True)
    ]


def _chunks(positions: Batch, size: int, rng: np.random.Generator, copies: Copies | None) -> list[Batch]:
    shuffled = rng.permutation(positions)
    if copies is not None:
        later = (np.arange(len(shuffled)) + 0.5) / len(shuffled)
        shuffled = shuffled[np.argsort((copies.number[shuffled] + later) / copies.of[shuffled])]
    return [shuffled[i : i + size] for i in range(0, len(shuffled) - size + 1, size)]
