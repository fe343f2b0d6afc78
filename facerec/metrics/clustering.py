"""How well groups of photos agree with the people in them."""

import numpy as np
from numpy.typing import ArrayLike

from facerec.types import Floats


def b_cubed(people: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """B-cubed precision, recall and F of a grouping, (B, 3), under (B, P) weights of the people; (1, 3) without
    weights.

    people: (N,) the person of each face; P different ones. labels: (N,) the group of each face; 0: a group of its own.
    weights: how often each person's faces count in the averages, people in sorted order; the groups stay as they are.

    A face's precision is the share of its group that shows the same person, itself included. Its recall is the share of
    its person's faces that are in its group (Bagga and Baldwin 1998). Both are averaged over the faces. F is the
    harmonic mean of the averages (Amigo et al. 2009).
    """
    _, who = np.unique(np.asarray(people), return_inverse=True)
    groups = np.array(labels, np.int64)
    alone = groups == 0
    groups[alone] = groups.max(initial=0) + 1 + np.arange(alone.sum())
    _, both, together = np.unique(np.stack([who, groups]), axis=1, return_inverse=True, return_counts=True)
    shared, sizes = together[both.ravel()], np.bincount(who)
    columns = shared / np.bincount(groups)[groups], shared / sizes[who]
    sums = np.stack([np.bincount(who, column) for column in columns], axis=1)  # (P, 2)
    w = np.ones((1, len(sizes))) if weights is None else np.asarray(weights, np.float64)
    averages = w @ sums / (w @ sizes)[:, None]
    return np.column_stack([averages, 2 * averages.prod(axis=1) / averages.sum(axis=1)])
