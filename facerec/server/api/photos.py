"""The enrolled photos of a person, and their crops."""

from typing import Any

from fastapi import APIRouter, Request, Response

from facerec.gallery.queries import StoredTemplate
from facerec.server.access import Admin, Enroller, Glancer, Reader
from facerec.server.api.common import PersonId, PhotoId, Serving, photos_body
from facerec.server.api.models import EnrolledPhotos, Enrollment, Removal
from facerec.server.api.paging import Cursor, Limit, page_of
from facerec.server.api.people import Again, Force, Meant, Several, enroll_as, removed
from facerec.server.posted import posted
from facerec.server.problems import ProblemError

router = APIRouter(prefix="/people/{person}/photos", tags=["photos"])


@router.get("", response_model=EnrolledPhotos)
def list_photos(
    person: PersonId, caller: Reader, service: Serving, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, Any]:
    """List a person's photos, oldest first."""
    found, more = page_of(service.photos(person), lambda photo: photo.number or 0, cursor, limit, int)
    return {"photos": [_photo(each) for each in found], "next": more}


@router.post(
    "", response_model=Enrollment, response_model_exclude_unset=True, status_code=201, openapi_extra=photos_body()
)
async def enroll(
    person: PersonId,
    request: Request,
    response: Response,
    caller: Enroller,
    service: Serving,
    several: Several = "main",
    face: Meant = None,
    force: Force = False,
    again: Again = False,
) -> dict[str, Any]:
    """Enroll more photos of a person. A photo that is enrolled already is skipped."""
    sent, rules = await posted(request), {"several": several, "face": face, "force": force, "again": again}
    return await enroll_as(service, caller.by, person, sent, response, **rules)


@router.delete("/{photo}", response_model=Removal)
async def remove(person: PersonId, photo: PhotoId, caller: Admin, service: Serving) -> dict[str, Any]:
    """Remove one photo of a person; with the last of their photos, the person."""
    return await removed(service, caller.by, person, photo, dry_run=False)


@router.get("/{photo}/crop", response_class=Response, responses={200: {"content": {"image/png": {}}}})
def crop(person: PersonId, photo: PhotoId, caller: Glancer, service: Serving) -> Response:
    """Show the aligned face of a photo, where the gallery keeps crops."""
    png = service.crop(person, photo)
    if png is None:
        raise ProblemError(404, "no-crop", "no crop of this photo is kept; `facerec enroll --keep-crops` keeps them")
    return Response(png, media_type="image/png")


def _photo(photo: StoredTemplate) -> dict[str, Any]:
    line = {"id": photo.number, "photo_hash": photo.photo_hash, "source": photo.source, "box": list(photo.box)}
    return line | {"quality": photo.quality, "enrolled": photo.enrolled}
