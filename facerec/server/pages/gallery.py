"""The pages of the gallery as a whole: its threshold, its log, and what is running here."""

import platform
from importlib import metadata
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from facerec.evaluation.operating_points import Distances, Point
from facerec.gallery.audit_log import facerec_version
from facerec.server.access import Admin, Reader
from facerec.server.api import PREFIX
from facerec.server.api.common import Serving
from facerec.server.costs import RATES
from facerec.server.pages.plot import plot_of
from facerec.server.pages.view import PageRoute, View, Viewing, exact_percent, go_to, is_part, percent, respond
from facerec.server.posted import form_of
from facerec.server.problems import ProblemError
from facerec.server.service import Service

router = APIRouter(route_class=PageRoute, include_in_schema=False)
AT_ONCE = 100  # entries of the log


@router.get("/threshold")
async def threshold(
    request: Request,
    caller: Reader,
    service: Serving,
    view: Viewing,
    step: Annotated[int | None, Query(ge=0, le=len(RATES))] = None,
) -> Response:
    """The threshold, and what another one would cost. step: the place of a rate on the slider."""
    values = await service.ask(_threshold, service, view, step)
    return respond(request, caller, "cost.html" if is_part(request) else "threshold.html", here="threshold", **values)


@router.post("/threshold")
async def set_rate(request: Request, caller: Admin, service: Serving) -> Response:
    """Use another rate from now on."""
    rate = str((await form_of(request)).get("rate", ""))
    if rate not in {f"{each:g}" for each in RATES}:
        raise ProblemError(422, "invalid", "choose one of the rates on the page")
    await service.change(caller.by, service.set_target, float(rate))
    return go_to(request, "/threshold")


@router.get("/log")
async def log(
    request: Request, caller: Admin, service: Serving, before: Annotated[int | None, Query(ge=1)] = None
) -> Response:
    """The log, newest entry first."""
    entries, head = await service.ask(service.log)
    older = [entry for entry in reversed(entries) if before is None or entry.number < before]
    shown = older[:AT_ONCE]
    more = shown[-1].number if len(older) > AT_ONCE else None
    return respond(request, caller, "log.html", here="log", entries=shown, head=head, more=more, before=before)


@router.get("/about")
async def about(request: Request, caller: Reader, service: Serving, view: Viewing) -> Response:
    """The model, the versions, the limits."""
    facts = await service.ask(_facts, service, view)
    return respond(request, caller, "about.html", here="about", facts=facts, openapi=f"{PREFIX}/openapi.json")


def _threshold(service: Service, view: View, step: int | None) -> dict[str, Any]:
    target = service.gallery.given()[0]
    rates = tuple(sorted({*RATES, target}))
    found = service.costs.at(rates)
    if found is None:
        return {"plot": None}
    distances, points = found
    used = rates.index(target)
    chosen = used if step is None else min(step, len(points) - 1)
    shown = points[chosen]
    ends = service.costs.thresholds_at(shown.calibration.interval)
    values = {"plot": plot_of(distances, shown, points[used], ends), "shown": shown, "step": chosen, "used": used}
    return values | {"last": len(points) - 1, "points": points, **_counts(view, distances, shown)}


def _counts(view: View, distances: Distances, shown: Point) -> dict[str, Any]:
    """What is said below the picture."""
    strangers = view.t("threshold.caption_strangers", n=len(distances.strangers))
    if shown.missed is None:
        return {"captions": (strangers, view.t("threshold.no_members")), "misses": ""}
    members = view.t("threshold.caption_members", n=len(distances.members))
    low, high = map(percent, shown.missed.ci95)
    missed = {"errors": shown.missed.errors, "searches": shown.missed.searches, "share": percent(shown.missed.rate)}
    return {"captions": (strangers, members), "misses": view.t("threshold.misses", **missed, low=low, high=high)}


def _facts(service: Service, view: View) -> list[tuple[str, str]]:
    card, store = service.embedder.card, service.gallery.store
    limit = card.default_threshold
    facts = [
        ("version", facerec_version()),
        ("name", card.name),
        ("fingerprint", card.fingerprint),
        ("trained", card.source),
        ("measured", _measured(view, card.results)),
        ("threshold", "" if limit is None else f"{limit.distance:.3f}, {limit.source}"),
        ("licence", card.licence),
        ("gallery", store.folder.name),
        ("people", f"{len(store)}"),
        ("encrypted", view.t("about.yes" if store.database.encrypted else "about.no")),
        ("runtime", f"Python {platform.python_version()}, OpenVINO {metadata.version('openvino')}"),
    ]
    return [(view.t(f"about.{key}"), said) for key, said in facts if said]


def _measured(view: View, results: dict[str, Any]) -> str:
    """What the model's card says of its accuracy; "" if it says nothing."""
    lfw = results.get("lfw", {})
    if "accuracy_mean" not in lfw:
        return ""
    return view.t("about.lfw", accuracy=exact_percent(lfw["accuracy_mean"]), pairs=f"{lfw['pairs']:,}")
