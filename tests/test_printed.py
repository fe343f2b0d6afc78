"""Every result prints as one short line: no pixels, no vectors."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import toy_model

import facerec
from facerec.albums.album import AlbumFace, FaceAlbum
from facerec.errors import NoFaceError
from facerec.faces.quality import Quality
from facerec.features.table import PhotoFeatures
from facerec.gallery.queries import PersonSummary
from facerec.inference.pipeline import Classification
from facerec.recognition.identify import Identification
from facerec.text import Brief
from facerec.types import Candidate, Decision, Face, Photo, Threshold

VECTOR = np.full(512, 0.044, np.float32)
LIMIT = Threshold(1.356, "FPIR 1 % at 3 people")
FACE = Face(np.zeros((112, 112, 3), np.uint8), (1.2, 2.0, 3.0, 4.0), np.zeros((5, 2), np.float32), 0.99912, VECTOR)
ANN = Candidate("Ann Lee", 0.5123)
REASON = "Ann Lee at 0.51, within the threshold 1.36 (FPIR 1 % at 3 people); next Cy at 1.62; 99.9 % probable"
MATCH = Decision(
    "Ann Lee", 0.5123, LIMIT, 1.1, tuple(Candidate(f"person {n}", n / 9) for n in range(99)), REASON, 0.999
)
PARTY, GOOD = Path("party.jpg"), Quality(40.0, 0.8, 0.0, 0.0, 1.0, 0.999)
ALBUM = FaceAlbum((AlbumFace(PARTY, 0, FACE.box, 0.99),) * 99, np.tile(VECTOR, (99, 1)))
ENROLLED = facerec.Enrollment(PARTY, "Ann Lee", "added", "", GOOD, VECTOR)
NOBODY = NoFaceError("party.jpg: no face found")

PRINTED: dict[str, tuple[object, str]] = {
    "face": (FACE, "box 1, 2, 3, 4, confidence 0.999"),
    "photo": (Photo(PARTY, (FACE, FACE), np.stack([VECTOR, VECTOR])), "party.jpg: 2 faces"),
    "photo without a face": (Photo(PARTY, (), np.zeros((0, 512), np.float32), NOBODY), "party.jpg: no face found"),
    "candidate": (ANN, "Ann Lee at 0.51"),
    "threshold": (LIMIT, "1.356, FPIR 1 % at 3 people"),
    "decision": (MATCH, f"Ann Lee: {REASON}"),
    "verification": (facerec.Verification(False, 1.7, LIMIT, "distance 1.70"), "different people: distance 1.70"),
    "identification": (Identification(PARTY, 0, FACE, MATCH, None, GOOD), f"party.jpg: Ann Lee ({REASON})"),
    "enrollment": (ENROLLED, "party.jpg: added, Ann Lee"),
    "summary": (facerec.EnrollmentSummary((ENROLLED,), (), (), (), LIMIT), "1 photo: 1 added, 0 skipped, 0 failed"),
    "album": (ALBUM, "faces of 99, vectors of 99x512"),
    "features": (PhotoFeatures(PARTY, VECTOR), "path party.jpg, row of 512"),
    "person": (PersonSummary("Ann Lee", 3, "2026-11-30"), "name Ann Lee, templates 3, enrolled 2026-11-30"),
    "classification": (Classification(PARTY, VECTOR), "path party.jpg, probabilities of 512"),
    "card": (toy_model.CARD, f"toy (), a file, {toy_model.DIMENSION} dimensions"),
}  # fmt: skip


@pytest.mark.parametrize("name", PRINTED)
def test_a_result_prints_as_one_short_line(name: str) -> None:
    result, text = PRINTED[name]
    assert str(result) == text
    for shown in (str(result), repr(result), f"{[result]}"):
        assert len(shown) < 200
        assert shown.isprintable()
    assert repr(result).startswith(f"{type(result).__name__}(")


def test_a_name_with_a_line_break_stays_on_one_line() -> None:
    assert repr(Candidate("Ann\nLee", 0.5)) == r"Candidate(Ann\nLee at 0.50)"


PACKAGES = ("types", "decision", "faces", "inference", "recognition", "albums", "features", "gallery")
LARGE = ("NDArray", "Vectors", "Image", "Face", "Features", "Labels")


def dataclasses_of(package: str) -> Iterator[type]:
    home = importlib.import_module(f"facerec.{package}")
    names = [
        home.__name__,
        *(f"{home.__name__}.{each.name}" for each in pkgutil.iter_modules(getattr(home, "__path__", ()))),
    ]
    for module in map(importlib.import_module, names):
        yield from (
            each for each in vars(module).values()
            if isinstance(each, type) and dataclasses.is_dataclass(each) and each.__module__ == module.__name__
        )  # fmt: skip


@pytest.mark.parametrize("package", PACKAGES)
def test_whatever_holds_pixels_or_vectors_prints_briefly(package: str) -> None:
    for each in dataclasses_of(package):
        held = [str(field.type) for field in dataclasses.fields(each)]
        if not each.__name__.startswith("_") and any(word in kind for kind in held for word in LARGE):
            assert issubclass(each, Brief), each
            assert each.__repr__ is Brief.__repr__, each
