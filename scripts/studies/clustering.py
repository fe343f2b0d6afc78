"""Which algorithm groups an album's faces best, and how near must groups be to be joined? Simulated albums.

    D=../shared/data
    .venv/bin/python -m scripts.studies clustering $D/faces --people $D/splits/validation.txt
    .venv/bin/python -m scripts.studies clustering $D/faces --people $D/splits/test.txt --shipped

FOLDER holds identity folders of aligned crops. LIST names the people, a line `faces/NAME` each. An album is 20 to 60
of them at random. A quarter of them have one photo in it, the others 1 + a geometric number of mean 5 (or all they
have). There is a table for each kind of album:

alone      every face has a photo of its own
together   the same faces, half of them in photos of 2 to 5 people
crowd      the faces of `alone`, and 500 strangers with a photo each (from the half of the cohort that sets no limit)
everyone   all crops of all people, one album

Each table has precision, recall and F over all draws, and F less the first row's. A last table has the mean F of the
four kinds. 95 % intervals: people are resampled, the same for all rows and draws; groupings and strangers are kept.
Limits that strangers set are set by the other half of the cohort. For DBSCAN this limit is eps, set by the share of
the strangers within it of some face. Seeds are fixed.

--shipped: the first row only, for people by whom nothing is to be chosen. --cache FILE.npz keeps the embeddings.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import HDBSCAN

from facerec.albums.clustering import DENSE, JOINED, dense_groups, group_faces
from facerec.files import replacing
from facerec.inference.loading import load_embedder, model_card
from facerec.metrics.clustering import b_cubed
from facerec.models.cohort import load_cohort
from facerec.types import Floats, Threshold, Vectors
from scripts.studies.people import embed_people, listed_people, resamples
from scripts.studies.tables import Table, shown, study_parser

DRAWS, REPLICATES, SEED = 20, 1000, 0
STRANGERS = 500

Labels = NDArray[np.int64]
Method = Callable[[Vectors, Labels, Vectors], Labels]  # vectors, photos, strangers -> labels, 0: alone


@dataclass(frozen=True, eq=False)
class Album:
    """N faces: (N, D) vectors, (N,) people and photos as numbers; strangers' people are negative."""

    vectors: Vectors
    people: Labels
    photos: Labels


def linked(vectors: Vectors, photos: Labels, strangers: Vectors, rate: float) -> Labels:
    """Average linkage as `facerec cluster` does it, at another rate."""
    return group_faces(vectors, photos.tolist(), strangers, rate).labels


def linked_within(vectors: Vectors, photos: Labels, strangers: Vectors, limit: float) -> Labels:
    """Average linkage up to a constant distance."""
    return group_faces(vectors, photos.tolist(), Threshold(limit, "")).labels


def dbscan(vectors: Vectors, photos: Labels, strangers: Vectors, rate: float) -> Labels:
    """DBSCAN as `facerec cluster --method dbscan` does it, at another rate."""
    return dense_groups(vectors, strangers, rate).labels


def dbscan_within(vectors: Vectors, photos: Labels, strangers: Vectors, limit: float) -> Labels:
    """DBSCAN at a constant eps."""
    return dense_groups(vectors, Threshold(limit, "")).labels


def hdbscan(vectors: Vectors, photos: Labels, strangers: Vectors, method: str) -> Labels:
    """HDBSCAN, groups of two faces and more; it has no limit to set."""
    options = {"cluster_selection_method": method, "copy": True}
    found = HDBSCAN(min_cluster_size=2, min_samples=1, **options).fit_predict(vectors)  # type: ignore[arg-type]
    return found.astype(np.int64) + 1


def methods(limit: float) -> dict[str, Method]:
    """Name -> method, a row each; `limit`: the threshold on the model's card."""
    rates = [JOINED, *(rate for rate in (0.01, 0.03, 0.05, 0.1, 0.2) if rate != JOINED)]
    rows: dict[str, Method] = {
        f"average linkage, {100 * rate:g} % of strangers": partial(linked, rate=rate) for rate in rates
    }
    rows["average linkage, the card's threshold"] = partial(linked_within, limit=limit)
    rows |= {
        f"DBSCAN, {100 * rate:g} % of strangers": partial(dbscan, rate=rate) for rate in (0.001, 0.003, DENSE, 0.03)
    }
    rows["DBSCAN, the card's threshold"] = partial(dbscan_within, limit=limit)
    return rows | {f"HDBSCAN, {kind}": partial(hdbscan, method=kind) for kind in ("eom", "leaf")}


def draw(vectors: Vectors, people: Labels, seed: int) -> Album:
    """An album of faces alone, in random order."""
    rng = np.random.default_rng((SEED, seed))
    everyone = np.unique(people)
    chosen = rng.permutation(everyone)[: rng.integers(20, 61)]
    counts = np.where(rng.random(len(chosen)) < 0.25, 1, 1 + rng.geometric(1 / 5, len(chosen)))
    rows = [rng.permutation(np.flatnonzero(people == p))[:n] for p, n in zip(chosen, counts, strict=True)]
    order = rng.permutation(np.concatenate(rows))
    return Album(vectors[order], people[order], np.arange(len(order)))


def together(album: Album, seed: int) -> Album:
    """Half of the faces in photos of 2 to 5 people."""
    rng = np.random.default_rng((SEED, seed, 1))
    photos, start = album.photos.copy(), 0
    while start < len(photos) // 2:  # they are in random order
        end = start + rng.integers(2, 6)
        _, first = np.unique(album.people[start:end], return_index=True)  # of a person, the first face only
        photos[start + first] = start
        start = end
    return Album(album.vectors, album.people, photos)


def crowd(album: Album, strangers: Vectors, seed: int) -> Album:
    """The album among STRANGERS."""
    picked = np.random.default_rng((SEED, seed, 2)).permutation(len(strangers))[:STRANGERS]
    vectors = np.concatenate([album.vectors, strangers[picked]])
    return Album(vectors, np.concatenate([album.people, -1 - picked]), np.arange(len(vectors)))


def score(albums: list[Album], strangers: Vectors, method: Method, people: int) -> Floats:
    """(1 + REPLICATES, 3) precision, recall and F averaged over the albums; as measured, then with people resampled."""
    weights = resamples(people, REPLICATES, SEED)  # (1 + B, P)
    total = np.zeros((len(weights), 3))
    for album in albums:
        there = np.unique(album.people)
        own = np.where(there >= 0, weights[:, np.maximum(there, 0)], 1.0)
        total += b_cubed(album.people, method(album.vectors, album.photos, strangers), own)
    return total / len(albums)


def kinds(vectors: Vectors, people: Labels, extra: Vectors) -> Iterator[tuple[str, list[Album]]]:
    """Every kind of album and its draws."""
    alone = [draw(vectors, people, seed) for seed in range(DRAWS)]
    yield "alone", alone
    yield "together", [together(album, seed) for seed, album in enumerate(alone)]
    yield "crowd", [crowd(album, extra, seed) for seed, album in enumerate(alone)]
    yield "everyone", [Album(vectors, people, np.arange(len(people)))]


def embeddings(folder: Path, people: list[str], model: str, cache: Path | None) -> tuple[Vectors, Labels]:
    """(N, D) vectors of all crops, and (N,) the number of the person on each."""
    if cache is not None and cache.exists():
        stored = np.load(cache)
        return stored["vectors"], stored["people"]
    rows = embed_people(folder, people, model)
    vectors = np.concatenate([np.stack(rows[person]) for person in people])
    numbers = np.repeat(np.arange(len(people)), [len(rows[person]) for person in people])
    if cache is not None:
        with replacing(cache) as draft, draft.open("wb") as file:
            np.savez(file, vectors=vectors, people=numbers)
    return vectors, numbers


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    made.add_argument("folder", type=Path)
    made.add_argument("--people", type=Path, required=True, metavar="LIST")
    made.add_argument("--model", default="default")
    made.add_argument("--cache", type=Path, metavar="FILE")
    made.add_argument("--shipped", action="store_true")
    return made


def main() -> None:
    """Parse, embed, draw, print Markdown tables."""
    options = parser().parse_args()
    names = listed_people(options.people, options.folder)
    vectors, people = embeddings(options.folder, names, options.model, options.cache)
    limit = model_card(options.model).default_threshold
    assert limit is not None, "the model's card states no threshold"
    embedder = load_embedder(options.model)
    cohort = np.random.default_rng(SEED).permutation(load_cohort(embedder.path, embedder.card))
    strangers, extra = np.array_split(cohort, 2)
    rows = methods(limit.distance)
    rows = dict(list(rows.items())[:1]) if options.shipped else rows
    print(f"{len(names)} people, {len(people)} crops; percent, 95 % intervals over people")
    means = dict.fromkeys(rows, np.zeros(1 + REPLICATES))
    for kind, albums in kinds(vectors, people, extra):
        sizes = [len(album.people) for album in albums]
        print(f"\n{kind}: {len(albums)} albums of {min(sizes)} to {max(sizes)} faces\n")
        table = Table(("grouped by", "precision, %", "recall, %", "F, %", "F less the first row's"), options.csv, kind)
        first: Floats | None = None
        for name, method in rows.items():
            values = score(albums, strangers, method, len(names))
            first = values[:, 2] if first is None else first
            cells = [f"{100 * values[0, 0]:.1f}", f"{100 * values[0, 1]:.1f}", *compared(values[:, 2], first)]
            table.add(name, *cells)
            means[name] = means[name] + values[:, 2] / 4
    print("\nmean of the four kinds\n")
    table = Table(("grouped by", "F, %", "F less the first row's"), options.csv, "mean")
    for name, values in means.items():
        table.add(name, *compared(values, means[next(iter(rows))]))


def compared(values: Floats, first: Floats) -> list[str]:
    """A figure and how much more it is than the first row's, in percent with intervals."""
    return [shown(values, 100, 1), "" if np.array_equal(values, first) else shown(values - first, 100, 1)]


if __name__ == "__main__":
    main()
