"""Export and import: everything arrives, and nothing a file says is believed."""

import shlex
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from killing import photos_in
from running import json_lines, run
from toy_archive import parts, write
from toy_gallery import DIMENSION, MODEL, nearest, opened, sql, template, vector

from facerec.errors import DamagedGalleryError, ForeignModelError
from facerec.gallery.archive_file import read_archive
from facerec.gallery.enrolled import consent
from facerec.gallery.gallery import Gallery
from facerec.gallery.vetoes import apart, vetoes


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
        | {"apart": 0, "fpir": 0.01, "fpir_taken": False, "alike": []},
    ]
    with opened(source) as old, opened(tmp_path / "new") as new:
        assert photos_in(new) == photos_in(old)
        shown = [[replace(t, number=None) for p in each.people() for t in each.show(p.name)] for each in (old, new)]
        assert shown[0] == shown[1], "but for the numbers, which are each gallery's own"
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


def test_photos_of_one_owner_are_one_line_that_names_the_remedy(file: Path, tmp_path: Path) -> None:
    """As after a new name in the one gallery; in the second case both names are there."""
    for where, own, command in (("renamed", [], "rename Eve 'Ann Lee'"), ("both", [7], "merge 'Ann Lee' Eve")):
        with opened(tmp_path / where) as gallery:
            for number in (0, 2):
                gallery.add("Eve", template(number))
            for number in own:
                gallery.add("Ann Lee", template(number))
        result = run("gallery", "import", file, gallery=tmp_path / where)
        said = "'Ann Lee': all 2 photos are already enrolled as 'Eve', so not as 'Ann Lee'; if they are one person, "
        assert f"{said}`facerec gallery {command}`\n" in result.stderr
        assert result.stderr.count("already enrolled") == 1
        assert result.exit_code == 1
        assert run(*shlex.split(f"gallery {command}"), gallery=tmp_path / where).exit_code == 0
    with opened(tmp_path / "two") as gallery:
        gallery.add("Eve", template(0))
        gallery.add("Ann Lee", template(7))
        gallery.set_apart("Eve", "Ann Lee")
    assert "one person" not in run("gallery", "import", file, gallery=tmp_path / "two").stderr


def test_new_people_who_look_like_somebody_are_listed(file: Path, tmp_path: Path) -> None:
    def imported(where: str, *options: str) -> Result:
        with opened(tmp_path / where) as gallery:
            for number in (10, 11, 12):
                gallery.add("Eve", replace(template(number), vector=vector(1)))
        return run("gallery", "import", file, *options, gallery=tmp_path / where)

    said = imported("text").stdout
    assert "Çelik 王 and Eve look like one person, 0.00 apart: `facerec gallery merge 'Çelik 王' Eve`, or if" in said
    assert json_lines(imported("json", "--json"))[-1]["alike"][0]["people"] == ["Çelik 王", "Eve"]
    again = run("gallery", "import", file, gallery=tmp_path / "text").stdout
    assert "look like" not in again, "nobody is new"


def test_a_new_gallery_takes_the_target_rate_and_another_keeps_its_own(source: Path, tmp_path: Path) -> None:
    with opened(source) as gallery:
        gallery.set_calibration(0.001)
        gallery.export(tmp_path / "strict.npz")

    def told(where: str) -> tuple[float, list[str]]:
        said = run("gallery", "import", tmp_path / "strict.npz", gallery=tmp_path / where).stdout.splitlines()
        with opened(tmp_path / where) as gallery:
            return gallery.given()[0], [line for line in said[2:] if "rate" in line]

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
