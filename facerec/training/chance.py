"""Whether a run has learned anything: is its validation AUC above 1/2 by more than luck?"""

import math

from facerec.models.card import ModelCard
from facerec.models.network import CLASSIFY

_SIDE = 1.96  # standard errors on either side


def auc_interval(auc: float, positives: float, negatives: float) -> tuple[float, float]:
    """The 95 % interval of an AUC that rests on so many independent positives and negatives, within 0..1.

    Source: Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
    Radiology 143, 1982.
    """
    both_positives, both_negatives = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc)
    spread += (positives - 1) * (both_positives - auc**2) + (negatives - 1) * (both_negatives - auc**2)
    reach = _SIDE * math.sqrt(max(spread, 0) / (positives * negatives))
    return max(auc - reach, 0.0), min(auc + reach, 1.0)


def validation_interval(card: ModelCard) -> tuple[float, float] | None:
    """The interval of a trained model's validation AUC; None where the card has no AUC, or nobody it was measured on.

    People are independent, their photos are not. So a metric model counts as many genuine and as many impostor
    comparisons as there are people. A model that classifies counts photos: those of a mean class against all others.
    """
    auc, validation = card.results.get("validation_auc"), card.training.get("validation", {})
    if auc is None:
        return None
    if card.mode == CLASSIFY:
        photos = validation.get("photos", 0)
        own = photos / max(validation.get("classes", 1), 1)
        counts = (own, photos - own)
    else:
        counts = (validation.get("people", 0),) * 2
    return auc_interval(auc, *counts) if min(counts) > 0 else None
