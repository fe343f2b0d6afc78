"""Processes that are killed at a chosen moment. They are forked, so that hundreds of them take seconds."""

import gc
import os
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import toy_gallery

from facerec.gallery.address import Place
from facerec.gallery.gallery import Gallery
from facerec.gallery.sqlcipher import require_library

_FILES = {"os.remove", "os.rename", "open", "os.truncate", "shutil.copyfile"}


def killed_before(step: int, work: Callable[[], Any]) -> bool:
    """Run `work` in another process and kill it before its `step`-th SQL statement or change of a file.

    Returns False if the process ended before that.
    """
    child = os.fork()
    if not child:
        _kill_before(step)
        _run(work)
    return _ended(child)


def killed_after(seconds: float, work: Callable[[], Any]) -> bool:
    """Run `work` in another process and kill it after some seconds. Returns False if it ended before that."""
    child = os.fork()
    if not child:
        _run(work)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return _ended(child)


def _run(work: Callable[[], Any]) -> None:
    """Run `work` and end the process: the child must not return to the tests."""
    gc.freeze()  # networks that other tests left as garbage wait for their threads when they go; a fork has none
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _ended(child: int) -> bool:
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the work failed"
    return False


def _kill_before(step: int) -> None:
    left = [step]

    def count(*_: Any) -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(event: str, arguments: Any) -> None:
        if event in _FILES and ".py" not in str(arguments[0]):
            count()

    def counting(open_database: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
        def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
            db = open_database(*arguments, **options)
            db.set_trace_callback(count)
            return db

        return connect

    libraries: list[Any] = [sqlite3, require_library()]
    for library in libraries:
        library.connect = counting(library.connect)
    sys.addaudithook(heard)


def everything_in(folder: Place) -> bytes:
    """Return the bytes of all files in a folder, and of the server's files of the gallery that stands for it."""
    assert isinstance(folder, Path)
    served = b"" if toy_gallery.SERVER is None else toy_gallery.SERVER.tables_of(folder)
    return served + b"\0\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def photos_in(gallery: Gallery) -> dict[str, list[int]]:
    """Return the numbers of each person's photos (see toy_gallery.py)."""
    return {p.name: sorted(int(t.photo_hash, 16) for t in gallery.show(p.name)) for p in gallery.people()}
