"""Strangers that come with a model: embeddings of people nobody enrolls, to find out how near strangers come.

One file in the model folder, `cohort.safetensors`, or beside a model file, `FILE.cohort.safetensors`: `embeddings`
(N, D) float16, one face of each person, and in its metadata whose model they are of. A face cannot be got back from
them, but they are biometric data all the same.
"""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from facerec.errors import ModelError
from facerec.files import replacing
from facerec.models.card import MODEL_FILES, ModelCard
from facerec.types import Vectors
from facerec.vectors import unit_rows, vector_fault

COHORT = "cohort.safetensors"


def cohort_path(model: Path) -> Path:
    """Where the cohort of a model folder or file lies."""
    return model.with_suffix(f".{COHORT}") if model.suffix in MODEL_FILES else model / COHORT


def load_cohort(model: Path, card: ModelCard) -> Vectors:
    """The (N, D) float32 unit rows of a model folder or file; N is 0 where it has no cohort.

    Raises ModelError for a file that is broken or of another model than `card`'s.
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
    """The (0, D) rows of a model that has none."""
    return np.zeros((0, card.embedding_dim), np.float32)


def save_cohort(model: Path, card: ModelCard, vectors: Vectors, source: str) -> None:
    """Write (N, D) unit rows beside a model, whole or not at all; `source` says in words whose they are.

    Raises ModelError when it cannot be written.
    """
    path = cohort_path(model)
    facts = {"fingerprint": card.fingerprint, "source": source}
    try:
        with replacing(path) as draft:
            save_file({"embeddings": vectors.astype(np.float16)}, draft, facts)
    except (SafetensorError, OSError) as error:
        reason = f"{path}: cannot be written ({error}); free its disk or make its folder writable"
        raise ModelError(reason) from error
