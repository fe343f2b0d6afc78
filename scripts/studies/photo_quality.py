"""When is a photo too poor to enroll its person? How misses rise with each measure of quality.

    .venv/bin/python -m scripts.studies photo_quality int8 --data ../shared/data [--kept FILE.npz]

6 crops of each validation person (`splits/validation.txt`), evenly spread over their files. Every second one is
spoiled: brought down to so many pixels across the face (the 112 px crop), or blurred by a Gaussian of so many of its
pixels. Landmarks are MTCNN's on the crops as they are.

A comparison of one person's two crops, one of them as it is, is missed when they are farther apart than the threshold
on the model's card. A search is missed when the mean of the person's other crops, as they are, is not the nearest of
all people's, or is beyond the threshold that the model's cohort sets among them for FPIR 1 %.

For every measure the crops are grouped by its value, and limits are read off: `good` down to where twice as many
comparisons are missed as of the crops as they are; `least` where half of them are. (facerec/faces/quality.py has the
limits of the eyes' distance rounded up to whole pixels.) 95 % intervals: people resampled. Last: how often
`decide.misplaced` holds a crop back from its own person, and from every other person it could be misfiled under.

--kept keeps the vectors between runs.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from scipy.ndimage import laplace

from facerec import metrics
from facerec.decision.calibration import calibrate
from facerec.faces.mtcnn import MTCNNDetector
from facerec.faces.quality import Quality, measure, sharpness
from facerec.faces.settings import DetectorSettings
from facerec.files import replacing
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_embedder
from facerec.metrics.intervals import tally
from facerec.models.cohort import load_cohort
from facerec.photos.crops import aligned_crop
from facerec.photos.folders import find_photos
from facerec.photos.reading import read_image
from facerec.types import Face, Floats, Image, Vectors
from facerec.vectors import paired_distances, squared_distances, sums_by_owner, unit_means, unit_rows
from scripts.studies.people import listed_folders
from scripts.studies.spoiling import AS_THEY_ARE, ways_to_spoil
from scripts.studies.tables import Counted, Table, shown, spanned, study_parser

PER_PERSON, REPLICATES, SEED = 6, 200, 0
EYES = 35.24  # pixels between the eyes of a 112 px crop
SIDES, SIGMAS = (48, 32, 24, 16, 12), (1, 2, 3)
MISSES = ("comparisons missed, %", "searches missed, %")
SPOILED = ways_to_spoil(SIDES, SIGMAS)


@dataclass(frozen=True, eq=False)
class Missed:
    """N crops: (N,) whose each is, the share of its comparisons that are missed, and whether its search is missed."""

    people: NDArray[np.int64]
    comparisons: Floats
    searches: Floats

    def __getitem__(self, which: NDArray[np.bool_]) -> "Missed":
        return Missed(self.people[which], self.comparisons[which], self.searches[which])


def laplacian(crop: Image) -> float:
    """The variance of the Laplacian of the grey crop (Pech-Pacheco et al. 2000), to compare with."""
    return float(laplace(np.asarray(PIL.Image.fromarray(crop).convert("L"), np.float64)).var())


def chosen_crops(data: Path) -> tuple[list[Path], NDArray[np.int64]]:
    """Up to PER_PERSON crops of each validation person, and (N,) whose each is."""
    photos = [find_photos(folder) for folder in listed_folders(data, "validation")]
    some = [
        [own[i * len(own) // PER_PERSON] for i in range(PER_PERSON)] if len(own) > PER_PERSON else own for own in photos
    ]
    return [path for own in some for path in own], np.repeat(np.arange(len(some)), [len(own) for own in some])


def embedded(crops: Sequence[Image], embedder: Embedder, kept: Path | None) -> dict[str, Vectors]:
    """Kind of spoiling -> (N, D) vectors: of all crops as they are, of every second one spoiled."""
    vectors: dict[str, Vectors] = {}
    if kept is not None and kept.is_file():
        with np.load(kept) as file:
            vectors = {kind: file[kind] for kind in SPOILED if kind in file.files}
    for kind, spoil in SPOILED.items():
        if kind in vectors:
            continue
        some = crops if kind == AS_THEY_ARE else crops[::2]
        vectors[kind] = embedder.embed(np.stack([spoil(crop) for crop in some]))
        if kept is not None:
            with replacing(kept) as draft, draft.open("wb") as file:
                np.savez(file, **vectors)  # type: ignore[arg-type]
        print(f"embedded: {kind}", file=sys.stderr, flush=True)
    return vectors


def search_limit(sharp: Vectors, people: NDArray[np.int64], cohort: Vectors) -> float:
    """The threshold for FPIR 1 % among all people."""
    means = unit_means(sharp, people)
    calibration = calibrate(squared_distances(cohort, means).min(axis=1), 0.01, len(means))
    assert calibration is not None, "the model has no cohort"
    return calibration.distance


def misses(sharp: Vectors, spoiled: Vectors, people: NDArray[np.int64], limit: float, searched: float) -> Missed:
    """What is missed when N crops as they are meet spoiled ones; `spoiled` has all of them or every second one."""
    sums = sums_by_owner(sharp, people)
    which = np.arange(0, len(sharp), 1 if len(spoiled) == len(sharp) else 2)
    whose = people[which]
    same = (whose[:, None] == people) & (which[:, None] != np.arange(len(people)))
    far = squared_distances(spoiled, sharp) > limit
    own = unit_rows(sums[whose] - sharp[which])  # without the very crop that is spoiled
    to_own = paired_distances(spoiled, own)
    to_all = squared_distances(spoiled, unit_rows(sums))
    to_all[np.arange(len(whose)), whose] = np.inf
    found = (to_own <= searched) & (to_own < to_all.min(axis=1))
    return Missed(whose, (far & same).sum(axis=1) / same.sum(axis=1), (~found).astype(np.float64))


def print_held_back(sharp: Vectors, people: NDArray[np.int64], limit: float) -> None:
    """Print how many crops are held back from their own person, and how many from others."""
    sums = sums_by_owner(sharp, people)
    right = wrong = 0
    for row, person in zip(sharp, people, strict=True):
        means = unit_rows(sums - np.where(np.arange(len(sums))[:, None] == person, row, 0))  # without the crop itself
        distances = paired_distances(means, row)
        held = np.array(
            [(least := np.delete(distances, q).min()) <= limit and least < distances[q] for q in range(len(sums))]
        )
        right, wrong = right + held[person], wrong + np.delete(held, person).sum()
    others = len(sharp) * (len(sums) - 1)
    print(f"\nheld back at {limit:.3f}: {right} of {len(sharp)} crops from their own person, ", end="")
    print(f"{wrong} of {others} ({100 * wrong / others:.1f} %) from another")


def joined(parts: Sequence[Missed]) -> Missed:
    """The crops of all parts together."""
    columns = [(part.people, part.comparisons, part.searches) for part in parts]
    return Missed(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def rates(some: Missed) -> list[str]:
    """Misses of comparisons and searches in percent, with intervals over people, as two cells of a table."""
    blocks = metrics.people_weights(some.people, some.people, REPLICATES, SEED)
    weights = np.concatenate([np.ones((1, len(some.people))), *blocks])
    cells = []
    for missed in (some.comparisons, some.searches):
        shares = (weights * missed).sum(axis=1)[weights.sum(axis=1) > 0] / weights.sum(axis=1)[weights.sum(axis=1) > 0]
        of = Counted(tally(np.ones(len(missed), np.bool_), missed), some.people, some.people)
        cells.append(shown(shares, 100, 1, of))
    return cells


def print_parted(title: str, values: Floats, missed: Missed, edges: Sequence[float], file: Path | None) -> None:
    """A table of the misses, of the crops between each two edges."""
    print()
    table = Table((title, "crops", *MISSES), file, title.split(",")[0])
    for low, high in zip((-np.inf, *edges), (*edges, np.inf), strict=True):
        some = (values >= low) & (values < high)
        if some.sum() >= 20:
            table.add(f"{low:.3g} to {high:.3g}", some.sum(), *rates(missed[some]))


def crossing(values: Floats, missed: Floats, share: float) -> float:
    """The largest value below which at least this share is missed: isotonic regression, misses falling with value."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(increasing=False).fit(values, missed)
    steps = np.sort(values)
    worse = steps[fitted.predict(steps) >= share]
    return float(worse.max()) if len(worse) else float("nan")


def faces_of(crops: Sequence[Image]) -> list[Face | None]:
    """What MTCNN finds in each 128 px crop, put in the middle of a grey photo; None where nothing."""
    around = [np.pad(crop, ((64, 64), (64, 64), (0, 0)), constant_values=127) for crop in crops]
    found = MTCNNDetector(DetectorSettings(min_confidence=0.0)).detect(around)
    return [faces[0] if faces else None for faces in found]


def print_spoiling(crops: Sequence[Image], missed: dict[str, Missed], file: Path | None) -> None:
    """Print what resolution and blur do to misses, and how both measures of sharpness see them."""
    print()
    table = Table(("spoiled", *MISSES, "sharpness, median (5 to 95 %)"), file, "spoiled")
    values: dict[str, Floats] = {}
    others: dict[str, Floats] = {}
    for kind, spoil in SPOILED.items():
        pictures = [spoil(crop) for crop in (crops if kind == AS_THEY_ARE else crops[::2])]
        values[kind] = np.array([sharpness(picture) for picture in pictures])
        others[kind] = np.array([laplacian(picture) for picture in pictures])
        low, middle, high = np.percentile(values[kind], (5, 50, 95))
        table.add(kind, *rates(missed[kind]), spanned(middle, (low, high), 1, 2))
    everything = joined(list(missed.values()))
    sharp, other = np.concatenate(list(values.values())), np.concatenate(list(others.values()))
    for name, column in (("sharpness (Crete)", sharp), ("variance of the Laplacian", other)):
        lost = metrics_auc(column, everything.searches)
        print(f"\n{name}: a search that is missed has the lower value than one that is not in {100 * lost:.1f} %")
    print_parted("sharpness", sharp, everything, np.arange(0.15, 0.85, 0.05).tolist(), file)
    print_limits("sharpness", sharp, everything, missed[AS_THEY_ARE])
    shares = [missed[kind].comparisons.mean() for kind in (AS_THEY_ARE, *(f"{side} pixels" for side in SIDES))]
    eyes = np.array([112, *SIDES]) * EYES / 112
    good, least = np.interp((2 * shares[0], 0.5), np.maximum.accumulate(shares), eyes)
    print(
        f"\neye distance, interpolated: good above {good:.2f} (twice as many missed), least {least:.2f} (half missed)"
    )


def metrics_auc(values: Floats, missed: Floats) -> float:
    """How often a missed search has the lower value of two, one missed and one not."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(missed, -values))


def print_limits(name: str, values: Floats, missed: Missed, usual: Missed) -> None:
    """Print where misses reach twice the usual, and where they reach half."""
    base = float(usual.comparisons.mean())
    good, least = (crossing(values, missed.comparisons, share) for share in (2 * base, 0.5))
    print(f"\n{name}: good above {good:.3f} (twice {100 * base:.1f} % missed), least {least:.3f} (half missed)")


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__, data=True)
    made.add_argument("model")
    made.add_argument("--kept", type=Path)
    return made


def main() -> None:
    """Parse, measure, print Markdown tables."""
    options = parser().parse_args()
    embedder = load_embedder(options.model)
    threshold = embedder.card.default_threshold
    if threshold is None:
        parser().error(f"the card of {options.model} states no threshold")
    paths, people = chosen_crops(options.data)
    crops = [aligned_crop(read_image(path)) for path in paths]
    vectors = embedded(crops, embedder, options.kept)
    sharp = vectors[AS_THEY_ARE]
    searched = search_limit(sharp, people, load_cohort(embedder.path, embedder.card))
    missed = {kind: misses(sharp, rows, people, threshold.distance, searched) for kind, rows in vectors.items()}
    print(f"{len(crops)} crops of {people.max() + 1} validation people, comparisons at {threshold.distance:.3f}")
    print_spoiling(crops, missed, options.csv)
    found = faces_of([aligned_crop(read_image(path), 128) for path in paths])
    seen = np.array([face is not None for face in found])
    print(f"\nMTCNN finds a face in {seen.sum()} of the {len(crops)} crops as they are")
    usual = missed[AS_THEY_ARE][seen]
    qualities: list[Quality] = [measure(face) for face in found if face is not None]
    yaw = np.array([-abs(each.yaw) for each in qualities])
    print_parted("yaw, less than 0", yaw, usual, (-0.4, -0.3, -0.25, -0.2, -0.15, -0.1, -0.05), options.csv)
    print_limits("yaw", yaw, usual, usual)
    pitch = np.array([each.pitch for each in qualities])
    print_parted("pitch", pitch, usual, (-0.2, -0.15, -0.1, -0.05, 0, 0.05, 0.1, 0.15, 0.2), options.csv)
    sure = np.array([each.confidence for each in qualities])
    print_parted("confidence", sure, usual, (0.9, 0.95, 0.99, 0.999, 0.9999), options.csv)
    print_limits("confidence", sure, usual, usual)
    print_held_back(sharp, people, searched)


if __name__ == "__main__":
    main()
