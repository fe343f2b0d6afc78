"""What every request passes before the app sees it: its id, its Host and Origin, the size and time of its body.

FastAPI reads a body before it asks who sends it, and has no time limit, so this stands before it.
"""

import asyncio
import re
import time
from contextlib import suppress
from urllib.parse import urlsplit
from uuid import uuid4

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facerec.server.api import PREFIX
from facerec.server.metrics import Metrics
from facerec.server.problems import ProblemError, is_for_a_person, problem_response
from facerec.server.settings import ServerSettings

REQUEST_ID = "X-Request-ID"
_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # under no-referrer, browsers hide the Origin of a form
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
DRAINED = 10  # times the largest body is read on from a browser that sends more
NO_STORE = "no-store"  # names and faces stay in no cache


class Guard:
    """Middleware around the whole app, its errors included."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, began = Request(scope), time.monotonic()
        given = request.headers.get(REQUEST_ID, "")
        request.state.request_id = given if _ID.fullmatch(given) else uuid4().hex

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_headers(message, request.state.request_id)
                self._metrics.count(scope["method"], route_of(scope), message["status"], time.monotonic() - began)
            await send(message)

        try:
            require_own_host(request, self._settings)
            body = _Body(receive, request, self._settings)
        except ProblemError as error:
            if error.status_code == 413 and is_for_a_person(request):
                await drain(receive, self._settings)
            await problem_response(request, error)(scope, receive, send_with_headers)
            return
        await self._app(scope, body.receive, send_with_headers)


async def drain(receive: Receive, settings: ServerSettings) -> None:
    """Read on and keep nothing: a browser that is still sending shows no answer. There is an end to that, too."""
    left, more = DRAINED * settings.body_bytes, True
    with suppress(TimeoutError):
        async with asyncio.timeout(settings.request_seconds):
            while more and left > 0:
                message = await receive()
                left, more = left - len(message.get("body", b"")), message.get("more_body", False)


def route_of(scope: Scope) -> str:
    """The path of a request with its parameters' names, so that there are few of them."""
    route, path = getattr(scope.get("route"), "path", None), scope["path"]
    if route is None:
        return "/static" if path.startswith("/static/") else "none"
    return f"{PREFIX}{route}" if path.startswith(PREFIX) and not route.startswith(PREFIX) else route


def add_headers(message: Message, request_id: str) -> None:
    """Add what every answer has."""
    headers = MutableHeaders(scope=message)
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("Cache-Control", NO_STORE)
    headers[REQUEST_ID] = request_id


def require_own_host(request: Request, settings: ServerSettings) -> None:
    """Refuse a request for another name of this machine, and one that another site's page makes.

    The first is how a page elsewhere reads a server at home (DNS rebinding), the second how it changes something there.
    """
    host = request.headers.get("host", "")
    if _name_of(host) not in settings.hosts:
        detail = f"the server does not answer for {host!a:.80}; name it by `allowed_host`"
        raise ProblemError(400, "foreign-host", detail)
    origin = request.headers.get("origin")
    if origin is not None and _authority(origin) != host.lower():
        raise ProblemError(403, "foreign-origin", f"a page of {origin!a:.80} may not use this server")
    elsewhere = request.headers.get("sec-fetch-site") in ("cross-site", "same-site")  # or another port of this machine
    if elsewhere and (request.method != "GET" or request.headers.get("sec-fetch-mode") != "navigate"):
        raise ProblemError(403, "foreign-origin", "a page of another site may not use this server")


def _authority(origin: str) -> str:
    """The `name:port` of an Origin; "" for what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name_of(host: str) -> str:
    """The name in `name:port`, without brackets; "" for what is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


class _Body:
    """The body of a request, which is refused where it is too large or too slow."""

    def __init__(self, receive: Receive, request: Request, settings: ServerSettings) -> None:
        self._receive, self._most, self._seconds = receive, settings.body_bytes, settings.request_seconds
        self._until = time.monotonic() + settings.request_seconds
        self._size = 0
        self._whole = False
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 12 or int(length) > self._most:
            raise self._too_large()

    async def receive(self) -> Message:
        """The next part. Once the body is there, no time limit holds: the app may wait for the client to go."""
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(self._until - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            detail = f"the request did not arrive within {self._seconds:g} s; send less at a time"
            raise ProblemError(408, "too-slow", detail, {"Connection": "close"}) from None
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._size > self._most:
            raise self._too_large()
        return message

    def _too_large(self) -> ProblemError:
        detail = f"the request is larger than {self._most / 1e6:g} MB; send fewer photos, or smaller ones"
        return ProblemError(413, "too-large", detail, {"Connection": "close"})
