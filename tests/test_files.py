"""Files are whole or as they were: after an error, a kill at any system call, or a full disk; and for whom they are."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from facerec.files import draft_of, put, replacing, require_writable, unlink, write_bytes, write_json, write_text

KINDS = [{"unique": False}, {"unique": True}]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "file.bin"
    path.write_bytes(b"old")
    return path


def names(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


# -------------------------------------------------------------------------------------------------------------- whole


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_text_and_json_replace_what_was_there(kind: dict[str, bool], target: Path) -> None:
    write_bytes(target, b"new", **kind)
    assert target.read_bytes() == b"new"
    write_text(target, "Çelik\n", **kind)
    assert target.read_bytes() == "Çelik\n".encode()
    write_json(target, {"name": "Çelik", "numbers": [1, 2]})
    assert json.loads(target.read_text("utf-8")) == {"name": "Çelik", "numbers": [1, 2]}
    assert target.read_text("utf-8").startswith('{\n  "name": "Çelik"')
    assert names(target) == ["file.bin"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_old_file_is_there_until_the_new_one_is_whole(kind: dict[str, bool], target: Path) -> None:
    with replacing(target, **kind) as draft:
        assert draft.parent == target.parent, "a draft elsewhere could not take the target's place in one step"
        assert draft.read_bytes() == b""
        draft.write_bytes(b"ne")
        assert target.read_bytes() == b"old"
        with draft.open("ab") as file:
            file.write(b"w")
    assert target.read_bytes() == b"new"
    assert names(target) == ["file.bin"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_on_the_way_leaves_the_old_file_alone(
    kind: dict[str, bool], error: type[BaseException], target: Path
) -> None:
    def interrupted() -> None:
        with replacing(target, **kind) as draft:
            draft.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert target.read_bytes() == b"old"
    assert names(target) == ["file.bin"]


def test_the_users_own_file_of_a_drafts_name_is_not_touched(target: Path) -> None:
    mine = draft_of(target)
    mine.write_text("mine")
    require_writable(target, unique=True)
    write_bytes(target, b"new", unique=True)
    assert mine.read_text() == "mine"
    assert names(target) == ["file.bin", "file.bin.draft"]


def test_a_link_in_the_drafts_place_is_not_followed(target: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("other")
    draft_of(target).symlink_to(other)
    write_bytes(target, b"new")
    assert (target.read_bytes(), other.read_text()) == (b"new", "other")
    assert not target.is_symlink()


# -------------------------------------------------------------------------------------------------------- permissions


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_private_files_are_the_owners_and_others_as_the_umask_says(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        for unique in (False, True):
            write_bytes(tmp_path / "private", b"", private=True, unique=unique)
            write_bytes(tmp_path / "public", b"", unique=unique)
            assert (mode(tmp_path / "private"), mode(tmp_path / "public")) == (0o600, 0o666 & ~umask)
            with replacing(tmp_path / "private", private=True, unique=unique) as draft:
                assert mode(draft) == 0o600, "from its first byte on"
    finally:
        os.umask(before)


def test_a_draft_that_a_kill_left_open_to_all_is_not_used_again(target: Path) -> None:
    draft_of(target).write_bytes(b"left")
    draft_of(target).chmod(0o666)
    write_bytes(target, b"new", private=True)
    assert mode(target) == 0o600
    assert names(target) == ["file.bin"]


# ------------------------------------------------------------------------------------------- full and read-only disks


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_the_old_file_and_no_draft(
    kind: dict[str, bool], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        write_bytes(target, b"new", **kind)
    assert target.read_bytes() == b"old"
    assert names(target) == ["file.bin"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_fills_up_while_it_is_written_to(kind: dict[str, bool], target: Path) -> None:
    code = f"""
import resource, signal
from pathlib import Path
from facerec.files import write_bytes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_bytes(Path({str(target)!r}), bytes(200_000), unique={kind["unique"]})
except OSError as error:
    print(error.strerror)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "File too large\n"
    assert target.read_bytes() == b"old"
    assert names(target) == ["file.bin"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["no/such/folder/file", "file.bin/below", "folder"])
def test_where_no_file_can_be_made(kind: dict[str, bool], place: str, target: Path) -> None:
    (target.parent / "folder").mkdir()
    before = names(target)
    with pytest.raises(OSError, match=r"."):
        write_bytes(target.parent / place, b"new", **kind)
    if place != "folder":  # a folder takes files; that it is no file itself shows when it is to be replaced
        with pytest.raises(OSError, match=r"."):
            require_writable(target.parent / place, **kind)
    assert names(target) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_look_before_the_work_changes_nothing(kind: dict[str, bool], target: Path) -> None:
    require_writable(target, **kind)
    assert target.read_bytes() == b"old"
    assert names(target) == ["file.bin"]


def test_a_file_system_that_syncs_no_folders(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def of_files(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(22, "Invalid argument")
        real(file)

    monkeypatch.setattr(os, "fsync", of_files)
    write_bytes(target, b"new")
    assert target.read_bytes() == b"new"


# ------------------------------------------------------------------------------------------------ power cuts and kills


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is done to the disk, in order: ("sync", name) and ("replace", name of the target)."""
    done: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(file: int) -> None:
        done.append(("sync", Path(os.readlink(f"/proc/self/fd/{file}")).name))
        fsync(file)

    def noted_replace(source: Path, target: Path) -> None:
        done.append(("replace", target.name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    return done


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux's /proc")
def test_the_bytes_reach_the_disk_before_the_name_and_the_name_before_it_returns(
    target: Path, calls: list[tuple[str, str]]
) -> None:
    write_bytes(target, b"new")
    assert calls == [("sync", "file.bin.draft"), ("replace", "file.bin"), ("sync", "folder")]
    calls.clear()
    draft = target.with_name("other")
    draft.write_bytes(b"newer")
    put(draft, target)
    assert calls == [("sync", "other"), ("replace", "file.bin"), ("sync", "folder")]
    calls.clear()
    unlink([target, target.with_name("missing")])
    assert calls == [("sync", "folder")]
    assert names(target) == []


def killed_at(step: str, target: Path, unique: bool) -> None:
    """Write `new` to the target in a process that kills itself right before a step."""
    code = f"""
import os, signal
from pathlib import Path
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
from facerec import files
target = Path({str(target)!r})
{step}
files.write_bytes(target, b"new", unique={unique})
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL


@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize("step", ["Path.write_bytes = die", "os.fsync = die", "os.replace = die"])
def test_a_kill_leaves_the_old_file_and_at_most_a_draft(step: str, unique: bool, target: Path) -> None:
    killed_at(step, target, unique)
    assert target.read_bytes() == b"old"
    assert len(names(target)) == 2
    if not unique:
        killed_at(step, target, unique)
        assert names(target) == ["file.bin", "file.bin.draft"], "however often it is killed"
        write_bytes(target, b"new")
        assert names(target) == ["file.bin"]


def test_a_kill_once_the_file_is_replaced_leaves_the_new_one(target: Path) -> None:
    killed_at(
        "settle = files.settle; files.settle = lambda path: die() if path.is_dir() else settle(path)", target, False
    )
    assert target.read_bytes() == b"new"
    assert names(target) == ["file.bin"]
