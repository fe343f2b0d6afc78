"""Training data: identity folders of aligned crops, identity-disjoint splits, and batches of augmented pixels."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL.Image import Resampling
from torch import Tensor

from facerec.detect import Detector, faces_in_photos
from facerec.errors import DataError, ImageError
from facerec.images import aligned_crop, identity_folders, printable, read_image
from facerec.sampler import Batch
from facerec.types import Face, Image

log = logging.getLogger(__name__)

Detected = Iterator[tuple[Path, list[Face] | ImageError]]

STORED_SIZE = 128  # training crops have 8 px more than the network sees on every side, so that augmentation can shift
_MARK = ".facerec-crops"  # in a folder of crops made by align_folder
READ_AHEAD = 3  # batches decoded while the network works


@dataclass(frozen=True, eq=False, slots=True)
class FaceSet:
    """Photos of people: `paths` (N,), `labels` (N,) int64 into `people`. `root` is the folder of identity folders."""

    root: Path
    people: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.paths)

    def keys(self) -> list[str]:
        """folder/person/file of every photo: how a teacher's file names them."""
        return [f"{self.root.name}/{path.relative_to(self.root).as_posix()}" for path in self.paths]

    def fingerprint(self) -> str:
        """Changes when a photo comes, goes or is renamed."""
        return hashlib.sha256("\n".join(self.keys()).encode()).hexdigest()[:16]

    def only(self, people: Sequence[str]) -> "FaceSet":
        """The photos of these people, in the order of the names."""
        return _face_set(self.root, {name: self.photos_of(name) for name in sorted(people)})

    def photos_of(self, person: str) -> list[Path]:
        """The photos of one person."""
        label = self.people.index(person)
        return [self.paths[i] for i in np.flatnonzero(self.labels == label)]


def _face_set(root: Path, folders: dict[str, list[Path]]) -> FaceSet:
    labels = np.repeat(np.arange(len(folders), dtype=np.int64), [len(paths) for paths in folders.values()])
    return FaceSet(root, tuple(folders), tuple(path for paths in folders.values() for path in paths), labels)


def read_faces(folder: Path) -> FaceSet:
    """The identity folders under `folder` that hold photos; raises DataError when there are none."""
    people = identity_folders(folder.resolve())
    return _face_set(folder.resolve(), {name: photos for name, photos in people.items() if photos})


def split_people(faces: FaceSet, splits: Path | None, seed: int) -> tuple[FaceSet, FaceSet]:
    """Training and validation photos, with no person in both.

    splits: a folder of lists `validation.txt`, `test.txt`, ... with one `folder/person` a line. Who is listed in
    validation.txt validates; who is listed in any other is left out. Without it a seeded tenth of the people
    validates (two at least). Raises DataError when either side has fewer than two people, or validation no two photos
    of one.
    """
    if splits is None:
        count = max(2, len(faces.people) // 10)
        validation = set(np.random.default_rng(seed).permutation(faces.people)[:count].tolist())
        left_out: set[str] = set()
    else:
        lists = {path.stem: _read_list(path, faces.root.name) for path in sorted(splits.glob("*.txt"))}
        if "validation" not in lists:
            raise DataError(f"{splits}: holds no validation.txt; list the validation people there, a line each")
        validation = lists.pop("validation") & set(faces.people)
        left_out = set().union(*lists.values())
    train = set(faces.people) - validation - left_out
    if len(train) < 2 or len(validation) < 2:
        raise DataError(
            f"{faces.root}: {len(train)} people to train and {len(validation)} to validate on; both need two or more"
        )
    validation_faces = faces.only(sorted(validation))
    if np.bincount(validation_faces.labels).max() < 2:
        raise DataError(f"{faces.root}: nobody to validate on has two photos; add photos of {min(validation)}")
    return faces.only(sorted(train)), validation_faces


def _read_list(path: Path, root: str) -> set[str]:
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{printable(path)}: cannot be read ({error}); give a text file, a folder/person a line"
        ) from error
    return {line.split("/", 1)[1] for line in lines if line.startswith(f"{root}/")}


def limit_people(faces: FaceSet, count: int, seed: int) -> FaceSet:
    """A seeded choice of `count` people."""
    return faces.only(np.random.default_rng(seed).permutation(faces.people)[:count].tolist())


def augment(crop: Image, rng: np.random.Generator) -> Image:
    """(128, 128, 3) -> (112, 112, 3): shifted by up to 8 px each way, mirrored half the time."""
    top, left = rng.integers(0, STORED_SIZE - 112 + 1, 2)
    cut = crop[top : top + 112, left : left + 112]
    return cut[:, ::-1] if rng.random() < 0.5 else cut


def disturb(crop: Image, rng: np.random.Generator) -> Image:
    """(S, S, 3) -> (S, S, 3): another light and colour; now and then grey, of low resolution, or partly covered."""
    side = crop.shape[0]
    pixels = crop.astype(np.float32)
    pixels = pixels.mean(2, keepdims=True).repeat(3, 2) if rng.random() < 0.2 else pixels * rng.uniform(0.85, 1.15, 3)
    pixels = (pixels - 128) * rng.uniform(0.7, 1.3) + 128 + rng.uniform(-30, 30)
    crop = np.clip(pixels, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        small = int(side * rng.uniform(0.3, 0.7))
        image = PIL.Image.fromarray(crop).resize((small, small), Resampling.BOX)
        crop = np.array(image.resize((side, side), Resampling.BICUBIC))
    if rng.random() < 0.3:
        height, width = (side * rng.uniform(0.15, 0.45, 2)).astype(int)
        top, left = rng.integers(0, side - height), rng.integers(0, side - width)
        crop[top : top + height, left : left + width] = rng.integers(0, 256, 3)
    return crop


def _read_crop(path: Path, size: int) -> Image | None:
    """The aligned crop in a file, or None, and a line in the log, when there is none."""
    try:
        image = read_image(path)
    except ImageError as error:
        log.warning("left out: %s", error)
        return None
    try:
        return aligned_crop(image, size)
    except ImageError as error:
        log.warning("left out: %s: %s", printable(path), error)
        return None


def _train_pixels(path: Path, seed: tuple[int, int, int], strong: bool) -> Image | None:
    crop = _read_crop(path, STORED_SIZE)
    if crop is None:
        return None
    rng = np.random.default_rng(seed)
    crop = augment(crop, rng)
    return disturb(crop, rng) if strong else crop


def to_tensor(crops: Sequence[Image], size: int = 112) -> Tensor:
    """Crops (S, S, 3) -> (N, 3, size, size): uint8, or float32 0..255 where they had to be scaled."""
    pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)  # (N, 3, S, S)
    if size == pixels.shape[-1]:
        return pixels
    return F.interpolate(pixels.float(), (size, size), mode="bilinear", antialias=True)


def training_batches(
    faces: FaceSet, batches: Sequence[Batch], size: int, seed: int, epoch: int, strong: bool = False
) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
    """Augmented pixels (B, 3, size, size) and the positions they belong to, decoded ahead in threads.

    Each photo's augmentation (`augment`, and `disturb` if strong) follows from (seed, epoch, position). A photo that
    cannot be read is named in the log and missing from its batch.
    """

    def load(batch: Batch) -> tuple[Tensor, NDArray[np.int64]]:
        loaded = {i: _train_pixels(faces.paths[i], (seed, epoch, int(i)), strong) for i in batch}
        good = {i: crop for i, crop in loaded.items() if crop is not None}
        if len(good) < 2:  # the head's BatchNorm needs two
            raise DataError(f"{faces.root}: fewer than two photos of a batch can be read; check the folder")
        return to_tensor(list(good.values()), size), np.array(list(good))

    with ThreadPoolExecutor(READ_AHEAD) as pool:
        waiting = iter(batches)
        running = [pool.submit(load, batch) for batch in islice(waiting, READ_AHEAD)]
        while running:
            done = running.pop(0).result()
            running += [pool.submit(load, batch) for batch in islice(waiting, 1)]
            yield done


def still_batches(faces: FaceSet, batch_size: int) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
    """All photos in order without augmentation: pixels (B, 3, 112, 112) and positions.

    A photo that cannot be read is named in the log and missing.
    """
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        for start in range(0, len(faces), batch_size):
            positions = range(start, min(start + batch_size, len(faces)))
            loaded = pool.map(lambda i: _read_crop(faces.paths[i], 112), positions)
            good = {i: crop for i, crop in zip(positions, loaded, strict=True) if crop is not None}
            if good:
                yield to_tensor(list(good.values())), np.array(list(good))


def align_folder(
    folder: Path, output: Path, detector: Detector, watch: Callable[[Detected, int], Detected] = lambda i, _: i
) -> tuple[Path, list[str]]:
    """Detect and align the photos in the identity folders of `folder`, for training; `detector` cuts 128x128 crops.

    The main face of each photo becomes output/FOLDER/PERSON/NAME.png; one that is there already and newer than its
    photo is kept, one whose photo is gone is deleted. `watch` is handed the photos as they are done, and how many
    there will be. Returns the folder of identity folders and one line for every photo that could not be used.
    Raises DataError when output/FOLDER holds anything that was not put there by this function, or photos to align.
    """
    source, target = folder.resolve(), output.resolve() / folder.resolve().name
    _claim(target, source)
    photos = [path for paths in identity_folders(source).values() for path in paths]
    crops = {path: target / path.relative_to(source).with_name(_crop_name(path)) for path in photos}
    for stale in set(target.glob("**/*.png")) - {crop for path, crop in crops.items() if _is_newer(crop, path)}:
        stale.unlink()
    todo = [path for path in photos if not crops[path].exists()]
    failures = []
    for path, faces in watch(faces_in_photos(todo, detector, 16), len(todo)):
        if isinstance(faces, ImageError) or not faces:
            failures.append(str(faces) if faces else f"{printable(path)}: no face found; left out of training")
            continue
        crops[path].parent.mkdir(parents=True, exist_ok=True)
        part = crops[path].with_suffix(".part")
        PIL.Image.fromarray(faces[0].crop).save(part, "PNG")
        part.replace(crops[path])
    return target, failures


def _claim(target: Path, source: Path) -> None:
    """Make `target` a folder of our crops, where stale ones may be deleted; raises DataError for any other folder."""
    if target.is_relative_to(source) or source.is_relative_to(target):
        raise DataError(f"{printable(target)}: the photos themselves are here; give another --output, or --aligned")
    if target.is_dir() and any(target.iterdir()) and not (target / _MARK).exists():
        raise DataError(f"{printable(target)}: holds files that are no crops of facerec's; give another --output")
    target.mkdir(parents=True, exist_ok=True)
    (target / _MARK).touch()


def _crop_name(photo: Path) -> str:
    """NAME.png, of a length that file systems take, with room for `.part`."""
    name = os.fsencode(photo.name)
    if len(name) <= 240:
        return photo.name + ".png"
    return f"{os.fsdecode(name[:200])}-{hashlib.sha256(name).hexdigest()[:16]}.png"


def _is_newer(crop: Path, photo: Path) -> bool:
    return crop.exists() and photo.exists() and crop.stat().st_mtime_ns >= photo.stat().st_mtime_ns
