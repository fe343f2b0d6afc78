"""What a training run knows of itself between two epochs."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from facerec.training.run_folder import Entry


@dataclass(slots=True)
class State:
    """What a run must remember besides tensors. epoch and batch are the next to do; sums are over this epoch so far.

    scores: of the epochs done, larger is better. start: that of the model it began from, which is kept until an epoch
    does better; -1 where it began from no model.
    """

    epoch: int = 0
    batch: int = 0
    photos: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    scores: list[float] = dataclasses.field(default_factory=list)
    history: list[Entry] = dataclasses.field(default_factory=list)
    start: float = -1.0

    def count(self, facts: dict[str, float], photos: int) -> None:
        """A batch is done."""
        self.batch += 1
        self.photos += photos
        for key, value in facts.items():
            self.sums[key] = self.sums.get(key, 0.0) + value * photos

    def means(self) -> dict[str, float]:
        """The epoch's facts, averaged over its photos."""
        return {"photos": self.photos} | {key: value / self.photos for key, value in self.sums.items()}

    def is_best(self, score: float) -> bool:
        """Whether nothing so far was as good."""
        return score > max(self.start, *self.scores, -1.0)

    def has_stalled(self, epochs: int) -> bool:
        """Whether the last `epochs` epochs (0: never) brought nothing better than those before them."""
        best = int(np.argmax([self.start, *self.scores])) - 1  # -1: the model it began from
        return epochs > 0 and len(self.scores) - 1 - best >= epochs

    def close_epoch(self, entry: Entry, score: float) -> None:
        """An epoch is done."""
        self.history.append(entry)
        self.scores.append(score)
        self.epoch, self.batch, self.photos, self.sums = self.epoch + 1, 0, 0, {}
