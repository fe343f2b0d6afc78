"""Who is in photos, whether two show one person, and which faces are there."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from facerec.recognition import answers
from facerec.server.access import Reader
from facerec.server.api.common import Serving, photos_body
from facerec.server.api.models import Answers, FoundPhotos, Verified
from facerec.server.posted import posted
from facerec.server.problems import ProblemError
from facerec.server.results import Seen

router = APIRouter(tags=["questions"])
Distance = Annotated[float | None, Query(ge=0, le=4, description="The largest distance that is a match")]


@router.post("/identify", response_model=Answers, response_model_exclude_unset=True, openapi_extra=photos_body())
async def identify(
    request: Request,
    caller: Reader,
    service: Serving,
    top: Annotated[int, Query(ge=1, le=100, description="How many candidates are listed")] = 5,
    threshold: Distance = None,
    fpir: Annotated[float | None, Query(gt=0, lt=1, description="Use the threshold for this rate")] = None,
) -> dict[str, Any]:
    """Say who is in each photo, face by face: a person, or unknown."""
    if threshold is not None and fpir is not None:
        raise ProblemError(422, "invalid", "`threshold` and `fpir` both set the threshold; give one of them")
    photos = (await posted(request)).photos
    limit = await service.ask(service.threshold, threshold, fpir)
    found = await service.identify_and_keep(caller.by, photos, limit, top)
    lines = [answers.identified(each, limit, top) for each in found]
    named = [each["person"] for line in lines for each in (line, *line["candidates"]) if each["person"]]
    numbers = await service.ask(service.numbers_of, named)
    return {"answers": [_with_ids(line, numbers) for line in lines]}


@router.post("/verify", response_model=Verified, response_model_exclude_unset=True, openapi_extra=photos_body())
async def verify(request: Request, caller: Reader, service: Serving, threshold: Distance = None) -> dict[str, Any]:
    """Say whether the main faces of two photos are one person's. The gallery is not asked."""
    photos = (await posted(request)).photos
    if len(photos) != 2:
        raise ProblemError(422, "invalid", f"two photos are compared, not {len(photos)}; give two in `photos`")
    first, second = photos
    answer = await service.ask(service.verify, first, second, threshold)
    return answers.verified(first.path, second.path, answer)


@router.post("/faces", response_model=FoundPhotos, response_model_exclude_unset=True, openapi_extra=photos_body())
async def faces(request: Request, caller: Reader, service: Serving) -> dict[str, Any]:
    """Find the faces in photos and measure their quality, without asking who they are."""
    photos = (await posted(request)).photos
    return {"photos": [_seen(each) for each in await service.ask(service.faces, photos)]}


def _with_ids(line: dict[str, Any], numbers: dict[str, int]) -> dict[str, Any]:
    """An answer with the ids of the people that it names."""
    candidates = [{**each, "person_id": numbers.get(each["person"])} for each in line["candidates"]]
    return line | {"person_id": numbers.get(line["person"]), "candidates": candidates}


def _seen(photo: Seen) -> dict[str, Any]:
    found = [
        {
            "face": number,
            "box": [round(side, 1) for side in face.box],
            "landmarks": [[round(float(x), 1), round(float(y), 1)] for x, y in face.landmarks],
            "detection_confidence": round(face.confidence, 4),
            "quality": quality.to_json(),
        }
        for number, (face, quality) in enumerate(photo.faces)
    ]
    return {"image": str(photo.path), "faces": found, "error": photo.error, **answers.remarks(photo.remarks)}
