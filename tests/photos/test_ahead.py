"""Reading photos ahead: the order, how far ahead, and that nothing goes on once the caller has left."""

import random
import signal
import subprocess
import sys
import threading
import time
from _thread import interrupt_main
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from facerec.errors import ImageError
from facerec.photos import ahead
from facerec.photos.ahead import AHEAD, Read, batches_of, worked_ahead
from facerec.photos.memory import AnyPhoto, MemoryPhoto


def picture(number: int, pixels: int = 1) -> MemoryPhoto:
    return MemoryPhoto(Path(f"photo {number}"), np.full((1, pixels, 3), number, np.uint8))


def values(photos: Sequence[Read]) -> list[int | str]:
    return [str(photo) if isinstance(photo, ImageError) else int(photo.image[0, 0, 0]) for _, photo in photos]


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("facerec-")]


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    yield
    assert workers() == []


def test_batches_come_in_order_with_errors_in_their_place() -> None:
    batches: list[list[AnyPhoto]] = [[], [picture(0), Path("missing.jpg"), picture(1)], [], [picture(2)], []]
    found = list(worked_ahead(batches, values))
    assert found == [[], [0, "missing.jpg: no such file; check the name", 1], [], [2], []]
    assert list(worked_ahead([], values)) == []


def test_a_batch_is_as_long_as_it_is_said_to_be_or_as_large_pictures_let_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "MOST_PIXELS", 10)
    assert [len(batch) for batch in batches_of(map(picture, range(20)), 8, (1, 4))] == [1, 4, 8, 7]
    assert [len(batch) for batch in batches_of((picture(i, 4) for i in range(7)), 8)] == [3, 3, 1]
    assert list(batches_of([], 8)) == []


@pytest.mark.parametrize("seed", range(3))
def test_what_is_worked_on_together_depends_on_the_photos_alone(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Parts of a batch hold 10 pixels, whatever takes how long."""
    monkeypatch.setattr(ahead, "MOST_PIXELS", 10)
    chance, together = random.Random(seed), []

    def slow(photos: Sequence[Read]) -> list[int | str]:
        time.sleep(chance.random() / 500)
        together.append(values(photos))
        return values(photos)

    def photos() -> Iterator[list[AnyPhoto]]:
        for sizes in ([1, 12, 1, 9, 1, 1], [4, 4, 4, 4]):
            time.sleep(chance.random() / 500)
            yield [picture(number, pixels) for number, pixels in enumerate(sizes)]

    assert list(worked_ahead(photos(), slow)) == [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3]]
    assert together == [[0, 1], [2, 3], [4, 5], [0, 1, 2], [3]]


def test_one_batch_is_read_while_another_is_worked_on_and_a_third_is_used() -> None:
    """Each stage waits until the others are where they can only be if all three run at once."""
    reading, working = threading.Event(), threading.Event()

    class Last(MemoryPhoto):
        @property
        def content(self) -> np.ndarray:  # type: ignore[override]
            reading.set()
            return np.zeros((1, 1, 3), np.uint8)

    def work(photos: Sequence[Read]) -> list[int | str]:
        if values(photos) == [1]:
            working.set()
            assert reading.wait(5)
        return values(photos)

    last = Last.__new__(Last)
    object.__setattr__(last, "path", Path("last"))
    for batch in worked_ahead([[picture(0)], [picture(1)], [last]], work):
        assert working.wait(5), batch


def test_reading_and_asking_run_a_few_batches_ahead_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, read = [], []
    monkeypatch.setattr(
        ahead, "read_photo", lambda photo, plain=ahead.read_photo, **how: (read.append(photo), plain(photo))[1]
    )
    photos = (asked.append(i) or picture(i) for i in range(100))
    found = worked_ahead(batches_of(photos, 5), values)
    assert (len(asked), len(read)) == (0, 0)
    for done in range(1, 4):
        next(found)
        time.sleep(0.05)  # what may run ahead does
        assert len(asked) == len(read) == (done + AHEAD) * 5
    found.close()  # type: ignore[attr-defined]
    assert workers() == []


def test_after_very_large_photos_the_next_is_read_once_they_are_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "ALONE", 10)
    read = []
    monkeypatch.setattr(
        ahead, "read_photo", lambda photo, plain=ahead.read_photo, **how: read.append(1) or plain(photo)
    )

    def work(photos: Sequence[Read]) -> list[int]:
        time.sleep(0.02)  # what may be read meanwhile is
        return [len(read)] * len(photos)

    batches: list[list[AnyPhoto]] = [[picture(0, pixels)] for pixels in (1, 12, 1, 12, 12)]
    assert list(worked_ahead(batches, work)) == [[2], [2], [4], [4], [5]]


def test_errors_of_every_stage_reach_the_caller_after_what_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(photos: Sequence[Read]) -> list[int | str]:
        return values(photos) if values(photos) != [2] else [1 // 0]

    def cut_off() -> Iterator[list[AnyPhoto]]:
        yield [picture(0)]
        raise KeyError("the caller's own")

    done = []
    with pytest.raises(ZeroDivisionError):
        done += worked_ahead(([picture(i)] for i in range(9)), broken)
    assert workers() == []
    with pytest.raises(KeyError, match="the caller's own"):
        done += worked_ahead(cut_off(), values)
    assert workers() == []
    monkeypatch.setattr(ahead, "read_photo", lambda photo, **how: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        done += worked_ahead([[picture(0)]], values)


def test_ctrl_c_ends_it() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background, shells ignore it

    def pressed(photos: Sequence[Read]) -> list[int | str]:
        if values(photos) == [5]:
            interrupt_main()
        time.sleep(0.05)
        return values(photos)

    try:
        with pytest.raises(KeyboardInterrupt):
            list(worked_ahead(([picture(i)] for i in range(9)), pressed))
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_program_ends_that_leaves_photos_behind() -> None:
    code = """
from pathlib import Path
from facerec.photos.ahead import worked_ahead
left = worked_ahead(([Path("missing.jpg")] for _ in range(9)), lambda photos: photos)
print(next(left)[0][1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("missing.jpg: no such file")
