"""P x K batches: P people, K photos of each (Hermans et al. 2017, "In Defense of the Triplet Loss").

Every batch follows from (seed, epoch) alone, whatever was drawn before, so that a resumed run meets the same batches.
"""

import numpy as np
from numpy.typing import NDArray

from facerec.errors import DataError

Batch = NDArray[np.int64]  # (B,) positions of photos in the training set


def identity_batches(labels: NDArray[np.int64], people: int, photos: int, seed: int, epoch: int) -> list[Batch]:
    """The batches of one epoch: `people` x `photos` positions each, all photos distinct, nobody twice in a batch.

    labels: (N,) the person of each photo. Somebody with n photos takes part in floor(n / photos) batches of the epoch,
    with photos drawn anew each time; people with fewer than `photos` never do. Those with most photos left go first,
    so that the largest number of batches comes out. Raises DataError when not even one batch can be made.
    """
    rng = np.random.default_rng((seed, epoch))
    left = {person: _chunks(np.flatnonzero(labels == person), photos, rng) for person in np.unique(labels)}
    left = {person: chunks for person, chunks in left.items() if chunks}
    if len(left) < people:
        raise DataError(
            f"a batch wants {people} people with {photos} photos each and only {len(left)} "
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
    """The batches of one epoch without regard to people: all `count` photos once, the last short batch left out."""
    order = np.random.default_rng((seed, epoch)).permutation(count)
    if count < size:
        raise DataError(f"a batch wants {size} photos and there are only {count}; lower `batch_size`")
    return [order[i : i + size] for i in range(0, count - size + 1, size)]


def _chunks(positions: Batch, size: int, rng: np.random.Generator) -> list[Batch]:
    shuffled = rng.permutation(positions)
    return [shuffled[i : i + size] for i in range(0, len(shuffled) - size + 1, size)]
