"""What waits for a person to decide. The decisions are made by the other requests: enrolling, merging, removing."""

from typing import Any

from fastapi import APIRouter, Response

from facerec.gallery.unknown_rows import KeptFace
from facerec.recognition.waiting import Suggestion
from facerec.server.access import Admin, Reader
from facerec.server.api.common import FaceId, Serving
from facerec.server.api.models import Forgotten, Waiting
from facerec.server.problems import ProblemError
from facerec.server.service import Service

router = APIRouter(prefix="/review", tags=["review"])


@router.get("", response_model=Waiting)
async def review(caller: Reader, service: Serving) -> dict[str, Any]:
    """Show what waits for a person: unknown faces that are kept, photos held back, and doubts about those enrolled."""
    return await service.ask(_waiting, service)


@router.get(
    "/faces/{face}/crop", response_class=Response, responses={200: {"content": {"image/png": {}}, "description": "PNG"}}
)
def crop(face: FaceId, caller: Reader, service: Serving) -> Response:
    """Show a kept face."""
    png = service.unknown_crop(face)
    if png is None:
        raise ProblemError(404, "no-face", "this face is not kept any more")
    return Response(png, media_type="image/png")


@router.delete("/faces", response_model=Forgotten)
async def forget(caller: Admin, service: Serving) -> dict[str, Any]:
    """Forget all kept faces, in every file of the gallery."""
    return {"forgotten": await service.change(caller.by, service.forget_unknown)}


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
