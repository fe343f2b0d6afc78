"""The people of the gallery: enrolling, finding, changing and removing them."""

import dataclasses
from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from facerec.gallery.proof import Proof
from facerec.recognition import answers
from facerec.server.access import Admin, Enroller, Reader
from facerec.server.api.common import PersonId, Serving, person_json, photos_body
from facerec.server.api.models import Enrollment, NotSame, People, Person, PersonChange, Removal, TwoPeople
from facerec.server.api.paging import Cursor, Limit, after_of, first_of
from facerec.server.posted import Posted, posted
from facerec.server.problems import ProblemError
from facerec.server.results import Enrolling, Removed
from facerec.server.service import Service

router = APIRouter(prefix="/people", tags=["people"])
STATUSES = ("added", "skipped", "failed")
Force = Annotated[bool, Query(description="Also enroll poor photos, and those that look more like somebody else")]
Again = Annotated[bool, Query(description="Also enroll photos that were removed")]
Several = Annotated[str, Query(pattern="^(main|refuse)$", description="What to do with a photo of several faces")]

Meant = Annotated[
    int | None, Query(ge=0, le=1000, description="Of a single photo: which face is meant, as `identify` counts them")
]


@router.get("", response_model=People)
def list_people(
    caller: Reader,
    service: Serving,
    containing: Annotated[str, Query(max_length=200, description="A part of the name")] = "",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """List everybody enrolled, by name."""
    found = service.people(containing, after_of(cursor, str) or "", limit + 1)
    shown, more = first_of(found, lambda person: person.name, limit)
    return {"people": [person_json(person) for person in shown], "next": more}


@router.post(
    "",
    response_model=Enrollment,
    response_model_exclude_unset=True,
    status_code=201,
    openapi_extra=photos_body(name={"type": "string"}),
)
async def enroll(
    request: Request,
    response: Response,
    caller: Enroller,
    service: Serving,
    name: Annotated[str | None, Query(max_length=200, description="The person's; or a field of the form")] = None,
    several: Several = "main",
    face: Meant = None,
    force: Force = False,
    again: Again = False,
) -> dict[str, Any]:
    """Enroll photos of one person, new or known. A photo that is enrolled already is skipped, so ask again at will."""
    sent = await posted(request)
    who = sent.fields.get("name") or name
    if not who:
        raise ProblemError(422, "invalid", "whose photos are they? Give `name`, in the form or the address")
    rules = {"several": several, "face": face, "force": force, "again": again}
    return await enroll_as(service, caller.by, who, sent, response, **rules)


async def enroll_as(
    service: Service, by: str | None, who: str | int, sent: Posted, response: Response, **rules: Any
) -> dict[str, Any]:
    """Enroll photos and say what became of them, as `told` does."""
    return told(await service.change(by, service.enroll, who, sent.photos, **rules), response)


def told(done: Enrolling, response: Response) -> dict[str, Any]:
    """What became of photos that were to be enrolled. ProblemError if not one is in the gallery now."""
    results = [answers.enrolled(result) for result in done.results]
    if done.person is None:
        clash = any(result.for_all for result in done.results)
        raise ProblemError(409 if clash else 422, "not-enrolled", done.results[0].reason, results=results)
    counts = Counter(result.status for result in done.results)
    response.status_code = 201 if counts["added"] else 200
    line = {"results": results, "person": person_json(done.person), **{each: counts[each] for each in STATUSES}}
    return line | answers.reviewed(done.review)


@router.get("/{person}", response_model=Person)
def show(person: PersonId, caller: Reader, service: Serving) -> dict[str, Any]:
    """Show one person."""
    return person_json(service.person(person))


@router.patch("/{person}", response_model=Person)
async def change(person: PersonId, what: PersonChange, caller: Enroller, service: Serving) -> dict[str, Any]:
    """Rename a person, note their consent and last day, or merge them into another, who is the answer then."""
    if what.merge_into is None:
        await service.change(caller.by, service.edit, person, what.name, what.consent, what.until)
        return person_json(await service.ask(service.person, person))
    caller.require("admin")
    if len(what.model_fields_set) > 1:
        raise ProblemError(422, "invalid", "a merge stands alone; change the rest by another request")
    await service.change(caller.by, service.merge, person, what.merge_into)
    return person_json(await service.ask(service.person, what.merge_into))


@router.delete("/{person}", response_model=Removal)
async def remove(
    person: PersonId,
    caller: Admin,
    service: Serving,
    dry_run: Annotated[bool, Query(description="Only say what would be removed")] = False,
    prove: Annotated[bool, Query(description="Search all files for what they held, before and after")] = False,
) -> dict[str, Any]:
    """Remove a person, so that no file of the gallery holds anything of them."""
    if dry_run or not prove:
        return await removed(service, caller.by, person, None, dry_run)
    proof: Proof = await service.change(caller.by, service.remove_and_prove, person)
    shown = dataclasses.asdict(proof) | {"nothing_left": proof.nothing_left}
    return _went(Removed(proof.removal, proof.remains), dry_run=False) | {"proof": shown}


async def removed(service: Service, by: str | None, person: int, photo: int | None, dry_run: bool) -> dict[str, Any]:
    """Remove a person or a photo and say what went."""
    work = service.plan_removal if dry_run else service.remove
    return _went(await service.change(by, work, person, photo), dry_run)


def _went(done: Removed, dry_run: bool) -> dict[str, Any]:
    what = done.removal
    line = {"removed": what.person, "templates": len(what.photos), "vetoes": what.vetoes}
    return line | {"person_removed": what.whole, "remains": done.remains, "dry_run": dry_run}


@router.post("/{person}/not-same", response_model=NotSame, openapi_extra=photos_body())
async def not_same(person: PersonId, request: Request, caller: Enroller, service: Serving) -> dict[str, Any]:
    """Remember that the face in a photo is not this person, who is then never named for it again."""
    photos = (await posted(request)).photos
    if len(photos) != 1:
        raise ProblemError(422, "invalid", f"one photo is looked at, not {len(photos)}")
    return answers.said_not_same(await service.change(caller.by, service.not_same, person, photos[0]))


@router.put("/{person}/not-same/{other}", response_model=TwoPeople)
async def set_apart(person: PersonId, other: PersonId, caller: Enroller, service: Serving) -> dict[str, Any]:
    """Remember that two people are two, who are then neither suggested as one nor merged."""
    changed = await service.change(caller.by, service.set_apart, person, other)
    return {"ids": [person, other], "two": True, "changed": changed}


@router.delete("/{person}/not-same/{other}", response_model=TwoPeople)
async def unite(person: PersonId, other: PersonId, caller: Enroller, service: Serving) -> dict[str, Any]:
    """Take back that two people are two."""
    changed = await service.change(caller.by, service.unite, person, other)
    return {"ids": [person, other], "two": False, "changed": changed}
