"""A stage of a network as a scikit-learn transformer: pictures in, features out.

make_pipeline(StageFeatures("resnet50", "layer3"), StandardScaler(), LinearSVC()).fit(paths, classes)
"""

import json
import os
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from facerec.errors import ConfigError, ImageError, ModelError, NoFaceError
from facerec.faces.detector import AlignedDetector, Detector
from facerec.faces.mtcnn import MTCNNDetector
from facerec.files import write_text
from facerec.inference.embedder import BATCH
from facerec.inference.loading import load_stage
from facerec.inference.torch_runtime import StageReader
from facerec.photos.crops import centre_picture
from facerec.photos.reading import read_image
from facerec.text import printable
from facerec.types import Image

_FORMAT = 1
_FITTED = ("layer_", "fingerprint_", "n_features_in_", "_n_features_out")
_load = lru_cache(maxsize=4)(load_stage)  # clones and copies share one network, and carry no weights themselves


class StageFeatures(TransformerMixin, BaseEstimator):
    """Pictures -> the mean of each map of a stage, (N, C) float32. `fit` learns nothing; it only loads the network.

    model: a backbone's name (ImageNet weights), a model folder, or None for the shipped face model. layer: the stage's
    name; None for the last before the head. input_size: the side of a backbone's input in pixels; 0 for its own size.
    aligned: the inputs of a face model are aligned crops; otherwise it detects the main face. shape: the picture in a
    row of a 2-D array, (H, W) grey or (H, W, 3) RGB; one number may be -1, as in NumPy. white: the value of white in
    arrays, 1.0 for scikit-learn's own pictures; values outside 0..white are clipped.

    Input: a sequence of N paths; an (N, H, W, 3) RGB array; a list of RGB pictures of any sizes; or with `shape`, 2-D
    rows. Every picture gives a row, so a picture that cannot be used raises ImageError or NoFaceError. An empty input
    and an array of another form raise ValueError, as scikit-learn requires.

    After `fit`: layer_ is the stage's name; fingerprint_ the network's; n_features_in_ the width of 2-D rows.

    >>> import facerec
    >>> photos = ["gallery/people/Joe Biden/blue_room_2010.jpg"]
    >>> facerec.StageFeatures(None, "layer2").fit(photos).transform(photos).shape
    (1, 512)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = "resnet50",
        layer: str | None = None,
        *,
        input_size: int = 0,
        aligned: bool = False,
        shape: tuple[int, ...] | None = None,
        white: float = 255,
    ) -> None:
        self.model = model
        self.layer = layer
        self.input_size = input_size
        self.aligned = aligned
        self.shape = shape
        self.white = white

    def fit(self, X: Any, y: Any = None) -> "StageFeatures":
        """Load the network. X is checked only if it is 2-D rows.

        Raises as `load_stage`; ConfigError for a bad parameter.
        """
        self._check_parameters()
        self._rows(X, reset=True)
        reader = self._reader()
        self.layer_, self.fingerprint_ = reader.layer, reader.card.fingerprint
        self._n_features_out = reader.card.embedding_dim
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """N pictures -> (N, C) float32. Raises ImageError, NoFaceError; ModelError if the model changed since `fit`."""
        check_is_fitted(self)
        pictures, reader = self._pictures(self._rows(X, reset=False)), self._reader()
        if reader.card.fingerprint != self.fingerprint_:
            raise ModelError(f"{self.model}: is not the model it was when this was fitted; fit again")
        parts = [np.zeros((0, self._n_features_out), np.float32)]
        crops = (self._crop(name, picture, reader) for name, picture in pictures)
        while batch := list(islice(crops, BATCH)):
            parts.append(reader.embed(np.stack(batch)))
        return np.concatenate(parts)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return STAGE_0, STAGE_1, ... Of the input's names only the number is checked."""
        check_is_fitted(self)
        there = getattr(self, "n_features_in_", None)
        if input_features is not None and there is not None and len(input_features) != there:
            raise ValueError(f"input_features should have length equal to {there}, the number of features in")
        return np.array([f"{self.layer_}_{i}" for i in range(self._n_features_out)], dtype=object)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters to a JSON file, and if fitted the network's fingerprint; no weights.

        ConfigError if the file cannot be written or a parameter is bad.
        """
        self._check_parameters()
        path = Path(path)
        fitted = {name: vars(self)[name] for name in _FITTED if name in vars(self)}
        facts = {"format": _FORMAT, "parameters": self.get_params(), "fitted": fitted}
        try:
            write_text(path, json.dumps(facts, indent=2, default=_plain) + "\n", unique=True)
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"{printable(path)}: cannot be written ({reason}); name another file") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "StageFeatures":
        """Read a file that `save` wrote; ConfigError for any other file."""
        path = Path(path)
        try:
            facts = json.loads(path.read_text("utf-8"))
            if facts["format"] != _FORMAT:
                raise ValueError(f"format {facts['format']}")
            parameters, fitted = facts["parameters"], facts["fitted"]
            shape = parameters["shape"]
            made = cls(**{**parameters, "shape": None if shape is None else tuple(shape)})
            vars(made).update({name: fitted[name] for name in _FITTED if name in fitted})
            made._check_parameters()
        except OSError as error:
            raise ConfigError(f"{printable(path)}: cannot be read ({error.strerror}); give a readable file") from error
        except (ValueError, KeyError, TypeError, ConfigError) as error:
            raise ConfigError(
                f"{printable(path)}: not what StageFeatures.save wrote ({error}); save it again"
            ) from error
        return made

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]  # the output is float32 for every input
        return tags

    def _check_parameters(self) -> None:
        """Raise ConfigError for a parameter of a wrong type. `load_stage` checks that model, layer and size exist."""
        if not isinstance(self.model, str | os.PathLike | None):
            raise ConfigError(f"model is {self.model!r}; give a backbone's name, a model folder, or None")
        if not isinstance(self.layer, str | None):
            raise ConfigError(f"layer is {self.layer!r}; give a stage's name, or None")
        if not isinstance(self.input_size, Integral):
            raise ConfigError(f"input_size is {self.input_size!r}; give a whole number of pixels, or 0")
        if not isinstance(self.white, Real) or not 0 < self.white < np.inf:
            raise ConfigError(f"white is {self.white}; give a number above 0: 255, or 1.0 for scikit-learn's pictures")
        if self.shape is not None and _sides(self.shape) is None:
            raise ConfigError(f"shape is {self.shape!r}; give (height, width) or (height, width, 3), or None")

    def _reader(self) -> StageReader:
        model = self.model if self.model is None else os.fspath(self.model)
        return _load(model, self.layer, int(self.input_size))

    def _rows(self, X: Any, reset: bool) -> Any:
        """Return pictures and paths as they are, and anything else as (N, K) rows with the fitted number of columns."""
        if isinstance(X, str | os.PathLike):
            raise ConfigError(f"{printable(os.fspath(X))}: one path; give a list of paths, even for a single one")
        if _is_empty(X):
            raise ValueError("no pictures: X is empty; give at least one path or picture")
        if _holds_pictures(X):
            return X
        rows: Any = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32, np.uint8])
        if self.shape is None:
            size = rows.shape[1]
            raise ConfigError(
                f"rows of {size} numbers: give shape=(height, width[, 3]), paths, or (N, H, W, 3) pictures"
            )
        return rows

    def _pictures(self, X: Any) -> Iterator[tuple[str, Image]]:
        """Yield each picture's name for messages, and the picture, (H, W, 3) uint8."""
        for i, item in enumerate(X):
            if isinstance(item, str | os.PathLike):
                yield printable(os.fspath(item)), read_image(Path(item))
            else:
                yield f"picture {i}", self._rgb(np.asarray(item), i)

    def _rgb(self, values: NDArray[Any], number: int) -> Image:
        """Convert a row, an (H, W) grey or an (H, W, 3) RGB picture to (H, W, 3) uint8."""
        if values.ndim == 1:
            values = _reshaped(values, _sides(self.shape) or ())
        values = values[..., None].repeat(3, -1) if values.ndim == 2 else values
        if values.ndim != 3 or values.shape[2] != 3 or not values.size:
            raise ImageError(f"picture {number}: of shape {values.shape}; give (height, width, 3) RGB")
        if values.dtype == np.uint8 and self.white == 255:
            return values
        if not np.isfinite(values).all():
            raise ImageError(f"picture {number}: holds numbers that are not finite; give 0 to {self.white:g}")
        return np.rint(np.clip(values * (255 / float(self.white)), 0, 255)).astype(np.uint8)

    def _crop(self, name: str, picture: Image, reader: StageReader) -> Image:
        """Return the (S, S, 3) part of a picture that the network gets: its centre, or the main face's crop."""
        size = reader.card.input_size
        if reader.card.mode != "metric":
            return centre_picture(picture, size)
        (faces,) = _detector(self.aligned, size).detect([picture])
        if not faces:
            raise NoFaceError(f"{name}: no face found; use a photo with a clear, larger face")
        return faces[0].crop


@lru_cache(maxsize=2)
def _detector(aligned: bool, size: int) -> Detector:
    return AlignedDetector(size) if aligned else MTCNNDetector(crop_size=size)


def _is_empty(X: Any) -> bool:
    """Whether X is an empty sequence or array. scikit-learn itself checks scalars and 2-D arrays."""
    if isinstance(X, np.ndarray):
        return X.ndim not in (0, 2) and not X.size
    return isinstance(X, list | tuple) and not X


def _holds_pictures(X: Any) -> bool:
    """Whether X is a sequence of paths, an (N, H, W, 3) array or a list of pictures, and not rows of numbers."""
    if isinstance(X, np.ndarray) and X.ndim == 4:
        return True
    first: Any = X[0] if isinstance(X, list | tuple | np.ndarray) and len(X) else 0
    return isinstance(first, str | os.PathLike) or (isinstance(X, list | tuple) and np.ndim(first) in (2, 3))


def _sides(shape: Any) -> tuple[int, ...] | None:
    """Return the two or three whole numbers of a shape as Python ints; None for anything else."""
    if not isinstance(shape, list | tuple | np.ndarray) or np.ndim(shape) != 1 or len(shape) not in (2, 3):
        return None
    return tuple(int(side) for side in shape) if all(isinstance(side, Integral) for side in shape) else None


def _plain(value: Any) -> Any:
    """Convert a NumPy value or a path to what JSON can hold."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else os.fspath(value)


def _reshaped(row: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        return row.reshape(shape)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"a row of {row.size} numbers does not fit shape {shape}; correct shape") from error
