"""Whether probabilities come true: Brier score, log loss, and calibration error."""

import numpy as np
from numpy.typing import NDArray

from facerec.decision.posterior import PRIOR
from facerec.types import Floats

BINS = 10
"""How many bins a reliability diagram has; they are equally wide."""


def reliability(
    stated: Floats, right: NDArray[np.bool_], mated: NDArray[np.bool_], weights: Floats, prior: float = PRIOR
) -> dict[str, Floats]:
    """Do the `stated` (N,) probabilities of N searches come true? Searches are weighed so that `prior` of them are
    mated.

    right: (N,) whether the nearest person was the right one. mated: (N,) whether the searcher was enrolled. weights:
    (B, N) how often each search counts.

    Returns two errors, (B,) each, nan without searches of both kinds: `brier`, the mean square of stated - right (Brier
    1950), and `calibration_error`, the mean over the bins of the difference between what was stated and what came true
    (ECE; Naeini et al. 2015, AAAI). And of BINS equally wide bins, (B, BINS) each: `searches`, the share of the
    searches in the bin, `stated`, their mean probability, and `true`, the share that was right; the last two nan in an
    empty bin.
    """
    counted = balanced(weights, mated, prior)
    member = np.eye(BINS)[bin_of(stated)]  # (N, BINS)
    searches, said, came = (counted @ (member * column[:, None]) for column in (np.ones(len(right)), stated, right))
    with np.errstate(invalid="ignore"):
        means = {"stated": said / searches, "true": came / searches}
    errors = {"brier": counted @ np.square(stated - right), "calibration_error": np.abs(said - came).sum(axis=1)}
    return {**errors, "searches": searches, **means}


def bin_of(stated: Floats) -> NDArray[np.intp]:
    """(N,) the number of the bin that each probability is in, from 0."""
    return np.minimum((stated * BINS).astype(np.intp), BINS - 1)


def balanced(weights: Floats, mated: NDArray[np.bool_], prior: float = PRIOR) -> Floats:
    """(B, N) weights, scaled so that the mated searches add up to `prior` and the others to the rest; nan without
    both."""
    with np.errstate(invalid="ignore"):
        shares = [share * weights * kind / (weights * kind).sum(axis=1, keepdims=True)
                  for share, kind in ((prior, mated), (1 - prior, ~mated))]  # fmt: skip
    return shares[0] + shares[1]


def at_prior(stated: Floats, prior: float) -> Floats:
    """(N,) probabilities for PRIOR -> those for `prior`, another share of faces that show people enrolled."""
    odds = stated / (1 - stated) * (prior / (1 - prior)) / (PRIOR / (1 - PRIOR))
    return odds / (1 + odds)
