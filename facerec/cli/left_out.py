"""What a command's walks through folders passed over, said in one line."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from facerec.photos import folders


@contextmanager
def told_at_the_end(tell: Callable[[str], None]) -> Iterator[None]:
    """Keep the warnings of `photos.folders` until the end, and pass them to `tell` as one; a path is counted once."""
    kept = _Kept()
    folders.log.addHandler(kept)
    before, folders.log.propagate = folders.log.propagate, False
    try:
        yield
    finally:
        folders.log.removeHandler(kept)
        folders.log.propagate = before
        if any(kept.left_out):
            tell(str(kept.left_out))


class _Kept(logging.Handler):
    """Adds up what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.left_out = folders.LeftOut()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a warning of `photos.folders`."""
        (left_out,) = cast("tuple[folders.LeftOut]", record.args)
        self.left_out = self.left_out.joined(left_out)
