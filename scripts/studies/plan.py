"""What threshold and FNIR does a gallery of a million people have? Foretold from 2,000 strangers, and checked.

    .venv/bin/python -m scripts.studies plan default --data ../shared/data --csv scripts/studies/results/plan.csv

Writes the figures of `facerec plan`, each with its source, to facerec/evaluation/plan.json, and checks what they
foretell. The method is in facerec/evaluation/plan.py. What is fitted, and to whom:

- how near strangers come: the nearest share SHARE of all pairs of the model's cohort;
- how much nearer they come to the mean of several photos: the cohort and people who were trained on, with 1, 2 and 4
  photos. Only the change from 1 photo counts;
- how far people's photos are from the mean of their others: the validation people, ROUNDS random choices of photos.

Checked are the FPIR and the FNIR at the foretold threshold, and the threshold itself. Real people: of LFW, half are
enrolled with one photo each, and the others are strangers; nothing is fitted to them. Made-up people, up to a million:
`scripts/bench search` makes them of the cohort and normal noise. Every person there is searched once, so the intervals
are Clopper and Pearson's. Times and memory are copied from scripts/benchmarks/README.md. Disk is that of galleries
which are filled here.
"""

import argparse
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.decision.calibration import DEFAULT_FPIR
from facerec.evaluation import plan
from facerec.files import write_json
from facerec.inference.loading import load_embedder
from facerec.metrics.intervals import share_interval
from facerec.models.cohort import load_cohort
from facerec.photos.folders import find_photos
from facerec.search.index import nearest_rows
from facerec.types import Template, Vectors
from facerec.vectors import paired_distances, squared_distances, unit_rows
from scripts.benchmarks import _crowd, common, search
from scripts.studies.people import (
    Rows,
    add_options,
    embed_crops,
    held_back,
    people_of,
    read_rows,
    resamples,
    write_rows,
)
from scripts.studies.tables import Table, spanned, study_parser

SHARE = 0.001  # of all pairs
SHARES = (0.05, 0.02, 0.01, 0.003, 0.001, 0.0001)  # compared
FITTED = 20_000  # pairs at most, by maximum likelihood
PHOTOS = (1, 2, 4)
TRAINED = 600  # people
ROUNDS, REPLICATES, SEED = 20, 200, 0
GRID = np.round(np.arange(0.1, 1.81, 0.02), 2)  # distances
STRANGERS, MATED = 10_000, 2_000  # searches among made-up people
MADE_UP = (10_000, 100_000, 1_000_000)
GALLERIES = ((5_000, 1), (25_000, 1), (5_000, 4))  # people, photos of each
Distances = NDArray[np.floating[Any]]
CORES = 2  # of the machine on the page of benchmarks
BENCHES = Path(common.__file__).parent / "README.md"

# ------------------------------------------------------------------------------------------------- strangers


def pairs_of(one: Vectors, other: Vectors | None = None) -> NDArray[np.float32]:
    """The distances of all pairs of the rows of one, or of a row of one and a row of the other."""
    distances = squared_distances(one, one if other is None else other)
    return distances[np.triu_indices(len(one), 1)] if other is None else distances.ravel()


def nearest_pairs(distances: NDArray[np.float32], share: float) -> tuple[float, NDArray[np.float32]]:
    """The distance within which this share of the pairs are, and the (K,) distances of these pairs, ascending."""
    within = int(share * len(distances))
    *near, end = np.sort(np.partition(distances, within)[: within + 1])
    return float(end), np.array(near)


def tail_of(distances: NDArray[np.float32], share: float = SHARE) -> tuple[float, float]:
    """The distance within which `share` of the pairs are, and the power by which the share falls below it (Hill)."""
    end, near = nearest_pairs(distances, share)
    return end, float(1 / np.mean(np.log(end / near)))


def strangers(cohort: Vectors) -> dict[str, Any]:
    """The tail of the cohort's pairs, and for people resampled the share within its distance and the power."""
    distance, power = tail_of(pairs_of(cohort))
    first, second = np.nonzero(np.triu(squared_distances(cohort, cohort) <= distance, 1))
    logs = np.log(distance / paired_distances(cohort[first], cohort[second]))
    drawn = []
    for weights in resamples(len(cohort), REPLICATES, SEED)[1:]:
        near, whole = weights[first] * weights[second], (weights.sum() ** 2 - (weights**2).sum()) / 2
        drawn.append([rounded(near.sum() / whole), rounded(near.sum() / (near @ logs))])
    return {"distance": rounded(distance), "share": SHARE, "power": rounded(power), "replicates": drawn}


def of_means(cohort: Vectors, trained: Rows) -> dict[str, dict[str, float]]:
    """How distance and power of the tail change from 1 photo to the mean of several."""
    people = [np.stack(own[: max(PHOTOS)]) for own in trained.values() if len(own) >= max(PHOTOS)]
    tails = []
    for photos in PHOTOS:
        means = [own[at : at + photos].mean(axis=0) for own in people for at in range(0, max(PHOTOS), photos)]
        tails.append(tail_of(pairs_of(cohort, unit_rows(np.stack(means)))))
    return {
        str(photos): {"distance": rounded(distance / tails[0][0]), "power": rounded(power / tails[0][1])}
        for photos, (distance, power) in zip(PHOTOS, tails, strict=True)
    }


def trained_people(data: Path, model: str, cache: Path | None) -> Rows:
    """The first crops of TRAINED people who were trained on, from `cache` if they are there."""
    kept = cache and cache / f"training-{load_embedder(model).card.fingerprint}.npz"
    if kept is not None and kept.exists():
        return read_rows(kept)
    held = held_back(data)
    folders = sorted(path for path in (data / "faces").iterdir() if f"faces/{path.name}" not in held)
    order = [folders[i] for i in np.random.default_rng(SEED).permutation(len(folders))]
    shown = {folder.name: find_photos(folder)[: max(PHOTOS)] for folder in order}
    enough = [name for name, photos in shown.items() if len(photos) == max(PHOTOS)][:TRAINED]
    rows = {name: embed_crops(shown[name], model) for name in enough}
    if kept is not None:
        write_rows(kept, rows)
    return rows


# ------------------------------------------------------------------------------------------------- their own photos


def own_distances(rows: Rows, photos: int) -> Iterator[NDArray[np.float32]]:
    """For each person the distances of photos to the mean of so many others of theirs, over ROUNDS random choices."""
    rng = np.random.default_rng((SEED, photos))
    for own in (np.stack(rows[person]) for person in sorted(rows)):
        found = []
        for _ in range(ROUNDS if len(own) > photos else 0):
            order = rng.permutation(len(own))
            mean = unit_rows(own[order[:photos]].mean(axis=0, keepdims=True))[0]
            found.append(paired_distances(own[order[photos:]], mean))
        if found:
            yield np.concatenate(found)


def own_photos(rows: Rows, photos: int) -> dict[str, list[float]]:
    """The share of photos beyond each distance of GRID, and its 95 % interval over people resampled."""
    people = list(own_distances(rows, photos))
    counts = np.array([len(own) for own in people]) / ROUNDS
    beyond = np.stack([(own[:, None] > GRID).sum(axis=0) for own in people]) / ROUNDS  # (P, G)
    shares = [weights @ beyond / (weights @ counts) for weights in resamples(len(people), REPLICATES, SEED)]
    low, high = np.quantile(shares[1:], (0.025, 0.975), axis=0)
    return {name: [rounded(x) for x in part] for name, part in (("beyond", shares[0]), ("low", low), ("high", high))}


# ------------------------------------------------------------------------------------------------- what it costs


def published() -> dict[str, Any]:
    """Times from the page of benchmarks: of a search, and of a photo from the file to its vectors."""
    sizes = re.findall(r"^\| ([\d,]+) people(?:, exact)? \| ([\d.]+) \(", BENCHES.read_text("utf-8"), re.MULTILINE)
    (rate,) = from_page(r"^\| from the file to the vectors \| ([\d.]+) \|")
    return {
        "search": {
            "source": searched(),
            "sizes": [{"people": int(people.replace(",", "")), "ms": float(ms)} for people, ms in sizes],
        },
        "embedding": {
            "source": f"scripts/bench folder, photos of 250x250, default model, {measured_on()}",
            "core_seconds": rounded(CORES / float(rate)),
        },
    }


def published_memory() -> dict[str, Any]:
    """The memory of a process that has opened a gallery of a million people and searched it, for each of them."""
    (memory,) = from_page(r"A gallery of a million people .*? and ([\d.]+) GB")
    return {"source": f"{searched()}, a gallery of 1,000,000 people", "bytes": float(memory) * 1000}


def searched() -> str:
    """What measured the searches, and where."""
    (commit,) = from_page(r"`scripts/bench search`, 128 numbers, at commit (\w+)")
    return f"scripts/bench search, vectors of 128 numbers, {measured_on(commit)}"


def measured_on(commit: str = "") -> str:
    """The machine and the day of the page, and the commit unless another is given."""
    machine, usual = from_page(r"^From a quiet machine of two cores \((.*?), at commit (\w+)")
    return f"at commit {commit or usual}, on two cores ({machine}"


def from_page(pattern: str) -> tuple[str, ...]:
    """The groups of a pattern on the page of benchmarks; SystemExit where it is not there."""
    text = re.sub(r"(?<!\n)\n(?![\n|])", " ", BENCHES.read_text("utf-8"))  # a paragraph is one line
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"{BENCHES}: no longer has `{pattern}`, from which the figures of `facerec plan` are read")
    return found.groups()


def fill(folder: Path, people: int, photos: int) -> None:
    """Enroll so many made-up people, with so many photos of each."""
    from facerec.gallery.gallery import Gallery

    made = _crowd.crowd(128)
    rows = made.people(people, seed=4)
    shown = [made.photos(rows, seed=5 + number) for number in range(photos)]
    with Gallery.open(folder, create=True) as gallery:
        gallery.bind_model(search.MODEL[0], search.MODEL[1], 128, None)
        for start in range(0, people, search.AT_ONCE // photos):
            several = range(start, min(start + search.AT_ONCE // photos, people))
            gallery.add_all([(f"Person {i}", template(i, number, shown)) for i in several for number in range(photos)])


def template(person: int, number: int, shown: list[Vectors]) -> Template:
    """Photo `number` of a person."""
    name = f"Person {person}/{number}.jpg"
    return Template(f"{person * 1000 + number:064x}", name, (0.0, 0.0, 9.0, 9.0), 0.9, shown[number][person])


def file_sizes() -> list[tuple[int, int]]:
    """The bytes of all files of each of GALLERIES, and of the file of everybody's vectors, which searches map."""
    found = []
    for people, photos in GALLERIES:
        with tempfile.TemporaryDirectory() as folder:
            gallery = Path(folder) / "gallery"
            common.say(f"a gallery of {people} people with {photos} photos")
            common.in_own_process(fill, gallery, people, photos)
            common.in_own_process(search.open_and_search, gallery, people, 128)  # makes the caches
            sizes = {path.name: path.stat().st_size for path in gallery.iterdir()}
            found.append((sum(sizes.values()), sizes["people.cache"]))
    return found


def gallery_costs() -> dict[str, Any]:
    """Bytes of memory and disk, for each person and each photo.

    The memory is that published for a million people with one photo each; a further photo adds its part of the file
    that is mapped.
    """
    counts = np.array([(1, people, people * photos) for people, photos in GALLERIES], np.float64)
    disk, mapped = (np.linalg.solve(counts, values) for values in np.array(file_sizes(), np.float64).T)
    opened, photo = published_memory(), round(mapped[2])
    return {
        "memory": {
            "source": f"{opened['source']}; further photos: the sizes of files as for disk",
            **{"base": 0, "person": round(opened["bytes"]) - photo, "photo": photo},
        },
        "disk": {
            "source": "the files of galleries of made-up people (128 numbers each), filled by scripts/studies/plan.py",
            **{name: max(round(value), 0) for name, value in zip(("base", "person", "photo"), disk, strict=True)},
        },
    }


# ------------------------------------------------------------------------------------------------- the checks


def check(known: dict[str, Any], people: int, near: Distances, own: Distances, other: Distances) -> dict[str, Any]:
    """What is foretold for a gallery of so many people with one photo each, and what is found.

    near: (N,) distances of strangers to the nearest person. own, other: (M,) distances of enrolled people's photos to
    themselves and to the nearest other person.
    """
    tail = plan.strangers(known, 1)
    foretold, low, high = tail.threshold(people, DEFAULT_FPIR)
    found = sorted(near)
    ranks = np.random.default_rng(SEED).binomial(len(near), DEFAULT_FPIR, 10_000)
    ends = [found[int(np.quantile(ranks, q))] for q in (0.025, 0.975)]
    named, missed = int((near <= foretold).sum()), int(((own > foretold) | (other < own)).sum())
    beyond, at_low, at_high = plan.own_photos(known, 1).at(foretold)
    confused = plan.own_photos(known, 1).taken_for_others(tail, foretold, people)
    return {
        "people": people,
        "foretold": [rounded(x) for x in (foretold, low, high)],
        "threshold": [rounded(float(x)) for x in (found[int(DEFAULT_FPIR * len(near))], *ends)],
        "fpir": [rounded(x) for x in (named / len(near), *share_interval(named, len(near)))],
        "foretold_fnir": [rounded(x + confused) for x in (beyond, at_low, at_high)],
        "fnir": [rounded(x) for x in (missed / len(own), *share_interval(missed, len(own)))],
    }


def made_up(known: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The checks among made-up people; the smaller galleries are the first people of the largest."""
    made = _crowd.crowd(128)
    rows, outside = made.people(MADE_UP[-1], seed=4), made.people(STRANGERS, seed=3)
    photos = made.photos(rows[:MATED], seed=2)  # of people who are in all of the galleries
    own = paired_distances(photos, rows[:MATED])
    near, other, before = np.full(STRANGERS, 4.0), np.full(MATED, 4.0), 0
    for people in MADE_UP:
        common.say(f"{people} made-up people")
        some = rows[before:people]
        near = np.minimum(near, nearest_rows(outside, some, 1)[0][:, 0])
        found, places = nearest_rows(photos, some, 2)
        mine = places[:, 0] + before == np.arange(MATED)
        other, before = np.minimum(other, np.where(mine, found[:, 1], found[:, 0])), people
        yield {"who": "made-up", **check(known, people, near, own, other)}


def real(known: dict[str, Any], rows: Rows) -> dict[str, Any]:
    """The check with LFW: half of the people enrolled with one photo, one other photo of each searched."""
    names = sorted(rows)
    order = [names[i] for i in np.random.default_rng(SEED).permutation(len(names))]
    enrolled, outside = order[: len(order) // 2], order[len(order) // 2 :]
    gallery = np.stack([rows[person][0] for person in enrolled])
    near = nearest_rows(np.stack([rows[person][0] for person in outside]), gallery, 1)[0][:, 0]
    mated = [place for place, person in enumerate(enrolled) if len(rows[person]) > 1]
    distances = squared_distances(np.stack([rows[enrolled[place]][1] for place in mated]), gallery)
    own = distances[np.arange(len(mated)), mated].copy()
    distances[np.arange(len(mated)), mated] = np.inf
    return {"who": "LFW", **check(known, len(enrolled), near, own, distances.min(axis=1))}


def compare_ways(cohort: Vectors, file: Path | None) -> None:
    """Print what three kinds of tail foretell for the largest gallery, each fitted to several shares of the pairs."""
    from scipy.stats import genpareto

    pairs, rate = pairs_of(cohort), -np.expm1(np.log1p(-DEFAULT_FPIR) / MADE_UP[-1])
    head = ("fitted to the nearest, %", "power", "threshold by the power law", "generalised Pareto", "exponential")
    table = Table(head, file, "ways")
    for share in SHARES:
        (end, power), (_, near) = tail_of(pairs, share), nearest_pairs(pairs, share)
        below = end - near[:: max(len(near) // FITTED, 1)]
        shape, _, scale = genpareto.fit(below, floc=0)
        fitted = end - genpareto.isf(rate / share, shape, scale=scale)
        exponential = end - genpareto.isf(rate / share, 0, scale=below.mean())
        law = end * (rate / share) ** (1 / power)
        table.add(f"{100 * share:g}", f"{power:.1f}", *(f"{x:.3f}" for x in (law, fitted, exponential)))


def show(checks: list[dict[str, Any]], file: Path | None) -> None:
    """Print the checks as a table."""
    head = ("people", "threshold foretold", "found", "FPIR there, %", "FNIR foretold, %", "found, %")
    table = Table(head, file)
    for row in checks:
        shares = [spanned(row[name][0], row[name][1:], 100, 2) for name in ("fpir", "foretold_fnir", "fnir")]
        distances = [spanned(row[name][0], row[name][1:], 1, 3) for name in ("foretold", "threshold")]
        table.add(f"{row['people']:,}, {row['who']}", *distances, *shares)


# ------------------------------------------------------------------------------------------------- the study


def rounded(value: float | np.floating[Any]) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of `facerec plan`, without the checks."""
    embedder = load_embedder(options.model)
    cohort, name = load_cohort(embedder.path, embedder.card), embedder.card.name
    rows = people_of(options.data, "validation", options.model, options.cache)
    trained = trained_people(options.data, options.model, options.cache)
    return {
        "strangers": {"source": f"all pairs of the {len(cohort):,} cohort people of {name}", **strangers(cohort)},
        "means": {
            "source": f"the cohort people among {len(trained):,} people whom {name} was trained on",
            "photos": of_means(cohort, trained),
        },
        "own": {
            "source": f"{sum(map(len, rows.values())):,} crops of the {len(rows)} validation people, by {name}",
            "distances": GRID.tolist(),
            "photos": {str(photos): own_photos(rows, photos) for photos in PHOTOS},
        },
        **published(),
        **gallery_costs(),
    }


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    add_options(made)
    return made


def main() -> None:
    """Parse, measure, check, write the figures, print a Markdown table."""
    options = parser().parse_args()
    known = measure(options)
    checks = [real(known, people_of(options.data, "lfw", options.model, options.cache)), *made_up(known)]
    write_json(plan.FIGURES, {**known, "checked": [row for row in checks if row["who"] == "made-up"]})
    show(checks, options.csv)
    embedder = load_embedder(options.model)
    compare_ways(load_cohort(embedder.path, embedder.card), options.csv)


if __name__ == "__main__":
    main()
