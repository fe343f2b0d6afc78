"""Export and import: everything arrives, and nothing a file says is believed."""

import io
import json
import stat
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import photos_in
from running import json_lines, run
from toy_gallery import DIMENSION, MODEL, nearest, opened, sql, template, vector

from facerec.errors import DamagedGalleryError, ForeignModelError, GalleryError
from facerec.gallery.archive_file import read_archive
from facerec.gallery.enrolled import consent
from facerec.gallery.gallery import Gallery
from facerec.gallery.vetoes import apart, vetoes


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    with opened(folder) as gallery:
        for number, name in enumerate(("Ann Lee", "Çelik 王", "Ann Lee")):
            gallery.add(name, template(number))
        gallery.set_consent("Ann Lee", "signed; see drawer 3", "2031-01-31")
    return folder


@pytest.fixture
def file(source: Path, tmp_path: Path) -> Path:
    with opened(source) as gallery:
        gallery.export(tmp_path / "club.npz")
    return tmp_path / "club.npz"


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


def test_the_file_is_as_documented(file: Path) -> None:
    people, vectors = parts(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert np.array_equal(vectors, np.stack([vector(0), vector(2), vector(1)]))
    assert vectors.dtype == np.dtype("<f4")
    assert (people["format"], people["version"]) == ("facerec-people", 1)
    assert people["model"] == {"fingerprint": MODEL[0], "name": "toy", "dimension": DIMENSION}
    ann, celik = people["people"]
    assert (ann["name"], ann["consent"], ann["until"]) == ("Ann Lee", "signed; see drawer 3", "2031-01-31")
    assert (celik["name"], celik["consent"], celik["until"]) == ("Çelik 王", None, None)
    assert [t["photo_hash"] for t in ann["templates"]] == [f"{n:064x}" for n in (0, 2)]
    assert ann["templates"][0]["box"] == [1.5, 2, 30, 40]
    assert zipfile.ZipFile(file).testzip() is None


def test_everything_arrives_in_a_new_gallery(source: Path, file: Path, tmp_path: Path) -> None:
    result = run("gallery", "import", file, "--json", gallery=tmp_path / "new")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json_lines(result) == [
        {"person": "Ann Lee", "added": 2, "skipped": 0, "vetoes": 0, "differences": 0, "conflicts": []},
        {"person": "Çelik 王", "added": 1, "skipped": 0, "vetoes": 0, "differences": 0, "conflicts": []},
        {"summary": True, "people": 2, "added": 3, "skipped": 0, "vetoes": 0, "conflicts": 0}
        | {"apart": 0, "fpir": 0.01, "fpir_taken": False},
    ]
    with opened(source) as old, opened(tmp_path / "new") as new:
        assert photos_in(new) == photos_in(old)
        assert [new.show(p.name) for p in new.people()] == [old.show(p.name) for p in old.people()]
        assert consent(new.store, "Ann Lee") == ("signed; see drawer 3", "2031-01-31")
        assert [nearest(new, n) for n in range(3)] == ["Ann Lee", "Çelik 王", "Ann Lee"]
        assert new.check().problems == ()
        assert [(e.action, e.facts.get("templates")) for e in new.log()[0]][-4:] == [
            ("imported", 2), ("consent set", None), ("imported", 1), ("model bound", None)
        ]  # fmt: skip
        assert old.log()[0][-1].action == "exported"
    again = run("gallery", "import", file, gallery=tmp_path / "new")
    assert (again.exit_code, again.stdout.splitlines()[0]) == (0, "Ann Lee: 0 added, 2 skipped, 0 conflicts")


def test_nobody_is_exported_under_a_name_that_no_import_takes(source: Path, tmp_path: Path) -> None:
    """Older facerecs enrolled whom they answered strangers are."""
    sql(source, "UPDATE people SET name = 'unknown' WHERE name = 'Ann Lee'")
    result = run("gallery", "export", str(tmp_path / "file"), gallery=source)
    assert result.exit_code == 2
    assert "'unknown' is the answer for strangers, not a person's name; give another (`facerec gall" in result.stderr
    assert not (tmp_path / "file").exists()
    run("gallery", "rename", "unknown", "Ann Lee", gallery=source)
    assert run("gallery", "export", str(tmp_path / "file"), gallery=source).exit_code == 0


def test_conflicts_are_told_and_left_as_they_are(file: Path, tmp_path: Path) -> None:
    with opened(tmp_path / "new") as gallery:
        gallery.add("Eve", template(0))
        gallery.add("Ann Lee", template(7))
        gallery.set_consent("Ann Lee", "asked again")
    result = run("gallery", "import", file, "--json", gallery=tmp_path / "new")
    assert result.exit_code == 1
    ann, _, summary = json_lines(result)
    assert (ann["added"], ann["skipped"], len(ann["conflicts"])) == (1, 0, 2)
    assert (summary["added"], summary["conflicts"]) == (2, 2)
    assert result.stderr.splitlines() == ann["conflicts"]
    assert "photos/0.jpg: already enrolled as 'Eve', so not as 'Ann Lee'" in result.stderr
    with opened(tmp_path / "new") as gallery:
        assert photos_in(gallery) == {"Ann Lee": [2, 7], "Eve": [0], "Çelik 王": [1]}
        assert consent(gallery.store, "Ann Lee") == ("asked again", None)


def test_a_new_gallery_takes_the_target_rate_and_another_keeps_its_own(source: Path, tmp_path: Path) -> None:
    with opened(source) as gallery:
        gallery.set_calibration(0.001)
        gallery.export(tmp_path / "strict.npz")

    def told(where: str) -> tuple[float, list[str]]:
        said = run("gallery", "import", tmp_path / "strict.npz", gallery=tmp_path / where).stdout.splitlines()
        with opened(tmp_path / where) as gallery:
            return gallery.given()[0], said[2:]

    assert told("new") == (0.001, ["The target rate, FPIR 0.1 %, is the file's."])
    assert told("new") == (0.001, [])
    with opened(tmp_path / "used") as gallery:
        gallery.add("Eve", template(7))
    with opened(tmp_path / "set") as gallery:
        gallery.set_calibration(0.05)
    for where, own in (("used", 0.01), ("set", 0.05)):
        kept = f"The target rate stays FPIR {100 * own:g} %; the file's is 0.1 %, which "
        kept += "`facerec calibrate --fpir 0.001` sets."
        assert told(where) == (own, [kept])


@pytest.mark.parametrize("rate", [0, 1, -0.5, True, "0.001", [0.1]])
def test_a_target_rate_that_is_none_is_refused(rate: Any, file: Path, tmp_path: Path) -> None:
    people, vectors = parts(file)
    refuse(write(tmp_path / "bad.npz", {**people, "fpir": rate}, vectors), tmp_path / "new")


def test_a_file_without_a_target_rate_is_taken(file: Path, tmp_path: Path) -> None:
    people, vectors = parts(file)
    del people["fpir"]
    assert run("gallery", "import", write(tmp_path / "old.npz", people, vectors), gallery=tmp_path / "n").exit_code == 0


def test_who_was_removed_does_not_come_back_by_an_import(file: Path, tmp_path: Path) -> None:
    """Unless that is asked for. A photo that was taken out of somebody else does."""
    with opened(tmp_path / "new") as gallery:
        gallery.import_archive(read_archive(file))
        gallery.remove("Ann Lee")
        gallery.remove("Çelik 王")
        gallery.add("Eve", template(1))
        gallery.add("Eve", template(7))
        gallery.remove("Eve", Path("photos/1.jpg"))
    result = run("gallery", "import", file, gallery=tmp_path / "new")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("2 photos of 'Ann Lee' were removed on 20")
    assert line.endswith(", so not enrolled; --again enrolls what was removed")
    assert result.stdout.splitlines() == [
        "Ann Lee: 0 added, 0 skipped, 2 conflicts",
        "Çelik 王: 1 added, 0 skipped, 0 conflicts",
    ]
    with opened(tmp_path / "new") as gallery:
        assert photos_in(gallery) == {"Eve": [7], "Çelik 王": [1]}
    assert run("gallery", "import", file, "--again", gallery=tmp_path / "new").exit_code == 0
    with opened(tmp_path / "new") as gallery:
        assert photos_in(gallery) == {"Ann Lee": [0, 2], "Eve": [7], "Çelik 王": [1]}


@pytest.fixture
def vetoed(source: Path, tmp_path: Path) -> Path:
    """The file of a gallery where photos 50 and 51 are not Ann Lee, and Ann Lee and Çelik are two people."""
    with opened(source) as gallery:
        for number in (50, 51):
            gallery.veto("Ann Lee", template(number))
        gallery.set_apart("Ann Lee", "Çelik 王")
        gallery.export(tmp_path / "vetoed.npz")
    return tmp_path / "vetoed.npz"


def test_what_was_said_not_to_be_somebody_arrives(source: Path, vetoed: Path, tmp_path: Path) -> None:
    people, vectors = parts(vetoed)
    assert people["version"] == 2
    assert np.array_equal(vectors, np.stack([vector(number) for number in (0, 2, 1, 50, 51)]))
    assert [len(person["vetoes"]) for person in people["people"]] == [2, 0]
    came = ["2 faces said not to be somebody came along.", "1 pair of people said to be two came along."]
    for told in (came, []):  # the second time nothing is new
        result = run("gallery", "import", vetoed, gallery=tmp_path / "new")
        assert (result.exit_code, result.stdout.splitlines()[2:]) == (0, told)
    with opened(source) as old, opened(tmp_path / "new") as new:
        assert len(vetoes(old.store, "Ann Lee")) == 2
        for name in ("Ann Lee", "Çelik 王"):
            assert vetoes(new.store, name) == vetoes(old.store, name)
            assert apart(new.store, name) == apart(old.store, name) != []
        rows = np.stack([vector(number) for number in (*range(3), 50, 51)])
        assert new.search(rows, 2) == old.search(rows, 2)
        assert any(candidate.veto for candidate in new.search(rows, 2)[0])
        assert new.check().problems == ()
        log = [entry.action for entry in new.log()[0]]
        assert (log.count("face vetoed"), log.count("people set apart")) == (2, 1)


def test_a_veto_and_a_template_of_one_photo_are_a_conflict(source: Path, vetoed: Path, tmp_path: Path) -> None:
    with opened(tmp_path / "new") as gallery:
        gallery.add("Ann Lee", template(50))
        gallery.veto("Ann Lee", template(2))
    result = run("gallery", "import", vetoed, "--json", gallery=tmp_path / "new")
    assert result.exit_code == 1
    ann, *_ = json_lines(result)
    assert (ann["added"], ann["conflicts"]) == (1, [
        "photos/2.jpg: said not to be 'Ann Lee', so not enrolled as them",
        "photos/50.jpg: enrolled as 'Ann Lee', so it cannot be said not to be them",
    ])  # fmt: skip
    with opened(tmp_path / "new") as gallery:
        assert photos_in(gallery) == {"Ann Lee": [0, 50], "Çelik 王": [1]}
        assert [veto.source for veto in vetoes(gallery.store, "Ann Lee")] == ["photos/2.jpg", "photos/51.jpg"]


def test_a_damaged_veto_is_not_exported(source: Path, vetoed: Path, tmp_path: Path) -> None:
    sql(source, "UPDATE vetoes SET checksum = checksum + 1 WHERE id = 2")
    with (
        opened(source) as gallery,
        pytest.raises(DamagedGalleryError, match=r"the face of photos/51.jpg that"),
    ):
        gallery.export(tmp_path / "again.npz")
    assert not (tmp_path / "again.npz").exists()


def test_another_model_s_people_are_refused(file: Path, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "new", create=True) as gallery:
        gallery.bind_model("e" * 64, "sface", 8, None)
        gallery.bind_model("e" * 64, "sface", DIMENSION, None)
        gallery.add("Eve", template(9))
        with pytest.raises(ForeignModelError, match=r"made with model sface \(e{12}\), the file with toy \(f{12}\)"):
            gallery.import_archive(read_archive(file))
        assert len(gallery) == 1
    result = run("gallery", "import", file, gallery=tmp_path / "new")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_where_an_export_may_not_go(source: Path, file: Path, tmp_path: Path) -> None:
    for path, said in ((file, "exists already"), (source / "x.npz", "own folder"), (tmp_path / "no" / "x", "written")):
        result = run("gallery", "export", path, gallery=source)
        assert result.exit_code == 2
        assert said in result.stderr
        assert str(path) in result.stderr
        assert result.stderr.count("\n") == 1
    opened(tmp_path / "empty").close()
    assert "nobody is enrolled" in run("gallery", "export", tmp_path / "y", gallery=tmp_path / "empty").stderr
    with opened(source) as gallery:
        assert [e.action for e in gallery.log()[0]].count("exported") == 1, "what was not written is not logged"


def test_an_export_touches_no_other_file(source: Path, file: Path, tmp_path: Path) -> None:
    mine, link = tmp_path / "new.npz.draft", tmp_path / "link.npz"
    mine.write_text("somebody's own")
    link.symlink_to(tmp_path / "nowhere")
    there = set(tmp_path.iterdir())
    assert run("gallery", "export", tmp_path / "new.npz", gallery=source).exit_code == 0
    refused = run("gallery", "export", link, gallery=source)
    assert (refused.exit_code, refused.stderr.count("exists already")) == (2, 1)
    assert set(tmp_path.iterdir()) == there | {tmp_path / "new.npz"}
    assert link.is_symlink()
    assert mine.read_text() == "somebody's own"
    assert stat.S_IMODE((tmp_path / "new.npz").stat().st_mode) == 0o600
    assert (tmp_path / "new.npz").stat().st_size == file.stat().st_size


# ------------------------------------------------------------------------------------------------------ hostile files


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
