"""The photos of a request: the files of a form, or the body itself. They stay in memory, and are never a path."""

import sys
from dataclasses import dataclass
from pathlib import PurePosixPath

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser

from facerec.errors import ImageError, TooManyPixelsError
from facerec.photos.memory import MemoryPhoto, photo_of, size_of
from facerec.photos.reading import MAX_PIXELS
from facerec.server.problems import ProblemError
from facerec.server.settings import ServerSettings
from facerec.text import printable

MultiPartParser.spool_max_size = sys.maxsize  # by default, photos above 1 MB would lie in a file meanwhile

FIELD = "photos"
FIELDS, FIELD_BYTES = 20, 100_000  # of a form; one of the page's holds a crop
NAME = 100  # characters of a photo's name that are kept


@dataclass(frozen=True, slots=True)
class Posted:
    """What a request brings: its photos, and the other fields of its form."""

    photos: tuple[MemoryPhoto, ...]
    fields: dict[str, str]


async def form_of(request: Request) -> FormData:
    """The form of a request, within the server's limits; ProblemError (400) for another."""
    most = _settings(request).photos
    try:
        return await request.form(max_files=most, max_fields=FIELDS, max_part_size=FIELD_BYTES)
    except ProblemError:  # of its body
        raise
    except HTTPException as error:
        limits = f"at most {most} files, and {FIELDS} other fields of {FIELD_BYTES // 1000} kB"
        raise ProblemError(400, "form", f"this is no form, or holds too much; send {limits}") from error


async def posted(request: Request) -> Posted:
    """The photos of a request. ProblemError (400, 415) where it has none; TooManyPixelsError for one too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    fields: dict[str, str] = {}
    if kind == "multipart/form-data":
        form = await form_of(request)
        files = [value for key, value in form.multi_items() if key == FIELD and isinstance(value, UploadFile)]
        contents = [(await file.read(), file.filename) for file in files]
        fields = {key: value for key, value in form.multi_items() if isinstance(value, str)}
    elif kind.startswith("image/") or kind == "application/octet-stream":
        contents = [(await request.body(), None)]
    else:
        detail = f"{kind!a:.60} is no photo; send image/..., or multipart/form-data with the field `{FIELD}`"
        raise ProblemError(415, "media-type", detail)
    photos = tuple(_photo(content, name, number) for number, (content, name) in enumerate(contents, 1))
    if not any(photo.content for photo in photos):
        raise ProblemError(400, "no-photo", f"no photo came; send image/..., or a form with the field `{FIELD}`")
    for photo in photos:  # in a thread, as it waits for photos that are being decoded
        await run_in_threadpool(require_pixels, photo, _settings(request).photo_pixels)
    request.app.state.metrics.photos += len(photos)
    return Posted(photos, fields)


def require_pixels(photo: MemoryPhoto, most: int) -> None:
    """TooManyPixelsError for a photo of more than `most`, by its head; what else is wrong shows when it is read."""
    try:
        height, width = size_of(photo)
    except TooManyPixelsError as error:
        raise _too_many_pixels(photo, f"more than {MAX_PIXELS / 1e6:g}", most) from error
    except ImageError:
        return
    if height * width > most:
        raise _too_many_pixels(photo, f"{height * width / 1e6:.0f}", most)


def _too_many_pixels(photo: MemoryPhoto, megapixels: str, most: int) -> TooManyPixelsError:
    said = f"{megapixels} megapixels; the server takes {most / 1e6:g}; scale it down"
    return TooManyPixelsError(f"{printable(photo.path)}: {said}")


def _photo(content: bytes, name: str | None, number: int) -> MemoryPhoto:
    """A photo by the last part of its name, which is for answers only."""
    last = PurePosixPath((name or "").replace("\\", "/")).name[:NAME]
    found = photo_of(content, printable(last) or f"photo {number}")
    assert isinstance(found, MemoryPhoto)
    return found


def _settings(request: Request) -> ServerSettings:
    return request.app.state.settings
