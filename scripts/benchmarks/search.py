"""Measures the search among 1,000 to 1,000,000 people: time, memory, and what the shortlist misses.

    scripts/bench search [--people N] [--dimension N] [--quick] [--plot PNG] [--json]

The people are made up, with the scores of real faces (`_crowd.py`; the scores of both are printed). At each size,
photos of enrolled people and of strangers are searched exactly and by facerec's index: `recall` is the share of
searches that find the same person nearest. The threshold is the one at which 1 % of the strangers' searches match, by
what the index returns; FPIR and FNIR at it are then compared. One query at a time is timed.

At --others people (default 100,000), other indexes are searched with more and more effort until they reach
LEAST_RECALL: FAISS's inverted files and HNSW, usearch and hnswlib (if they are installed). A gallery of --people is
filled by `Gallery.add_all`, opened by a new process, and searched; the first opening makes the caches. Exit status 1:
the index misses more than LEAST_RECALL and MOST_DIFFERENCE allow.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benchmarks import _crowd, _indexes
from scripts.benchmarks.common import add_data, in_own_process, resident_mb, say, text_table

SIZES = (1_000, 3_000, 10_000, 20_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000)
SEARCHES = 1000  # by enrolled people, and as many by strangers
TIMED = 300
RATE = 0.01  # FPIR
LEAST_RECALL, MOST_DIFFERENCE = 0.995, 0.001  # what the bench demands
AT_ONCE = 10_000  # photos in a call of `add_all`
MODEL = ("made-up", "made-up people", None, None)

# ------------------------------------------------------------------------------------------ one size


def sizes_up_to(people: int) -> list[int]:
    """The sizes that are measured, the last of them `people`."""
    return [*(size for size in SIZES if size < people), people]


def queries_of(people: _crowd.Rows, made: _crowd.Crowd) -> tuple[np.ndarray, _crowd.Rows, _crowd.Rows]:
    """Return who is searched for, (N,) numbers, a photo of each, and photos of strangers."""
    who = np.random.default_rng(1).integers(0, len(people), SEARCHES)
    return who, made.photos(people[who], seed=2), made.people(SEARCHES, seed=3)


def milliseconds(search: Callable[[_crowd.Rows], Any], queries: _crowd.Rows) -> dict[str, float]:
    """Return the median and the 99th percentile of the time of a search for one query."""
    taken = []
    for number in range(TIMED):
        query = queries[number % len(queries)][None]
        began = time.perf_counter()
        search(query)
        taken.append(1000 * (time.perf_counter() - began))
    return {"ms_p50": float(np.quantile(taken, 0.5)), "ms_p99": float(np.quantile(taken, 0.99))}


def measure_size(people: int, dimension: int) -> dict[str, Any]:
    """Return the figures of a number of people: of the exact search, and of facerec's index."""
    from facerec.search.index import nearest_rows
    from facerec.search.people import PeopleIndex

    made = _crowd.crowd(dimension)
    rows = made.people(people, seed=4)
    who, photos, strangers = queries_of(rows, made)
    exact = [nearest_rows(some, rows, 1) for some in (photos, strangers)]
    before = resident_mb()
    index = PeopleIndex(np.arange(people), [str(number) for number in range(people)], rows)
    held = resident_mb() - before
    began = time.perf_counter()
    index.nearest_places(photos[:1], 1)
    figures: dict[str, Any] = {
        "people": people,
        "shortlist": index.is_large,
        "people_mb": held,
        "codes_mb": resident_mb() - before - held,
        "learn_s": time.perf_counter() - began,
    }
    found = [index.nearest_places(some, 1) for some in (photos, strangers)]
    for name, mine, true in zip(("enrolled", "strangers"), found, exact, strict=True):
        figures[f"recall_{name}"] = float((mine[1] == true[1]).mean())
    figures["rank1"], figures["rank1_exact"] = (float((each[0][1][:, 0] == who).mean()) for each in (found, exact))
    figures |= rates(who, found, exact)
    figures |= milliseconds(lambda query: index.nearest_places(query, 1), photos)
    figures["exact"] = milliseconds(lambda query: nearest_rows(query, rows, 1), photos)
    return figures


def rates(who: np.ndarray, found: list[Any], exact: list[Any]) -> dict[str, float]:
    """Return FPIR and FNIR, the index's and exact ones, at the threshold by the index's distances of strangers."""
    threshold = np.quantile(found[1][0], RATE)
    rated: dict[str, float] = {"threshold": float(threshold)}
    for name, (enrolled, strangers) in (("", found), ("_exact", exact)):
        rated[f"fpir{name}"] = float((strangers[0] <= threshold).mean())
        hits = (enrolled[1][:, 0] == who) & (enrolled[0][:, 0] <= threshold)
        rated[f"fnir{name}"] = float(1 - hits.mean())
    return rated


# ------------------------------------------------------------------------------------------ other indexes


def measure_other(name: str, people: int, dimension: int) -> dict[str, Any]:
    """Return the figures of another kind of index, at the least effort that reaches LEAST_RECALL."""
    from facerec.search.index import nearest_rows
    from facerec.search.shortlist import nearest_listed

    made, kind = _crowd.crowd(dimension), _indexes.KINDS[name]
    rows = made.people(people, seed=4)
    _, photos, _ = queries_of(rows, made)
    exact = nearest_rows(photos, rows, 1)[1]
    before, began = resident_mb(), time.perf_counter()
    find = kind.build(rows)
    figures: dict[str, Any] = {"kind": name, "removes": kind.removes, "build_s": time.perf_counter() - began}
    figures["mb"] = resident_mb() - before
    for effort in kind.efforts:
        found = nearest_listed(photos, rows, find(photos, effort), 1)[1]
        figures |= {"effort": effort, "recall_enrolled": float((found == exact).mean())}
        if figures["recall_enrolled"] >= LEAST_RECALL:
            break
    return figures | milliseconds(lambda query: nearest_listed(query, rows, find(query, figures["effort"]), 1), photos)


def others(people: int, dimension: int) -> dict[str, Any]:
    """Return the figures of facerec's index and of every other kind; of a package that is missing, only that it is."""
    say(f"facerec, {people} people")
    kinds = [{"kind": "facerec", "removes": True, **in_own_process(measure_size, people, dimension)}]
    kinds[0] |= {"effort": 0, "mb": kinds[0]["codes_mb"], "build_s": kinds[0]["learn_s"]}
    for name in _indexes.KINDS:
        say(f"{name}, {people} people")
        if find_spec(name.split()[0]) is None:
            kinds.append({"kind": name, "missing": True})
        else:
            kinds.append(in_own_process(measure_other, name, people, dimension))
    return {"people": people, "kinds": kinds}


# ------------------------------------------------------------------------------------------ a gallery


def fill(folder: Path, people: int, dimension: int) -> dict[str, float]:
    """Enroll people, AT_ONCE in a call; return how many a second, with everything on disk at the end."""
    from facerec.gallery.gallery import Gallery
    from facerec.types import Template

    rows = _crowd.crowd(dimension).people(people, seed=4)
    taken = 0.0
    with Gallery.open(folder, create=True) as gallery:
        gallery.bind_model(MODEL[0], MODEL[1], dimension, None)
        for start in range(0, people, AT_ONCE):
            some = [
                (
                    f"Person {number}",
                    Template(f"{number:064x}", f"{number}.jpg", (0.0, 0.0, 9.0, 9.0), 0.9, rows[number]),
                )
                for number in range(start, min(start + AT_ONCE, people))
            ]
            began = time.perf_counter()
            gallery.add_all(some)
            taken += time.perf_counter() - began
    return {"additions_per_s": people / taken}


def open_and_search(folder: Path, people: int, dimension: int) -> dict[str, float]:
    """Return how long a process takes to open a gallery and search it, and how much memory it then holds."""
    from facerec.gallery.gallery import Gallery

    made = _crowd.crowd(dimension)
    photos = made.people(TIMED, seed=5)
    before, began = resident_mb(), time.perf_counter()
    with Gallery.open(folder) as gallery:
        gallery.bind_model(MODEL[0], MODEL[1], dimension, None)
        gallery.search(photos[:1], 1)
        figures = {"open_s": time.perf_counter() - began, "mb": resident_mb() - before}
        return figures | milliseconds(lambda query: gallery.search(query, 1), photos)


def change(folder: Path, dimension: int) -> dict[str, float]:
    """Return the seconds to add one person, and to remove one for good, each with a search afterwards."""
    from facerec.gallery.gallery import Gallery
    from facerec.types import Template

    photo = _crowd.crowd(dimension).people(1, seed=6)
    with Gallery.open(folder) as gallery:
        gallery.bind_model(MODEL[0], MODEL[1], dimension, None)
        gallery.search(photo, 1)
        began = time.perf_counter()
        gallery.add("New", Template("f" * 64, "new.jpg", (0.0, 0.0, 9.0, 9.0), 0.9, photo[0]))
        gallery.search(photo, 1)
        added = time.perf_counter() - began
        gallery.remove("New")
        removed = time.perf_counter() - began - added
        gallery.search(photo, 1)
        searched = time.perf_counter() - began - added - removed
    return {"add_one_s": added, "remove_one_s": removed, "search_after_removal_s": searched}


def measure_gallery(people: int, dimension: int) -> dict[str, Any]:
    """Return the figures of a gallery of so many people, one photo each."""
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "gallery"
        say(f"a gallery of {people} people")
        figures: dict[str, Any] = {"people": people, **in_own_process(fill, gallery, people, dimension)}
        for name in ("first_opening", "opening"):
            say(name)
            figures[name] = in_own_process(open_and_search, gallery, people, dimension)
        figures["files_mb"] = {path.name: path.stat().st_size / 1e6 for path in sorted(gallery.iterdir())}
        return figures | in_own_process(change, gallery, dimension)


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    add_data(parser)
    parser.add_argument("--people", type=int, default=1_000_000, help="the largest size (default %(default)s)")
    parser.add_argument("--dimension", type=int, default=128, help="numbers of a vector (default %(default)s)")
    parser.add_argument("--others", type=int, default=100_000, help="people in the other indexes (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="30,000 people at most, and no other indexes")
    parser.add_argument("--plot", type=Path, help="write the curves to this PNG file")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every size, the other indexes, and a gallery."""
    people = min(options.people, 30_000) if options.quick else options.people
    figures: dict[str, Any] = {
        "dimension": options.dimension,
        "scores": _crowd.compared(_crowd.crowd(options.dimension)),
    }
    figures["scores"]["genuine"] = genuine(options.data)
    figures["sizes"] = []
    for size in sizes_up_to(people):
        say(f"{size} people")
        figures["sizes"].append(in_own_process(measure_size, size, options.dimension))
    if not options.quick:
        figures["others"] = others(min(options.others, people), options.dimension)
    figures["gallery"] = measure_gallery(people, options.dimension)
    figures["same_answers"] = all(map(holds, figures["sizes"]))
    if options.plot:
        plot(figures, options.plot)
    return figures


def holds(size: dict[str, Any]) -> bool:
    """Whether the index answers as the exact search does, within what is allowed."""
    apart = (abs(size[rate] - size[f"{rate}_exact"]) for rate in ("fpir", "fnir"))
    return size["recall_enrolled"] >= LEAST_RECALL and max(apart) <= MOST_DIFFERENCE


def genuine(data: Path) -> dict[str, Any]:
    """Return quantiles of two photos' distance: as made up, and real (validation people) if the data are there."""
    shown: dict[str, Any] = {"quantiles": [q for q, _ in _crowd.GENUINE], "made_up": [d for _, d in _crowd.GENUINE]}
    if (data / "splits" / "validation.txt").is_file():
        from scripts.studies.people import embed_listed

        rows = [vectors[:12] for vectors in embed_listed(data, "validation", "default").values()]
        owners = np.repeat(np.arange(len(rows)), [len(vectors) for vectors in rows])
        shown["real"] = _crowd.genuine(np.stack([vector for own in rows for vector in own]), owners)
    return shown


# ------------------------------------------------------------------------------------------ what is shown


def table(figures: dict[str, Any]) -> str:
    """The figures as tables: the sizes, the other indexes, the gallery, the scores."""
    parts = [size_table(figures["sizes"])]
    if "others" in figures:
        parts.append(other_table(figures["others"]))
    return "\n\n".join([*parts, gallery_lines(figures["gallery"]), score_lines(figures["scores"])]) + "\n"


def size_table(sizes: list[dict[str, Any]]) -> str:
    """One line for each size."""
    head = ("people", "search", "ms p50", "p99", "exact p50", "p99", "recall enrolled", "strangers")
    rates_head = ("FPIR %", "exact", "FNIR %", "exact", "people MB", "codes MB", "learnt in s")
    rows = []
    for size in sizes:
        times = [f"{each:.2f}" for each in (size["ms_p50"], size["ms_p99"], *size["exact"].values())]
        recalls = [f"{size[f'recall_{name}']:.4f}" for name in ("enrolled", "strangers")]
        shares = [f"{100 * size[rate]:.2f}" for rate in ("fpir", "fpir_exact", "fnir", "fnir_exact")]
        held = [f"{size['people_mb']}", f"{size['codes_mb']}", f"{size['learn_s']:.1f}"]
        kind = "shortlist" if size["shortlist"] else "exact"
        rows.append((f"{size['people']:,}", kind, *times, *recalls, *shares, *held))
    return text_table((*head, *rates_head), rows)


def other_table(other: dict[str, Any]) -> str:
    """One line for each other index."""
    head = (f"{other['people']:,} people", "recall enrolled", "ms p50", "p99", "MB", "built in s", "takes rows out")
    rows: list[tuple[str, ...]] = []
    for kind in other["kinds"]:
        if kind.get("missing"):
            rows.append((kind["kind"], *["not installed"] * 6))
            continue
        times = (f"{kind['ms_p50']:.2f}", f"{kind['ms_p99']:.2f}", str(kind["mb"]), f"{kind['build_s']:.1f}")
        name = f"{kind['kind']}, effort {kind['effort']}" if kind["effort"] else kind["kind"]
        rows.append((name, f"{kind['recall_enrolled']:.4f}", *times, "yes" if kind["removes"] else "no"))
    return text_table(head, rows)


def gallery_lines(gallery: dict[str, Any]) -> str:
    """The gallery's figures in words."""
    first, later = gallery["first_opening"], gallery["opening"]
    files = ", ".join(f"{name} {size:.0f} MB" for name, size in gallery["files_mb"].items())
    return (
        f"a gallery of {gallery['people']:,} people: {gallery['additions_per_s']:.0f} additions/s\n"
        f"opened and searched once in {later['open_s']:.2f} s ({first['open_s']:.1f} s the first time, which makes the "
        f"caches); a search {later['ms_p50']:.2f} ms (p99 {later['ms_p99']:.2f}); {later['mb']} MB\n"
        f"one person added and a search: {gallery['add_one_s']:.3f} s; removed for good: "
        f"{gallery['remove_one_s']:.2f} s; the search after it: {gallery['search_after_removal_s']:.2f} s\n"
        f"files: {files}"
    )


def score_lines(scores: dict[str, Any]) -> str:
    """The scores of real faces and of made-up ones."""
    rows = []
    for name in ("real", "made_up"):
        found = scores[name]
        rows.append(
            [name.replace("_", " "), *(f"{value:.3f}" for value in (found["cosine_sd"], *found["cosine"].values()))]
        )
        rows[-1] += [f"{value:.3f}" for value in found["nearest_distance"].values()]
    head = ["strangers", "cosine SD", *(f"cosine {q}" for q in scores["real"]["cosine"])]
    lines = [text_table([*head, *(f"nearest {q}" for q in scores["real"]["nearest_distance"])], rows)]
    pairs = scores["genuine"]
    shown = [
        (name.replace("_", " "), *(f"{d:.3f}" for d in pairs[name])) for name in ("real", "made_up") if name in pairs
    ]
    return "\n".join([*lines, text_table(["one person", *(f"distance {q}" for q in pairs["quantiles"])], shown)])


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw time, memory, recall, and FPIR and FNIR against the number of people."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes = figures["sizes"]
    people = [size["people"] for size in sizes]
    curves = {
        "ms for one search": {
            "exact": [size["exact"]["ms_p50"] for size in sizes],
            "facerec, p50": [size["ms_p50"] for size in sizes],
            "facerec, p99": [size["ms_p99"] for size in sizes],
        },
        "MB": {"people and means": [s["people_mb"] for s in sizes], "codes": [s["codes_mb"] for s in sizes]},
        "recall": {name: [size[f"recall_{name}"] for size in sizes] for name in ("enrolled", "strangers")},
        "at 1 % FPIR": {name: [size[name] for size in sizes] for name in ("fpir", "fpir_exact", "fnir", "fnir_exact")},
    }
    drawing, places = pyplot.subplots(2, 2, figsize=(11, 7), layout="constrained")
    for place, (title, lines) in zip(places.flat, curves.items(), strict=True):
        for number, (name, values) in enumerate(lines.items()):
            place.plot(people, values, "o--" if "exact" in name and number else "o-", label=name)
        place.set(xscale="log", xlabel="people", title=title, yscale="log" if title.startswith("m") else "linear")
        place.legend()
    drawing.savefig(path, dpi=120)
    pyplot.close(drawing)
