"""The gallery as a whole: its threshold and its log; and how the server is."""

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from facerec.gallery.audit_log import facerec_version
from facerec.server import metrics
from facerec.server.access import Admin, Enroller, Glancer, Reader
from facerec.server.api.common import Serving, photos_body
from facerec.server.api.models import Calibration, Costs, Crops, Health, Log, Target
from facerec.server.api.paging import Cursor, Limit, page_of
from facerec.server.costs import RATES
from facerec.server.posted import posted

router = APIRouter(tags=["gallery"])
Rate = Annotated[float, Field(gt=0, lt=1)]


@router.get("/calibration", response_model=Calibration)
def calibration(caller: Reader, service: Serving) -> dict[str, Any]:
    """Show the threshold, and what sets it."""
    return service.calibration()


@router.put("/calibration", response_model=Calibration)
async def set_target(target: Target, caller: Admin, service: Serving) -> dict[str, Any]:
    """Set the share of strangers who may be taken for somebody. It stays, for the command line too."""
    await service.change(caller.by, service.set_target, target.fpir)
    return await service.ask(service.calibration)


@router.get("/calibration/costs", response_model=Costs)
async def show_costs(
    caller: Reader,
    service: Serving,
    fpir: Annotated[list[Rate] | None, Query(description="Shares of strangers; else the page's", max_length=20)] = None,
) -> dict[str, Any]:
    """Show which threshold each share of strangers would have, and how many photos of members it would miss."""
    return {"costs": await service.ask(service.what_costs, fpir or RATES)}


@router.put("/calibration/strangers", response_model=Calibration, openapi_extra=photos_body())
async def set_strangers(request: Request, caller: Admin, service: Serving) -> dict[str, Any]:
    """Give photos of people who are not enrolled; every face counts. They replace those given before."""
    await service.change(caller.by, service.set_strangers, (await posted(request)).photos)
    return await service.ask(service.calibration)


@router.delete("/calibration/strangers", response_model=Calibration)
async def forget_strangers(caller: Admin, service: Serving) -> dict[str, Any]:
    """Forget the strangers that were given: only the model's set the threshold."""
    await service.change(caller.by, service.set_strangers, ())
    return await service.ask(service.calibration)


@router.get("/crops", response_model=Crops)
def crops(caller: Reader, service: Serving) -> dict[str, Any]:
    """Say whether the gallery keeps a crop of each face that is enrolled."""
    return {"kept": service.keeps_crops()}


@router.put("/crops", response_model=Crops)
async def keep_crops(what: Crops, caller: Enroller, service: Serving) -> dict[str, Any]:
    """Keep crops from now on; or delete all crops and unknown faces, which needs admin."""
    caller.require("enroll" if what.kept else "admin")
    await service.change(caller.by, service.keep_crops, what.kept)
    return {"kept": what.kept}


@router.get("/log", response_model=Log)
def log(caller: Admin, service: Serving, cursor: Cursor = None, limit: Limit = 100) -> dict[str, Any]:
    """Show what was done to the gallery, oldest first, and by which key."""
    entries, head = service.log()
    found, more = page_of(entries, lambda entry: entry.number, cursor, limit, int)
    return {"entries": [dataclasses.asdict(entry) for entry in found], "head": head, "next": more}


@router.get("/health", response_model=Health)
def health(service: Serving) -> dict[str, Any]:
    """Say that the server answers and its gallery can be read. No key is needed."""
    service.require_gallery()
    return {"status": "ok", "version": facerec_version()}


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def show_metrics(request: Request, caller: Glancer, service: Serving) -> Response:
    """Counts for Prometheus."""
    text = request.app.state.metrics.text(service.pool.inside, service.pool.bound)
    return Response(text, media_type=metrics.MEDIA_TYPE)
