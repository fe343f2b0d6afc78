"""Who asks, and what they may: by a key, by a session of the page, or from this machine where no key is needed."""

import hmac
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from facerec.errors import ConfigError
from facerec.server.keys import Key, Keys
from facerec.server.posted import form_of
from facerec.server.problems import ProblemError
from facerec.server.sessions import COOKIE, CSRF_FIELD, CSRF_HEADER, Session, Sessions

log = logging.getLogger(__name__)

SAFE = ("GET", "HEAD", "OPTIONS")
LOCAL = Key("local", "admin", "")  # who uses a server without keys
_bearer = HTTPBearer(auto_error=False, description="A key, as `facerec serve --new-key` prints it")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request. by: the name of their key for the gallery's log; None without keys."""

    key: Key
    session: Session | None = None

    @property
    def by(self) -> str | None:
        """The name of the key, as the log has it."""
        return None if self.key is LOCAL else self.key.name

    def require(self, scope: str) -> None:
        """ProblemError (403) unless the caller may do what needs this scope."""
        if not self.key.may(scope):
            detail = f"the key '{self.key.name}' is for {self.key.scope}; this needs one for {scope}"
            raise ProblemError(403, "scope", detail)


class Access:
    """The keys, the sessions and the rates of one server."""

    def __init__(self, keys: Keys | None) -> None:
        self.keys, self.sessions, self._rates = keys, Sessions(), Rates()

    def key_of(self, text: str) -> Key:
        """The key with this text; ProblemError (401) if there is none."""
        with _readable():
            key = self.keys.find(text) if self.keys is not None else LOCAL
        if key is None:
            raise _unknown("no such key; it may be revoked")
        return key

    def caller(self, request: Request, key: str | None) -> Caller:
        """Who makes a request. key: the text of a key that came with it. ProblemError if nobody known does."""
        session = self.sessions.find(request.cookies.get(COOKIE, ""))
        if key is not None:
            found = Caller(self.key_of(key))
        elif session is not None:
            found = Caller(self._key_of_session(session), session)
        elif self.keys is None:
            found = Caller(LOCAL)
        else:
            raise _unknown("a key is needed: send it as `Authorization: Bearer KEY`")
        if found.key is not LOCAL:
            self._rates.take(found.key)
        return found

    def in_session(self, request: Request) -> Caller | None:
        """Who has the session of a request, which then counts for no rate; None without a session."""
        session = self.sessions.find(request.cookies.get(COOKIE, ""))
        try:
            return None if session is None else Caller(self._key_of_session(session), session)
        except ProblemError:  # the key is revoked, or cannot be read
            return None

    def _key_of_session(self, session: Session) -> Key:
        """The key that opened a session. A revoked key ends it, also where another one has its name by now."""
        if session.key is None:
            return LOCAL
        with _readable():
            key = (self.keys.all() if self.keys else {}).get(session.key.name)
        if key is None or key.sha256 != session.key.sha256:
            self.sessions.end(session)
            raise _unknown("the key of this session is revoked")
        return key


async def known_caller(
    request: Request,
    needed: SecurityScopes,
    sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
) -> Caller:
    """A dependency: who makes the request, if they may do what needs these scopes."""
    caller = request.app.state.access.caller(request, sent and sent.credentials)
    for scope in needed.scopes:
        caller.require(scope)
    return caller


async def admitted_caller(request: Request, caller: Annotated[Caller, Depends(known_caller)]) -> AsyncIterator[Caller]:
    """A dependency: as `known_caller`, of a request that the pool lets in, or which gets 503.

    It runs before an endpoint reads the body.
    """
    with request.app.state.service.pool.admitted():
        if caller.session is not None and request.method not in SAFE:
            await require_csrf(request, caller.session)
        yield caller


async def require_csrf(request: Request, session: Session) -> None:
    """Refuse a change in a session unless its token comes along, which no other site's page can read."""
    sent = request.headers.get(CSRF_HEADER)
    if sent is None and "form" in request.headers.get("content-type", ""):
        sent = str((await form_of(request)).get(CSRF_FIELD, ""))
    if sent is None or not hmac.compare_digest(sent.encode(), session.csrf.encode()):
        raise ProblemError(403, "csrf", "the page is out of date; load it again")


class Rates:
    """Token buckets: a key may make `per_minute` requests a minute, and as many at once as in ten seconds."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}  # by key: tokens, and when they were counted

    def take(self, key: Key) -> None:
        """Take a token; ProblemError (429) if none is left."""
        now, most, a_second = time.monotonic(), max(key.per_minute / 6, 1), key.per_minute / 60
        left, since = self._left.get(key.name, (most, now))
        left = min(most, left + (now - since) * a_second)
        self._left[key.name] = (left - 1 if left >= 1 else left, now)
        if left < 1:
            wait = str(int((1 - left) / a_second) + 1)
            detail = f"the key '{key.name}' may make {key.per_minute} requests a minute; wait {wait} s"
            raise ProblemError(429, "rate", detail, {"Retry-After": wait})


@contextmanager
def _readable() -> Iterator[None]:
    """Answer 503 where the file of keys cannot be read any more. Where it lies, and what is wrong, is for the log."""
    try:
        yield
    except ConfigError as error:
        log.error("%s", error)
        raise ProblemError(503, "keys", "the server's keys cannot be read; its log says why") from error


def _unknown(detail: str) -> ProblemError:
    return ProblemError(401, "key", detail, {"WWW-Authenticate": "Bearer"})


Glancer = Annotated[Caller, Security(known_caller, scopes=["read"])]
"""Whoever may read, for what takes no time: it is answered however much the server has to do."""
Reader = Annotated[Caller, Security(admitted_caller, scopes=["read"])]
Enroller = Annotated[Caller, Security(admitted_caller, scopes=["enroll"])]
Admin = Annotated[Caller, Security(admitted_caller, scopes=["admin"])]
