"""What waits for a person to decide, and the answers about unknown faces. People are settled in `people`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from facerec.gallery.unknown_rows import KeptFace
from facerec.recognition.waiting import Suggestion
from facerec.server.access import Enroller, Glancer, Reader
from facerec.server.api.common import FaceId, Serving
from facerec.server.api.models import Enrollment, FacesNotOf, FacesOf, Forgotten, Number, Vetoed, Waiting
from facerec.server.api.people import told
from facerec.server.service import Service

router = APIRouter(prefix="/review", tags=["review"])


@router.get("", response_model=Waiting)
async def review(caller: Reader, service: Serving) -> dict[str, Any]:
    """Show what waits for a person: unknown faces that are kept, photos held back, and doubts about those enrolled."""
    return await service.ask(_waiting, service)


@router.get(
    "/faces/{face}/crop", response_class=Response, responses={200: {"content": {"image/png": {}}, "description": "PNG"}}
)
def crop(face: FaceId, caller: Glancer, service: Serving) -> Response:
    """Show a kept face."""
    return Response(service.unknown_crop(face), media_type="image/png")


@router.post("/faces/enroll", response_model=Enrollment, response_model_exclude_unset=True, status_code=201)
async def enroll(what: FacesOf, response: Response, caller: Enroller, service: Serving) -> dict[str, Any]:
    """Enroll kept faces as one person. A face that is enrolled is not kept as unknown any more."""
    done = await service.change(caller.by, service.enroll_unknown, what.who, what.faces, force=what.force)
    return told(done, response)


@router.post("/faces/not-same", response_model=Vetoed)
async def not_same(what: FacesNotOf, caller: Enroller, service: Serving) -> dict[str, Any]:
    """Remember that kept faces are not a person, who is then never suggested for them again. They are kept."""
    return {"added": await service.change(caller.by, service.veto_unknown, what.person, what.faces)}


@router.delete("/faces", response_model=Forgotten)
async def forget(
    caller: Enroller,
    service: Serving,
    face: Annotated[list[Number] | None, Query(description="Only these")] = None,
) -> dict[str, Any]:
    """Forget kept faces, all or some, in every file of the gallery."""
    return {"forgotten": await service.change(caller.by, service.forget_unknown, face)}


def _waiting(service: Service) -> dict[str, Any]:
    found, numbers = service.waiting(), service.numbers()
    return {
        "near": [_suggestion(each, numbers) for each in found.near],
        "held_back": [_suggestion(each, numbers) for each in found.held_back],
        "groups": [[_kept(face) for face in group] for group in found.groups],
        "alike": [
            {
                "people": [pair.person, pair.other],
                "ids": [numbers.get(pair.person), numbers.get(pair.other)],
                "distance": pair.distance,
            }
            for pair in found.alike
        ],
        "doubts": [
            {
                "person": doubt.person,
                "person_id": numbers.get(doubt.person),
                "photo_id": doubt.photo.number,
                "reason": doubt.reason,
            }
            for doubt in found.doubts
        ],
    }


def _suggestion(each: Suggestion, numbers: dict[str, int]) -> dict[str, Any]:
    nearest = {"person": each.person, "person_id": numbers.get(each.person), "distance": each.distance}
    return {"face": _kept(each.face), "nearest": nearest, "within": each.within}


def _kept(face: KeptFace) -> dict[str, Any]:
    line = {"id": face.number, "source": face.source, "box": list(face.box), "quality": face.quality}
    return line | {"seen": face.seen, "until": face.until, "claimed": face.claimed}
