"""The server: the API and the page around one `Service`, behind the checks of `safety`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from facerec.gallery.audit_log import facerec_version
from facerec.server import pages
from facerec.server.access import Access
from facerec.server.api import PREFIX, gallery, people, photos, questions, review
from facerec.server.metrics import Metrics
from facerec.server.problems import MEDIA_TYPE, Problem, add_handlers
from facerec.server.safety import Guard
from facerec.server.service import Service
from facerec.server.settings import ServerSettings

COPY_SECONDS = 600  # after so long, a changed gallery is copied, as a command does when it ends
PROBLEM: dict[int | str, dict[str, Any]] = {"default": {"model": Problem, "description": "A problem (RFC 9457)"}}


class App(FastAPI):
    """FastAPI, with the checks of `safety` around everything, also around its answers to errors."""

    def build_middleware_stack(self) -> ASGIApp:
        """See Starlette."""
        return Guard(super().build_middleware_stack(), self.state.settings, self.state.metrics)

    def openapi(self) -> dict[str, Any]:
        """The description of the API; problems have their own media type."""
        if not self.openapi_schema:
            for path in super().openapi()["paths"].values():
                for operation in path.values():
                    content = operation["responses"].get("default", {}).get("content", {})
                    if "application/json" in content:
                        content[MEDIA_TYPE] = content.pop("application/json")
        return super().openapi()


def make_app(service: Service, settings: ServerSettings) -> FastAPI:
    """The app that serves an open gallery. The caller closes the service."""
    app = App(
        title="facerec",
        version=facerec_version(),
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # it would load scripts from another host
        redoc_url=None,
        lifespan=_keeping_copies,
    )
    app.state.service, app.state.settings = service, settings
    app.state.access, app.state.metrics = Access(settings.keys), Metrics()
    add_handlers(app)
    for resource in (questions, people, photos, gallery, review):
        app.include_router(resource.router, prefix=PREFIX, responses=PROBLEM)
    pages.add_pages(app, service)
    return app


@asynccontextmanager
async def _keeping_copies(app: FastAPI) -> AsyncIterator[None]:
    """Keep a copy of the gallery now and then: a server may run for months before it closes."""
    service: Service = app.state.service

    async def keep() -> None:
        while True:
            await asyncio.sleep(COPY_SECONDS)
            await service.change(None, service.gallery.store.keep_copy)

    task = asyncio.create_task(keep())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
