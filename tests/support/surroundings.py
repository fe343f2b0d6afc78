"""Processes that may not write to a folder, or may not let a file grow."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running import run


@contextmanager
def as_a_user_who_may_only_read(folder: Path) -> Iterator[None]:
    """Make a folder read-only. Root may write anyway, so it becomes another user meanwhile."""
    root = os.geteuid() == 0
    for path in (*folder.iterdir(), folder):
        if root:
            os.chown(path, 65534, 65534)
        path.chmod(0o500)
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)


def limited(size: int, *arguments: object, gallery: Path) -> tuple[int, str, str]:
    """Run `facerec ARGUMENTS` in a process whose files may have `size` bytes. Returns exit code, stdout, stderr."""
    resource = pytest.importorskip("resource", reason="no limits on file sizes here")
    output, said = os.pipe()
    child = os.fork()
    if not child:  # must not return to the tests
        logging.getLogger().handlers.clear()  # remove pytest's handlers, so that warnings go to stderr
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            result = run(*arguments, gallery=gallery)
            os.write(said, json.dumps([result.exit_code, result.stdout, result.stderr]).encode())
        finally:
            os._exit(0)
    os.close(said)
    with open(output, encoding="utf-8") as pipe:
        code, stdout, stderr = json.loads(pipe.read())
    os.waitpid(child, 0)
    return code, stdout, stderr
