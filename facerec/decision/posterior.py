"""The probability that the person nearest to a face is the right one.

The larger a gallery, and the more its people resemble others, the nearer strangers come to one of them. So the formula
uses two distances: d, to the nearest person, and t, the threshold at which this gallery matches 1 % of strangers:

    P(right | d) = 1 / (1 + exp(-(intercept + slope d + threshold_slope t)))

It is a logistic regression, fitted to people the model was not trained on, in galleries of many sizes (Platt 1999,
Advances in Large Margin Classifiers; scripts/studies/posterior.py). It assumes PRIOR: every second face searched is of
somebody enrolled. The odds P / (1 - P) then equal the likelihood ratio of forensic practice (ENFSI 2015, Guideline for
evaluative reporting). For other prior odds, multiply by them: by 1 / 9 if one face in ten is of somebody enrolled.
The probability explains a decision and takes no part in it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facerec.decision.calibration import DEFAULT_FPIR, Calibration
from facerec.models.card import COEFFICIENTS

PRIOR = 0.5
"""The assumed share of searched faces that are of enrolled people."""
LIMIT = 0.999
"""No probability is above this, or below 1 - LIMIT: there were too few people in the fit to measure rarer errors."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """Maps the distance to the nearest person to the probability that this person is right, for one gallery as it is.

    slope: the change of the log-odds per unit of distance; below 0. threshold_slope: the same per unit of `reference`,
    the gallery's threshold for FPIR 1 %.
    """

    slope: float
    threshold_slope: float
    intercept: float
    reference: float

    def __call__(self, distance: float) -> float:
        """Return the probability, from 1 - LIMIT to LIMIT. distance: squared Euclidean."""
        most = math.log(LIMIT / (1 - LIMIT))
        odds = self.intercept + self.slope * distance + self.threshold_slope * self.reference
        return 1 / (1 + math.exp(-min(max(odds, -most), most)))


def posterior(facts: Mapping[str, Any], calibration: Calibration | None) -> Posterior | None:
    """Return the probability function of a gallery; None if the card has no coefficients or there are few strangers.

    facts: `probability` of the model's card. calibration: the gallery's, for DEFAULT_FPIR. Too few strangers to count
    (`within` is 0) cannot tell t.
    """
    if not facts or calibration is None or not calibration.within:
        return None
    assert calibration.fpir == DEFAULT_FPIR, "t is the threshold for that rate"
    slope, of_threshold, intercept = (float(facts[name]) for name in COEFFICIENTS)
    return Posterior(slope, of_threshold, intercept, calibration.distance)
