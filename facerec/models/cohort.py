"""The cohort of a model: embeddings of people whom nobody enrolls. They show how near strangers come.

The file is `cohort.safetensors` in a model folder, or `FILE.cohort.safetensors` beside a model file. It holds
`embeddings`, (N, D) float16 unit rows, one face for each person, and in its metadata the model's fingerprint. Faces
cannot be reconstructed from them in a simple way, but they are biometric data.
"""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from facerec.errors import ModelError
from facerec.files import replacing
from facerec.models.card import ModelCard
from facerec.models.places import ONE_FILE
from facerec.types import Vectors
from facerec.vectors import unit_rows, vector_fault

COHORT = "cohort.safetensors"


def cohort_path(model: Path) -> Path:
    """The path of the cohort of a model folder or file."""
    return model.with_suffix(f".{COHORT}") if model.suffix in ONE_FILE else model / COHORT


def load_cohort(model: Path, card: ModelCard) -> Vectors:
    """The (N, D) float32 unit rows of the cohort of a model folder or file; N is 0 if it has none.

    Raises ModelError for a broken file and for the cohort of a model other than `card`'s.
    """
    path = cohort_path(model)
    if not path.exists():
        return no_cohort(card)
    try:
        with safe_open(path, "np") as file:
            facts, rows = file.metadata() or {}, file.get_tensor("embeddings").astype(np.float32)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: broken or unreadable ({error}); copy the model again") from error
    if facts.get("fingerprint") != card.fingerprint:
        raise ModelError(f"{path}: is of another model ({facts.get('fingerprint')}); copy the model folder again")
    if vector_fault(rows, card.embedding_dim):
        raise ModelError(f"{path}: holds no unit rows of {card.embedding_dim} numbers; copy the model again")
    return unit_rows(rows)


def no_cohort(card: ModelCard) -> Vectors:
    """The (0, D) float32 rows of a model without a cohort."""
    return np.zeros((0, card.embedding_dim), np.float32)


def save_cohort(model: Path, card: ModelCard, vectors: Vectors, source: str) -> None:
    """Write (N, D) unit rows as a model's cohort, whole or not at all; source: in words, whose faces they are.

    Raises ModelError if the file cannot be written.
    """
    path = cohort_path(model)
    facts = {"fingerprint": card.fingerprint, "source": source}
    try:
        with replacing(path) as draft:
            save_file({"embeddings": vectors.astype(np.float16)}, draft, facts)
    except (SafetensorError, OSError) as error:
        reason = f"{path}: cannot be written ({error}); free its disk or make its folder writable"
        raise ModelError(reason) from error
