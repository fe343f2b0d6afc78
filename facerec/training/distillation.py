"""Learning from teachers, of which only the embeddings are needed.

`cosine` and `mse` send the student's embedding through a learned linear projection and compare it with the teacher's,
by direction or by squared difference. `relational` compares the cosines of all pairs in a batch with the teacher's
(Park et al. 2019). It matters because distances are taken before the projection: `cosine` and `mse` do not see the part
of the embedding that the projection drops. `direct` is `cosine` without a projection, for embeddings of equal length:
the student learns the teacher's own coordinates.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from torch import Tensor, nn

from facerec.errors import ConfigError, DataError
from facerec.inference.embedder import require_metric
from facerec.inference.loading import model_card
from facerec.models.card import ModelCard
from facerec.models.places import model_path
from facerec.types import Vectors
from facerec.vectors import are_unit, unit_rows

TERMS = ("cosine", "mse", "relational", "direct")


class Teacher(Protocol):
    """Gives embeddings of the photos in a batch."""

    @property
    def dim(self) -> int:
        """T, the length of the embeddings."""
        ...

    def rows(self, positions: NDArray[np.int64], pixels: Tensor | None) -> Tensor:
        """(B, T) float32 unit rows for the photos at `positions`, whose augmented pixels are (B, 3, S, S) uint8."""
        ...


@dataclass(frozen=True, slots=True)
class TeacherSource:
    """A teacher before any photo is read: as it was named, its file or folder, and T, the length of its embeddings.

    stored: its embeddings lie in an .npz; else it is a network to run.
    """

    name: str
    path: Path
    stored: bool
    dim: int


def find_teacher(name: str) -> TeacherSource:
    """The teacher of that name; raises ConfigError, DataError or ModelError where there is none or it cannot teach."""
    if not name.endswith(".npz"):
        card, path = model_card(name), model_path(name)
        require_metric(card, path)
        return TeacherSource(name, path, False, card.embedding_dim)
    path = Path(name)
    if not path.exists():
        raise ConfigError(f"{name}: no such file; give a teacher's .npz, a FILE.onnx or a model folder")
    return TeacherSource(name, path, True, _read_table(path)[1].shape[1])


class StoredTeacher:
    """Embeddings from an .npz of `names` (N,) and `embeddings` (N, T); the same for every augmented view of a photo."""

    def __init__(self, path: Path, keys: Sequence[str]) -> None:
        """keys: folder/person/file of each photo. Raises DataError for a photo without an embedding."""
        self._table = read_teacher(path, keys)
        self.dim = self._table.shape[1]

    def rows(self, positions: NDArray[np.int64], pixels: Tensor | None) -> Tensor:
        """See Teacher; needs no pixels."""
        return self._table[positions]


@dataclass(frozen=True, slots=True)
class LiveTeacher:
    """A network that is run on the pixels the student sees (Beyer et al. 2022: teacher and student see the same view).

    embed: (B, size, size, 3) uint8 crops -> (B, dim) unit rows.
    """

    embed: Callable[[NDArray[np.uint8]], Vectors]
    dim: int
    size: int

    def rows(self, positions: NDArray[np.int64], pixels: Tensor | None) -> Tensor:
        """See Teacher."""
        seen = _scaled(pixels, self.size).permute(0, 2, 3, 1).cpu().numpy()
        return torch.from_numpy(self.embed(np.ascontiguousarray(seen)))


class TorchTeacher(nn.Module):
    """A `LiveTeacher` that torch runs, on the device that it is moved to.

    network: (B, 3, size, size) normalised pixels -> (B, dim).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, card: ModelCard, bf16: bool) -> None:
        super().__init__()
        self.network, self.dim, self.bf16 = network.eval(), card.embedding_dim, bf16
        self._size, self._mirrored = card.input_size, card.mirrored
        for name, values in (("mean", card.mean), ("std", card.std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1))

    @torch.no_grad()
    def rows(self, positions: NDArray[np.int64], pixels: Tensor | None) -> Tensor:
        """See Teacher."""
        seen = (_scaled(pixels, self._size).to(self.mean.device).float() - self.mean) / self.std
        views = [seen, seen.flip(3)] if self._mirrored else [seen]
        with torch.autocast(seen.device.type, torch.bfloat16, enabled=self.bf16):
            rows = [self.network(view) for view in views]
        return F.normalize(torch.stack([F.normalize(row.float(), dim=1) for row in rows]).mean(0), dim=1)


def _scaled(pixels: Tensor | None, size: int) -> Tensor:
    """(B, 3, S, S) uint8 -> (B, 3, size, size) uint8."""
    assert pixels is not None, "a teacher that is run needs the pixels"
    if pixels.shape[-1] == size:
        return pixels
    scaled = F.interpolate(pixels.float(), (size, size), mode="bilinear", antialias=True)
    return scaled.round().clamp(0, 255).byte()


def read_teacher(path: Path, keys: Sequence[str]) -> Tensor:
    """The teacher's rows for `keys` (folder/person/file) -> (len(keys), T) float32 of length 1.

    path: an .npz with `names` (N,) and `embeddings` (N, T). Raises DataError for a broken file or a missing photo.
    """
    names, embeddings = _read_table(path)
    rows = {str(name): row for row, name in enumerate(names)}
    missing = [key for key in keys if key not in rows]
    if missing:
        raise DataError(f"{path}: no embedding of {missing[0]} and {len(missing) - 1} more; let the teacher embed them")
    chosen = unit_rows(embeddings[[rows[key] for key in keys]])
    if not are_unit(chosen):
        raise DataError(
            f"{path}: holds embeddings that are not finite, or zero; let the teacher embed the photos again"
        )
    return torch.from_numpy(chosen)


def _read_table(path: Path) -> tuple[NDArray[np.str_], NDArray[np.floating]]:
    """(N,) names and (N, T) embeddings of an .npz; raises DataError naming the file."""
    try:
        with path.open("rb") as file, NpzFile(file, allow_pickle=False) as arrays:
            names, embeddings = arrays["names"], arrays["embeddings"]
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; give a teacher's .npz") from error
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a teacher's .npz with `names` and `embeddings` ({error})") from error
    if embeddings.ndim != 2 or names.shape != embeddings.shape[:1] or embeddings.dtype.kind != "f":
        raise DataError(f"{path}: `embeddings` must be (N, T) floats with one row per name, not {embeddings.shape}")
    return names, embeddings


class TeacherLoss(nn.Module):
    """The weighted sum of terms against one teacher."""

    def __init__(self, student_dim: int, teacher_dim: int, weights: Mapping[str, float]) -> None:
        """weights: of each of TERMS in use; `direct` needs embeddings of one length."""
        assert "direct" not in weights or student_dim == teacher_dim, (student_dim, teacher_dim)
        super().__init__()
        self.weights = dict(weights)
        self.projection = nn.Linear(student_dim, teacher_dim, bias=False)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """(B, D) and (B, T) unit rows -> scalar."""
        projected = self.projection(student)  # (B, T)
        terms: dict[str, Callable[[], Tensor]] = {
            "cosine": lambda: 1 - F.cosine_similarity(projected, teacher).mean(),
            "mse": lambda: (projected - teacher).square().sum(1).mean(),
            "relational": lambda: _relational(student, teacher),
            "direct": lambda: 1 - F.cosine_similarity(student, teacher).mean(),
        }
        return torch.stack([weight * terms[name]() for name, weight in self.weights.items()]).sum()


def _relational(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the cosines of all pairs."""
    difference = (student @ student.T - teacher @ teacher.T).square()  # (B, B)
    others = ~torch.eye(len(student), dtype=torch.bool, device=student.device)
    return difference[others].mean()
