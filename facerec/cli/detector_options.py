"""The options about the detector, and the detector that they ask for."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from facerec.cli.user_settings import everyday_option
from facerec.faces.settings import SMALLEST_FACE, DetectorSettings

F = TypeVar("F", bound=Callable[..., Any])


def face_options(f: F) -> F:
    """Add --aligned, --min-face-size and --min-confidence: how faces are found. `make_detector` takes the values."""
    return click.option(
        "--aligned", is_flag=True, help="The photos are aligned face crops; no face is searched for in them."
    )(detector_options(f))


def detector_options(f: F) -> F:
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
        type=click.IntRange(min=SMALLEST_FACE),
        default=defaults.min_face_size,
        show_default=True,
        help="Smallest face to look for, in pixels.",
    )(f)


def make_detector(aligned: bool, min_face_size: int, min_confidence: float, crop_size: int) -> Any:
    """Return the detector that these options ask for."""
    from facerec.faces.detector import make_detector as make

    return make(crop_size, aligned, DetectorSettings(min_face_size=min_face_size, min_confidence=min_confidence))


def detector_for(reader: Any, aligned: bool, min_face_size: int, min_confidence: float) -> Any:
    """Return the detector for the reader of a stage; None for a network that reads whole pictures.

    Raises ConfigError if `aligned` is given for such a network.
    """
    from facerec.faces.detector import detector_for as make

    return make(reader.card, aligned, DetectorSettings(min_face_size=min_face_size, min_confidence=min_confidence))
