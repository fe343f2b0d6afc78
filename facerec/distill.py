"""Learning from a teacher that only gives embeddings.

The student's embedding is pulled, through a linear projection, towards the teacher's direction (cosine), and the
similarities within a batch towards the teacher's similarities (relational distillation, Park et al. 2019). The second
part matters: the projection has a null space the first part cannot see, and distances are taken without it.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.npyio import NpzFile
from torch import Tensor, nn

from facerec.errors import DataError

RELATIONAL_WEIGHT = 10.0  # brings mean squared differences of cosines (about 0.02) to the scale of 1 - cos


def read_teacher(path: Path, keys: Sequence[str]) -> Tensor:
    """The teacher's rows for `keys` (folder/person/file) -> (len(keys), T) float32 of length 1.

    path: an .npz with `names` (N,) and `embeddings` (N, T). Raises DataError naming what is missing.
    """
    try:
        with path.open("rb") as file, NpzFile(file, allow_pickle=False) as arrays:
            names, embeddings = arrays["names"], arrays["embeddings"]
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; give a teacher's .npz") from error
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a teacher's .npz with `names` and `embeddings` ({error})") from error
    if embeddings.ndim != 2 or names.shape != embeddings.shape[:1] or embeddings.dtype.kind != "f":
        raise DataError(f"{path}: `embeddings` must be (N, T) floats with one row per name, not {embeddings.shape}")
    rows = {str(name): row for row, name in enumerate(names)}
    missing = [key for key in keys if key not in rows]
    if missing:
        raise DataError(f"{path}: no embedding of {missing[0]} and {len(missing) - 1} more; let the teacher embed them")
    chosen = embeddings[[rows[key] for key in keys]].astype(np.float32)
    if not np.isfinite(chosen).all():
        raise DataError(f"{path}: holds embeddings that are not finite; let the teacher embed the photos again")
    return F.normalize(torch.from_numpy(chosen), dim=1)


class TeacherLoss(nn.Module):
    """Cosine loss through a learned projection, plus the relational loss."""

    def __init__(self, student_dim: int, teacher_dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(student_dim, teacher_dim, bias=False)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """(B, D) and (B, T) unit rows -> scalar."""
        cosine = 1 - F.cosine_similarity(self.projection(student), teacher).mean()
        relational = (student @ student.T - teacher @ teacher.T).square()  # (B, B)
        others = ~torch.eye(len(student), dtype=torch.bool, device=student.device)
        return cosine + RELATIONAL_WEIGHT * relational[others].mean()
