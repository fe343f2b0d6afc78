"""Review: what waits for a person, and their answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData

from facerec.errors import FacerecError
from facerec.gallery import enrolled
from facerec.gallery.unknown_rows import KeptFace
from facerec.recognition.waiting import Suggestion, Waiting
from facerec.server.access import Caller, Enroller, Glancer, Reader
from facerec.server.api.common import PhotoId, Serving
from facerec.server.pages.identify import in_page
from facerec.server.pages.people import crop_path, photo_name
from facerec.server.pages.view import PageRoute, View, Viewing, go_to, is_part, number_in, plain, respond
from facerec.server.posted import form_of
from facerec.server.problems import ProblemError
from facerec.server.service import Service

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/review")
SHOWN = 12  # faces of a group


@dataclass(frozen=True, slots=True)
class Case:
    """One decision. kind: near, held, alike or group. faces: addresses of pictures, each with its words.

    say: the question. numbers: of the kept faces. one, other: numbers of people, 0 where there are none. person: the
    name of who is suggested. claimed: as whom the face was held back.
    """

    kind: str
    say: str
    faces: tuple[tuple[str | None, str], ...]
    numbers: str = ""
    one: int = 0
    other: int = 0
    person: str = ""
    claimed: str = ""


@router.get("")
async def show(request: Request, caller: Reader, service: Serving, view: Viewing) -> Response:
    """All that waits."""
    values = await service.ask(_cases, service, view)
    return respond(request, caller, "review.html", here="review", **values, known_names=await service.ask(view.names))


@router.get("/faces/{number}.png")
async def crop(number: PhotoId, caller: Glancer, service: Serving) -> Response:
    """The picture of a kept face."""
    return Response(await service.ask(service.unknown_crop, number), media_type="image/png")


@router.post("/faces")
async def settle_faces(request: Request, caller: Enroller, service: Serving, view: Viewing) -> Response:
    """Say whose kept faces are: somebody's, not somebody's, or forgotten."""
    form = await form_of(request)
    work = {"enroll": _enroll, "claimed": _enroll, "not": _not_them, "forget": _forget}.get(str(form.get("do")))
    if work is None:
        raise ProblemError(422, "invalid", "say what to do with the faces")
    return await _settled(request, caller, service, view, work, form)


@router.post("/people")
async def settle_people(request: Request, caller: Enroller, service: Serving, view: Viewing) -> Response:
    """Say whether two people are one. To make one of them needs more than to say that they are two."""
    form = await form_of(request)
    merge = form.get("do") == "merge"
    caller.require("admin" if merge else "enroll")
    return await _settled(request, caller, service, view, _merge if merge else _apart, form)


@router.post("/forget")
async def forget_all(request: Request, caller: Enroller, service: Serving) -> Response:
    """Forget all unknown faces."""
    await service.change(caller.by, service.forget_unknown)
    return go_to(request, "/review")


async def _settled(
    request: Request, caller: Caller, service: Service, view: View, work: Callable[..., str], form: FormData
) -> Response:
    """Answer with what was done, in place of the case; without a script, with what still waits."""
    try:
        said, bad = await service.change(caller.by, work, service, view, form), False
    except FacerecError as error:
        said, bad = view.told(error), True
        if is_part(request):
            raise ProblemError(422, "not-settled", said) from error
    if is_part(request):
        return respond(request, caller, "said.html", said=said, bad=bad)
    values = await service.ask(_cases, service, view)
    names = await service.ask(view.names)
    return respond(request, caller, "review.html", here="review", **values, known_names=names, said=said, bad=bad)


# ----------------------------------------------------------------------------------------------------- what is shown


def _cases(service: Service, view: View) -> dict[str, Any]:
    found, numbers = service.waiting(), service.numbers()
    faces = enrolled.first_crops(service.gallery.store, numbers.values())
    show = _Show(view, service.threshold().distance if numbers else 0.0, numbers, faces)
    cases = {
        "near": [show.near(each) for each in found.near],
        "held": [show.held(each) for each in found.held_back],
        "alike": [show.alike(each.person, each.other, each.distance) for each in found.alike],
        "groups": [show.group(each) for each in found.groups],
    }
    doubts = [
        (numbers.get(each.person), photo_name(each.photo), each.person, plain(each.reason)) for each in found.doubts
    ]
    return {"cases": cases, "doubts": doubts, "nothing": not found.count, "unknown": _unknown(found)}


def _unknown(found: Waiting) -> int:
    return len(found.near) + len(found.held_back) + sum(map(len, found.groups))


class _Show:
    """Puts what waits into words and pictures."""

    def __init__(self, view: View, limit: float, numbers: dict[str, int], faces: dict[int, int]) -> None:
        self._t, self._limit, self._numbers, self._faces = view.t, limit, numbers, faces

    def near(self, each: Suggestion) -> Case:
        """A near miss."""
        side = self._t("review.within" if each.within else "review.above")
        far, limit = f"{each.distance:.2f}", f"{self._limit:.2f}"
        when = each.face.seen[:10]
        words = {"person": each.person, "distance": far, "threshold": limit, "side": side, "when": when}
        faces = (self._new(each.face), self._of(each.person))
        say = self._t("review.near_case", **words)
        return Case("near", say, faces, str(each.face.number), self._number(each.person), person=each.person)

    def held(self, each: Suggestion) -> Case:
        """A face that was held back."""
        claimed, far = each.face.claimed or "", f"{each.distance:.2f}"
        say = self._t("review.held_case", claimed=claimed, person=each.person, distance=far)
        faces = (self._new(each.face), self._of(claimed), self._of(each.person))
        numbers = self._number(claimed), self._number(each.person)
        return Case("held", say, faces, str(each.face.number), *numbers, person=each.person, claimed=claimed)

    def alike(self, one: str, other: str, distance: float) -> Case:
        """Two people who may be one."""
        say = self._t("review.alike_case", one=one, other=other, distance=f"{distance:.2f}")
        numbers = self._number(one), self._number(other)
        return Case("alike", say, (self._of(one), self._of(other)), "", *numbers)

    def group(self, faces: Sequence[KeptFace]) -> Case:
        """Unknown faces of one person."""
        say = self._t("review.group_case", n=len(faces), when=faces[0].seen[:10])
        numbers = ",".join(str(face.number) for face in faces)
        return Case("group", say, tuple(self._new(face) for face in faces[:SHOWN]), numbers)

    def _new(self, face: KeptFace) -> tuple[str | None, str]:
        return f"/review/faces/{face.number}.png", self._t("review.new_face")

    def _of(self, person: str) -> tuple[str | None, str]:
        number = self._number(person)
        return crop_path(number, self._faces.get(number)), person

    def _number(self, person: str) -> int:
        return self._numbers.get(person, 0)


# ------------------------------------------------------------------------------------------------------- what is done


def _enroll(service: Service, view: View, form: FormData) -> str:
    """Enroll kept faces as whoever is typed, or was suggested."""
    name, numbers = _name(service, form), _numbers(form)
    typed = bool(form.get("name"))  # else the person was shown beside the face
    done = service.enroll_unknown(name, numbers, force=not typed)
    failed = [result for result in done.results if result.status == "failed"]
    if failed:
        raise ProblemFacesError("; ".join(dict.fromkeys(in_page(each) for each in failed)))
    return view.t("review.done_enrolled", person=name if done.person is None else done.person.name)


def _not_them(service: Service, view: View, form: FormData) -> str:
    """Remember that kept faces are not some people."""
    names = [service.person(number).name for number in _people(form)]
    for name in names:
        service.veto_unknown(name, _numbers(form))
    return view.t("review.done_not", person=", ".join(names))


def _forget(service: Service, view: View, form: FormData) -> str:
    return view.t("review.forgotten", n=service.forget_unknown(_numbers(form)))


def _merge(service: Service, view: View, form: FormData) -> str:
    one, other = _pair(form)
    names = service.person(one).name, service.person(other).name
    service.merge(one, other)
    return view.t("review.done_merged", one=names[0], other=names[1])


def _apart(service: Service, view: View, form: FormData) -> str:
    one, other = _pair(form)
    service.set_apart(one, other)
    return view.t("review.done_apart")


class ProblemFacesError(FacerecError):
    """Kept faces that were not enrolled."""


def _pair(form: FormData) -> tuple[int, int]:
    """The numbers of the two people in a form; ProblemError if there are not two."""
    if len(found := _people(form)) != 2:
        raise ProblemError(422, "invalid", "say which two people are meant")
    return found[0], found[1]


def _name(service: Service, form: FormData) -> str:
    """The name that was typed, or that of the person who was suggested, or as whom the face was held back."""
    name = str(form.get("name", "")).strip()
    people = _people(form) or [0]
    return name or service.person(people[0 if form.get("do") == "claimed" else -1]).name


def _numbers(form: FormData) -> list[int]:
    """The numbers of kept faces in a form."""
    return [number for text in str(form.get("numbers", "")).split(",") if (number := number_in(text))]


def _people(form: FormData) -> list[int]:
    """The numbers of people in a form."""
    return [number for field in ("one", "other") if (number := number_in(form.get(field)))]
