"""The detector's settings."""

from dataclasses import dataclass

from facerec.settings import setting


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How faces are found."""

    min_face_size: int = setting(
        32, "Smallest face looked for, in pixels of the photo after it was scaled down; the work grows with 1 / size^2."
    )
    min_confidence: float = setting(0.9, "Faces the detector is less sure of are dropped, 0..1.")
    max_side: int = setting(1280, "Photos whose longer side is above this are scaled down before detection, in pixels.")
    batch_size: int = setting(16, "Photos (padded to one size) that go through the detector together.")
