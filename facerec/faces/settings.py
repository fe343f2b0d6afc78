"""The detector's settings."""

from dataclasses import dataclass

from facerec.errors import ConfigError
from facerec.settings import require_types, require_whole, setting

SMALLEST_FACE = 12  # pixels: what MTCNN can find
LARGEST_FACE = 2000  # pixels: more than any scaled-down photo has; for far larger ones memory is too small
DETECTORS = ("mtcnn", "yunet")


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How faces are found. ConfigError for a value that makes no sense.

    >>> import facerec
    >>> model = facerec.load(detector=facerec.DetectorSettings(min_face_size=80))
    >>> len(model.faces("gallery/people/Joe Biden/blue_room_2010.jpg"))
    1
    """

    min_face_size: int = setting(
        32, "Smallest face to look for, in pixels of the scaled-down photo; the work grows with 1 / size^2."
    )
    min_confidence: float = setting(0.9, "Faces with a lower confidence of the detector are dropped, 0..1.")
    max_side: int = setting(1280, "Photos with a longer side than this, in pixels, are scaled down before detection.")
    batch_size: int = setting(16, "Photos that go through the detector together.")
    detector: str | None = setting(
        None, "What finds the faces: mtcnn or yunet. None: what cut the gallery's crops, else mtcnn."
    )

    def __post_init__(self) -> None:
        require_types(self)
        if self.detector not in (None, *DETECTORS):
            raise ConfigError(f"`detector` must be {' or '.join(DETECTORS)}, not {self.detector!a:.40}")
        require_whole(self.min_face_size, "min_face_size", SMALLEST_FACE)
        require_whole(self.max_side, "max_side", SMALLEST_FACE)
        if self.min_face_size > LARGEST_FACE:
            raise ConfigError(f"`min_face_size` must be at most {LARGEST_FACE} pixels, not {self.min_face_size}")
        require_whole(self.batch_size, "batch_size", 1)
        if not 0 <= self.min_confidence <= 1:
            raise ConfigError(f"`min_confidence` must be from 0 to 1, not {self.min_confidence:g}")
