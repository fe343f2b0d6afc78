"""`facerec plan`."""

from typing import TYPE_CHECKING

import click

from facerec.cli import common
from facerec.text import how_many

if TYPE_CHECKING:  # imported when needed
    from facerec.evaluation.plan import Plan

INDEXES = {
    "exact": "exact: every face is compared with everybody",
    "shortlist": "shortlist: codes of everybody are compared, then 300 people exactly",
    "engine": "an engine beside facerec, such as Milvus, on several machines; the figures are those of one process",
}

SOURCES = {
    "strangers": "threshold",
    "means": "threshold for several photos",
    "own": "FNIR",
    "search": "search",
    "embedding": "photos a day",
    "memory": "memory",
    "disk": "disk",
}
"""What each part of the figures is used for."""


@common.command()
@click.option("--people", type=int, required=True, metavar="N", help="How many people are to be enrolled.")
@click.option("--photos-per-person", type=int, default=1, show_default=True, help="How many photos of each.")
@click.option("--photos-per-day", type=int, metavar="M", help="How many photos are to be identified every day.")
@click.option("--cores", type=int, metavar="C", help="How many processor cores identify them.")
@common.json_option
def plan(people: int, photos_per_person: int, photos_per_day: int | None, cores: int | None, as_json: bool) -> None:
    """Say what a gallery of so many people will need, and how often it will be wrong.

    Memory, disk, the time of a search, the threshold for FPIR 1 % and the FNIR there, and with --cores how many photos
    a day. All of it is extrapolated from measured figures, which the answer names.

    \b
    facerec plan --people 2000
    facerec plan --people 1000000 --photos-per-person 4 --photos-per-day 500000 --cores 8
    """
    from facerec.evaluation.plan import plan as look_ahead

    found = look_ahead(people, photos_per_person, photos_per_day, cores)
    if as_json:
        common.emit(found.to_json())
    else:
        click.echo("\n".join(_lines(found)))


def _lines(p: "Plan") -> list[str]:
    low, high = p.ci95["threshold"]
    missed = " to ".join(common.percent(end) for end in p.ci95["fnir"])
    return [
        _who(p),
        f"index: {INDEXES[p.index]}",
        f"search: {in_ms(p.search_ms)} ms a face on one core{'' if p.search_measured else ', extrapolated'}",
        f"memory: {size(p.memory_gb)}; disk: {size(p.disk_gb)}",
        f"threshold: {p.threshold:.2f} ({low:.2f} to {high:.2f}), for FPIR {common.percent(p.fpir)} %",
        f"FNIR: {common.percent(p.fnir)} % ({missed}) of the photos of enrolled people are missed",
        *_work(p),
        _check(p),
        *(f"{SOURCES[name]} from: {source}" for name, source in p.figures.items()),
    ]


def _who(p: "Plan") -> str:
    crowd = f"{p.people:,} {'person' if p.people == 1 else 'people'} with {how_many(p.photos_per_person, 'photo')} each"
    alike = p.error_photos == p.photos_per_person
    return crowd if alike else f"{crowd}; threshold and FNIR as measured with {how_many(p.error_photos, 'photo')}"


def _work(p: "Plan") -> list[str]:
    """What the cores can do, if a number of them or of photos was given."""
    if p.cores is None or p.photos_a_day is None:
        return [] if p.photos_per_day is None else ["photos a day: give --cores to see how many can be identified"]
    load = "" if p.load is None else f"; {p.photos_per_day:,} are {common.percent(p.load)} % of that"
    return [f"photos a day: {how_many(p.cores, 'core')} can identify about {float(f'{p.photos_a_day:.2g}'):,.0f}{load}"]


def _check(p: "Plan") -> str:
    fpir, fnir, foretold = p.checked["fpir"][0], p.checked["fnir"][0], p.checked["foretold_fnir"][0]
    return (
        f"checked: among {p.checked['people']:,} made-up people the threshold foretold like this one had FPIR "
        f"{common.percent(fpir)} % instead of {common.percent(p.fpir)} %, and FNIR {common.percent(fnir)} % instead of "
        f"{common.percent(foretold)} %"
    )


def in_ms(milliseconds: float) -> str:
    """Return a time in milliseconds, without the unit."""
    return f"{milliseconds:,.0f}" if milliseconds >= 10 else f"{milliseconds:.2g}"


def size(gigabytes: float) -> str:
    """Return a size of memory or disk in words."""
    if gigabytes < 1:
        return f"{1000 * gigabytes:.0f} MB"
    return f"{gigabytes:,.0f} GB" if gigabytes >= 10 else f"{gigabytes:.1f} GB"
