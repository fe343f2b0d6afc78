"""One side of the bench `folder`: a process that works on photos of a list, a checkout's way.

    PYTHONPATH=CHECKOUT python _folder_side.py MODEL

It imports nothing of the benches, since CHECKOUT may be an old one. Each line on stdin is a JSON object: `stage` is
"folder" (from files to vectors), "detect" (from pixels to crops) or "embed" (from the crops that were detected last to
vectors); `photos` are paths. The answer is a line on stdout, the seconds. With "folder", `vectors` may name a file for
the vectors of each photo.
"""

import json
import pickle
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 16  # facerec.inference.pipeline.BATCH


class Side:
    """Detector and embedder of the checkout."""

    def __init__(self, model: str) -> None:
        from facerec.faces.mtcnn import MTCNNDetector
        from facerec.inference.loading import load_embedder

        self.embedder = load_embedder(model)
        self.detector = MTCNNDetector(crop_size=self.embedder.card.input_size)
        self.crops: list[list[Any]] = []  # of each batch

    def folder(self, photos: list[Path], vectors: str = "") -> float:
        """From files to vectors."""
        from facerec.inference.pipeline import embed_photos

        began = time.perf_counter()
        found = list(embed_photos(photos, self.detector, self.embedder))
        seconds = time.perf_counter() - began
        if vectors:
            Path(vectors).write_bytes(pickle.dumps([photo.vectors for photo in found]))
        return seconds

    def detect(self, photos: list[Path]) -> float:
        """From pixels to crops, which `embed` gets."""
        from facerec.photos.reading import read_image

        crops, seconds = [], 0.0
        for batch in batches(photos):
            images = [read_image(path) for path in batch]
            began = time.perf_counter()
            found = self.detector.detect(images)
            seconds += time.perf_counter() - began
            crops.append([face.crop for faces in found for face in faces])
        self.crops = crops
        return seconds

    def embed(self, photos: list[Path]) -> float:
        """From crops to vectors."""
        began = time.perf_counter()
        for crops in self.crops:
            if crops:
                self.embedder.embed(np.stack(crops))
        return time.perf_counter() - began


def batches(photos: list[Path]) -> Iterator[list[Path]]:
    """The photos, a batch at a time."""
    return (photos[start : start + BATCH] for start in range(0, len(photos), BATCH))


def main(model: str) -> None:
    """Answer requests until there are no more."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints does not get among the answers
    side = Side(model)
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        work = getattr(side, request.pop("stage"))
        photos = [Path(path) for path in request.pop("photos")]
        print(json.dumps(work(photos, **request)), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
