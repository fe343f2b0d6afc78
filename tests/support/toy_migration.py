"""Networks that can be computed by hand, galleries of made-up people with them, and checks of their migration."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import toy_model
from toy_gallery import rows

from facerec.evaluation.identification import gallery_calibration
from facerec.faces.detector import AlignedDetector
from facerec.gallery.database import connect
from facerec.gallery.maintenance import keep_crops
from facerec.models.card import ModelCard
from facerec.models.cohort import load_cohort, save_cohort
from facerec.photos.crops import encode_png
from facerec.photos.reading import read_image
from facerec.recognition.enroll import enroll
from facerec.recognition.identify import open_gallery
from facerec.recognition.migrate import Report, Step, migrate, open_model_change
from facerec.types import Vectors

PEOPLE = {"Ann Zebra": 3, "Bob Ray": 2, "Çelik 王": 1}


class ByHand:
    """A network whose vector is the thumbnail of cells x cells of a face. It uses only numpy, so a process may fork."""

    def __init__(self, folder: Path, name: str, cells: int, strangers: int = 60) -> None:
        self.cells, self.path = cells, folder / name
        self.path.mkdir(parents=True, exist_ok=True)
        self.card = ModelCard(name, 3 * cells**2, 112, toy_model.GREY, toy_model.GREY, fingerprint=f"{cells:064x}")
        if strangers:
            crops = np.stack([toy_model.crop(1000 + i, 0) for i in range(strangers)])
            save_cohort(self.path, self.card, self.embed(crops), "made up")

    def embed(self, crops: np.ndarray) -> Vectors:
        side = 112 // self.cells
        cells = crops.reshape(len(crops), self.cells, side, self.cells, side, 3).mean(axis=(2, 4)) / 127.5 - 1
        rows = cells.reshape(len(crops), -1)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def vector(self, path: Path) -> np.ndarray:
        return self.embed(read_image(path)[None])[0]


def photos_of(folder: Path, *names: str) -> dict[str, list[Path]]:
    """Write the photos of PEOPLE (or of `names`), as many as it says. Returns person -> paths."""
    return {
        name: [toy_model.save_crop(folder / name / f"{n}.png", list(PEOPLE).index(name), n) for n in range(count)]
        for name, count in PEOPLE.items()
        if name in (names or PEOPLE)
    }


def fill(folder: Path, photos: Path, model: ByHand, *, crops: bool = False) -> Path:
    with open_gallery(folder, model, create=True) as gallery:
        keep_crops(gallery.store, crops)
        results = list(enroll(gallery, photos_of(photos), AlignedDetector(), model, force=True))
        assert {result.status for result in results} == {"added"}
    return folder


def vectors_in(folder: Path) -> dict[str, list[bytes]]:
    """Return the bytes of each person's vectors in the database, in the order of their photos."""
    found: dict[str, list[bytes]] = {}
    query = "SELECT name, vector FROM people p JOIN templates t ON p.id = person ORDER BY t.id"
    for name, blob in rows(folder, query):
        found.setdefault(name, []).append(blob)
    return found


def expected(model: ByHand, photos: Path) -> dict[str, list[bytes]]:
    return {name: [model.vector(path).tobytes() for path in own] for name, own in photos_of(photos).items()}


def run_all(folder: Path, model: ByHand, **rules) -> tuple[list[Step], Report]:
    with open_model_change(folder, model) as change:
        *steps, report = migrate(change, rules.pop("detector", AlignedDetector()), model, **rules)
    assert isinstance(report, Report)
    return [step for step in steps if isinstance(step, Step)], report


def state_of(folder: Path) -> tuple:
    """Return all rows that a migration must leave as they are if it changes nothing."""
    with closing(connect(folder / "gallery.db", "mode=rw")) as db:
        tables = ("gallery", "people", "templates", "strangers", "log", "consent", "keeping")
        return tuple(tuple(db.execute(f"SELECT * FROM {table}")) for table in tables)


def require_of(model: ByHand, folder: Path, photos: Path) -> None:
    """Assert that the gallery is wholly of `model`: it is sound, all are found, and its strangers set the threshold."""
    with open_gallery(folder, model) as gallery:
        for name, own in photos_of(photos).items():
            for path in own:
                assert gallery.search(model.vector(path)[None], 1)[0][0].person == name
        assert gallery.check().problems == ()
        assert gallery.threshold is not None
        people = {name: [model.vector(path) for path in own] for name, own in photos_of(photos).items()}
        made = gallery_calibration(people, load_cohort(model.path, model.card))
        assert made is not None
        assert made.strangers == 60
        assert gallery.threshold.distance == pytest.approx(made.distance, abs=1e-3)
        assert gallery.threshold.source == made.threshold.source
    assert vectors_in(folder) == expected(model, photos)


def ann_in(content: bytes, *models: ByHand) -> list[str]:
    """Return what `content` still holds of Ann: her name, her vectors of any model, her crops."""
    found = ["name"] if b"Zebra" in content else []
    for n in range(3):
        crop = toy_model.crop(0, n)
        found += [f"crop {n}"] if encode_png(crop)[40:] in content else []
        found += [f"{model.card.name} {n}" for model in models if model.embed(crop[None]).tobytes() in content]
    return found
