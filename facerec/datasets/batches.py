"""P x K batches: P people, K photos of each (Hermans et al. 2017, "In Defense of the Triplet Loss").

The batches depend on (seed, epoch) alone, so a resumed run gets the same batches.
"""

import numpy as np
from numpy.typing import NDArray

from facerec.errors import DataError

Batch = NDArray[np.int64]  # (B,) positions of photos in the training set


def identity_batches(labels: NDArray[np.int64], people: int, photos: int, seed: int, epoch: int) -> list[Batch]:
    """Return the batches of one epoch: each has `photos` photos of each of `people` people.

    labels: (N,) the person of each photo. No photo appears twice in an epoch, and no person twice in a batch. A person
    with n photos can be in floor(n / photos) batches, and with fewer than `photos` in none. People with the most photos
    left are chosen first, which gives the largest number of batches. DataError if not even one batch can be made.
    """
    rng = np.random.default_rng((seed, epoch))
    left = {person: _chunks(np.flatnonzero(labels == person), photos, rng) for person in np.unique(labels)}
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


def _chunks(positions: Batch, size: int, rng: np.random.Generator) -> list[Batch]:
    shuffled = rng.permutation(positions)
    return [shuffled[i : i + size] for i in range(0, len(shuffled) - size + 1, size)]
