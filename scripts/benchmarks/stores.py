"""Measures the places that can hold people by the million: recall, time, bytes, additions, and what a removal leaves.

    scripts/bench stores [--people N] [--keep FILE] [--dimension N] [--json]

Made-up people (`_crowd.py`) fill, one after the other: nothing but their rows, which are all compared (`exact`);
facerec's codes; FAISS's inverted file and its HNSW, with more and more effort until they reach LEAST_RECALL; pgvector's
HNSW on a PostgreSQL server of its own; and Milvus Lite. Whoever is listed is compared exactly. `recall` is the share of
searches that find the same person nearest as `exact`; the threshold is the one at which 1 % of the strangers match, by
what the place finds. One query at a time is timed. Additions: filling it, with everything that a search needs.
Disk: its files (of PostgreSQL without the write-ahead log). Memory: what it takes in RAM; of PostgreSQL, its server.
Removed: one person is removed as facerec's removal does, and the files are searched for the bytes that they held.

A million people take hours; --kinds names some of the places, --keep notes each result in a file of JSON lines, and
does not measure again what is there. Exit status 1: facerec's codes or an engine miss more than LEAST_RECALL and
MOST_DIFFERENCE allow, or leave something of the person who was removed.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benchmarks import _crowd, _stores
from scripts.benchmarks.common import in_own_process, say, text_table
from scripts.benchmarks.search import LEAST_RECALL, MOST_DIFFERENCE, milliseconds, queries_of, rates

PEOPLE = (100_000, 1_000_000)
OURS = ("facerec codes", "pgvector HNSW", "Milvus Lite")  # the kinds by which facerec searches galleries

# ------------------------------------------------------------------------------------------ one place


def measure(kind: str, people: int, dimension: int) -> dict[str, Any]:
    """Return the figures of one kind of place with so many people."""
    from facerec.search.index import nearest_rows

    made = _crowd.crowd(dimension)
    rows = made.people(people, seed=4)
    who, photos, strangers = queries_of(rows, made)
    exact = [nearest_rows(some, rows, 1) for some in (photos, strangers)]
    with _stores.new_folder() as folder:
        place = _stores.PLACES[kind](Path(folder))
        try:
            began = time.perf_counter()
            place.fill(rows)
            figures: dict[str, Any] = {"kind": kind, "people": people}
            figures["additions_per_s"] = people / (time.perf_counter() - began)
            figures |= searched(place, rows, (who, photos, strangers), exact)
            figures["memory_mb"] = place.memory_mb()
            return figures | removed(place, rows[int(who[0])], int(who[0]))
        finally:
            place.close()


def searched(place: _stores.Place, rows: _crowd.Rows, asked: tuple[Any, ...], exact: list[Any]) -> dict[str, Any]:
    """Return recall, rates and times, at the least effort that reaches LEAST_RECALL."""
    from facerec.search.shortlist import nearest_listed

    who, photos, strangers = asked
    figures: dict[str, Any] = {}
    for effort in place.efforts:
        found = [nearest_listed(some, rows, place.find(some, effort), 1) for some in (photos, strangers)]
        figures = {"effort": effort, "recall": float((found[0][1] == exact[0][1]).mean())}
        figures["recall_strangers"] = float((found[1][1] == exact[1][1]).mean())
        figures |= rates(who, found, exact)
        if figures["recall"] >= LEAST_RECALL:
            break
    best = figures["effort"]
    return figures | milliseconds(lambda query: nearest_listed(query, rows, place.find(query, best), 1), photos)


def removed(place: _stores.Place, row: np.ndarray, number: int) -> dict[str, Any]:
    """Return the bytes on disk, and whether they hold a person's vector before and after their removal."""
    files, forms = place.files(), place.forms(row)
    figures: dict[str, Any] = {"disk_mb": sum(path.stat().st_size for path in files) / 1e6}
    figures["held"] = all(_stores.holds(files, form) for form in forms)
    began = time.perf_counter()
    try:
        place.remove(number)
    except NotImplementedError:
        return figures | {"remove_s": None, "gone": False}
    figures["remove_s"] = time.perf_counter() - began
    return figures | {"gone": not any(_stores.holds(place.files(), form) for form in forms)}


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    parser.add_argument("--people", type=int, nargs="+", default=PEOPLE, help="how many (default %(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=_stores.PLACES, default=list(_stores.PLACES), help="which places")
    parser.add_argument("--dimension", type=int, default=128, help="numbers of a vector (default %(default)s)")
    parser.add_argument("--keep", type=Path, help="a file of results to go on with")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every place at every size."""
    known, places = kept(options.keep), []
    for people in options.people:
        for kind in options.kinds:
            asked = {"kind": kind, "people": people, "dimension": options.dimension}
            found = next((each for each in known if asked.items() <= each.items()), None)
            if found is None:
                say(f"{kind}, {people:,} people")
                found = asked | in_own_process(measure, kind, people, options.dimension)
                keep(options.keep, found)
            places.append(found)
    return {"places": places, "holds": all(map(is_good, places))}


def kept(path: Path | None) -> list[dict[str, Any]]:
    """Return the results of an earlier run."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path and path.is_file() else []


def keep(path: Path | None, found: dict[str, Any]) -> None:
    """Add a result."""
    if path:
        with path.open("a") as file:
            file.write(json.dumps(found) + "\n")


def is_good(place: dict[str, Any]) -> bool:
    """Whether a place by which facerec searches answers as the exact search does, and leaves nothing of the removed."""
    if place["kind"] not in OURS:
        return True
    apart = max(abs(place[rate] - place[f"{rate}_exact"]) for rate in ("fpir", "fnir"))
    proved = place["held"] and place["gone"]
    return place["recall"] >= LEAST_RECALL and apart <= MOST_DIFFERENCE and proved


def table(figures: dict[str, Any]) -> str:
    """A table for each number of people."""
    sizes = dict.fromkeys(place["people"] for place in figures["places"])
    return "\n\n".join(table_of(people, figures["places"]) for people in sizes) + "\n"


def table_of(people: int, places: list[dict[str, Any]]) -> str:
    """One line for each kind of place."""
    head = (f"{people:,} people", "recall enrolled", "strangers", "FPIR %", "exact", "FNIR %", "exact", "ms p50", "p99")
    rows = []
    for place in (each for each in places if each["people"] == people):
        name = f"{place['kind']}, effort {place['effort']}" if place["effort"] else place["kind"]
        recalls = (f"{place[recall]:.4f}" for recall in ("recall", "recall_strangers"))
        shares = (f"{100 * place[rate]:.2f}" for rate in ("fpir", "fpir_exact", "fnir", "fnir_exact"))
        times = f"{place['ms_p50']:.2f}", f"{place['ms_p99']:.2f}"
        sizes = f"{place['disk_mb']:.0f}", place["memory_mb"], f"{place['additions_per_s']:,.0f}"
        rows.append((name, *recalls, *shares, *times, *sizes, *removal(place)))
    return text_table((*head, "disk MB", "memory MB", "additions/s", "removed in s", "bytes left"), rows)


def removal(place: dict[str, Any]) -> tuple[str, str]:
    """How long a removal took, and what it left."""
    if place["remove_s"] is None:
        return "not possible", "yes"
    found = "none" if place["gone"] else "yes"
    return f"{place['remove_s']:.2f}", found if place["held"] else f"{found}, nor before"
