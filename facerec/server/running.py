"""Running the app in uvicorn, with limits for clients that connect and then do nothing."""

import asyncio
import ctypes
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from facerec.errors import ConfigError
from facerec.server.settings import ServerSettings

CONNECTIONS = 256  # at a time, idle ones among them
HEAD_SECONDS = 10.0  # within which the head of a request must have arrived; `safety` limits its body
HEAD_BYTES = 16_384
GRACE = 20  # seconds that requests have to end when the server is stopped
_M_MMAP_THRESHOLD, _LARGE = -3, 1_000_000  # mallopt's parameter, and its value in bytes


class Patient(H11Protocol):
    """uvicorn's protocol, which closes a connection whose request does not begin in time."""

    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait no longer once a request's head is there; a kept connection waits again from its first byte on."""
        if self._due is None and (self.cycle is None or self.cycle.response_complete):
            self._wait()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._due = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None


def serve_forever(app: FastAPI, settings: ServerSettings, bound: socket.socket, tell: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; requests that are here then are answered.

    bound: as `listening` gives it. tell: is given the address.
    """
    with suppress(KeyboardInterrupt):
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # uvicorn raises it again when all is answered
        name = f"[{settings.host}]" if ":" in settings.host else settings.host
        tell(f"http://{name}:{bound.getsockname()[1]}/")
        server_of(app).run([bound])


def return_memory() -> None:
    """Have large blocks go back to the system as soon as they are freed (glibc; elsewhere nothing happens).

    By default glibc keeps freed blocks of up to 32 MB, for each of several threads. With photos of all sizes in many
    threads, most of it lies between blocks in use and is never used again: a server grew to twice its size.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)


def listening(settings: ServerSettings) -> socket.socket:
    """A socket that accepts connections; ConfigError where there can be none."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=CONNECTIONS)
    except OSError as error:
        where = f"{settings.host}, port {settings.port}"
        raise ConfigError(f"{where}: cannot listen there ({error.strerror}); give another `host` or `port`") from error


def server_of(app: FastAPI) -> uvicorn.Server:
    """A server that is ready to run on such a socket."""
    config = uvicorn.Config(
        app,
        http=Patient,
        ws="none",
        loop="asyncio",
        log_config=None,  # facerec's own
        access_log=False,  # addresses of people who look at faces, and names in them, are nobody's business
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_graceful_shutdown=GRACE,
    )
    return uvicorn.Server(config)
