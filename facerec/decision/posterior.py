"""How probable it is that the person nearest to a face is the right one; and whether that comes true.

The larger a gallery and the more its people resemble others, the nearer strangers come to one of them. So beside the
distance d it looks at t, the distance at which this very gallery lets 1 % of the strangers through:

    P(right | d) = 1 / (1 + exp(-(intercept + slope d + threshold_slope t)))

a logistic regression on people the model was not trained on, in galleries of many sizes (Platt 1999, Advances in
Large Margin Classifiers; scripts/studies/posterior.py). It takes PRIOR for granted: every second face that is
searched is of somebody enrolled. Its odds P / (1 - P) are then the likelihood ratio of forensic practice (ENFSI 2015,
Guideline for evaluative reporting), and whoever expects somebody enrolled with odds of 1 to 9 multiplies them by 1 / 9.
It explains a decision and takes no part in it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facerec.decision.calibration import DEFAULT_FPIR, Calibration
from facerec.models.card import COEFFICIENTS

PRIOR = 0.5
"""The share of the searched faces that is taken to be of people enrolled."""
LIMIT = 0.999
"""No probability is nearer to 0 or 1: of rarer errors the people it was fitted on cannot tell."""


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
