"""How probable it is that the person nearest to a face is the right one; and whether that comes true.

The larger a gallery and the more its people resemble others, the nearer strangers come to one of them. So beside the
distance d it looks at t, the distance at which this very gallery lets 1 % of the strangers through:

    P(right | d) = 1 / (1 + exp(-(intercept + slope d + threshold_slope t)))

a logistic regression on people the model was not trained on, in galleries of many sizes (Platt 1999, Advances in
Large Margin Classifiers; scripts/measure_probability.py). It takes PRIOR for granted: every second face that is
searched is of somebody enrolled. Its odds P / (1 - P) are then the likelihood ratio of forensic practice (ENFSI 2015,
Guideline for evaluative reporting), and whoever expects somebody enrolled with odds of 1 to 9 multiplies them by 1 / 9.
It explains a decision and takes no part in it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.decision.calibration import DEFAULT_FPIR, Calibration
from facerec.models.card import COEFFICIENTS

PRIOR = 0.5
"""The share of the searched faces that is taken to be of people enrolled."""
LIMIT = 0.999
"""No probability is nearer to 0 or 1: of rarer errors the people it was fitted on cannot tell."""
BINS = 10
"""Of a reliability diagram, equally wide."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Posterior:
    """Distance to the nearest person -> how probable it is that it is the right one, for one gallery as it is now.

    slope, threshold_slope: of the log-odds per unit of distance, and of `reference`, the gallery's threshold for FPIR
    1 %. The slope is below 0.
    """

    slope: float
    threshold_slope: float
    intercept: float
    reference: float

    def __call__(self, distance: float) -> float:
        """From 1 - LIMIT to LIMIT."""
        most = math.log(LIMIT / (1 - LIMIT))
        odds = self.intercept + self.slope * distance + self.threshold_slope * self.reference
        return 1 / (1 + math.exp(-min(max(odds, -most), most)))


def posterior(facts: Mapping[str, Any], calibration: Calibration | None) -> Posterior | None:
    """Of a gallery whose strangers make `calibration` for DEFAULT_FPIR, by the `probability` of its model's card.

    None where the card states none, and where there are too few strangers to know t.
    """
    if not facts or calibration is None or not calibration.within:
        return None
    assert calibration.fpir == DEFAULT_FPIR, "t is the threshold for that rate"
    slope, of_threshold, intercept = (float(facts[name]) for name in COEFFICIENTS)
    return Posterior(slope, of_threshold, intercept, calibration.distance)


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
