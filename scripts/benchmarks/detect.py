"""Measures how fast faces are found, by MTCNN as facerec runs it and as facenet-pytorch does, and by YuNet.

    scripts/bench detect [--data DIR] [--rounds N] [--parity N] [--json]

DATA (default ../shared/data) holds `lfw/` and `photos/`. Photos in memory, of two sizes: 250x250 from LFW, and
1920x1080, made of two to four of `photos/` side by side. Both sides look for faces from 32 pixels on.

- facerec: all that `detect` does, with the second look, the quarter turns and the crops. Photos above 1280 pixels are
  scaled down first.
- facerec, YuNet: the same by the other detector. Which faces it finds: the study `detectors`.
- facerec's networks: what facenet-pytorch does, too, and no more (`cascade`).
- facenet-pytorch: `MTCNN.detect`, one photo at a time, at full size.
- facenet-pytorch, helped: with what facerec does by itself. Photos of 250x250 go in batches of 16 where that is faster;
  those of 1920x1080 are scaled down to 1280x720, which is not timed. facerec's networks get the same photos.

The answers are the same if, of all faces that either side finds, both find at least SAME alike: with an IoU of the
boxes of at least IOU, and with landmarks at most PIXELS apart. Compared are the photos that are timed, and with
--parity N so many photos of LFW. The worst pair is printed, too. It may be far apart: of boxes with equal scores
facenet-pytorch takes any, and not always the same one if the photo is in another batch.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.benchmarks.common import (
    add_data,
    add_rounds,
    in_own_process,
    median_and_range,
    say,
    take_turns,
    text_table,
)

SMALLEST, BATCH = 32, 16
COUNTS = {"250x250": 64, "1920x1080": 8}
SAME, IOU, PIXELS = 0.995, 0.95, 1.5
SIDES = {
    "facerec": "facerec",
    "yunet": "facerec, YuNet",
    "networks": "facerec's networks",
    "facenet": "facenet-pytorch",
    "helped": "facenet-pytorch, helped",
}
RATIOS = {
    "facerec": "facenet",
    "yunet": "facenet",
    "networks": "helped",
}  # each side, and the side that it is compared with

Image = NDArray[np.uint8]
Faces = list[tuple[list[float], list[list[float]]]]  # of a photo: each face's box, and its landmarks
Look = Callable[[Sequence[Image]], list[Faces]]

# ------------------------------------------------------------------------------------------ photos


def photos(data: Path, size: str) -> list[Image]:
    """The photos of a size, evenly from all there are."""
    from facerec.photos.reading import read_image

    if size == "250x250":
        return [read_image(path) for path in spread(sorted((data / "lfw").rglob("*.jpg")), COUNTS[size])]
    images = [read_image(path) for path in sorted((data / "photos").rglob("*.jpg"))]
    return [side_by_side(images, i * len(images) // COUNTS[size], 1920, 1080) for i in range(COUNTS[size])]


def spread(paths: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of the paths, evenly."""
    return [paths[i * len(paths) // count] for i in range(min(count, len(paths)))]


def side_by_side(images: Sequence[Image], first: int, width: int, height: int) -> Image:
    """A photo of a size: as many photos as fill it from left to right, scaled to its height; the last one is cut."""
    import PIL.Image

    picture, left = PIL.Image.new("RGB", (width, height)), 0
    while left < width:
        part = PIL.Image.fromarray(images[first % len(images)])
        part = part.resize((round(part.width * height / part.height), height))
        picture.paste(part, (left, 0))
        left, first = left + part.width, first + 1
    return np.asarray(picture)


def scaled_down(images: Sequence[Image]) -> list[Image]:
    """The photos as facerec looks at them."""
    from facerec.faces.looking import shrunk
    from facerec.faces.settings import DetectorSettings

    return [shrunk(image, DetectorSettings().max_side) for image in images]


# ------------------------------------------------------------------------------------------ sides


def looks(side: str) -> list[Look]:
    """The ways in which a side can look at photos; the fastest counts."""
    ways = {"facerec": partial(by_facerec, "mtcnn"), "yunet": partial(by_facerec, "yunet"), "networks": by_networks}
    return ways[side]() if side in ways else by_facenet(side == "helped")


def by_facerec(name: str) -> list[Look]:
    """A detector."""
    from facerec.faces.detector import make_detector
    from facerec.faces.settings import DetectorSettings

    settings = DetectorSettings(min_face_size=SMALLEST, batch_size=BATCH, detector=name)
    detector = make_detector(112, settings=settings)
    return [
        lambda images: [
            [(list(face.box), face.landmarks.tolist()) for face in faces] for faces in detector.detect(images)
        ]
    ]


def by_networks() -> list[Look]:
    """The cascade of networks, in batches."""
    from facerec.faces.cascade import cascade

    def look(images: Sequence[Image]) -> list[Faces]:
        size = BATCH if len(images[0]) == 250 else 4
        found = [faces for i in range(0, len(images), size) for faces in cascade(images[i : i + size], SMALLEST)]
        return [list(zip(faces.boxes.tolist(), faces.points.tolist(), strict=True)) for faces in found]

    return [look]


def by_facenet(helped: bool) -> list[Look]:
    """facenet-pytorch, one photo at a time; helped: or in batches, if they are small."""
    import torch
    from facenet_pytorch import MTCNN

    network = MTCNN(min_face_size=SMALLEST, keep_all=True, device="cpu")

    def look(images: Sequence[Image], size: int) -> list[Faces]:
        found: list[Faces] = []
        for i in range(0, len(images), size):
            with torch.inference_mode():
                boxes, points = network.detect(np.stack(images[i : i + size]), landmarks=True)[::2]
            found += [
                [] if some is None else list(zip(some.tolist(), at.tolist(), strict=True))
                for some, at in zip(boxes, points, strict=True)
            ]
        return found

    return [partial(look, size=size) for size in ((1, BATCH) if helped else (1,))]


def time_side(data: Path, side: str) -> dict[str, tuple[float, list[Faces]]]:
    """Photos per second of a side and what it finds, of each size."""
    measured = {}
    for size in COUNTS:
        images = photos(data, size)
        if side in ("networks", "helped"):
            images = scaled_down(images)
        ways = looks(side) if size == "250x250" else looks(side)[:1]
        measured[size] = max((timed(way, images) for way in ways), key=lambda each: each[0])
    return measured


def timed(look: Look, images: Sequence[Image]) -> tuple[float, list[Faces]]:
    """Photos per second of the second of two looks, and what was found."""
    look(images)
    began = time.perf_counter()
    found = look(images)
    return len(images) / (time.perf_counter() - began), found


# ------------------------------------------------------------------------------------------ the same faces


def agreement(ours: Sequence[Faces], theirs: Sequence[Faces]) -> dict[str, Any]:
    """How well two sides agree: the share of faces that both find alike; and the pairs that are farthest apart."""
    pairs = [pair for some in map(pairs_of, ours, theirs) for pair in some]
    every = sum(map(len, ours)) + sum(map(len, theirs)) - len(pairs)
    ious = np.array([iou for *_, iou in pairs])
    apart = np.array([np.hypot(*(np.array(a[1]) - b[1]).T).max() for a, b, _ in pairs])
    share = int(((ious >= IOU) & (apart <= PIXELS)).sum()) / every if every else 1.0
    found = {"photos": len(ours), "faces": every, "alike": share, "holds": share >= SAME}
    return found | {"smallest_iou": float(ious.min(initial=1.0)), "largest_distance": float(apart.max(initial=0.0))}


def pairs_of(ours: Faces, theirs: Faces) -> list[tuple[Any, Any, float]]:
    """The faces of a photo that are one face: ours, theirs, and the IoU of their boxes."""
    pairs = sorted(
        ((overlap(a[0], b[0]), i, j) for i, a in enumerate(ours) for j, b in enumerate(theirs)), reverse=True
    )
    found: list[tuple[Any, Any, float]] = []
    left, right = set(range(len(ours))), set(range(len(theirs)))
    for iou, i, j in pairs:
        if iou >= 0.5 and i in left and j in right:
            left.remove(i)
            right.remove(j)
            found.append((ours[i], theirs[j], iou))
    return found


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width, height = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def find_all(data: Path, count: int, side: str) -> list[Faces]:
    """What a side finds on `count` photos of LFW."""
    from facerec.photos.reading import read_image

    look, found = looks(side)[0], []
    paths = spread(sorted((data / "lfw").rglob("*.jpg")), count)
    for i in range(0, len(paths), BATCH):
        found += look([read_image(path) for path in paths[i : i + BATCH]])
        say(f"{side}: {len(found)} of {len(paths)} photos")
    return found


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    add_data(parser)
    add_rounds(parser, 3)
    parser.add_argument("--parity", type=int, default=0, help="compare the faces on so many photos of LFW, too")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Time and compare all sides."""
    rounds = take_turns({side: partial(one_round, options.data, side) for side in SIDES}, options.rounds)
    rates = {size: {side: [each[size][0] for each in rounds[side]] for side in SIDES} for size in COUNTS}
    ratios = {
        size: {side: [a / b for a, b in zip(of[side], of[other], strict=True)] for side, other in RATIOS.items()}
        for size, of in rates.items()
    }
    same = {size: agreement(rounds["networks"][0][size][1], rounds["helped"][0][size][1]) for size in COUNTS}
    if options.parity:
        ours, theirs = (in_own_process(find_all, options.data, options.parity, side) for side in ("networks", "helped"))
        same["LFW"] = agreement(ours, theirs)
    medians = {size: {side: statistics.median(some) for side, some in of.items()} for size, of in ratios.items()}
    figures = {"photos_per_second": rates, "ratios": ratios, "ratio": medians, "agreement": same}
    return figures | {"same_answers": all(found["holds"] for found in same.values())}


def one_round(data: Path, side: str, _: int) -> dict[str, tuple[float, list[Faces]]]:
    """One side in one round."""
    return in_own_process(time_side, data, side)


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    sizes = list(figures["photos_per_second"])
    rows = [
        (name, *(median_and_range(figures["photos_per_second"][size][side], 1) for size in sizes))
        for side, name in SIDES.items()
    ]
    rows += [
        (f"{SIDES[side]} : {SIDES[other]}", *(median_and_range(figures["ratios"][size][side]) for size in sizes))
        for side, other in RATIOS.items()
    ]
    lines = [
        f"{name}: {found['photos']} photos, {found['faces']} faces; found alike {found['alike']:.2%}, "
        f"IoU from {found['smallest_iou']:.3f}, landmarks up to {found['largest_distance']:.3f} pixels apart"
        for name, found in figures["agreement"].items()
    ]
    return "\n".join([text_table(("photos/s", *sizes), rows), *lines])
