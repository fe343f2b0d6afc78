"""People: who is enrolled, and each person's page with their photos and all that can be done to them."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from facerec.errors import UnfitValueError
from facerec.gallery import enrolled, vetoes
from facerec.gallery.proof import Proof
from facerec.gallery.queries import PersonSummary, StoredTemplate
from facerec.recognition.waiting import doubts
from facerec.server.access import Admin, Caller, Enroller, Reader
from facerec.server.api.common import PersonId, PhotoId, Serving
from facerec.server.pages.identify import in_page
from facerec.server.pages.view import PageRoute, Viewing, go_to, is_part, number_in, plain, respond
from facerec.server.posted import form_of, posted
from facerec.server.results import Enrolling, Removed
from facerec.server.service import Service
from facerec.text import printable

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/people")
AT_ONCE = 60  # people in the grid before "show more"
NO_CROPS = "facerec_no_crops"  # the cookie of somebody who was asked and wants no pictures kept
_YEAR = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class ShownPerson:
    """A person in the grid. face: the address of a picture of theirs, if there is one."""

    number: int | None
    name: str
    photos: int
    face: str | None


@dataclass(frozen=True, slots=True)
class ShownPhoto:
    """A person's photo. name: without its folder. face: as for ShownPerson.

    doubt: why it may be of somebody else; or "".
    """

    stored: StoredTemplate
    name: str
    face: str | None
    doubt: str


def crop_path(person: int | None, photo: int | None) -> str | None:
    """The address of the crop of a photo; None if there is none."""
    return None if photo is None else f"/api/v1/people/{person}/photos/{photo}/crop"


def photo_name(photo: StoredTemplate) -> str:
    """What a photo was called, without the folder that it was in."""
    return photo.source.replace("\\", "/").rpartition("/")[2].removeprefix("memory: ")


@router.get("")
async def show_people(
    request: Request,
    caller: Reader,
    service: Serving,
    view: Viewing,
    q: Annotated[str, Query(max_length=200)] = "",
    most: Annotated[int, Query(ge=1, le=100_000)] = AT_ONCE,
) -> Response:
    """The grid, or as a part of a page the people whose name holds `q`."""
    values = await service.ask(_grid, service, q, most)
    if is_part(request):
        return respond(request, caller, "people_found.html", **values)
    values["ask_crops"] = not values["keeps_crops"] and NO_CROPS not in request.cookies
    return respond(request, caller, "people.html", here="people", **values, known_names=await service.ask(view.names))


@router.post("")
async def add(request: Request, caller: Enroller, service: Serving, view: Viewing) -> Response:
    """Enroll photos of one person, new or known. What failed may be tried again under the name that was typed."""
    sent = await posted(request)
    name = sent.fields.get("name", "").strip()
    names = await service.ask(view.names)
    try:
        done: Enrolling = await service.change(caller.by, service.enroll, name, sent.photos)
    except UnfitValueError as error:
        said = {"said": view.told(error), "typed": name, "known_names": names}
        return respond(request, caller, "add_again.html", status=422, here="people", **said)
    return await _told(request, caller, service, done, typed=name, known_names=names)


@router.post("/pictures")
async def choose_crops(request: Request, caller: Enroller, service: Serving) -> Response:
    """Keep crops from now on, or never ask again."""
    answer = go_to(request, "/people")
    if (await form_of(request)).get("keep"):
        await service.change(caller.by, service.keep_crops, True)
    else:
        answer.set_cookie(NO_CROPS, "1", max_age=_YEAR, httponly=True, samesite="lax")
    return answer


@router.get("/{person}")
async def show_person(person: PersonId, request: Request, caller: Reader, service: Serving, view: Viewing) -> Response:
    """One person."""
    values = await service.ask(_person, service, person)
    return respond(request, caller, "person.html", here="people", **values, known_names=await service.ask(view.names))


@router.post("/{person}/name")
async def rename(person: PersonId, request: Request, caller: Enroller, service: Serving) -> Response:
    """Give another name."""
    form = await form_of(request)
    await service.change(caller.by, service.rename, person, str(form.get("name", "")))
    return go_to(request, f"/people/{person}")


@router.post("/{person}/merge")
async def merge(person: PersonId, request: Request, caller: Admin, service: Serving) -> Response:
    """Give all photos to another person."""
    into = str((await form_of(request)).get("into", ""))

    def merged() -> int | None:
        service.merge(person, into)
        return service.person(into).number

    return go_to(request, f"/people/{await service.change(caller.by, merged)}")


@router.post("/{person}/unite")
async def unite(person: PersonId, request: Request, caller: Enroller, service: Serving) -> Response:
    """Take back that this person and another one are two."""
    other = number_in((await form_of(request)).get("other"))
    await service.change(caller.by, service.unite, person, other)
    return go_to(request, f"/people/{person}")


@router.post("/{person}/consent")
async def consent(person: PersonId, request: Request, caller: Enroller, service: Serving) -> Response:
    """Note what the person agreed to, and the last day."""
    form = await form_of(request)
    note, until = (str(form.get(field, "")).strip() for field in ("note", "until"))
    await service.change(caller.by, service.set_consent, person, note, until)
    return go_to(request, f"/people/{person}")


@router.post("/{person}/photos")
async def add_photos(person: PersonId, request: Request, caller: Enroller, service: Serving) -> Response:
    """Enroll more photos."""
    sent = await posted(request)
    done: Enrolling = await service.change(caller.by, service.enroll, person, sent.photos)
    return await _told(request, caller, service, done)


@router.get("/{person}/remove")
async def ask_to_remove(person: PersonId, request: Request, caller: Admin, service: Serving) -> Response:
    """Say what a removal takes out and what it proves."""
    plan = await service.ask(service.plan_removal, person)
    return respond(request, caller, "remove.html", here="people", number=person, plan=plan.removal, photo=None)


@router.post("/{person}/remove")
async def remove(person: PersonId, request: Request, caller: Admin, service: Serving) -> Response:
    """Remove the person, and show that nothing is left."""
    proof = await service.change(caller.by, service.remove_and_prove, person)
    return respond(request, caller, "removed.html", here="people", proof=proof)


@router.get("/{person}/photos/{photo}/remove")
async def ask_to_remove_photo(
    person: PersonId, photo: PhotoId, request: Request, caller: Admin, service: Serving
) -> Response:
    """Say which photo would go, and whether the person goes with it."""
    plan = await service.ask(service.plan_removal, person, photo)
    return respond(request, caller, "remove.html", here="people", number=person, plan=plan.removal, photo=photo)


@router.post("/{person}/photos/{photo}/remove")
async def remove_photo(person: PersonId, photo: PhotoId, request: Request, caller: Admin, service: Serving) -> Response:
    """Remove one photo; the last one takes the person along."""

    def removed() -> Proof | Removed:
        whole = service.plan_removal(person, photo).removal.whole
        return service.remove_and_prove(person) if whole else service.remove(person, photo)

    done = await service.change(caller.by, removed)
    if isinstance(done, Proof):
        return respond(request, caller, "removed.html", here="people", proof=done)
    return go_to(request, f"/people/{person}")


async def _told(request: Request, caller: Caller, service: Service, done: Enrolling, **again: Any) -> Response:
    """Say what became of each photo; go to the person if all went well.

    again: what the form needs that adds somebody, if it is shown once more: `typed` and `known_names`.
    """
    failed = [result for result in done.results if result.status == "failed"]
    if done.person is not None and not failed and not any(result.reason for result in done.results):
        return go_to(request, f"/people/{done.person.number}")
    owners = await service.ask(service.numbers_of, [each.owner for each in done.results if each.owner])
    lines = [(printable(each.path), each.status, in_page(each), owners.get(each.owner or "")) for each in done.results]
    counts = {status: sum(each.status == status for each in done.results) for status in ("added", "skipped", "failed")}
    status = 200 if done.person is not None else 422
    values = {"person": done.person, "lines": lines, "counts": counts, **again}
    return respond(request, caller, "enrolled.html", status=status, here="people", **values)


def _grid(service: Service, part: str, most: int) -> dict[str, Any]:
    store = service.gallery.store
    found, people = enrolled.how_many(store, part), service.people(part, most=most)
    faces = enrolled.first_crops(store, [person.number or 0 for person in people])
    shown = [_in_grid(person, faces) for person in people]
    more = min(found, most + AT_ONCE) if found > most else 0
    return {"people": shown, "found": found, "more": more, "q": part, "keeps_crops": service.keeps_crops()}


def _in_grid(person: PersonSummary, faces: dict[int, int]) -> ShownPerson:
    face = crop_path(person.number, faces.get(person.number or 0))
    return ShownPerson(person.number, person.name, person.templates, face)


def _person(service: Service, number: int) -> dict[str, Any]:
    store, person = service.gallery.store, service.person(number)
    doubtful = {doubt.photo.photo_hash: doubt.reason for doubt in doubts(service.gallery, [person.name])}
    kept = enrolled.kept_crops(store, number)
    photos = [
        ShownPhoto(
            each,
            photo_name(each),
            crop_path(number, each.number if each.number in kept else None),
            plain(doubtful.get(each.photo_hash, "")),
        )
        for each in service.photos(number)
    ]
    face = next((photo.face for photo in photos if photo.face), None)
    others = service.numbers_of(vetoes.apart(store, person.name))
    said = {"vetoes": len(vetoes.vetoes(store, number)), "apart": sorted(others.items())}
    return {"person": person, "face": face, "photos": photos, **said}
