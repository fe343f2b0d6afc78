"""In how many photos do confidence and the covering of surer faces change which face is the main one?

    .venv/bin/python -m scripts.studies main_face --data ../shared/data --pictures DIR

All photos of LFW, and the 87 of `photos/`, by MTCNN. Before: the main face has the largest area - 2 offset^2, offset
being the distance of its centre from the photo's (facenet-pytorch's `center_weighted_size`). Now: `main_face`, after
`Found.unique` has dropped doubtful faces that cover more than half of a surer one.

Reported: photos with several faces, those with another main face than before, and of each of these both faces'
confidence and box. --pictures draws them: red is the face before, green the one now.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import PIL.Image
import PIL.ImageDraw

from facerec.faces.found import Found
from facerec.faces.main_face import main_first
from facerec.faces.mtcnn import MTCNNDetector
from facerec.photos.folders import find_photos
from facerec.photos.reading import read_image
from facerec.types import Face, Image
from scripts.studies.tables import Table, study_parser

FOLDERS = ("photos", "lfw")
BATCH = 16


def found_in(paths: list[Path]) -> Iterator[tuple[Path, Image, Found]]:
    """Each photo and all that MTCNN sees in it, with repetitions."""
    detector = MTCNNDetector()
    for start in range(0, len(paths), BATCH):
        some = paths[start : start + BATCH]
        images = [read_image(path) for path in some]
        with patch.object(Found, "unique", lambda found: found):
            yield from zip(some, images, detector.look(images), strict=True)


def before(found: Found, shape: tuple[int, ...]) -> tuple[Face, int]:
    """The main face before, and the number of faces."""
    with patch.object(Found, "_covers_in_doubt", lambda *_: False):
        faces = as_faces(found.unique())
    return max(faces, key=lambda face: centred_size(face, shape)), len(faces)


def centred_size(face: Face, shape: tuple[int, ...]) -> float:
    """The area of the box less twice the squared distance of its centre from the photo's."""
    x1, y1, x2, y2 = face.box
    offset = ((x1 + x2 - shape[1]) / 2, (y1 + y2 - shape[0]) / 2)
    return (x2 - x1) * (y2 - y1) - 2 * (offset[0] ** 2 + offset[1] ** 2)


def as_faces(found: Found) -> list[Face]:
    """The faces without crops."""
    nothing = np.zeros((112, 112, 3), np.uint8)
    columns = zip(found.boxes.tolist(), found.points, found.scores.tolist(), strict=True)
    return [Face(nothing, (box[0], box[1], box[2], box[3]), points, score) for box, points, score in columns]


def draw(image: Image, old: Face, new: Face, file: Path) -> None:
    """Store the photo with both faces."""
    picture = PIL.Image.fromarray(image)
    pen = PIL.ImageDraw.Draw(picture)
    for face, colour in ((old, "red"), (new, "lime")):
        pen.rectangle(face.box, outline=colour, width=2)
        pen.text((face.box[0] + 3, face.box[1] + 2), f"{face.confidence:.4f}", fill=colour)
    picture.save(file)


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__, data=True)
    made.add_argument("--pictures", type=Path, help="a folder for pictures of the photos whose main face changed")
    return made


def main() -> None:
    """Look, count, print two tables."""
    options = parser().parse_args()
    counts, changed = [], []
    for folder in FOLDERS:
        photos = several = other = 0
        for path, image, found in found_in(find_photos(options.data / folder)):
            photos += 1
            if not len(found.scores):
                continue
            old, faces = before(found, image.shape)
            several += faces > 1
            new = main_first(as_faces(found.unique()), image.shape)[0]
            if new.box != old.box:
                other += 1
                changed.append((path.name, *(word for face in (old, new) for word in words(face))))
                if options.pictures:
                    options.pictures.mkdir(parents=True, exist_ok=True)
                    draw(image, old, new, options.pictures / f"{path.stem}.png")
        counts.append((f"{folder}/", photos, several, other))
    table = Table(("photos of", "photos", "with several faces", "with another main face"), options.csv, "counts")
    for row in counts:
        table.add(*row)
    print()
    head = ("photo", "confidence before", "box before", "confidence now", "box now")
    table = Table(head, options.csv, "changed")
    for row in changed:
        table.add(*row)


def words(face: Face) -> tuple[str, str]:
    """A face's confidence and box."""
    return f"{face.confidence:.4f}", " ".join(f"{edge:.0f}" for edge in face.box)


if __name__ == "__main__":
    main()
