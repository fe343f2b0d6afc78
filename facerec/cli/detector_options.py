"""The options about the detector, and the detector that they ask for."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from facerec.cli.user_settings import everyday_option
from facerec.faces.settings import DETECTORS, LARGEST_FACE, SMALLEST_FACE, DetectorSettings

if TYPE_CHECKING:  # imported when needed
    from facerec.gallery.gallery import Gallery
    from facerec.inference.sources import PhotoSource
    from facerec.models.card import ModelCard

F = TypeVar("F", bound=Callable[..., Any])


def face_options(f: F) -> F:
    """Add --aligned and the options of `detector_options`: how faces are found. `make_detector` takes the values."""
    return click.option(
        "--aligned", is_flag=True, help="The photos are aligned face crops; no face is searched for in them."
    )(detector_options(f))


def detector_options(f: F) -> F:
    """Add --detector, --min-face-size and --min-confidence."""
    return everyday_option(
        "--detector",
        setting="detector",
        type=click.Choice(DETECTORS),
        help="What finds the faces; yunet is faster on large photos  "
        "[default: that of facerec.toml, else the gallery's, else mtcnn]",
    )(size_options(f))


def size_options(f: F) -> F:
    """Add --min-face-size and --min-confidence."""
    defaults = DetectorSettings()
    f = everyday_option(
        "--min-confidence",
        setting="min_confidence",
        type=click.FloatRange(0, 1),
        default=defaults.min_confidence,
        show_default=True,
        help="Ignore faces that the detector is less sure of than this.",
    )(f)
    return everyday_option(
        "--min-face-size",
        setting="min_face_size",
        type=click.IntRange(SMALLEST_FACE, LARGEST_FACE),
        default=defaults.min_face_size,
        show_default=True,
        help="Smallest face to look for, in pixels.",
    )(f)


def make_detector(aligned: bool, *, crop_size: int, gallery: "Gallery | None" = None, **looks: Any) -> Any:
    """Return the detector that these options ask for. looks: the values of `detector_options`.

    gallery: the one that the photos go to. Raises ForeignDetectorError where another detector cut its crops.
    """
    from facerec.faces.detector import make_detector as make

    if gallery is None or aligned:
        return make(crop_size, aligned, DetectorSettings(**looks))
    from facerec.recognition.identify import detector_for

    return detector_for(gallery, DetectorSettings(**looks), crop_size)


def as_in_shards(sources: "Iterable[PhotoSource]", card: "ModelCard", aligned: bool, **looks: Any) -> dict[str, Any]:
    """Return the values of `face_options` as the shards among the sources were made; without shards, as they are.

    Raises ConfigError for shards of another model, or made in another way than is asked for.
    """
    from facerec.inference.sources import settled_looks

    aligned, settings = settled_looks(sources, card, aligned, DetectorSettings(**looks))
    return {"aligned": aligned, **{name: getattr(settings, name) for name in looks}}


def detector_for(card: "ModelCard", aligned: bool, **looks: Any) -> Any:
    """Return the detector for the network of this card; None for one that reads whole pictures.

    Raises ConfigError if `aligned` is given for such a network.
    """
    from facerec.faces.detector import detector_for as make

    return make(card, aligned, DetectorSettings(**looks))
