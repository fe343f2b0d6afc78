"""The file of an export, read and written without facerec."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np


def parts(file: Path) -> tuple[dict[str, Any], np.ndarray]:
    """As the gallery's README documents the format, by NumPy and json alone."""
    with np.load(file, allow_pickle=False) as archive:
        return json.loads(archive["people.json"]), archive["vectors"]


def write(path: Path, people: Any, vectors: np.ndarray, compression: int = zipfile.ZIP_STORED) -> Path:
    array = io.BytesIO()
    np.save(array, vectors)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("people.json", people if isinstance(people, bytes) else json.dumps(people))
        archive.writestr("vectors.npy", array.getvalue())
    return path
