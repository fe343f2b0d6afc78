"""Does the place of the face tell an aligned crop from a photo?

    .venv/bin/python -m scripts.studies crops_or_photos --data ../shared/data

Crops: the first aligned crop of each of 500 training people, as it is (128 pixels), its middle (112 pixels), and made
160 pixels large; that of 500 training people in low resolution (80 pixels); 500 crops without a name (128 pixels); and
all crops of training people in profile (128 pixels).

Photos: the 87 uncropped photos of training people. As thumbnails: the middle square of the photo, made 128 and 112
pixels large. As portraits: a square around the main face, 2.2 times as large as its box or as the photo reaches, made
250 pixels large; and the box itself, widened to a square and made 160 pixels large, as facenet-pytorch cuts it.

The detector looks for the face in each of them. Reported: how far alignment by its landmarks would move the picture, in
sides of it, and how many pictures would be moved farther than most crops of a run may be, and than a single one may be.
"""

import argparse
from pathlib import Path

import numpy as np
import PIL.Image
from PIL.Image import Resampling

from facerec.faces.aligned import FARTHEST, FARTHEST_ALONE, moved_by_alignment
from facerec.faces.mtcnn import MTCNNDetector
from facerec.photos.crops import aligned_crop
from facerec.photos.folders import find_photos
from facerec.photos.reading import read_image
from facerec.types import Box, Image
from scripts.studies.people import held_back
from scripts.studies.tables import Table, study_parser

EACH = 500


def resized(image: Image, side: int, box: Box | None = None) -> Image:
    """The part of a picture in the box, or all of it, as (side, side, 3)."""
    return np.asarray(PIL.Image.fromarray(image).resize((side, side), Resampling.BICUBIC, box=box))


def middle(photo: Image, side: int) -> Image:
    """The middle square of a photo as (side, side, 3)."""
    height, width = photo.shape[:2]
    half = min(height, width) / 2
    return resized(photo, side, (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half))


def around_face(photo: Image, detector: MTCNNDetector, wider: float, side: int) -> Image | None:
    """A square around the main face, `wider` times its box, as far as the photo reaches; None without a face."""
    if not (faces := detector.detect([photo])[0]):
        return None
    x1, y1, x2, y2 = faces[0].box
    x, y, half = (x1 + x2) / 2, (y1 + y2) / 2, wider / 2 * max(x2 - x1, y2 - y1)
    half = min(half, x, y, photo.shape[1] - x, photo.shape[0] - y)
    return resized(photo, side, (x - half, y - half, x + half, y + half))


def first_of_each(data: Path, folder: str) -> list[Image]:
    """The first crop of each of EACH training people."""
    held = held_back(data)
    people = [
        path for path in sorted((data / folder).iterdir()) if path.is_dir() and f"{folder}/{path.name}" not in held
    ]
    return [read_image(find_photos(path)[0]) for path in people[:EACH]]


def crops(data: Path) -> dict[str, list[Image]]:
    """Aligned crops, by kind."""
    first, nameless = first_of_each(data, "faces"), find_photos(data / "faces_unlabelled")
    profiles = [path for path in find_photos(data / "faces_profile") if path.name.startswith("p")]
    return {
        "crops, 128 pixels": first,
        "crops, 112 pixels": [aligned_crop(crop) for crop in first],
        "crops, made 160 pixels": [resized(crop, 160) for crop in first],
        "crops in low resolution": first_of_each(data, "faces_small"),
        "crops without a name": [read_image(path) for path in nameless[:: len(nameless) // EACH][:EACH]],
        "crops in profile": [read_image(path) for path in profiles],
    }


def pictures(data: Path, detector: MTCNNDetector) -> dict[str, list[Image]]:
    """Squares of photos, by kind."""
    photos = [read_image(path) for path in find_photos(data / "photos")]
    cut = {"portraits": (2.2, 250), "boxes of faces": (1.0, 160)}
    squares = {kind: [around_face(photo, detector, *size) for photo in photos] for kind, size in cut.items()}
    thumbnails = {f"thumbnails, {side} pixels": [middle(photo, side) for photo in photos] for side in (128, 112)}
    return thumbnails | {kind: [each for each in found if each is not None] for kind, found in squares.items()}


def moved(images: list[Image], detector: MTCNNDetector) -> list[float]:
    """How far alignment would move each picture with a face."""
    found = [(detector.detect([image])[0], len(image)) for image in images]
    return [min(moved_by_alignment(face.landmarks, side) for face in faces) for faces, side in found if faces]


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    return study_parser(__doc__, data=True)


def main() -> None:
    """Read, look, print a Markdown table."""
    options = parser().parse_args()
    detector = MTCNNDetector()
    head = (
        "pictures",
        "number",
        "with a face",
        "smallest",
        "median",
        "largest",
        f"above {FARTHEST}",
        f"above {FARTHEST_ALONE}",
    )
    table = Table(head, options.csv)
    for kind, images in (crops(options.data) | pictures(options.data, detector)).items():
        found = moved(images, detector)
        low, middle, high = np.quantile(found, [0, 0.5, 1])
        far = [sum(distance > limit for distance in found) for limit in (FARTHEST, FARTHEST_ALONE)]
        table.add(kind, len(images), len(found), f"{low:.3f}", f"{middle:.3f}", f"{high:.3f}", *far)


if __name__ == "__main__":
    main()
