"""Copies of the database, and how a damaged or missing one is restored: never half, never over somebody's work."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from killing import killed_before, photos_in
from running import ROOT, json_lines, run
from surroundings import as_a_user_who_may_only_read
from toy_gallery import nearest, opened, sql, template

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.gallery import audit_log, locking
from facerec.gallery.backup import keep_copy, restore
from facerec.gallery.database import connect
from facerec.gallery.gallery import Gallery


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ann's photo 0 and Bob's photos 1 and 2, closed properly."""
    with opened(tmp_path / "gallery") as gallery:
        for number, name in enumerate(("Ann", "Bob", "Bob")):
            gallery.add(name, template(number))
        assert nearest(gallery, 0) == "Ann"
    return tmp_path / "gallery"


def damage(folder: Path) -> None:
    path = folder / "gallery.db"
    path.write_bytes(path.read_bytes()[:4096] + b"\xa5" * 8192)


def lost(folder: Path) -> None:
    (folder / "gallery.db").unlink()


def emptied(folder: Path) -> None:
    (folder / "gallery.db").write_bytes(b"")


ACCIDENTS = pytest.mark.parametrize("accident", [damage, lost, emptied])


def test_a_copy_is_kept_when_something_was_changed(folder: Path) -> None:
    copy = folder / "gallery.db.backup"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    first = copy.stat().st_mtime_ns
    with opened(folder) as gallery:
        assert nearest(gallery, 0) == "Ann"
    assert copy.stat().st_mtime_ns == first, "nothing was changed"
    with opened(folder) as gallery:
        gallery.rename("Ann", "Anna")
    assert copy.stat().st_mtime_ns > first
    shutil.copytree(folder, folder.parent / "other")
    os.replace(folder.parent / "other" / "gallery.db.backup", folder.parent / "other" / "gallery.db")
    with opened(folder.parent / "other") as gallery:
        assert photos_in(gallery) == {"Anna": [0], "Bob": [1, 2]}
        assert gallery.check().problems == ()
    assert sorted(p.name for p in folder.iterdir()) == ["gallery.db", "gallery.db.backup", "people.cache"]


def test_a_damaged_database_replaces_no_good_copy(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = (folder / "gallery.db.backup").read_bytes()
    sql(folder, "UPDATE templates SET vector = randomblob(64) WHERE id = 2")
    with opened(folder) as gallery:
        gallery.rename("Ann", "Anna")
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("no backup was made: ")
    assert "gallery.db: damaged (the vector of photos/1.jpg" in message
    assert (folder / "gallery.db.backup").read_bytes() == good
    assert not list(folder.glob("*.draft*"))


def test_a_copy_that_cannot_be_made_undoes_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "gallery.db.backup").unlink()
    (folder / "gallery.db.backup").mkdir()
    with opened(folder) as gallery:
        gallery.rename("Ann", "Anna")
    assert "no backup was made" in caplog.text
    assert [line["person"] for line in json_lines(run("gallery", "list", "--json", gallery=folder))] == ["Anna", "Bob"]


@pytest.mark.usefixtures("kind")
@ACCIDENTS
def test_restoring(folder: Path, accident: Callable[[Path], None]) -> None:
    with opened(folder) as gallery:  # as a process that was killed before it kept a copy
        gallery.add("Cy", template(3))
        gallery.store.database.copy_due = False
    accident(folder)
    for command in (["gallery", "list"], ["gallery", "check"], ["gallery", "remove", "Bob"]):
        result = run(*command, gallery=folder)
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
        assert "`facerec gallery restore` brings it back from a backup" in result.stderr
    with pytest.raises(DamagedGalleryError):
        Gallery.open(folder, create=True)
    (held,) = json_lines(run("gallery", "restore", "--list", "--json", gallery=folder))
    assert (held["kind"], held["people"], held["templates"], held["problem"]) == ("backup", 2, 3, None)
    result = run("gallery", "restore", gallery=folder)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"Restored the backup of {held['made']}: 3 photos of 2 people.\n"
    with opened(folder) as gallery:
        assert photos_in(gallery) == {"Ann": [0], "Bob": [1, 2]}
        assert [nearest(gallery, n) for n in range(4)] == ["Ann", "Bob", "Bob", None]
        assert gallery.check().problems == ()
        last = gallery.log()[0][-1]
        assert (last.action, last.facts["templates"]) == ("restored", 3)


def test_a_sound_database_is_not_replaced_unasked(folder: Path) -> None:
    with opened(folder) as gallery:
        gallery.add("Cy", template(3))
        gallery.store.database.copy_due = False
    result = run("gallery", "restore", gallery=folder)
    assert result.exit_code == 2
    assert "sound, nothing to restore" in result.stderr
    with opened(folder) as gallery:
        assert len(gallery) == 3
        gallery.store.database.copy_due = False
    assert run("gallery", "restore", "--from", "rollback", gallery=folder).exit_code == 2
    assert json_lines(run("gallery", "restore", "--from", "backup", "--json", gallery=folder))[0]["people"] == 2
    with opened(folder) as gallery:
        assert len(gallery) == 2


@pytest.mark.usefixtures("kind")
def test_a_rollback_copy_is_restored_by_the_same_command(folder: Path) -> None:
    """As a migration leaves it."""
    with opened(folder) as gallery:
        keep_copy(gallery.store.database, "rollback")
        gallery.add("Cy", template(3))
    copies = json_lines(run("gallery", "restore", "--list", "--json", gallery=folder))
    assert [(copy["kind"], copy["people"]) for copy in copies] == [("backup", 3), ("rollback", 2)]
    assert run("gallery", "restore", "--from", "rollback", gallery=folder).exit_code == 0
    with opened(folder) as gallery:
        assert photos_in(gallery) == {"Ann": [0], "Bob": [1, 2]}
        assert nearest(gallery, 3) is None


def test_where_only_the_asked_for_copy_is_missing_the_others_are_pointed_to(folder: Path) -> None:
    """Nobody need enroll anew: the gallery is sound, and has a backup."""
    result = run("gallery", "restore", "--from", "rollback", gallery=folder)
    said = "no rollback beside it; `facerec gallery restore --list` shows the copies there are"
    assert (result.exit_code, result.stderr) == (2, f"Error: {folder / 'gallery.db'}: {said}\n")
    (folder / "gallery.db.backup").unlink()
    result = run("gallery", "restore", "--from", "rollback", gallery=folder)
    assert "no rollback beside it; enroll again" in result.stderr


def test_damaged_copies_are_passed_over(folder: Path) -> None:
    with opened(folder) as gallery:
        keep_copy(gallery.store.database, "rollback")
    (folder / "gallery.db.backup").write_bytes(b"\0" * 5000)
    os.utime(folder / "gallery.db.backup")
    lost(folder)
    result = run("gallery", "restore", "--list", gallery=folder)
    assert "gallery.db.backup: damaged" in result.stderr
    assert run("gallery", "restore", "--json", gallery=folder).exit_code == 0
    lost(folder)
    (folder / "gallery.db.rollback").write_bytes(b"")
    result = run("gallery", "restore", gallery=folder)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "damaged" in result.stderr


def test_the_newest_copy_is_known_by_what_it_holds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever copies a gallery's folder gives its files new times, in any order."""
    monkeypatch.setattr(audit_log, "utc_now", lambda: "2031-05-06T07:08:09Z")
    with opened(folder) as gallery:
        keep_copy(gallery.store.database, "rollback")
        gallery.add("Cy", template(3))  # within the same second
    for age, kind in enumerate(("rollback", "backup")):
        os.utime(folder / f"gallery.db.{kind}", (1e9 - age, 1e9 - age))
    listed = json_lines(run("gallery", "restore", "--list", "--json", gallery=folder))
    assert [(copy["kind"], copy["people"]) for copy in listed] == [("backup", 3), ("rollback", 2)]
    assert listed[0]["made"] == "2031-05-06T07:08:09Z"
    lost(folder)
    assert json_lines(run("gallery", "restore", "--json", gallery=folder))[0]["kind"] == "backup"
    with opened(folder) as gallery:
        assert photos_in(gallery) == {"Ann": [0], "Bob": [1, 2], "Cy": [3]}


@pytest.mark.parametrize("entry", ["x'ff'", "'[1'", "'{}'", """'{"time":"9999"}'""", "NULL"])
def test_a_copy_whose_log_was_changed_goes_by_its_file_s_time(folder: Path, entry: str) -> None:
    with opened(folder) as gallery:
        keep_copy(gallery.store.database, "rollback")
    with closing(connect(folder / "gallery.db.rollback", "mode=rw")) as db:
        db.execute("DROP TRIGGER log_unchanged")
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, 'entry TEXT NOT NULL', 'entry') WHERE name = 'log'")
    with closing(connect(folder / "gallery.db.rollback", "mode=rw")) as db:
        db.execute(f"UPDATE log SET entry = {entry} WHERE number = (SELECT max(number) FROM log)")
    os.utime(folder / "gallery.db.rollback", (1e9, 1e9))
    listed = json_lines(run("gallery", "restore", "--list", "--json", gallery=folder))
    assert [copy["kind"] for copy in listed] == ["backup", "rollback"]
    assert listed[1]["made"] == "2001-09-09T01:46:40Z"


def test_where_there_is_nothing_to_restore(tmp_path: Path) -> None:
    for name in ("none", "empty"):
        result = run("gallery", "restore", gallery=tmp_path / name)
        assert result.exit_code == 2
        assert str(tmp_path / name) in result.stderr
        assert result.stderr.count("\n") == 1
        (tmp_path / "empty").mkdir(exist_ok=True)


def test_the_list_of_copies_where_there_is_no_gallery(tmp_path: Path) -> None:
    result = run("gallery", "restore", "--list", gallery=tmp_path / "mistyped")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"Error: {tmp_path / 'mistyped'}: no gallery here, nor a backup of one\n"


def test_the_list_of_no_copies(folder: Path) -> None:
    (folder / "gallery.db.backup").unlink()
    assert run("gallery", "restore", "--list", gallery=folder).stdout == f"{folder}: no backup yet.\n"
    assert run("gallery", "restore", "--list", "--json", gallery=folder).stdout == ""
    assert run("gallery", "list", gallery=folder).exit_code == 0
    assert run("gallery", "restore", "--list", gallery=folder).stdout.startswith("backup of 20"), "made where none was"


def test_who_may_only_read_cannot_finish_a_restore() -> None:
    with tempfile.TemporaryDirectory() as name:
        with opened(Path(name)) as gallery:
            gallery.add("Ann", template(0))
        os.replace(Path(name) / "gallery.db.backup", Path(name) / "gallery.db.restoring")
        with as_a_user_who_may_only_read(Path(name)), pytest.raises(GalleryError, match="being restored; run"):
            Gallery.open(Path(name))
        with opened(Path(name)) as gallery:
            assert photos_in(gallery) == {"Ann": [0]}
        assert not (Path(name) / "gallery.db.restoring").exists()


@pytest.mark.usefixtures("kind")
def test_a_stale_write_ahead_log_is_not_played_into_the_copy(folder: Path) -> None:
    gallery = opened(folder)
    gallery.add("Cy", template(3))
    log = (folder / "gallery.db-wal").read_bytes()
    assert len(log) > 4096
    gallery.store.database.copy_due = False
    gallery.close()
    damage(folder)
    (folder / "gallery.db-wal").write_bytes(log)
    restore(folder)
    with opened(folder) as gallery:
        assert photos_in(gallery) == {"Ann": [0], "Bob": [1, 2]}
        assert gallery.check().problems == ()


# ----------------------------------------------------------------------------------------------------- other processes


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_gallery_that_is_open_is_not_replaced(folder: Path, elsewhere: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "PATIENCE", 0.05)
    if elsewhere:
        code = "import sys, pathlib, toy_gallery; g = toy_gallery.opened(pathlib.Path(sys.argv[1]));"
        code += " print(flush=True); input()"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])}
        command = [sys.executable, "-c", code, str(folder)]
        other = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert other.stdout is not None
        other.stdout.readline()
    else:
        other = opened(folder)
    go_back = ["gallery", "restore", "--from", "backup"]
    result = run(*go_back, gallery=folder)
    assert result.exit_code == 2
    assert "in use by another process" in result.stderr
    if isinstance(other, Gallery):
        other.add("Cy", template(3))
        other.close()
    else:
        other.kill()
        other.communicate()
    assert run(*go_back, gallery=folder).exit_code == 0


def test_nobody_opens_it_during_a_restore(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "PATIENCE", 0.05)
    with locking.alone(folder), pytest.raises(GalleryError, match="being restored by another process"):
        opened(folder)
    opened(folder).close()


@ACCIDENTS
def test_killed_before_any_step(tmp_path: Path, folder: Path, accident: Callable[[Path], None]) -> None:
    """Before every statement and every change of a file: the gallery opens, restored, or a second restore brings it."""
    accident(folder)
    seen, step, killed = [], 0, True
    while killed:
        step += 1
        copy = tmp_path / str(step)
        shutil.copytree(folder, copy)
        killed = killed_before(step, lambda copy=copy: restore(copy))
        try:
            opened(copy).close()
            seen.append("restored")
        except DamagedGalleryError as error:
            seen.append("as before" if "`facerec gallery restore`" in str(error) else str(error))
            restore(copy)
        with opened(copy) as gallery:
            assert photos_in(gallery) == {"Ann": [0], "Bob": [1, 2]}
            assert gallery.check().problems == ()
            assert [entry.action for entry in gallery.log()[0]].count("restored") == 1
        assert not list(copy.glob("*.draft*"))
        assert not (copy / "gallery.db.restoring").exists()
    assert seen == sorted(seen)
    assert set(seen) == {"as before", "restored"}
