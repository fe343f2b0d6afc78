"""incoming.py: a folder that fills up. The clock is the test's own."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy_model
from toy_video import picture, write_video

from facerec.errors import DataError
from facerec.photos.incoming import SETTLED, Incoming


class Clock:
    """Time that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "inbox"
    made.mkdir()
    return made


@pytest.fixture
def incoming(folder: Path, clock: Clock) -> Incoming:
    return Incoming(folder, clock=clock)


def look(incoming: Incoming, clock: Clock, seconds: float = SETTLED) -> list[str]:
    """Let time go by. Returns the names of the files that are ready then."""
    clock.now += seconds
    return [path.name for path in incoming.look()]


def test_a_file_is_ready_once_it_has_not_changed_for_a_while(folder: Path, incoming: Incoming, clock: Clock) -> None:
    whole = toy_model.save_crop(folder.parent / "whole.png", 0, 0).read_bytes()
    half = folder / "party.png"
    for end in (0, 100, 200, 300):
        half.write_bytes(whole[:end])
        assert look(incoming, clock, 0.9 * SETTLED) == []
    half.write_bytes(whole)
    assert look(incoming, clock) == [], "it was not looked at since it was changed"
    assert look(incoming, clock, 0.6 * SETTLED) == []
    assert look(incoming, clock, 0.6 * SETTLED) == ["party.png"]
    assert look(incoming, clock) == []


def test_an_empty_file_is_waited_for(folder: Path, incoming: Incoming, clock: Clock) -> None:
    (folder / "later.png").touch()
    assert look(incoming, clock) == look(incoming, clock, 1000) == []


def test_photos_and_videos_are_taken_and_nothing_else(folder: Path, incoming: Incoming, clock: Clock) -> None:
    toy_model.save_crop(folder / "sub" / "deep" / "a.png", 0, 0)
    toy_model.save_crop(folder / "b.png", 0, 1).rename(folder / "no_ending")
    toy_model.save_crop(folder / "c.png", 0, 1).rename(folder / "c.png.part")
    toy_model.save_crop(folder / ".hidden.png", 0, 1)
    toy_model.save_crop(folder / "@eaDir" / "d.png", 0, 1)
    write_video(folder / "e.mp4", [picture(0)] * 3)
    (folder / "notes.txt").write_text("notes", "utf-8")
    assert look(incoming, clock) == []
    assert sorted(look(incoming, clock)) == ["a.png", "e.mp4", "no_ending"]
    (folder / "c.png.part").rename(folder / "c.png")
    assert look(incoming, clock) == []
    assert look(incoming, clock) == ["c.png"]


def test_a_file_that_changes_later_is_taken_again(folder: Path, incoming: Incoming, clock: Clock) -> None:
    for photo in (0, 1):
        toy_model.save_crop(folder / "door.png", photo, 0)
        assert look(incoming, clock) == []
        assert look(incoming, clock) == ["door.png"]
    (folder / "door.png").unlink()
    assert look(incoming, clock) == []
    assert incoming.remembered == 0, "what is gone is forgotten"


def test_a_folder_that_is_away_for_a_while(
    folder: Path, incoming: Incoming, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    toy_model.save_crop(folder / "a.png", 0, 0)
    look(incoming, clock)
    assert look(incoming, clock) == ["a.png"]
    folder.rename(folder.parent / "away")
    assert look(incoming, clock) == look(incoming, clock) == []
    assert caplog.text.count("waiting until it is back") == 1
    (folder.parent / "away").rename(folder)
    toy_model.save_crop(folder / "b.png", 0, 1)
    look(incoming, clock)
    assert look(incoming, clock) == ["b.png"], "a.png was taken before"


def test_a_folder_that_is_not_there(folder: Path) -> None:
    shutil.rmtree(folder)
    with pytest.raises(DataError, match="No such file"):
        Incoming(folder)


def test_batches_come_until_they_are_stopped(folder: Path) -> None:
    stopped = threading.Event()
    toy_model.save_crop(folder / "a.png", 0, 0)
    batches: Iterator[list[Path]] = Incoming(folder, settled=0).batches(stopped, pause=0.01)
    assert next(batches) == [folder / "a.png"]
    toy_model.save_crop(folder / "b.png", 0, 0)
    assert next(batches) == [folder / "b.png"]
    stopped.set()
    assert list(batches) == []
