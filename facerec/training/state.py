"""The state of a training run besides its tensors."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from facerec.training.run_folder import Entry


@dataclass(slots=True)
class State:
    """Everything but tensors that a run needs to go on.

    epoch, batch: the next to do. photos: trained on in this epoch so far. sums: of what is watched, over those photos.
    scores: of the epochs that are done; larger is better. history: their entries.
    start: the score of the start model, which is kept until an epoch is better; -1 without a start model.
    seconds: of training so far; only counted where the settings limit it, so that other runs can be told to be equal.
    """

    epoch: int = 0
    batch: int = 0
    photos: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    scores: list[float] = dataclasses.field(default_factory=list)
    history: list[Entry] = dataclasses.field(default_factory=list)
    start: float = -1.0
    seconds: float = 0.0

    def count(self, facts: dict[str, float], photos: int) -> None:
        """Add a batch of so many photos."""
        self.batch += 1
        self.photos += photos
        for key, value in facts.items():
            self.sums[key] = self.sums.get(key, 0.0) + value * photos

    def means(self) -> dict[str, float]:
        """The means over the epoch's photos, and their number."""
        return {"photos": self.photos} | {key: value / self.photos for key, value in self.sums.items()}

    def is_best(self, score: float) -> bool:
        """Whether this score is better than all so far."""
        return score > max(self.start, *self.scores, -1.0)

    def has_stalled(self, epochs: int) -> bool:
        """Whether the last `epochs` epochs brought no better score; never for 0."""
        best = int(np.argmax([self.start, *self.scores])) - 1  # -1: the start model
        return epochs > 0 and len(self.scores) - 1 - best >= epochs

    def close_epoch(self, entry: Entry, score: float) -> None:
        """Add an epoch to the history and start the next."""
        self.history.append(entry)
        self.scores.append(score)
        self.epoch, self.batch, self.photos, self.sums = self.epoch + 1, 0, 0, {}
