"""Nothing that the file of an export says is believed."""

import json
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import photos_in
from running import json_lines, run
from toy_archive import parts, write
from toy_gallery import DIMENSION, opened

from facerec.errors import GalleryError
from facerec.gallery.archive_file import read_archive
from facerec.gallery.enrolled import consent


def refuse(path: Path, gallery: Path) -> str:
    result = run("gallery", "import", path, gallery=gallery)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert str(path) in result.stderr
    assert not gallery.exists(), "no gallery is made for a file that is refused"
    return result.stderr


def test_a_truncated_or_flipped_file(file: Path, tmp_path: Path) -> None:
    whole, path = file.read_bytes(), tmp_path / "bad.npz"
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        refuse(path, tmp_path / "new")
    rng = np.random.default_rng(0)
    for place in rng.choice(len(whole), 150, replace=False):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << int(rng.integers(8))]) + whole[place + 1 :])
        with suppress(GalleryError):  # or it is harmless, as in the archive's time stamps; no other error gets out
            read_archive(path)
    refuse(tmp_path / "none.npz", tmp_path / "new")
    refuse(tmp_path, tmp_path / "new")


def changed(*keys: str | int, to: Any) -> Any:
    def change(people: dict[str, Any]) -> Any:
        inner: Any = people
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = to
        return people

    return change


FIRST = ("people", 0, "templates", 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda people: [],
        lambda people: {},
        lambda people: {**people, "people": {}},
        lambda people: {**people, "people": []},
        lambda people: {**people, "people": people["people"][:1]},
        lambda people: {**people, "people": people["people"] * 1000},
        changed("format", to="else"),
        changed("version", to="1"),
        changed("version", to=2),
        changed("model", to=None),
        changed("model", "dimension", to=10**30),
        changed("model", "dimension", to=-16),
        changed("model", "dimension", to=True),
        changed("model", "fingerprint", to=""),
        changed("model", "name", to="a\nb"),
        changed("people", 0, to="Ann"),
        changed("people", 0, "name", to="a\x1b[31m"),
        changed("people", 0, "name", to="x" * 201),
        changed("people", 0, "name", to=7),
        changed("people", 0, "name", to="\ud800"),
        changed("people", 0, "consent", to=["yes"]),
        changed("people", 0, "consent", to="x" * 2001),
        changed("people", 0, "until", to="2031-13-01"),
        changed("people", 0, "templates", to=None),
        changed(*FIRST, to=[]),
        changed(*FIRST, "photo_hash", to="0" * 63),
        changed(*FIRST, "photo_hash", to="G" * 64),
        changed(*FIRST, "source", to="x" * 20_000),
        changed(*FIRST, "box", to=[1, 2, 3]),
        changed(*FIRST, "box", to=[1, 2, 3, float("nan")]),
        changed(*FIRST, "box", to=[1, 2, 3, 10**400]),
        changed(*FIRST, "box", to=[1, 2, 3, "4"]),
        changed(*FIRST, "box", to=[3, 2, 1, 4]),
        changed(*FIRST, "box", to=[1, 4, 3, 4]),
        changed(*FIRST, "box", to=[-1e308, -1e308, 1e308, 1e308]),
        changed(*FIRST, "quality", to=1.5),
        changed(*FIRST, "quality", to=None),
        changed(*FIRST, "enrolled", to="yesterday"),
        changed(*FIRST, "enrolled", to="2026-02-30T12:00:00Z"),
        changed(*FIRST, "enrolled", to="2026-01-31T24:61:00Z"),
        changed("people", 0, "name", to="\u202eevil"),
        changed("people", 0, "consent", to="\u202eturned"),
    ],
)
def test_wrong_types_and_values(change: Any, file: Path, tmp_path: Path) -> None:
    people, vectors = parts(file)
    refuse(write(tmp_path / "bad.npz", change(people), vectors), tmp_path / "new")


@pytest.mark.parametrize(
    "change",
    [
        changed("apart", to=None),
        changed("apart", to=[["Ann Lee", "Çelik 王"]]),
        changed("apart", to=[["Ann Lee", 3, "2026-01-31T12:00:00Z"]]),
        changed("apart", to=[["Ann Lee", "Çelik 王", "today"]]),
        changed("people", 0, "vetoes", to=None),
        changed("people", 0, "vetoes", to=[[]]),
        changed("people", 0, "vetoes", 0, "made", to="yesterday"),
        changed("people", 0, "vetoes", 0, "photo_hash", to="0"),
        changed("people", 1, "vetoes", to=[{}]),
        changed("version", to=1),
    ],
)
def test_wrong_vetoes(change: Any, vetoed: Path, tmp_path: Path) -> None:
    people, vectors = parts(vetoed)
    refuse(write(tmp_path / "bad.npz", change(people), vectors), tmp_path / "new")


@pytest.mark.parametrize("rate", [0, 1, -0.5, True, "0.001", [0.1]])
def test_a_target_rate_that_is_none_is_refused(rate: Any, file: Path, tmp_path: Path) -> None:
    people, vectors = parts(file)
    refuse(write(tmp_path / "bad.npz", {**people, "fpir": rate}, vectors), tmp_path / "new")


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((3, DIMENSION), np.float32),
        np.full((3, DIMENSION), np.nan, np.float32),
        np.eye(DIMENSION, dtype=np.float32)[:2],
        np.eye(8, dtype=np.float32)[:3],
        np.eye(DIMENSION)[:3],
        np.asfortranarray(np.eye(DIMENSION, dtype=np.float32)[:3]),
        np.array(["no vector"] * 3),
    ],
    ids=str,
)
def test_vectors_that_are_none(vectors: np.ndarray, file: Path, tmp_path: Path) -> None:
    refuse(write(tmp_path / "bad.npz", parts(file)[0], vectors), tmp_path / "new")


def test_people_and_photos_that_are_in_the_file_twice(file: Path, tmp_path: Path) -> None:
    """As if they were two files, one after the other: of each photo the first counts."""
    people, vectors = parts(file)
    ann, celik = people["people"]
    again = {**ann, "name": f" {ann['name']}\t", "consent": "something else"}
    stolen = {**celik, "templates": ann["templates"][:1]}
    people["people"] = [ann, celik, again, stolen]
    rows = np.concatenate([vectors, vectors[: len(ann["templates"])], vectors[:1]])
    result = run("gallery", "import", write(tmp_path / "twice.npz", people, rows), "--json", gallery=tmp_path / "new")
    assert result.exit_code == 1
    *lines, _ = json_lines(result)
    assert [(line["person"], line["added"], line["skipped"], len(line["conflicts"])) for line in lines] == [
        ("Ann Lee", 2, 0, 0), ("Çelik 王", 1, 0, 0), ("Ann Lee", 0, 2, 1), ("Çelik 王", 0, 0, 1)
    ]  # fmt: skip
    with opened(tmp_path / "new") as gallery:
        assert photos_in(gallery) == {"Ann Lee": [0, 2], "Çelik 王": [1]}
        assert consent(gallery.store, "Ann Lee")[0] == ann["consent"]
        assert gallery.check().problems == ()


def test_no_pickle_is_opened(file: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path(tmp_path / "sprung").touch, ())

    trap = np.array([Trap()] * 3, object)
    refuse(write(tmp_path / "bad.npz", parts(file)[0], trap), tmp_path / "new")
    assert not (tmp_path / "sprung").exists()


def test_bombs(file: Path, tmp_path: Path) -> None:
    _, vectors = parts(file)
    bomb = write(tmp_path / "deflated.npz", b" " * (1 << 26) + b"{}", vectors, zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 100_000
    assert "compressed" in refuse(bomb, tmp_path / "new")
    assert "too large" in refuse(write(tmp_path / "large.npz", b" " * ((1 << 26) + 1), vectors), tmp_path / "new")
    for name, text in (("deep", b"[" * 100_000), ("number", b"1" * 10_000), ("nothing", b""), ("bytes", b"\xff\xfe")):
        refuse(write(tmp_path / name, text, vectors), tmp_path / "new")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000000), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, -16), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3, 16), }",
        "{'descr': '<f4', 1: 2}",
        "(" * 5000,
        "__import__('os').abort()",
        "'''",
    ],
)
def test_a_hostile_array_header(header: str, file: Path, tmp_path: Path) -> None:
    people, vectors = parts(file)
    text = header.encode() + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + vectors.tobytes()
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
        archive.writestr("people.json", json.dumps(people))
        archive.writestr("vectors.npy", array)
    refuse(tmp_path / "bad.npz", tmp_path / "new")


def test_a_declared_size_no_file_has(file: Path, tmp_path: Path) -> None:
    """100 GB by both headers of the archive, in a file of some kilobytes."""
    whole = bytearray(file.read_bytes())
    size = zipfile.ZipFile(file).getinfo("vectors.npy").file_size.to_bytes(4, "little")
    at = whole.rindex(size + size)
    whole[at : at + 8] = (0xFFFFFFF0).to_bytes(4, "little") * 2
    (tmp_path / "bad.npz").write_bytes(whole)
    refuse(tmp_path / "bad.npz", tmp_path / "new")
