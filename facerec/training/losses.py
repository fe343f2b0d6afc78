"""The losses a network learns from: distance, miner and loss, all from pytorch-metric-learning.

The distance is the project's: squared Euclidean between unit vectors, d = |a - b|^2, so the triplet loss is the
lecture's max(|a - p|^2 - |a - n|^2 + alpha, 0) (Schroff et al. 2015, FaceNet, eq. 3). Losses that are defined by
cosines take those: cos = 1 - d / 2.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.utils.loss_and_miner_utils import get_random_triplet_indices
from torch import Tensor, nn

from facerec.errors import ConfigError
from facerec.models.network import CLASSIFY, METRIC
from facerec.vectors import squared_distances

MINING = ("all", "semihard", "hard", "distance")
_TERM = re.compile(r"(?:([0-9.eE+-]+?)\s*\*\s*)?([a-z-]+)")


@dataclass(frozen=True, slots=True)
class LossPlan:
    """What a run learns from besides teachers.

    terms: the parsed `loss`, name -> weight; none where only a teacher is learned from.
    mode: metric or classify. dim: D, the length of an embedding.
    mining, margin, memory, label_smoothing: as in TrainSettings.
    """

    terms: Mapping[str, float]
    mode: str
    dim: int
    mining: str
    margin: float
    memory: int
    label_smoothing: float

    @property
    def compares_photos(self) -> bool:
        """Whether a term needs several photos of a person in a batch."""
        return self.mode == METRIC and any(name in PAIR_LOSSES for name in self.terms)


def squared_euclidean() -> LpDistance:
    """d = |a - b|^2 of rows that already have length 1."""
    return LpDistance(normalize_embeddings=False, p=2, power=2)


def read_terms(text: str, known: "dict[str, Any] | tuple[str, ...]", setting: str) -> dict[str, float]:
    """`triplet + 0.1*arcface` -> {"triplet": 1.0, "arcface": 0.1}; raises ConfigError naming what is not `known`."""
    terms: dict[str, float] = {}
    for part in text.split("+"):
        match = _TERM.fullmatch(part.strip())
        if match is None or match[2] not in known or match[2] in terms:
            raise ConfigError(
                f"no {setting} '{part.strip()}'; known are {', '.join(known)}; join terms by +, as in 'a + 0.1*b'"
            )
        terms[match[2]] = _weight(match[1] or "1", part.strip(), setting)
    return terms


def _weight(text: str, term: str, setting: str) -> float:
    try:
        weight = float(text)
    except ValueError as error:
        raise ConfigError(f"{setting} '{term}': the weight must be a number; write it as in 0.1*b") from error
    if not 0 < weight < math.inf:
        raise ConfigError(f"{setting} '{term}': the weight must be above 0")
    return weight


# ---------------------------------------------------------------------------------------- losses over the batch's pairs


def _triplet(plan: LossPlan) -> nn.Module:
    """Averaged over the triplets that violate the margin; margin 0 is the soft margin log(1 + exp(d_ap - d_an))."""
    return losses.TripletMarginLoss(plan.margin, smooth_loss=plan.margin == 0, distance=squared_euclidean())


def _triplet_miner(plan: LossPlan) -> nn.Module | None:
    """Which triplets count, by `mining`.

    `all` of the batch (batch-all, non-zero mean of Hermans et al. 2017), `semihard` (negatives farther than the
    positive but within the margin, FaceNet 3.2), `hard` (per anchor the farthest positive and the nearest negative),
    `distance` (a negative per positive pair, drawn evenly over distances; Wu et al. 2017, section 3.2).
    """
    if plan.mining == "semihard":
        return miners.TripletMarginMiner(plan.margin, "semihard", distance=squared_euclidean())
    if plan.mining == "hard":
        return miners.BatchHardMiner(distance=squared_euclidean())
    return DistanceWeightedMiner() if plan.mining == "distance" else None


class DistanceWeightedMiner(miners.BaseMiner):
    """Draws an anchor's negatives with odds 1 / q(distance); Euclidean distances below 0.5 count as 0.5.

    Negatives beyond 1.4 are far enough. They are drawn only where an anchor has no others, as in the authors' code.
    pytorch-metric-learning's miner of this name scales the odds by the largest of the whole batch. One pair of people
    who look alike then pushes all other odds to 0 in float32 (in 512 dimensions), and those anchors give no triplets.
    """

    def mine(self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor) -> tuple[Tensor, ...]:
        """Returns (T,) indices of anchors, positives and negatives each."""
        dim = embeddings.shape[1]
        d = torch.cdist(embeddings, ref_emb).square().clamp(0.25, 3.999)  # (B, R)
        log_odds = (2 - dim) / 2 * d.log() - (dim - 3) / 2 * (1 - d / 4).log()
        negative = labels[:, None] != ref_labels[None, :]  # (B, R)
        near = negative & (d <= 1.96)
        log_odds[~torch.where(near.any(1, keepdim=True), near, negative)] = -math.inf
        return get_random_triplet_indices(labels, ref_labels=ref_labels, weights=log_odds.softmax(1))


def _contrastive(plan: LossPlan) -> nn.Module:
    """Hadsell et al. 2006: positives to d = 0, negatives beyond d = 1."""
    return losses.ContrastiveLoss(pos_margin=0, neg_margin=1, distance=squared_euclidean())


Miner = Callable[[LossPlan], nn.Module | None]

PAIR_LOSSES: dict[str, tuple[Callable[[LossPlan], nn.Module], Miner]] = {
    "triplet": (_triplet, _triplet_miner),
    "contrastive": (_contrastive, lambda plan: None),
    # Wang et al. 2019, with its own miner; Khosla et al. 2020 (temperature 0.1).
    "multi-similarity": (lambda plan: losses.MultiSimilarityLoss(), lambda plan: miners.MultiSimilarityMiner()),
    "supcon": (lambda plan: losses.SupConLoss(), lambda plan: None),
}


class Mined(nn.Module):
    """A loss over the pairs or triplets that a miner finds in the batch, or over all of them."""

    def __init__(self, loss: nn.Module, miner: nn.Module | None) -> None:
        super().__init__()
        self.loss, self.miner = loss, miner

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """(B, D) unit rows, (B,) labels -> scalar."""
        return self.loss(vectors, labels, self.miner(vectors, labels) if self.miner else None)


class Memory(losses.CrossBatchMemory):
    """Cross-batch memory (Wang et al. 2020, XBM). Its state holds the whole queue, for a resumed run."""

    def get_extra_state(self) -> Tensor:
        """The next place in the queue, and whether the queue has been filled once."""
        return torch.tensor([self.queue_idx, int(self.has_been_filled)])

    def set_extra_state(self, state: Tensor) -> None:
        """Restore what get_extra_state returned."""
        self.queue_idx, self.has_been_filled = int(state[0]), bool(state[1])


def _pair_loss(name: str, plan: LossPlan) -> nn.Module:
    loss, miner = (part(plan) for part in PAIR_LOSSES[name])
    assert loss is not None
    if plan.memory:
        return Memory(loss, plan.dim, plan.memory, miner)
    return Mined(loss, miner)


# ---------------------------------------------------------------------------------------- losses with a row per class

CLASS_LOSSES: dict[str, Callable[[int, int], Any]] = {  # (classes, D) -> a loss that holds a vector per class
    "arcface": losses.ArcFaceLoss,  # Deng et al. 2019: margin 28.6 degrees, scale 64
    "cosface": losses.CosFaceLoss,  # Wang et al. 2018: margin 0.35, scale 64
    "proxy-anchor": losses.ProxyAnchorLoss,  # Kim et al. 2020: margin 0.1, alpha 32
    "cross-entropy": losses.NormalizedSoftmaxLoss,  # Zhai and Wu 2019: cosines over a temperature of 0.05
}


def _class_loss(name: str, plan: LossPlan, classes: int) -> nn.Module:
    loss = CLASS_LOSSES[name](classes, plan.dim)
    if name != "proxy-anchor":
        loss.cross_entropy = nn.CrossEntropyLoss(reduction="none", label_smoothing=plan.label_smoothing)
    return loss


# ---------------------------------------------------------------------------------------- what a run asks for


def loss_terms(text: str, mode: str) -> dict[str, float]:
    """The terms of the setting `loss` and their weights, none for `none`; raises ConfigError for an unknown term."""
    if text == "none":
        return {}
    if mode == CLASSIFY:
        return read_terms(text or "cross-entropy", ("cross-entropy",), "loss")
    return read_terms(text or "triplet", (*PAIR_LOSSES, *CLASS_LOSSES), "loss")


class Objective(nn.Module):
    """All terms of a plan. Their state is what they learn (class vectors) and remember (earlier batches)."""

    def __init__(self, plan: LossPlan, classes: int) -> None:
        """classes: the people or classes that are trained on."""
        super().__init__()
        self.weights = dict(plan.terms)
        self.terms = nn.ModuleDict({name: _term(name, plan, classes) for name in plan.terms})

    def forward(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """(B, D) unit rows or (B, C) logits, (B,) int64 labels -> each term's loss, not yet weighted."""
        return {name: term(outputs, labels) for name, term in self.terms.items()}


def _term(name: str, plan: LossPlan, classes: int) -> nn.Module:
    if plan.mode == CLASSIFY:
        return nn.CrossEntropyLoss(label_smoothing=plan.label_smoothing)
    return _pair_loss(name, plan) if name in PAIR_LOSSES else _class_loss(name, plan, classes)


@torch.no_grad()
def batch_facts(vectors: Tensor, labels: Tensor, margin: float) -> dict[str, float]:
    """Signs of collapse, from (B, D) unit rows and (B,) labels.

    active_triplets: share of all triplets within the margin. spread: mean d between different people of the batch; 2
    for unrelated vectors, near 0 when all faces get the same embedding.
    """
    d = torch.cdist(vectors, vectors).square()  # (B, B)
    same = labels[:, None] == labels[None, :]  # (B, B)
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=same.device)
    anchors, others = positive.nonzero(as_tuple=True)  # (A,): every anchor with every positive
    negative = ~same[anchors]  # (A, B)
    active = negative & (d[anchors, others][:, None] - d[anchors] + margin > 0)
    share = active.sum().item() / max(1, negative.sum().item())
    return {"active_triplets": share, "spread": d[~same].mean().item() if (~same).any() else 0.0}


def triplet_loss(rows: NDArray[np.float32], labels: NDArray[np.int64], margin: float) -> float:
    """The mean of max(0, d(a, p) - d(a, n) + margin) over all triplets of (N, D) unit rows with (N,) labels.

    It compares epochs, and photos that are not trained on; the loss of training is that of the mined triplets. Sorted
    distances give an anchor's sum without a look at every triplet.
    """
    total, triplets = 0.0, 0
    for anchor, label in enumerate(labels):
        d = squared_distances(rows[anchor : anchor + 1], rows)[0].astype(np.float64)  # (N,)
        same = labels == label
        others = np.sort(d[~same])
        same[anchor] = False
        reach = d[same] + margin  # (P,): nearer others than this are within the margin
        within, sums = np.searchsorted(others, reach), np.concatenate([[0.0], np.cumsum(others)])
        total += float((within * reach - sums[within]).sum())
        triplets += len(reach) * len(others)
    return total / triplets if triplets else float("nan")
