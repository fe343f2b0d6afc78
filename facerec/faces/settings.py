"""The detector's settings."""

from dataclasses import dataclass

from facerec.settings import setting


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How faces are found.

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
