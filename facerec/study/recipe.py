"""The recipe of the first lecture's document, "ants and bees", as it stands there: `facerec study --recipe tutorial`.

Four ways to train AlexNet and VGG-16: everything; the features frozen; the first layers frozen; falling rates. One
linear layer takes the place of the classifier, of 9,216 features (AlexNet) or 25,088 (VGG). Cross-entropy, Adam, the
rate x 0.1 every 7 epochs, 25 epochs, batches of 4. Half of the training photos are mirrored and added. The shorter side
is 256 pixels; training sees a random square of 244, validation the middle one. ImageNet's mean and deviation are taken
off both. The best weights are kept. The document names no rate: it is 1e-3, the default of Adam in torch.
"""

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from PIL.Image import Resampling

from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.datasets.splits import split_classes
from facerec.errors import ImageError
from facerec.files import write_bytes
from facerec.models.backbones import find_stages
from facerec.photos.crops import encode_png
from facerec.photos.reading import read_image
from facerec.types import Image

TUTORIAL = "tutorial"
BACKBONES = ("alexnet", "vgg16")
STRATEGIES = ("full", "frozen", "partial", "discriminative")
SHORTER_SIDE, CROP = 256, 244
MIRRORED = 0.5  # share of the training photos that are added mirrored
SETTINGS: dict[str, Any] = {
    "input_size": CROP,
    "picture_views": "cut",
    "views": 25,  # another view in every epoch, and the same ones for every cell
    "optimizer": "adam",
    "lr": 1e-3,
    "head_lr": 1e-3,
    "schedule": "step",
    "step_epochs": 7,
    "epochs": 25,
    "batch_size": 4,
    "measure_train": False,  # the document shows an epoch's running loss and accuracy
}


def form_of(backbone: str) -> dict[str, Any]:
    """The settings that put one linear layer in place of a backbone's classifier.

    The classifier of AlexNet and VGG reads every place of the last maps, that of the others the mean of each map.
    """
    stages = find_stages(backbone)
    if backbone.startswith(("alexnet", "vgg")):
        return {"kept_stages": len(stages) - 1, "pooling": "flat-linear"}
    return {}


def photo_folders(folder: Path, validation: Path | None) -> tuple[Path, Path | None]:
    """The folders of training and validation photos: the document's `train` and `val`, where `folder` has these."""
    if validation is None and (folder / "train").is_dir() and (folder / "val").is_dir():
        return folder / "train", folder / "val"
    return folder, validation


def prepare_photos(folder: Path, validation: Path | None, output: Path) -> tuple[Path, Path]:
    """Write the recipe's photos into output/train and output/validation, and return these; what is there stays.

    Raises DataError as `split_classes` does. A photo that cannot be read is left out; training would do so, too.
    """
    given = read_photos(validation) if validation else None
    train, held_back = split_classes(read_photos(folder), given, seed=0)
    chosen = np.random.default_rng(0).permutation(len(train))[: round(MIRRORED * len(train))]
    _write(train, output / "train", set(chosen.tolist()))
    _write(held_back, output / "validation", set())
    return output / "train", output / "validation"


def _write(photos: PhotoSet, output: Path, mirrored: set[int]) -> None:
    """Write the photos with a shorter side of SHORTER_SIDE, and mirror images of some."""
    for number, (path, label) in enumerate(zip(photos.paths, photos.labels, strict=True)):
        target = output / photos.names[label] / f"{path.name}.png"
        copy = target.with_name(f"mirrored {target.name}")
        if target.exists() and (number not in mirrored or copy.exists()):
            continue
        try:
            image = _resized(read_image(path))
        except ImageError:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if number in mirrored:
            write_bytes(copy, encode_png(image[:, ::-1]))
        write_bytes(target, encode_png(image))


def _resized(image: Image) -> Image:
    height, width = image.shape[:2]
    scale = SHORTER_SIDE / min(height, width)
    width, height = (max(SHORTER_SIDE, round(side * scale)) for side in (width, height))
    return np.asarray(PIL.Image.fromarray(image).resize((width, height), Resampling.BILINEAR))
