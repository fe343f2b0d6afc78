"""A model folder as a file that needs no torch, made only where its distances are the model's.

    exported = export_model("models/mine", Path("exported"), "onnx")
    print(exported.path, exported.parity.largest)        # exported/fp32.onnx 8.3e-07

The parity check: torch and the file both embed some crops. Over all pairs of crops the distances of the two may differ
by at most TOLERANCE. Otherwise the file is refused, and nothing is left of it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec import files
from facerec.errors import ConfigError, DataError, ImageError, ModelError
from facerec.faces.detector import Detector, faces_in_photos
from facerec.inference.embedder import Crops, require_metric
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.inference.torch_runtime import TorchEmbedder
from facerec.models.card import ModelCard, read_card, write_card
from facerec.models.cohort import load_cohort, save_cohort
from facerec.models.places import MODEL_FILES, ONE_FILE, model_path
from facerec.photos.crops import aligned_crop
from facerec.photos.folders import find_photos
from facerec.photos.reading import read_image
from facerec.text import printable

FORMATS = {"onnx": ".onnx", "openvino": ".xml"}
TOLERANCE = {"fp32": 1e-4, "int8": 0.1}
"""Largest difference of distances (0 to 4) that a file may have. Of the shipped model fp32 has 1e-6, int8 0.03."""
MOST_CROPS = 512
"""Crops of a folder that are used: to calibrate an int8 file and to check any."""
SAMPLE = Path(__file__).with_name("sample_faces.jpg")
"""Six aligned faces (128x128, side by side) of the sample gallery's photos, which are in the public domain."""
LIGHTS = ((1.0, 0.0), (0.7, 0.0), (0.6, 70.0), (1.25, -30.0))
"""Factor and summand of the grey values: `sample_crops` shows each face as it is, darker, dull and harsh."""


Faces = Callable[[int], Crops]
"""Side of the crops in pixels -> (N, side, side, 3) uint8 RGB aligned faces."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the distances of a file are from the model's, over all pairs of `crops` faces.

    largest, mean: absolute differences of the squared distances. tolerance: what `largest` may be.
    """

    crops: int
    pairs: int
    largest: float
    mean: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the file may stand for the model; False also where a difference is not a number."""
        return self.largest <= self.tolerance


@dataclass(frozen=True, eq=False, slots=True)
class Exported:
    """A file that was made.

    path: give it as a `model`. card: the file's, with its own fingerprint. files: all that belong to it.
    """

    path: Path
    card: ModelCard
    parity: Parity
    files: tuple[Path, ...]


def export_model(
    model: str | None, output: Path, format: str = "onnx", precision: str = "fp32", faces: Faces | None = None
) -> Exported:
    """Write a model folder's network into the folder `output`: fp32.onnx, fp32.xml or int8.xml, and what belongs to it.

    Its card and its strangers go with it; a file of the same name is replaced. What the card says was measured stays in
    an fp32 file's. An int8 file keeps the threshold alone, and that says whose it is. An fp32 file in the model's own
    folder is its converted file (`facerec.models.converted`).
    model: a model's name or folder, None: the shipped one. format: one of FORMATS; int8 is for openvino.
    faces: makes (N, S, S, 3) uint8 RGB aligned faces of the side S that it is given. N is two or more. They are for the
    parity check, and for int8 to find the ranges of its numbers by, which wants some hundred like those it will see;
    as in `lambda side: crops_of(Path("people"), make_detector(side))`. None: `sample_crops`.
    Raises ConfigError for what there is not or is not installed, ModelError for a model that classifies, that is a file
    already, or whose file fails the check or cannot be written.
    """
    name = _require_sense(format, precision)
    folder = _model_folder(model)
    _require_room(output, name)
    reference = TorchEmbedder(folder)
    crops = (faces or sample_crops)(reference.card.input_size)
    with _drafts(output) as drafts:
        draft = _write(folder, drafts / name, precision, crops)
        file = OpenVINOEmbedder(draft)
        parity = compare(reference.embed(crops), file.embed(crops), TOLERANCE[precision])
        if not parity.holds:
            raise ModelError(_refusal(output / name, parity, precision))
        _complete(reference, file, precision, parity)
        made = sorted(drafts.iterdir())
        for path in made:
            files.put(path, output / path.name)
    return Exported(output / name, file.card, parity, tuple(output / path.name for path in made))


def compare(reference: NDArray[np.float32], other: NDArray[np.float32], tolerance: float) -> Parity:
    """The parity of (N, D) unit rows with the reference's, N at least 2."""
    from facerec.models.export import distance_errors  # with torch

    if len(reference) < 2:
        raise ConfigError(f"{len(reference)} faces have no distances to compare; give two or more")
    errors = np.abs(distance_errors(reference, other))
    return Parity(len(reference), len(errors), float(errors.max()), float(errors.mean()), tolerance)


def sample_crops(size: int) -> Crops:
    """(48, size, size, 3) uint8: the faces of SAMPLE and their mirror images, in each of LIGHTS."""
    sheet = read_image(SAMPLE)
    side = sheet.shape[0]
    faces = np.stack([aligned_crop(sheet[:, i : i + side], size) for i in range(0, sheet.shape[1], side)])
    lit = [np.clip(faces * factor + summand, 0, 255).astype(np.uint8) for factor, summand in LIGHTS]
    return np.concatenate([view for faces in lit for view in (faces, faces[:, :, ::-1])])


def crops_of(images: Path, detector: Detector) -> Crops:
    """(N, S, S, 3) uint8: the main face of photos in a folder, in a random but fixed order, at most MOST_CROPS.

    Photos without a usable face are passed over. Raises DataError where fewer than two have one.
    """
    photos = find_photos(images)
    shuffled = [photos[i] for i in np.random.default_rng(0).permutation(len(photos))]
    found = (faces for _, faces, _ in faces_in_photos(shuffled, detector, 16) if not isinstance(faces, ImageError))
    crops = [faces[0].crop for faces in islice(filter(None, found), MOST_CROPS)]
    if len(crops) < 2:
        raise DataError(f"{printable(images)}: {len(crops)} photos with a usable face; give a folder with two or more")
    return np.stack(crops)


# ---------------------------------------------------------------------------------------------- before the work


def _require_sense(format: str, precision: str) -> str:
    """The file's name; ConfigError for a format or precision there is not, and for a library that is missing."""
    for value, known, name in ((format, FORMATS, "format"), (precision, TOLERANCE, "precision")):
        if value not in known:
            raise ConfigError(f"{name} '{value}' is not known; give {' or '.join(known)}")
    if precision == "int8":
        if format != "openvino":
            raise ConfigError("int8 files are made for OpenVINO; give `format=openvino`, or `precision=fp32`")
        from facerec.models.export import require_nncf

        require_nncf()
    return precision + FORMATS[format]


def _model_folder(model: str | None) -> Path:
    folder = model_path(model)
    if folder.suffix in ONE_FILE:
        raise ModelError(f"{folder}: a model file already; give a model folder")
    require_metric(read_card(folder / "model.json"), folder)
    return folder


def _require_room(output: Path, name: str) -> None:
    """The other format's file of this name would share the card."""
    for suffix in MODEL_FILES:
        other = (output / name).with_suffix(suffix)
        if other.name != name and other.exists():
            raise ConfigError(f"{printable(other)}: has the card that {name} would have; give another `output`")


@contextmanager
def _drafts(output: Path) -> Iterator[Path]:
    """A folder for drafts in `output`. It goes at the end and, on an error, so do the folders made for it."""
    made = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        output.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="facerec-", suffix=".draft", dir=output) as drafts:
            yield Path(drafts)
    except BaseException as error:
        _remove(made)
        if isinstance(error, OSError):
            reason = f"{printable(output)}: cannot be written ({error.strerror}); give another `output`"
            raise ModelError(reason) from error
        raise


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # not empty: somebody else uses it
            folder.rmdir()


# ----------------------------------------------------------------------------------------------------- the work


def _write(folder: Path, path: Path, precision: str, crops: Crops) -> Path:
    """The file and its card, as `facerec.models.export` has them."""
    from facerec.models import export
    from facerec.models.checkpoint import load_model

    network, card = load_model(folder)
    if precision == "int8":
        export.export_int8(network, card, crops, path)
    elif path.suffix == ".onnx":
        export.export_onnx(network, card, path)
    else:
        export.export_openvino(network, card, path)
    return path


def _complete(reference: TorchEmbedder, file: OpenVINOEmbedder, precision: str, parity: Parity) -> None:
    """Give the file what is known of its model, and its strangers."""
    card, path = reference.card, file.path.with_suffix(".json")
    results: dict[str, Any] = {"parity": {**asdict(parity), "model": card.name, "fingerprint": card.fingerprint}}
    if precision == "fp32":
        results = {**card.results, **results}
        measured = {"threshold": card.threshold, "probability": card.probability, "training": card.training}
    else:
        measured = {"threshold": _threshold_of(card, parity)}
    write_card(replace(file.card, results=results, **measured), path)
    strangers = load_cohort(reference.path, card)
    if len(strangers) and path.parents[1].resolve() != reference.path.resolve():  # a model's own folder has them
        save_cohort(
            file.path, file.card, strangers, f"the strangers of {card.name} ({card.fingerprint}), as it sees them"
        )


def _threshold_of(card: ModelCard, parity: Parity) -> dict[str, Any]:
    if card.default_threshold is None:
        return {}
    off = f"measured with {card.name}, whose distances differ by up to {parity.largest:.2g}"
    return {**card.threshold, "source": f"{card.default_threshold.source}; {off}"}


def _refusal(path: Path, parity: Parity, precision: str) -> str:
    fault = (
        f"{printable(path)}: not written: over {parity.crops} faces its distances differ from the model's by up to "
        f"{parity.largest:.2g}, and at most {parity.tolerance:g} is allowed"
    )
    if precision == "fp32":
        return f"{fault}; use the model folder, or try other versions of torch and openvino"
    return f"{fault}; give more `images` like those it will see, or `precision=fp32`"
