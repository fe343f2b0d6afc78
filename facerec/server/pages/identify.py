"""Identify: who is in photos, and "this is Ann" and "this is not Ann" for each face."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData

from facerec.errors import GalleryError, ImageError
from facerec.faces.quality import measure
from facerec.photos.memory import MemoryPhoto
from facerec.recognition.enroll import Enrollment
from facerec.recognition.identify import Identification
from facerec.recognition.seen_face import SeenFace, seen_faces
from facerec.server.access import Enroller, Reader
from facerec.server.api.common import Serving
from facerec.server.pages.pictures import Bar, Frame, Preview, bar, crop_uri, frame, preview
from facerec.server.pages.view import PageRoute, View, Viewing, exact_percent, is_part, number_in, plain, respond
from facerec.server.posted import form_of, posted
from facerec.server.results import by_photo
from facerec.server.service import Service
from facerec.text import printable
from facerec.types import Decision

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_ID = re.compile(r"face-[0-9a-f]{1,8}-[1-9][0-9]{0,4}")


@dataclass(frozen=True, eq=False, slots=True)
class ShownFace:
    """One face as a page shows it.

    id: in the page; it ends with the face's number in its photo. blob: the face in a form. number: of the person, if it
    is one.
    """

    id: str
    thumb: str
    blob: str
    person: str | None
    number: int | None
    reason: str
    bar: Bar | None
    probable: str
    problems: tuple[str, ...]
    frame: Frame | None = None
    typed: str = ""

    @property
    def place(self) -> int:
        """Which of the photo's faces it is, from 1."""
        return int(self.id.rpartition("-")[2])


@dataclass(frozen=True, eq=False, slots=True)
class ShownPhoto:
    """One photo as a page shows it; error: why it cannot be used, or that it shows no face."""

    name: str
    preview: Preview | None
    faces: tuple[ShownFace, ...] = ()
    error: str | None = None
    remarks: tuple[str, ...] = ()


@router.get("/")
async def show(request: Request, caller: Reader, service: Serving, view: Viewing) -> Response:
    """The form for photos."""
    return respond(request, caller, "identify.html", here="identify", photos=[], **await _people(service, view))


@router.post("/identify")
async def identify(request: Request, caller: Reader, service: Serving, view: Viewing) -> Response:
    """Photos with every face named or unknown."""
    sent = await posted(request)
    limit = await service.ask(service.threshold)
    found = await service.identify_and_keep(caller.by, sent.photos, limit)
    photos = await service.ask(_look, service, view, sent.photos, found)
    if is_part(request):
        return respond(request, caller, "photos.html", photos=photos)
    return respond(request, caller, "identify.html", here="identify", photos=photos, **await _people(service, view))


@router.post("/faces")
async def settle(request: Request, caller: Enroller, service: Serving, view: Viewing) -> Response:
    """Enroll one face, or note who it is not."""
    form = await form_of(request)
    work = _not_them if form.get("do") == "not" else _enroll
    said = await service.change(caller.by, work, service, view, form)
    if is_part(request):
        return respond(request, caller, "face.html", open=True, **said)
    return respond(request, caller, "settled.html", here="identify", **said, **await _people(service, view))


async def _people(service: Service, view: View) -> dict[str, Any]:
    names = await service.ask(view.names)
    return {"known_names": names, "nobody": not names}


def _look(
    service: Service, view: View, photos: Sequence[MemoryPhoto], found: Sequence[Identification]
) -> list[ShownPhoto]:
    numbers = service.numbers_of(each.person for each in found if each.person)
    return [_look_at(view, photo, own, numbers) for photo, own in zip(photos, by_photo(found), strict=True)]


def _look_at(view: View, photo: MemoryPhoto, found: Sequence[Identification], numbers: dict[str, int]) -> ShownPhoto:
    error, name = found[0].error, printable(photo.path)
    if isinstance(error, ImageError):
        return ShownPhoto(name, None, error=view.told(error))
    shown = preview(photo)
    faces = []
    for place, (seen, each) in enumerate(zip(seen_faces(photo, found), found, strict=False), 1):
        assert each.decision is not None
        faces.append(_shown(view, seen, each.decision, numbers, f"face-{secrets.token_hex(4)}-{place}", shown))
    remarks = tuple(map(plain, found[0].remarks))
    return ShownPhoto(name, shown, tuple(faces), None if error is None else view.told(error), remarks)


def _shown(
    view: View,
    seen: SeenFace,
    decision: Decision,
    numbers: dict[str, int],
    id_: str,
    shown: Preview | None = None,
    typed: str = "",
) -> ShownFace:
    far, sure = decision.distance, decision.probability if decision.person else None
    return ShownFace(
        id_,
        crop_uri(seen.face.crop),
        view.faces.write(seen),
        decision.person,
        numbers.get(decision.person or ""),
        decision.reason,
        None if far is None else bar(far, decision.threshold.distance),
        "" if sure is None else view.t("identify.probable", percent=exact_percent(sure)),
        measure(seen.face).problems,
        None if shown is None else frame(seen.face.box, shown),
        typed,
    )


def _enroll(service: Service, view: View, form: FormData) -> dict[str, Any]:
    seen, name = view.faces.read(str(form.get("face", ""))), str(form.get("name", ""))
    say = partial(_again, service, view, seen, _id_in(form))
    try:
        done = service.enroll_seen(name, seen, force=bool(form.get("force")), again=bool(form.get("again")))
    except GalleryError as error:  # an unfit name
        return say(view.told(error), bad=True, typed=name)
    if done.status == "added":
        return say(view.t("identify.enrolled", person=done.person))
    if done.status == "skipped":
        return say(view.t("identify.enrolled_already", person=done.person))
    removed = service.gallery.removed_on(seen.template().photo_hash, done.person) is not None
    may = {"again": removed, "force": not removed and done.owner is None}
    return say(in_page(done), bad=True, typed=done.person, see=done.owner, **may)


def _not_them(service: Service, view: View, form: FormData) -> dict[str, Any]:
    seen = view.faces.read(str(form.get("face", "")))
    name = service.person(number_in(form.get("person"))).name
    say = partial(_again, service, view, seen, _id_in(form))
    try:
        service.gallery.veto(name, seen.template())
    except GalleryError as error:  # enrolled with this photo
        return say(view.told(error), bad=True, see=name)
    return say(view.t("identify.said_not", person=name))


def _id_in(form: FormData) -> str:
    """The id that a page gave to a face; a script finds the face's frame on the photo by it."""
    found = _ID.fullmatch(str(form.get("id", "")))
    return found[0] if found else "face-0-1"


def _again(
    service: Service,
    view: View,
    seen: SeenFace,
    id_: str,
    said: str,
    *,
    bad: bool = False,
    typed: str = "",
    see: str | None = None,
    **may: bool,
) -> dict[str, Any]:
    """The face as it is now, with what is said of the change.

    see: whose page has what stands in the way. may: which rules the next try may break.
    """
    decision = service.decide(seen)
    numbers = service.numbers_of(name for name in (decision.person, see) if name)
    face = _shown(view, seen, decision, numbers, id_, typed=typed)
    people = dict.fromkeys(name for name in (see, face.person) if name)
    links = [(numbers[name], name) for name in people if name in numbers]
    return {"face": face, "said": said, "bad": bad, "links": links, "again": False, "force": False, **may}


def in_page(result: Enrollment) -> str:
    """Why a photo was not enrolled, without its name."""
    return plain(result.reason.removeprefix(f"{printable(result.path)}: "))
