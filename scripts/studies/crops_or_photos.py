"""Does the place of the face tell an aligned crop from a photo?

    .venv/bin/python -m scripts.studies crops_or_photos --data ../shared/data

Crops: the first aligned crop of each of the 80 validation people, made 160 pixels large. Photos: the 87 uncropped
photos of training people. Each is cut to a square around the main face, 2.2 times as large as its box or as the photo
reaches, and made 250 pixels large. The detector looks for the face in each of them.

Reported: the distance of the landmarks from where alignment puts them, in sides of the picture, and how many pictures
are farther than FARTHEST and so count as no crops.
"""

import argparse

import numpy as np
import PIL.Image
from PIL.Image import Resampling

from facerec.faces.aligned import FARTHEST, from_template
from facerec.faces.mtcnn import MTCNNDetector
from facerec.photos.folders import find_photos
from facerec.photos.reading import read_image
from facerec.types import Box, Image
from scripts.studies.people import listed_folders
from scripts.studies.tables import Table, study_parser

CROP, PHOTO, WIDER = 160, 250, 2.2


def resized(image: Image, side: int, box: Box | None = None) -> Image:
    """The part of a picture in the box, or all of it, as (side, side, 3)."""
    return np.asarray(PIL.Image.fromarray(image).resize((side, side), Resampling.BICUBIC, box=box))


def around_face(photo: Image, detector: MTCNNDetector) -> Image | None:
    """A square around the main face, WIDER times its box, as far as the photo reaches; None without a face."""
    if not (faces := detector.detect([photo])[0]):
        return None
    x1, y1, x2, y2 = faces[0].box
    x, y, half = (x1 + x2) / 2, (y1 + y2) / 2, WIDER / 2 * max(x2 - x1, y2 - y1)
    half = min(half, x, y, photo.shape[1] - x, photo.shape[0] - y)
    return resized(photo, PHOTO, (x - half, y - half, x + half, y + half))


def distances(images: list[Image], detector: MTCNNDetector) -> list[float]:
    """Of each picture with a face."""
    found = [(detector.detect([image])[0], len(image)) for image in images]
    return [from_template(faces[0].landmarks, side) for faces, side in found if faces]


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    return study_parser(__doc__, data=True)


def main() -> None:
    """Read, look, print a Markdown table."""
    options = parser().parse_args()
    detector = MTCNNDetector()
    crops = [read_image(find_photos(folder)[0]) for folder in listed_folders(options.data, "validation")]
    squares = [around_face(read_image(path), detector) for path in find_photos(options.data / "photos")]
    kinds = {
        "aligned crops": [resized(crop, CROP) for crop in crops],
        "photos": [square for square in squares if square is not None],
    }
    table = Table(
        ("pictures", "number", "with a face", "smallest", "median", "largest", "counted as no crop"), options.csv
    )
    for kind, images in kinds.items():
        found = distances(images, detector)
        low, middle, high = np.quantile(found, [0, 0.5, 1])
        far = sum(distance > FARTHEST for distance in found)
        table.add(kind, len(images), len(found), f"{low:.3f}", f"{middle:.3f}", f"{high:.3f}", far)


if __name__ == "__main__":
    main()
