"""Libraries that the base install leaves out: whether they are there, and how to install them."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facerec.errors import MissingExtraError

EXTRAS = {
    "torch": "train",
    "torchvision": "train",
    "facenet_pytorch": "train",
    "pytorch_metric_learning": "train",
    "matplotlib": "report",
    "jinja2": "report",
    "nncf": "export",
    "onnx": "export",
    "pyarrow": "parquet",
    "sqlcipher3": "encryption",
    "tensorboard": "tensorboard",
    "fastapi": "serve",
    "python_multipart": "serve",
    "uvicorn": "serve",
    "psycopg": "postgres",
    "pgvector": "postgres",
    "pymilvus": "milvus",
    "milvus_lite": "milvus",
    "ray": "ray",
    "pillow_heif": "heic",
    "pillow_jxl": "jxl",
    "av": "video",
}
"""The extra of pyproject.toml that brings each of these libraries, by the name under which they are imported."""


def is_installed(library: str) -> bool:
    """Whether a library can be imported. It is not: that may take seconds."""
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):  # it is in sys.modules without a spec
        return sys.modules.get(library) is not None


def require(library: str, work: str) -> None:
    """Raise MissingExtraError unless a library of EXTRAS is installed; work: what needs it, as in "int8 export"."""
    if not is_installed(library):
        raise missing(library, work)


def require_extra(extra: str, work: str) -> None:
    """Raise MissingExtraError unless all libraries of an extra are installed."""
    for library, its in EXTRAS.items():
        if its == extra:
            require(library, work)


def missing(library: str, work: str) -> MissingExtraError:
    """The error that names a library of EXTRAS, what needs it, and how to install it."""
    return MissingExtraError(f"{work} needs {library}: {install(EXTRAS[library])}")


@contextmanager
def named(work: str) -> Iterator[None]:
    """Raise MissingExtraError instead of Python's own error where a library of EXTRAS turns out to be missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        raise missing(library, work) from error


def install(extra: str) -> str:
    """The command that installs an extra: into this clone, or from the package index."""
    clone = Path(__file__).parents[1]
    if not (clone / "pyproject.toml").exists():
        return f"pip install 'facerec[{extra}]'"
    return f"pip install -e '{'.' if Path.cwd() == clone else clone}[{extra}]'"
