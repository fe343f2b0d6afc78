"""Which strategy a folder of photos calls for, by the lectures' table (CS231n, "Transfer learning"), and why.

                  like ImageNet                              unlike
    little data   train the new head alone                   a linear classifier on features of an earlier stage
    much data     fine-tune the later stages                 fine-tune all of it

How like ImageNet's photos they are is asked of the network itself: a linear classifier on its frozen features (a linear
probe, Alain and Bengio 2016) is cross-validated at the end of every stage. The photos are like ImageNet's where the
last features, which are made for ImageNet's classes, tell the classes apart nearly as they are, and better than general
features of earlier stages do. The table has no numbers; MUCH and ALIKE are ours.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec import metrics
from facerec.datasets.photo_sets import PhotoSet
from facerec.errors import DataError, ImageError
from facerec.faces.aligned import require_crops_in
from facerec.models.backbones import find_backbone
from facerec.models.network import FACE_SIZE, Network
from facerec.models.saliency import pooled_stages
from facerec.photos.crops import aligned_crop, centre_picture
from facerec.photos.reading import read_image
from facerec.text import printable
from facerec.types import Image

MUCH = 1000
"""Photos to train on from which they are many: a network's last stage has millions of weights."""
ALIKE = 0.8
"""The share of the way from chance to certainty which the last features must bring for photos to be like ImageNet's."""
FOLDS = 5
PROBE_CLASSES, PROBE_PHOTOS = 50, 1000
"""The probe is of so many classes and photos at most, a seeded choice."""
BATCH, SEED = 32, 0

Rows = NDArray[np.float32]  # (N, C) features
Labels = NDArray[np.int64]  # (N,)
Watch = Callable[[Iterable[Path], int], Iterable[Path]]


@dataclass(frozen=True, slots=True)
class Depth:
    """The probe at the end of a stage: its cross-validated accuracy and the 95 % interval (exact, over photos)."""

    stage: str
    accuracy: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Advice:
    """What is advised, and the numbers it rests on.

    classes, photos: in the folder; fewest, most: photos of a class. probed_classes, probed_photos: of the probe.
    chance: the share of the largest class among them. depths: first stage first. similarity: (accuracy at the last
    stage - chance) / (1 - chance). earlier: the best stage before the last where its interval is wholly above the
    last's, else "". much, alike: what the table is asked with. strategy, kept_stages: its answer, as `facerec train`
    takes them; 0: all stages. reason: in words.
    """

    classes: int
    photos: int
    fewest: int
    most: int
    probed_classes: int
    probed_photos: int
    chance: float
    depths: tuple[Depth, ...]
    similarity: float
    earlier: str
    much: bool
    alike: bool
    strategy: str
    kept_stages: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict that `json.dumps` takes."""
        return asdict(self)


def advise(
    photos: PhotoSet, network: Network, *, faces: bool, watch: Watch = lambda paths, total: paths
) -> tuple[Advice, list[str]]:
    """Advise on class folders, or on aligned crops of people (`faces`), for a network with ImageNet's weights.

    `watch` is handed the photos that are looked at, and how many. Returns a line for each of them that cannot be used,
    too. Raises DataError where not two classes have FOLDS photos that can be used.
    """
    sample = choose(photos)
    if faces:
        require_crops_in(sample.paths)
    size, prepare = network.input_size, aligned_crop if faces else centre_picture
    failures: list[str] = []
    usable: list[int] = []
    parts: list[dict[str, Rows]] = []
    pictures = _pictures(watch(sample.paths, len(sample)), lambda image: prepare(image, size), failures)
    for positions, batch in _batches(pictures):
        usable += positions
        parts.append(pooled_stages(network, batch))
    labels = sample.labels[usable]
    rows = {stage: np.concatenate([part[stage] for part in parts]) for stage in parts[0]} if parts else {}
    found, counts = np.unique(labels, return_counts=True)
    kept = np.isin(labels, found[counts >= FOLDS])
    if len(np.unique(labels[kept])) < 2:
        raise DataError(
            f"{printable(photos.root)}: fewer than two folders with {FOLDS} photos that can be read; add some"
        )
    depths = [probe(stage, features[kept], labels[kept]) for stage, features in rows.items()]
    return conclude(np.bincount(photos.labels), labels[kept], depths), failures


def choose(photos: PhotoSet) -> PhotoSet:
    """The photos of the probe: of classes with FOLDS or more a seeded choice, as many of each as there is room for."""
    rng = np.random.default_rng(SEED)
    counts = np.bincount(photos.labels, minlength=len(photos.names))
    classes = rng.permutation(np.flatnonzero(counts >= FOLDS))[:PROBE_CLASSES]
    if len(classes) < 2:
        raise DataError(f"{printable(photos.root)}: fewer than two folders with {FOLDS} photos; add photos, or folders")
    room = max(FOLDS, PROBE_PHOTOS // len(classes))
    own = [rng.permutation(np.flatnonzero(photos.labels == label))[:room] for label in classes]
    return photos.take(np.sort(np.concatenate(own)))


def _pictures(
    paths: Iterable[Path], prepare: Callable[[Image], Image], failures: list[str]
) -> Iterator[tuple[int, Image]]:
    """Each photo's number and what the network is given of it; a line in `failures` where there is nothing."""
    for position, path in enumerate(paths):
        try:
            image = read_image(path)
        except ImageError as error:
            failures.append(str(error))
            continue
        try:
            yield position, prepare(image)
        except ImageError as error:
            failures.append(f"{printable(path)}: {error}")


def _batches(pictures: Iterator[tuple[int, Image]]) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
    waiting: list[tuple[int, Image]] = []
    for item in pictures:
        waiting.append(item)
        if len(waiting) == BATCH:
            yield [position for position, _ in waiting], np.stack([picture for _, picture in waiting])
            waiting = []
    if waiting:
        yield [position for position, _ in waiting], np.stack([picture for _, picture in waiting])


def probe(stage: str, features: Rows, labels: Labels) -> Depth:
    """Cross-validate a linear classifier: ridge regression on the labels, its penalty chosen within each fold.

    features: (N, C), scaled to unit variance by the photos learned from. Every class needs FOLDS photos.
    """
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    linear = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=10.0 ** np.arange(0, 6)))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    answers = np.asarray(cross_val_predict(linear, features.astype(np.float64), labels, cv=folds))
    right = int(np.count_nonzero(answers == labels))
    return Depth(stage, right / len(labels), metrics.share_interval(right, len(labels)))


def conclude(counts: NDArray[np.int64], probed: Labels, depths: list[Depth]) -> Advice:
    """The table's answer. counts: photos of each class of the folder. probed: (N,) labels of the probe's photos."""
    in_class = np.unique(probed, return_counts=True)[1]
    chance = float(in_class.max() / len(probed))
    best = max(range(len(depths)), key=lambda i: depths[i].accuracy)
    last = depths[-1]
    earlier = depths[best].stage if depths[best].ci95[0] > last.ci95[1] else ""
    similarity = (last.accuracy - chance) / (1 - chance)
    much, alike = int(counts.sum()) >= MUCH, similarity >= ALIKE and not earlier
    kept = 0 if much or alike or best == len(depths) - 1 else best + 1
    strategy = {(False, True): "frozen", (True, True): "partial", (False, False): "frozen", (True, False): "full"}
    return Advice(
        classes=len(counts),
        photos=int(counts.sum()),
        fewest=int(counts.min()),
        most=int(counts.max()),
        probed_classes=len(in_class),
        probed_photos=len(probed),
        chance=chance,
        depths=tuple(depths),
        similarity=similarity,
        earlier=earlier,
        much=much,
        alike=alike,
        strategy=strategy[much, alike],
        kept_stages=kept,
        reason=_reason(much, alike, depths[best].stage if kept else ""),
    )


def _reason(much: bool, alike: bool, stage: str) -> str:
    given = f"{'much' if much else 'little'} data, {'like' if alike else 'unlike'} ImageNet's"
    if much:
        return f"{given}: fine-tune {'the later stages' if alike else 'the whole network'}"
    if alike:
        return f"{given}: train the new head alone"
    where = f"up to {stage}, which are the best here" if stage else "as they are; no earlier stage is better"
    return f"{given}: train a linear classifier on the features {where}; more photos would help most"


def command_for(advice: Advice, folder: Path, network: Network, *, faces: bool) -> str:
    """How `facerec train` is told, on one line."""
    name = folder.resolve().name
    words = ["facerec", "train", str(folder), *(("--aligned",) if faces else ("--mode", "classify"))]
    words += ["--backbone", network.backbone, "--strategy", advice.strategy]
    words += ["--kept-stages", str(advice.kept_stages)] if advice.kept_stages else []
    usual = FACE_SIZE if faces else find_backbone(network.backbone).input_size
    words += ["--input-size", str(network.input_size)] if network.input_size != usual else []
    return printable(shlex.join([*words, "--output", f"models/{name}"]))
