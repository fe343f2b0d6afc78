"""A sheet that shows what a stage of a network sees in a photo.

It holds the network's first filters, the channels that respond most to the photo, and a Grad-CAM map of the places that
support the decision. The module `models.saliency` computes them.
"""

import dataclasses
import io
import textwrap
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from facerec.errors import ConfigError, FacerecError, NoFaceError
from facerec.faces.detector import Detector, faces_in_photos
from facerec.models.card import ModelCard
from facerec.models.network import Network
from facerec.models.saliency import Sight, likeness, look
from facerec.photos.crops import centre_picture
from facerec.photos.reading import read
from facerec.text import main_of_several, printable
from facerec.types import Image

CHANNELS = 16  # the number of channels shown, in rows of ACROSS
ACROSS = 8
FILTERS = 64  # the most filters shown


def look_at_picture(photo: Path, network: Network, stage: str) -> Sight:
    """Return what a classification network, or a backbone without a head, sees in a photo.

    ImageError if the photo cannot be read; ConfigError if there is no such stage.
    """
    image, remarks, _ = read(photo)
    sight = look(network, centre_picture(image, network.input_size), stage)
    return dataclasses.replace(sight, remarks=tuple(f"{printable(photo)}: {remark}" for remark in remarks))


def look_at_face(
    photo: Path, network: Network, stage: str, detector: Detector, against: Path | None = None, mirrored: bool = False
) -> Sight:
    """Return what a network that embeds faces sees in the main face of a photo.

    against: a photo whose main face it is compared with; without it, the face's own embedding is explained. mirrored:
    whether an embedding is the mean of a crop's vector and its mirror image's. The score is then the cosine of these
    embeddings, as `verify` has it; the map explains the cosine of the two crops. ImageError if a photo cannot be read;
    NoFaceError if it has no face; ConfigError if there is no such stage.
    """
    face, remarks = _main_face(photo, detector, "is shown" if against is None else "is compared")
    if against is None:
        return dataclasses.replace(look(network, face, stage), remarks=remarks)
    other, others = _main_face(against, detector, "is compared")
    score, sight = likeness(network, face, other, mirrored), look(network, face, stage, other)
    return dataclasses.replace(sight, score=score, remarks=(*remarks, *others))


def _main_face(photo: Path, detector: Detector, use: str) -> tuple[Image, tuple[str, ...]]:
    """Return the main face's crop, and what is odd about the photo. use: what is done with the face, in words."""
    ((_, faces, odd),) = faces_in_photos([photo], detector, 1)
    if isinstance(faces, FacerecError):
        raise faces
    if not faces:
        raise NoFaceError(f"{printable(photo)}: no face found; use a photo with a clear, larger face")
    remarks = (*odd, *main_of_several(len(faces), use))
    return faces[0].crop, tuple(f"{printable(photo)}: {remark}" for remark in remarks)


def require_faces(card: ModelCard) -> None:
    """Raise ConfigError for a model that does not embed faces."""
    if card.mode != "metric":
        does = "is a classifier" if card.classes else "is a backbone"
        raise ConfigError(f"{card.name} {does}; `against` is for models that embed faces")


def strongest(maps: NDArray[np.float32], count: int = CHANNELS) -> list[int]:
    """Return the channels of (C, s, s) maps whose positive values have the largest mean, strongest first."""
    means = np.maximum(maps, 0).mean(axis=(1, 2))
    return [int(channel) for channel in np.argsort(-means, kind="stable")[:count]]


def decision(sight: Sight, card: ModelCard, against: Path | None) -> str:
    """Return in words the decision that Grad-CAM explains."""
    if card.mode != "metric" and not card.classes:
        return f"the picture's own features (length {sight.score:.1f})"
    if card.mode != "metric":
        return f"{printable(card.classes[int(sight.row.argmax())])} ({100 * sight.score:.1f} %)"
    if against is not None:
        return f"likeness to {printable(against.name)} (cosine {sight.score:.2f})"
    return f"the face's own embedding (length {sight.score:.1f})"


def draw_sheet(sight: Sight, title: str, stage: str, subject: str) -> Image:
    """Return the sheet, (H, W, 3) uint8 RGB.

    Above: the picture, Grad-CAM over it, and the first filters. Below: the strongest channels over the picture.
    """
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(12.8, 8.8), dpi=120, layout="constrained")
    figure.suptitle(f"{_fit(title, 100)}\n", fontsize=14, parse_math=False)
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.25, 1))
    above, below = halves
    photo, heat, filters = above.subplots(1, 3)
    photo.imshow(sight.picture)
    photo.set_title("what the network is given")
    _overlay(heat, sight.picture, sight.heat)
    heat.set_title(f"Grad-CAM at {stage}: where it speaks for\n{_fit(subject, 44)}", parse_math=False)
    filters.imshow(mosaic(sight.filters[:FILTERS]), interpolation="nearest")
    size = sight.filters.shape[1]
    filters.set_title(f"the first layer's {len(sight.filters)} filters, {size}x{size}")
    channels = strongest(sight.maps)
    side = sight.maps.shape[1]
    below.suptitle(f"{stage}: the strongest of {len(sight.maps)} channels, {side}x{side} places, their number and mean")
    panels = below.subplots(-(-len(channels) // ACROSS), ACROSS, squeeze=False).ravel()
    for panel, channel in zip(panels, channels, strict=False):
        _overlay(panel, sight.picture, sight.maps[channel])
        panel.set_title(f"{channel}: {np.maximum(sight.maps[channel], 0).mean():.2g}", fontsize=10)
    for panel in (photo, heat, filters, *panels):
        panel.set_axis_off()
    return _rendered(figure)


def _fit(text: str, width: int) -> str:
    """Break a text into lines of at most `width` characters. Of a very long one, the middle is left out."""
    if len(text) > 3 * width:
        text = f"{text[:width]} … {text[-width:]}"
    return "\n".join(textwrap.wrap(text, width)) or text


def _overlay(panel: Any, picture: Image, values: NDArray[np.float32]) -> None:
    """Draw a map over the grey picture, with colours from 0 to the map's largest value."""
    size = picture.shape[0]
    panel.imshow(picture.mean(axis=2), cmap="gray", vmin=0, vmax=255)
    top = max(float(values.max()), 1e-12)
    options = {"cmap": "inferno", "vmin": 0, "vmax": top, "interpolation": "bilinear"}
    panel.imshow(values, extent=(-0.5, size - 0.5, size - 0.5, -0.5), alpha=0.65, **options)


def mosaic(filters: NDArray[np.float32]) -> NDArray[np.float32]:
    """(K, k, k, 3) -> (H, W, 3), 0..1: place the filters side by side, each scaled to its own range, with 0 as 0.5."""
    count, size = len(filters), filters.shape[1]
    across = int(np.ceil(np.sqrt(count)))
    tiles = np.ones((across * across, size + 1, size + 1, 3), np.float32)  # white between them
    most = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    tiles[:count, :size, :size] = 0.5 + 0.5 * filters / np.maximum(most, 1e-12)
    rows = tiles.reshape(across, across, size + 1, size + 1, 3).swapaxes(1, 2)
    return rows.reshape(across * (size + 1), across * (size + 1), 3)[: -(-count // across) * (size + 1)]


def _rendered(figure: Any) -> Image:
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # letters that DejaVu Sans lacks are drawn as boxes
        figure.savefig(data, format="png")
    data.seek(0)
    return np.asarray(PIL.Image.open(data).convert("RGB"))
