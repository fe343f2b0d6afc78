"""Sessions of people who use the page: a cookie that no script can read, and a token that every change must repeat."""

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass

from fastapi import Request, Response

from facerec.server.keys import Key

COOKIE = "facerec_session"
CSRF_FIELD, CSRF_HEADER = "csrf", "X-CSRF-Token"  # of a form, or of a script's request
SECONDS, MOST = 12 * 3600, 1000  # a session lasts, and how many there may be


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is let in. key: the key that opened it; None where none is needed.

    token: the cookie's value. csrf: what forms and scripts must send along to change something. until: by
    `time.monotonic`.
    """

    token: str
    csrf: str
    key: Key | None
    until: float


def give_cookie(request: Request, response: Response, session: Session) -> None:
    """Send a session's cookie. No script reads it, no other site's page sends it; through TLS it never goes without."""
    secure = request.headers.get("x-forwarded-proto") == "https"  # as Caddy says; nginx must be told to
    response.set_cookie(COOKIE, session.token, max_age=SECONDS, httponly=True, samesite="strict", secure=secure)


class Sessions:
    """The open sessions, in memory only: all end with the server."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Session] = OrderedDict()

    def begin(self, key: Key | None) -> Session:
        """Open a session. The oldest ends if there are too many."""
        session = Session(secrets.token_urlsafe(32), secrets.token_urlsafe(32), key, time.monotonic() + SECONDS)
        self._open[session.token] = session
        if len(self._open) > MOST:
            self._open.popitem(last=False)
        return session

    def find(self, token: str) -> Session | None:
        """The open session of a cookie."""
        session = self._open.get(token)
        if session is not None and session.until < time.monotonic():
            self.end(session)
            return None
        return session

    def end(self, session: Session) -> None:
        """Close a session."""
        self._open.pop(session.token, None)
