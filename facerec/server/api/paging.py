"""Lists in pages: an opaque cursor says where the last one ended, whatever was added or removed since."""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from facerec.server.problems import ProblemError

T = TypeVar("T")
K = TypeVar("K", str, int)

Cursor = Annotated[str | None, Query(max_length=1000, description="What the page before has as next")]
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most")]


def page_of(
    items: Iterable[T], key: Callable[[T], K], cursor: str | None, limit: int, kind: type[K]
) -> tuple[list[T], str | None]:
    """The items after a cursor, `limit` at most, and the next cursor; None if they are the last.

    items: in the order of their keys, which are texts or numbers (`kind`) and all different.
    """
    after = after_of(cursor, kind)
    return first_of([item for item in items if after is None or key(item) > after], key, limit)


def after_of(cursor: str | None, kind: type[K]) -> K | None:
    """The key after which a page begins; None without a cursor, at the beginning. ProblemError for a foreign cursor."""
    return None if cursor is None else _decoded(cursor, kind)


def first_of(rest: Sequence[T], key: Callable[[T], K], limit: int) -> tuple[list[T], str | None]:
    """The first `limit` of what is left, and the next cursor; None if they are all."""
    return list(rest[:limit]), _encoded(key(rest[limit - 1])) if len(rest) > limit else None


def _encoded(key: str | int) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _decoded(cursor: str, kind: type[K]) -> K:
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, binascii.Error, RecursionError):
        key = None
    if not isinstance(key, kind) or isinstance(key, bool):
        raise ProblemError(422, "cursor", "this cursor is none of this list; begin without one")
    return key
