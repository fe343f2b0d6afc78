"""Errors as problem documents (RFC 9457), with the same one line that the command line prints."""

import logging
import os
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from facerec.errors import (
    ConfigError,
    DamagedGalleryError,
    FacerecError,
    ForeignDetectorError,
    ForeignModelError,
    GalleryError,
    ImageError,
    NoFaceError,
    NotKeptError,
    PassphraseError,
    UnfitValueError,
    UnknownPersonError,
)
from facerec.gallery.address import Place
from facerec.server.api import PREFIX
from facerec.server.pool import BusyError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUS: tuple[tuple[type[FacerecError], int], ...] = (  # the first that fits
    (BusyError, 503),
    (UnknownPersonError, 404),
    (NotKeptError, 404),
    (UnfitValueError, 422),
    (DamagedGalleryError, 500),
    (ForeignModelError, 500),
    (ForeignDetectorError, 500),
    (PassphraseError, 500),
    (GalleryError, 409),
    (ImageError, 422),
    (NoFaceError, 422),
    (ConfigError, 422),
)
RETRY_AFTER = {"Retry-After": "1"}  # seconds


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Which kind of problem it is", examples=["urn:facerec:unknown-person"])
    title: str = Field(description="The status in words", examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="One line: what is wrong, and what to do")
    request_id: str = Field(description="The X-Request-ID of the answer")


class ProblemError(HTTPException):
    """A request that is refused. kind: the last part of the problem's type."""

    def __init__(
        self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None, **more: object
    ) -> None:
        super().__init__(status, detail, headers)
        self.kind, self.more = kind, more


def problem_of(request: Request, error: Exception) -> Problem:
    """The document that tells of an error."""
    status, kind = 500, "internal"
    more: dict[str, object] = {}
    detail = "an error in facerec; its log names this request by its id"
    if isinstance(error, FacerecError):
        status = next((status for type_, status in STATUS if isinstance(error, type_)), 500)
        kind, detail = _words(type(error).__name__.removesuffix("Error")), str(error)
    elif isinstance(error, RequestValidationError):
        status, kind, detail = 422, "invalid", _one_line(error)
    elif isinstance(error, HTTPException):
        status, kind, detail = error.status_code, _words(HTTPStatus(error.status_code).phrase), error.detail
    if isinstance(error, ProblemError):
        kind, more = error.kind, error.more
    if hasattr(request.app.state, "service"):
        detail = without_folder(detail, request.app.state.service.gallery.folder)
    title, request_id = HTTPStatus(status).phrase, getattr(request.state, "request_id", "")
    document = {"type": f"urn:facerec:{kind}", "title": title, "status": status, "detail": detail}
    return Problem.model_validate(document | {"request_id": request_id} | more)


def without_folder(text: str, folder: Place) -> str:
    """A message about a gallery, without the folder: where it lies is nobody's business."""
    return text.replace(f"{folder}: ", "").replace(f"{folder}{os.sep}", "")


def problem_response(request: Request, error: Exception) -> Response:
    """The answer that tells of an error: a page for a person (`app.state.error_page`), else a problem document."""
    problem = problem_of(request, error)
    headers = dict(getattr(error, "headers", None) or {}) | (RETRY_AFTER if isinstance(error, BusyError) else {})
    if problem.status >= 500 and not isinstance(error, BusyError):
        log.error("request %s: %s", problem.request_id, error)
    if not is_for_a_person(request):
        return JSONResponse(problem.model_dump(), problem.status, headers, MEDIA_TYPE)
    page: Response = request.app.state.error_page(request, problem)
    page.headers.update(headers)
    return page


def is_for_a_person(request: Request) -> bool:
    """Whether a person at a browser will see the answer: what is no request to the API, but one for a page."""
    asked = "text/html" in request.headers.get("accept", "") or "hx-request" in request.headers
    return getattr(request.state, "is_page", asked and not request.url.path.startswith(PREFIX))


def add_handlers(app: FastAPI) -> None:
    """Answer every error by `problem_response`."""
    for kind in (FacerecError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answered)
    app.add_exception_handler(ClientDisconnect, _nobody_waits)


async def _answered(request: Request, error: Exception) -> Response:
    return problem_response(request, error)


async def _nobody_waits(request: Request, error: Exception) -> Response:
    """The client broke off while it sent its photos. That is no error of the server; nobody reads the answer."""
    return Response(status_code=400)


def _words(name: str) -> str:
    """`UnknownPerson` and `Not Found` as `unknown-person` and `not-found`."""
    parts = "".join(f" {letter}" if letter.isupper() else letter for letter in name).split()
    return "-".join(parts).lower()


def _one_line(error: RequestValidationError) -> str:
    """What pydantic finds wrong: `top: Input should be greater than or equal to 1`."""
    faults = (f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors())
    return "; ".join(fault.removeprefix(": ") for fault in faults)
