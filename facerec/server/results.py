"""What the methods of `Service` return, where the library has no value for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facerec.faces.quality import Quality
from facerec.gallery.erasure import Removal
from facerec.gallery.queries import PersonSummary
from facerec.recognition.enroll import Enrollment
from facerec.recognition.identify import Identification
from facerec.recognition.review import Review
from facerec.types import Face


@dataclass(frozen=True, slots=True)
class Enrolling:
    """What came of an enrollment: of each photo, and a look back. person: who has the photos now, if anybody."""

    results: tuple[Enrollment, ...]
    review: Review
    person: PersonSummary | None


def by_photo(found: Sequence[Identification]) -> list[Sequence[Identification]]:
    """What `identify` found in several photos, photo by photo."""
    starts = [place for place, each in enumerate(found) if each.position == 0]
    return [found[start:end] for start, end in zip(starts, [*starts[1:], len(found)], strict=True)]


@dataclass(frozen=True, slots=True)
class Seen:
    """The faces found in a photo, each with its quality; or why it cannot be used."""

    path: Path
    faces: tuple[tuple[Face, Quality], ...]
    remarks: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Removed:
    """What a removal took out. remains: whether something prevents that it is wiped from the files yet."""

    removal: Removal
    remains: bool
