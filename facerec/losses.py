"""The few lines that choose distance, miner and loss (pytorch-metric-learning does the work).

The distance is the project's: squared Euclidean between unit vectors, d = |a - b|^2, so the loss is the lecture's
max(|a - p|^2 - |a - n|^2 + alpha, 0) (Schroff et al. 2015, FaceNet, eq. 3).
"""

import math
from collections.abc import Callable

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner, TripletMarginMiner
from torch import Tensor

from facerec.config import TrainSettings
from facerec.errors import ConfigError

Loss = Callable[[Tensor, Tensor], Tensor]  # (B, D) unit rows, (B,) labels -> scalar

MINING = ("all", "semihard", "hard")


def squared_euclidean() -> LpDistance:
    """d = |a - b|^2 of rows that are unit-length already."""
    return LpDistance(normalize_embeddings=False, p=2, power=2)


def triplet_loss(settings: TrainSettings) -> Loss:
    """The triplet loss with the mining of `settings`, averaged over the triplets that violate the margin.

    mining: `all` triplets of the batch (batch-all, non-zero mean of Hermans et al. 2017), `semihard` (negatives
    farther than the positive but within the margin, FaceNet 3.2), `hard` (per anchor the farthest positive and the
    nearest negative). margin 0 is the soft margin log(1 + exp(d_ap - d_an)). Raises ConfigError.
    """
    distance = squared_euclidean()
    if settings.mining not in MINING:
        raise ConfigError(f"no mining '{settings.mining}'; known are {', '.join(MINING)}")
    if not 0 <= settings.margin < math.inf:
        raise ConfigError(f"the margin must be 0 (soft) or positive, not {settings.margin}")
    if settings.mining == "semihard" and settings.margin == 0:
        raise ConfigError("semihard mining needs a margin above 0; use --mining hard or all with the soft margin")
    miner = None
    if settings.mining == "semihard":
        miner = TripletMarginMiner(settings.margin, "semihard", distance=distance)
    elif settings.mining == "hard":
        miner = BatchHardMiner(distance=distance)
    loss = TripletMarginLoss(settings.margin, smooth_loss=settings.margin == 0, distance=distance)
    return lambda vectors, labels: loss(vectors, labels, miner(vectors, labels) if miner else None)


@torch.no_grad()
def batch_facts(vectors: Tensor, labels: Tensor, margin: float) -> tuple[float, float]:
    """What to watch for collapse: the share of all triplets within the margin, and the embedding's spread.

    spread: mean d between different people of the batch; 2 for unrelated vectors, towards 0 when all faces look alike.
    """
    d = torch.cdist(vectors, vectors).square()  # (B, B)
    same = labels[:, None] == labels[None, :]  # (B, B)
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=same.device)
    triplets = positive[:, :, None] & ~same[:, None, :]  # (B, B, B): anchor, positive, negative
    active = triplets & (d[:, :, None] - d[:, None, :] + margin > 0)
    return active.sum().item() / max(1, triplets.sum().item()), d[~same].mean().item() if (~same).any() else 0.0
