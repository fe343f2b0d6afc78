"""The table of features in files: what is written is what is read, and nothing else is."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facerec.errors import DataError
from facerec.features.table import FeatureTable, read_features, write_features


def some_table(count: int = 3) -> FeatureTable:
    rows = np.random.default_rng(0).normal(size=(count, 5)).astype(np.float32)
    names = ("Çelik 王/1.jpg", "b/2.jpg", "loose.png")[:count]
    return FeatureTable(rows, names, ("Çelik 王", "b", "")[:count], "layer3", "resnet50", "0123456789abcdef")


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_file_gives_back_what_was_written(tmp_path: Path, suffix: str, count: int) -> None:
    path, table = tmp_path / f"x{suffix}", some_table(count)
    write_features(table, path)
    assert os.listdir(tmp_path) == [path.name]
    found = read_features(path)
    np.testing.assert_array_equal(found.features, table.features)
    assert found.features.dtype == np.float32
    for name in ("paths", "labels", "layer", "model", "fingerprint"):
        assert getattr(found, name) == getattr(table, name)


def test_npz_needs_no_facerec_and_no_pickle(tmp_path: Path) -> None:
    write_features(some_table(), tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as arrays:
        assert {name: (a.shape, a.dtype.kind) for name, a in arrays.items()} == {
            "features": ((3, 5), "f"), "paths": ((3,), "U"), "labels": ((3,), "U"),
            "layer": ((), "U"), "model": ((), "U"), "fingerprint": ((), "U"),
        }  # fmt: skip


def test_parquet_needs_no_facerec(tmp_path: Path) -> None:
    import pyarrow.parquet

    write_features(some_table(), tmp_path / "x.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "x.parquet")
    assert table.column_names == ["path", "label", "features"]
    np.testing.assert_array_equal(np.array(table["features"].to_pylist(), np.float32), some_table().features)
    assert table.schema.metadata[b"layer"] == b"layer3"


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"PK\x03\x04 cut off"])
def test_other_files_are_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"x{suffix}: not a file that facerec features wrote"):
        read_features(path)
    with pytest.raises(DataError, match=r"none\.npz: cannot be read"):
        read_features(tmp_path / "none.npz")


def test_files_of_other_tables_and_of_pickles_are_refused(tmp_path: Path) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(
        pyarrow.table({"path": ["a"], "label": ["b"], "features": [1.0]}), tmp_path / "x.parquet"
    )
    np.savez(tmp_path / "x.npz", features=np.zeros((2, 3)), paths=np.array([{}, {}], object), labels=np.array(["a"]))
    for name in ("x.parquet", "x.npz"):
        with pytest.raises(DataError, match="not a file that facerec features wrote"):
            read_features(tmp_path / name)
    facts: dict[str, Any] = {name: np.array("x") for name in ("layer", "model", "fingerprint")}
    np.savez(tmp_path / "y.npz", features=np.zeros((2, 3)), paths=np.array(["a"]), labels=np.array(["a"]), **facts)
    with pytest.raises(DataError, match="the numbers of rows, paths and labels differ"):
        read_features(tmp_path / "y.npz")
