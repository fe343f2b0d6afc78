"""MTCNN and YuNet side by side: what do they find, and how well are people recognised by the faces they cut?

    .venv/bin/python -m scripts.studies detectors default --data ../shared/data --cache CACHE

Recall: LFW's 7,701 photos and the 87 of the training people's source, each of a person; the crops of people seen from
the front and in profile, on black. Recognition: LFW's 6,000 pairs, and LFW as galleries: 20 draws, everybody with 5
photos or more is enrolled with 4 of them; their other photos are searched, and one photo of everybody else. A photo
without a face counts as missed. Both detectors get the same draws and resamples of people. Turned: the 87 photos,
turned by 90, 180 and 270 degrees, and as they are. --cache keeps what was found, for the next run.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.datasets.pairs import read_pairs
from facerec.evaluation.verification import verification
from facerec.faces.detector import Detector, make_detector
from facerec.faces.found import iou
from facerec.faces.settings import DETECTORS, DetectorSettings
from facerec.files import replacing
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_embedder
from facerec.inference.pipeline import BATCH, embed_photos
from facerec.models.cohort import load_cohort
from facerec.photos.folders import find_photos
from facerec.photos.reading import read_image
from facerec.types import Face, Image
from scripts.studies.constant_threshold import DRAWS, ENROLLED, by_gallery, draw_lfw, rates, rates_count
from scripts.studies.people import Rows
from scripts.studies.tables import Table, shown, spanned, study_parser

SAME_FACE = 0.5  # intersection over union of two boxes

FaceRow = NDArray[np.float32] | None


@dataclass(frozen=True, eq=False, slots=True)
class Seen:
    """What a detector saw in N photos: how many faces (N,), the main one's box (N, 4) and vector (N, D); NaN: none."""

    photos: tuple[str, ...]
    faces: NDArray[np.int64]
    boxes: NDArray[np.float32]
    vectors: NDArray[np.float32]

    def rows(self) -> dict[str, FaceRow]:
        """Photo -> vector; None where no face was found."""
        return {name: row if n else None for name, n, row in zip(self.photos, self.faces, self.vectors, strict=True)}


def look(folder: Path, detector: Detector, embedder: Embedder) -> Seen:
    """Find and embed the main face of every photo in a folder and its sub-folders."""
    names, faces, boxes, vectors = [], [], [], []
    for photo in embed_photos(find_photos(folder), detector, embedder, main_only=True):
        names.append(photo.path.relative_to(folder).as_posix())
        faces.append(len(photo.faces) + photo.others)
        boxes.append(photo.faces[0].box if photo.faces else (np.nan,) * 4)
        vectors.append(photo.vectors[0] if photo.faces else np.full(embedder.card.embedding_dim, np.nan))
    return Seen(tuple(names), np.array(faces), np.array(boxes, np.float32), np.array(vectors, np.float32))


def seen_in(folder: Path, detector: Detector, embedder: Embedder, cache: Path | None, name: str) -> Seen:
    """As `look`; from the cache where it has this."""
    kept = cache and cache / f"{name}-{folder.name}-{embedder.card.fingerprint}.npz"
    if kept is None or not kept.exists():
        seen = look(folder, detector, embedder)
        if kept is None:
            return seen
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as draft, draft.open("wb") as file:
            np.savez(file, photos=seen.photos, faces=seen.faces, boxes=seen.boxes, vectors=seen.vectors)
    with np.load(kept, allow_pickle=False) as file:
        return Seen(tuple(file["photos"].tolist()), file["faces"], file["boxes"], file["vectors"])


def by_person(seen: Seen) -> Rows:
    """Person -> the vector of each photo; None, which counts as missed, where no face was found."""
    people: dict[str, list[Any]] = {}
    for name, row in seen.rows().items():
        people.setdefault(name.split("/")[0], []).append(row)
    return people


def tell_found(seen: Mapping[str, Seen], where: str, table: Table) -> None:
    """A row for each detector: photos without a face, faces, and main faces that are not the other detector's."""
    first, second = seen.values()
    both = np.flatnonzero((first.faces > 0) & (second.faces > 0))
    same = sum(bool(iou(first.boxes[i], second.boxes[[i]])[0] > SAME_FACE) for i in both)
    for name, own in seen.items():
        found = int((own.faces > 0).sum())
        table.add(where, name, len(own.photos), len(own.photos) - found, int(own.faces.sum()), found - same)


def tell_pairs(seen: Mapping[str, Seen], data: Path, table: Table) -> None:
    """LFW's protocol, a row for each detector."""
    for name, own in seen.items():
        found = verification(read_pairs(data / "lfw_pairs.txt"), own.rows())
        assert found.accuracy_mean is not None
        assert found.accuracy_se is not None
        accuracy = f"{100 * found.accuracy_mean:.2f} ± {100 * found.accuracy_se:.2f}"
        tars = [spanned(found.tar_at_fmr[fmr] or 0, found.ci95["tar_at_fmr"][fmr], 100, 2) for fmr in found.tar_at_fmr]
        table.add(name, accuracy, spanned(found.auc or 0, found.ci95["auc"], 1, 4), *tars, found.failures_to_enrol)


def tell_galleries(seen: Mapping[str, Seen], embedder: Embedder, table: Table) -> None:
    """LFW as galleries, a row for each detector and one for the difference."""
    cohort, values = load_cohort(embedder.path, embedder.card), []
    for name, own in seen.items():
        rows = by_person(own)
        drawn = [by_gallery(*draw_lfw(rows, ENROLLED, seed), cohort) for seed in range(DRAWS)]
        values.append(rates(drawn, sorted(rows)))
        cells = zip(values[-1].T, rates_count(drawn), strict=True)
        table.add(name, *(shown(column, 100, 2, of) for column, of in cells))
    table.add("difference", *(shown(column, 100, 2) for column in (values[1] - values[0]).T))


def tell_profiles(detectors: Mapping[str, Detector], data: Path, table: Table) -> None:
    """How many crops of people seen from the front and in profile, on black, show each detector no face."""
    for kind, pose in (("f", "front"), ("p", "profile")):
        crops = [path for path in find_photos(data / "faces_profile") if path.name.startswith(kind)]
        missed = [sum(not faces for faces in faces_of(each, crops, on_black)) for each in detectors.values()]
        table.add(pose, len(crops), *missed)


def tell_turned(detectors: Mapping[str, Detector], data: Path, table: Table) -> None:
    """How many photos that were turned by an angle each detector turns back; upright ones it must leave alone."""
    photos = find_photos(data / "photos")
    for angle in (0, 90, 180, 270):
        turn = partial(np.rot90, k=-angle // 90)
        seen = [[faces[0].turned for faces in faces_of(each, photos, turn) if faces] for each in detectors.values()]
        table.add(f"{angle}°", len(photos), *(sum(turned == -angle % 360 for turned in own) for own in seen))


def faces_of(detector: Detector, photos: Sequence[Path], change: Callable[[Image], Image]) -> Iterator[list[Face]]:
    """The faces of each photo after a change."""
    for start in range(0, len(photos), BATCH):
        images = [change(read_image(path)) for path in photos[start : start + BATCH]]
        yield from detector.detect([np.ascontiguousarray(image) for image in images])


def on_black(crop: Image) -> Image:
    """The crop in the middle of a black picture twice as large."""
    room = len(crop) // 2
    return np.pad(crop, [(room, room), (room, room), (0, 0)])


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__, data=True)
    made.add_argument("model")
    made.add_argument("--cache", type=Path, metavar="DIR", help="keep what was found there, for the next run")
    return made


def main() -> None:
    """Look with both detectors, print a Markdown table for each question."""
    options = parser().parse_args()
    embedder = load_embedder(options.model)
    side = embedder.card.input_size
    detectors = {name: make_detector(side, settings=DetectorSettings(detector=name)) for name in DETECTORS}
    head = ("photos", "detector", "how many", "without a face", "faces", "main face not the other's")
    table, seen = Table(head, options.csv, "found"), {}
    for folder in ("photos", "lfw"):
        for name, detector in detectors.items():
            seen[name] = seen_in(options.data / folder, detector, embedder, options.cache, name)
        tell_found(seen, folder, table)
    print()
    head = ("detector", "accuracy, %", "AUC", "TAR at FMR 1e-2, %", "TAR at FMR 1e-3, %", "pairs without a face")
    tell_pairs(seen, options.data, Table(head, options.csv, "pairs"))
    print()
    head = ("detector", "FNIR at FPIR 1 %", "FNIR at the threshold in use, %", "FPIR at the threshold in use, %")
    tell_galleries(seen, embedder, Table(head, options.csv, "galleries"))
    print()
    head = ("seen from", "crops", *(f"without a face: {name}" for name in detectors))
    tell_profiles(detectors, options.data, Table(head, options.csv, "profiles"))
    print()
    head = ("turned by", "photos", *(f"upright in the end: {name}" for name in detectors))
    tell_turned(detectors, options.data, Table(head, options.csv, "turned"))


if __name__ == "__main__":
    main()
