"""Whether probabilities come true: Brier score, log loss, and calibration error."""

import numpy as np
from numpy.typing import NDArray

from facerec.decision.posterior import PRIOR
from facerec.types import Floats

BINS = 10
"""Of a reliability diagram, equally wide."""


def reliability(
    stated: Floats, right: NDArray[np.bool_], mated: NDArray[np.bool_], weights: Floats, prior: float = PRIOR
) -> dict[str, Floats]:
    """Do (N,) probabilities come true? Of N searches, each weighed so that `prior` of them are mated.

    right: (N,) whether the nearest person was the right one. mated: (N,) whether there was a right one. weights: (B, N)
    how often each search counts. Returns, (B,) each, nan without searches of both kinds: `brier`, the mean square of
    stated - right (Brier 1950), and `calibration_error`, the mean over bins of how far what was stated is from what
    came true (ECE; Naeini et al. 2015, AAAI); and of the BINS equally wide bins, (B, BINS) each: `searches`, the share
    of them, and the means of what was `stated` and came `true`, nan in an empty one.
    """
    counted = balanced(weights, mated, prior)
    member = np.eye(BINS)[np.minimum((stated * BINS).astype(np.intp), BINS - 1)]  # (N, BINS)
    searches, said, came = (counted @ (member * column[:, None]) for column in (np.ones(len(right)), stated, right))
    with np.errstate(invalid="ignore"):
        means = {"stated": said / searches, "true": came / searches}
    errors = {"brier": counted @ np.square(stated - right), "calibration_error": np.abs(said - came).sum(axis=1)}
    return {**errors, "searches": searches, **means}


def balanced(weights: Floats, mated: NDArray[np.bool_], prior: float = PRIOR) -> Floats:
    """(B, N) weights -> the same, of which the mated searches are `prior` and the others the rest; nan without both."""
    with np.errstate(invalid="ignore"):
        shares = [share * weights * kind / (weights * kind).sum(axis=1, keepdims=True)
                  for share, kind in ((prior, mated), (1 - prior, ~mated))]  # fmt: skip
    return shares[0] + shares[1]


def at_prior(stated: Floats, prior: float) -> Floats:
    """(N,) probabilities for PRIOR -> those for another share of faces that are of people enrolled."""
    odds = stated / (1 - stated) * (prior / (1 - prior)) / (PRIOR / (1 - PRIOR))
    return odds / (1 + odds)
