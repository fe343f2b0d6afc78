"""A gallery outlives full disks, damaged files, forbidden folders, other processes and other versions of facerec.

What is asked of it after each: it opens, nothing acknowledged is lost, nothing half-done is there. Kills have files of
their own (test_kills.py, test_removal.py, test_backup.py).
"""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from killing import photos_in
from running import ROOT, json_lines, run
from surroundings import as_a_user_who_may_only_read, limited
from toy_gallery import nearest, opened, sql, template

from facerec.errors import GalleryError
from facerec.gallery import database, maintenance
from facerec.gallery.gallery import Gallery
from facerec.gallery.layout import copy_of, draft_of
from facerec.gallery.store import Store

BEFORE = {f"Person {n}": [4 * n + k for k in range(4)] for n in range(6)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six people with four photos each, one past their last day; with index and backup."""
    with opened(tmp_path / "gallery") as gallery:
        for name, photos in BEFORE.items():
            for number in photos:
                gallery.add(name, template(number))
        gallery.set_consent("Person 5", until="2001-01-01")
        assert nearest(gallery, 0) == "Person 0"
    return tmp_path / "gallery"


def holds(folder: Path) -> dict[str, list[int]]:
    """Who is in a gallery that opens, is sound, and finds everybody."""
    with opened(folder) as gallery:
        assert gallery.check().problems == ()
        found = photos_in(gallery)
        for name, photos in found.items():
            assert nearest(gallery, photos[0]) == name
    assert not list(folder.glob("*.draft*"))
    return found


# ---------------------------------------------------------------------------------------------------------- full disk

COMMANDS: dict[str, tuple[list[str], dict[str, list[int]]]] = {
    "remove": (["remove", "Person 2"], {name: own for name, own in BEFORE.items() if name != "Person 2"}),
    "expire": (["expire"], {name: own for name, own in BEFORE.items() if name != "Person 5"}),
    "merge": (
        ["merge", "Person 1", "Person 0"],
        {"Person 0": list(range(8)), **{f"Person {n}": BEFORE[f"Person {n}"] for n in range(2, 6)}},
    ),
    "rebuild": (["rebuild"], BEFORE),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_is_full_sooner_or_later(name: str, folder: Path) -> None:
    """Whatever room is left: done or not done, and said so, with what is to be done about it."""
    arguments, after = COMMANDS[name]
    kept, ended = folder.with_name("kept"), set()
    shutil.copytree(folder, kept)
    for size in (0, 5_000, 20_000, 45_000, 60_000, 75_000, 100_000, 10**9):
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        code, stdout, stderr = limited(size, "gallery", *arguments, "--json", gallery=folder)
        ended.add(code)
        found = holds(folder)
        assert found == after if stdout else found in (BEFORE, after), stderr
        assert code == 0 or "space" in stderr
        if code == 1:
            assert "data of removed people is left" in stderr
            assert "`facerec gallery check` wipes it" in stderr
    assert ended == ({0, 1, 2} if name in {"remove", "expire"} else {0, 2})


@pytest.mark.usefixtures("kind")
def test_a_disk_without_room_for_a_backup(folder: Path) -> None:
    size = (folder / "gallery.db").stat().st_size - 4096  # of a copy; the database itself need not grow
    code, stdout, stderr = limited(size, "gallery", "rename", "Person 0", "Anna", gallery=folder)
    assert (code, stdout) == (0, "Person 0 is now Anna.\n")
    assert stderr.startswith("no backup was made: ")
    assert "check its space and health" in stderr
    assert stderr.endswith("The next command that changes the gallery makes one\n")
    assert holds(folder).keys() == {"Anna", *BEFORE} - {"Person 0"}


TINY = """
set -e
mount -t tmpfs -o size=600k tmpfs "$1"
for room in 0 40 120; do
    rm -rf "$1"/*
    cp -rp "$2" "$1/gallery"
    cat /dev/zero > "$1/filler" 2>/dev/null || true
    truncate -s $(($(stat -c %s "$1/filler") - room * 1024)) "$1/filler"
    "$3" -m facerec.cli.main gallery remove "Person 2" --gallery "$1/gallery" 2>&1 || echo "exit $?"
    rm "$1/filler"
    "$3" -m facerec.cli.main gallery check --gallery "$1/gallery" 2>&1
done
"""


def test_a_disk_that_is_truly_full(folder: Path, tmp_path: Path) -> None:
    """No room at all, some for the removal but not for writing the database anew, and enough."""
    if subprocess.run(["sh", "-c", "unshare --mount mount -t tmpfs tmpfs /mnt"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    (tmp_path / "disk").mkdir()
    command = ["unshare", "--mount", "sh", "-c", TINY, "sh", str(tmp_path / "disk"), str(folder), sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    refused, code, before, left, removed, told, after, again, sound = done.stdout.splitlines()
    assert "check its space and health" in refused
    assert (code, before) == ("exit 2", "24 photos of 6 people: sound.")
    assert "the disk is full; free some space" in left
    assert left.endswith("After that `facerec gallery check` wipes it")
    assert (removed, told) == ("Person 2 and 4 photos are removed.", "exit 1")
    assert (again, after, sound) == (removed, "20 photos of 5 people: sound.", after)


def test_a_copy_that_another_process_is_writing_is_not_left_unfinished(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins once `check` has looked for what killed processes left."""
    draft, began = draft_of(copy_of(folder / "gallery.db", "backup")), threading.Event()

    def write_copy() -> None:
        with Gallery.open(folder) as other, other.store.database.write():
            draft.touch()
            began.set()
            time.sleep(0.3)
            draft.unlink()

    writer = threading.Thread(target=write_copy)
    look = maintenance._drop_free_pages

    def and_meanwhile(store: Store) -> None:
        look(store)
        writer.start()
        began.wait()

    monkeypatch.setattr(maintenance, "_drop_free_pages", and_meanwhile)
    with Gallery.open(folder) as gallery:
        assert gallery.check().problems == ()
        writer.join()


def test_a_draft_that_cannot_be_deleted_is_named(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders let nobody else in
        shutil.copytree(folder, name, dirs_exist_ok=True)
        draft = draft_of(copy_of(Path(name) / "gallery.db", "backup"))
        draft.touch()
        with as_a_user_who_may_only_read(Path(name)), Gallery.open(Path(name)) as gallery:
            assert gallery.check().problems == (f"{draft}: left unfinished by a killed process; delete it",)
        with Gallery.open(Path(name)) as gallery:
            assert gallery.check().problems == ()
        assert not draft.exists()


# ------------------------------------------------------------------------------------------------------ damaged files


def spoiled(content: bytes, seed: int, most: int) -> list[bytes]:
    """The content cut off at `most` places, and with a bit flipped at as many."""
    rng = np.random.default_rng(seed)
    made = [content[: int(end)] for end in rng.integers(0, len(content), most)]
    for place in rng.integers(0, len(content), most):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        made.append(bytes(flipped))
    return made


def test_a_damaged_index_is_made_again(folder: Path) -> None:
    path = folder / "people.cache"
    whole = path.read_bytes()
    for content in spoiled(whole, 0, 15):
        path.write_bytes(content)
        with opened(folder) as gallery:
            assert [nearest(gallery, own[0]) for own in BEFORE.values()] == list(BEFORE)
            assert gallery.check().problems == ()
        assert path.read_bytes() == whole


def test_a_damaged_database_is_restored(folder: Path) -> None:
    """Or the damage is nowhere that counts; what is wrong is said in one line, and a restore brings everybody back."""
    path, copy = folder / "gallery.db", folder / "gallery.db.backup"
    whole, backup = path.read_bytes(), copy.read_bytes()
    told, restored = 0, 0
    for content in spoiled(whole, 1, 40):
        path.write_bytes(content)
        copy.write_bytes(backup)
        problem = trouble(folder)
        if problem is not None:
            told += 1
            assert "\n" not in problem
            assert copy.read_bytes() == backup, "a damaged database replaces no copy"
            if run("gallery", "restore", gallery=folder).exit_code == 0:
                restored += 1
            else:  # what SQLite takes for sound, or a newer facerec's
                assert run("gallery", "restore", "--from", "backup", gallery=folder).exit_code == 0
        assert holds(folder) == BEFORE
    assert told > 40, "a file that is cut off always"
    assert restored > 35


def trouble(folder: Path) -> str | None:
    """What facerec has to say about a gallery, None for a sound one."""
    try:
        with Gallery.open(folder) as gallery:
            problems = gallery.check().problems
            return problems[0] if problems else None
    except GalleryError as error:
        return str(error)


# -------------------------------------------------------------------------------------------------- a read-only folder


def test_restoring_where_nothing_may_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders let nobody else in
        folder = Path(name)
        with opened(folder) as gallery:
            gallery.add("Ann", template(0))
        path = folder / "gallery.db"
        whole = path.read_bytes()
        run("gallery", "restore", gallery=folder)  # what it imports may not be readable to somebody else
        for content, kind, said in (
            (whole, [], "gallery.db: sound, nothing to restore\n"),
            (whole, ["--from", "backup"], "make the gallery's folder writable, then restore\n"),
            (whole[:5000], [], "make the gallery's folder writable, then restore\n"),
            (whole[:5000], ["--from", "backup"], "make the gallery's folder writable, then restore\n"),
        ):
            path.chmod(0o600)
            path.write_bytes(content)
            with as_a_user_who_may_only_read(folder):
                (held,) = json_lines(run("gallery", "restore", "--list", "--json", gallery=folder))
                result = run("gallery", "restore", *kind, gallery=folder)
            assert held["people"] == 1
            assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
            assert result.stderr.endswith(said)
        assert run("gallery", "restore", gallery=folder).exit_code == 0


# ----------------------------------------------------------------------------------------------------- other versions


def test_no_command_touches_a_newer_gallery(folder: Path, tmp_path: Path) -> None:
    sql(folder, f"PRAGMA user_version = {database.VERSION + 1}")
    with closing(sqlite3.connect(folder / "gallery.db.backup")) as copy:
        copy.execute(f"PRAGMA user_version = {database.VERSION + 1}")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for command in (
        ["list"], ["show", "Person 1"], ["rename", "Person 1", "Anna"], ["merge", "Person 1", "Person 2"], ["log"],
        ["remove", "Person 1"], ["expire"], ["consent", "Person 1", "--note", "x"], ["check"], ["rebuild"],
        ["restore"], ["restore", "--from", "backup"], ["export", str(tmp_path / "x.npz")],
    ):  # fmt: skip
        result = run("gallery", *command, gallery=folder)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), command
        assert "written by a newer facerec" in result.stderr, command
        assert "update facerec" in result.stderr, command
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
