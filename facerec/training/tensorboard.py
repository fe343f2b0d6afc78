"""The run written for TensorBoard; look at it with `tensorboard --logdir RUN/tensorboard`."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facerec.models.network import Network
from facerec.training.distributed import is_first
from facerec.training.run_folder import Entry
from facerec.training.tasks import Labels, Rows, Task

PROJECTED = 1000  # photos in the embedding projector
THUMBNAIL = 48  # pixels of their pictures


class Board:
    """Writes scalars and learning rates epoch by epoch, the network's graph, and the validation photos' embedding."""

    def __init__(self, folder: Path, first_epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # an extra; the plan has checked that it is installed

        self._writer: Any = SummaryWriter(str(folder), purge_step=first_epoch)

    def graph(self, network: Network) -> None:
        """Write the network's graph, traced on one picture."""
        size = network.input_size
        training = network.training
        network.eval()
        pixels = torch.zeros((1, 3, size, size), device=network.mean.device)
        with warnings.catch_warnings():  # TensorBoard traces in an old way; the graph is right
            warnings.simplefilter("ignore")
            self._writer.add_graph(network, pixels)
        network.train(training)

    def epoch(self, entry: Entry) -> None:
        """Write an epoch's losses, measures and learning rates."""
        for key, value in entry.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(key, value, entry["epoch"])
        for name, rate in entry["lr"].items():
            self._writer.add_scalar(f"lr/{name}", rate, entry["epoch"])
        self._writer.flush()

    def projector(self, rows: Rows, labels: Labels, positions: Labels, task: Task, epoch: int) -> None:
        """Write (N, D) output rows of validation photos, PROJECTED at most, with names and pictures."""
        chosen = np.linspace(0, len(rows) - 1, min(len(rows), PROJECTED)).astype(np.int64)
        names = [task.validation.names[label] for label in labels[chosen]]
        pictures = [_thumbnail(task, int(positions[i])) for i in chosen]
        self._writer.add_embedding(rows[chosen], names, torch.stack(pictures), epoch)
        self._writer.flush()

    def close(self) -> None:
        """Finish the files."""
        self._writer.close()


def open_board(output: Path, network: Network, first_epoch: int) -> Board | None:
    """The board of a run, with the graph written; None in every process but the first."""
    if not is_first():
        return None
    board = Board(output / "tensorboard", first_epoch)
    board.graph(network)
    return board


def _thumbnail(task: Task, position: int) -> Tensor:
    """(3, THUMBNAIL, THUMBNAIL) 0..1; a photo that can no longer be read is black."""
    picture = task.views.still(task.validation.paths[position])
    if picture is None:
        return torch.zeros(3, THUMBNAIL, THUMBNAIL)
    pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255
    return torch.nn.functional.interpolate(pixels, (THUMBNAIL, THUMBNAIL), mode="area")[0]
