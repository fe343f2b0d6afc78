"""A gallery of one model becomes one of another: whole or not at all, whoever is killed, missing, changed or removed."""

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import toy_model
from killing import everything_in, killed_after, killed_before
from running import json_lines, run
from test_database import as_a_user_who_may_only_read
from toy_gallery import sql

from facerec.cohort import save_cohort
from facerec.detect import AlignedDetector, template
from facerec.embed import load_embedder
from facerec.errors import ForeignModelError, GalleryError
from facerec.gallery import Gallery
from facerec.images import encode_png, photo_hash, read_image
from facerec.migrate import Report, Step, migrate, open_renewal
from facerec.models.card import ModelCard
from facerec.recognise import enrol, open_gallery
from facerec.types import Box, Face, Image, Vectors

PEOPLE = {"Ann Zebra": 3, "Bob Ray": 2, "Çelik 王": 1}


class ByHand:
    """A network that gives each face its thumbnail of cells x cells; numpy alone, so that it may be forked."""

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


@pytest.fixture
def old(tmp_path: Path) -> ByHand:
    return ByHand(tmp_path / "models", "old", 4)


@pytest.fixture
def new(tmp_path: Path) -> ByHand:
    return ByHand(tmp_path / "models", "new", 8)


def photos_of(folder: Path, *names: str) -> dict[str, list[Path]]:
    """Made-up people's photos, as many each as PEOPLE has it, made if need be."""
    return {
        name: [toy_model.save_crop(folder / name / f"{n}.png", list(PEOPLE).index(name), n) for n in range(count)]
        for name, count in PEOPLE.items()
        if name in (names or PEOPLE)
    }


def fill(folder: Path, photos: Path, model: ByHand, *, crops: bool = False) -> Path:
    with open_gallery(folder, model, create=True) as gallery:
        gallery.keep_crops(crops)
        results = list(enrol(gallery, photos_of(photos), AlignedDetector(), model, force=True))
        assert {result.status for result in results} == {"added"}
    return folder


@pytest.fixture
def folder(tmp_path: Path, old: ByHand) -> Path:
    """A gallery of PEOPLE's photos, of the old model."""
    return fill(tmp_path / "gallery", tmp_path / "photos", old)


def vectors_in(folder: Path) -> dict[str, list[bytes]]:
    """Person -> the vectors of their photos, in their order."""
    rows: dict[str, list[bytes]] = {}
    with closing(sqlite3.connect(folder / "gallery.db")) as db:
        for name, blob in db.execute(
            "SELECT name, vector FROM templates t JOIN people p ON p.id = person ORDER BY t.id"
        ):
            rows.setdefault(name, []).append(blob)
    return rows


def expected(model: ByHand, photos: Path) -> dict[str, list[bytes]]:
    return {name: [model.vector(path).tobytes() for path in own] for name, own in photos_of(photos).items()}


def run_all(folder: Path, model: ByHand, **rules) -> tuple[list[Step], Report]:
    with open_renewal(folder, model) as renewal:
        *steps, report = migrate(renewal, rules.pop("detector", AlignedDetector()), model, **rules)
    assert isinstance(report, Report)
    return [step for step in steps if isinstance(step, Step)], report


def state_of(folder: Path) -> tuple:
    """All that a migration must not change if it comes to nothing: all but its own work."""
    with closing(sqlite3.connect(folder / "gallery.db")) as db:
        tables = ("gallery", "people", "templates", "strangers", "log", "consent", "keeping")
        return tuple(tuple(db.execute(f"SELECT * FROM {table}")) for table in tables)


def require_of(model: ByHand, folder: Path, photos: Path) -> None:
    """It is wholly the model's: everybody is found, the threshold is by its strangers, and nothing is wrong."""
    with open_gallery(folder, model) as gallery:
        for name, own in photos_of(photos).items():
            for path in own:
                assert gallery.search(model.vector(path)[None], 1)[0][0].person == name
        assert gallery.check().problems == ()
        assert gallery.threshold is not None
        assert gallery.threshold.source.endswith("at 3 people: FPIR below 4.9 %")
    assert vectors_in(folder) == expected(model, photos)


# -------------------------------------------------------------------------------------------------- there and back


def test_every_template_is_embedded_anew_and_the_old_state_comes_back(
    folder: Path, old: ByHand, new: ByHand, tmp_path: Path
) -> None:
    photos, before = tmp_path / "photos", state_of(folder)
    steps, report = run_all(folder, new)
    assert [(step.person, step.taken_from, step.problem) for step in steps] == [
        (name, "photo", None) for name, count in PEOPLE.items() for _ in range(count)
    ]
    assert (report.migrated, report.old_model, report.new_model) == (True, "old", "new")
    assert (report.crops, report.photos, report.reused, report.losses) == (0, 6, 0, ())
    require_of(new, folder, photos)
    with open_gallery(folder, new) as gallery:
        assert report.after is not None
        assert gallery.threshold == report.after.threshold
        entry = next(entry for entry in gallery.log()[0] if entry.action == "migrated")
        assert entry.facts == {
            "model": new.card.fingerprint, "before": old.card.fingerprint, "templates": 6, "dimension": 192,
            "cohort": 60, "left_out": 0,
        }  # fmt: skip
    copies = json_lines(run("gallery", "restore", "--list", "--json", gallery=folder))
    assert {copy["kind"]: copy["model_name"] for copy in copies} == {"rollback": "old", "backup": "new"}
    assert run("gallery", "restore", "--from", "rollback", gallery=folder).exit_code == 0
    require_of(old, folder, photos)
    after = state_of(folder)
    assert (after[1], after[2], after[3]) == (before[1], before[2], before[3])
    with open_gallery(folder, old) as gallery:
        assert report.before is not None
        assert gallery.threshold == report.before.threshold


def test_a_gallery_of_another_model_says_how_to_migrate(folder: Path, old: ByHand, new: ByHand) -> None:
    with pytest.raises(ForeignModelError, match="`facerec gallery migrate --model NEW`"):
        open_gallery(folder, new)
    run_all(folder, new)
    with pytest.raises(ForeignModelError, match=r"made with model new .* not with old .*`facerec gallery migrate"):
        open_gallery(folder, old)
    with pytest.raises(GalleryError, match="of model new already; there is nothing to migrate"):
        open_renewal(folder, new)


def test_what_cannot_be_migrated_is_one_line(tmp_path: Path, new: ByHand, old: ByHand) -> None:
    with pytest.raises(GalleryError, match="no gallery here"):
        open_renewal(tmp_path / "none", new)
    open_gallery(tmp_path / "empty", old, create=True).close()
    with open_renewal(tmp_path / "empty", new) as renewal, pytest.raises(GalleryError, match="nobody is enrolled"):
        next(migrate(renewal, AlignedDetector(), new))
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as models:
        fill(Path(name), tmp_path / "photos", old)
        Path(models).chmod(0o755)  # pytest's own folders let nobody else in
        open_model = ByHand(Path(models), "new", 8, strangers=0)
        with (
            as_a_user_who_may_only_read(Path(name)),
            open_renewal(Path(name), open_model) as renewal,
            pytest.raises(GalleryError, match="make the gallery's folder writable"),
        ):
            next(migrate(renewal, AlignedDetector(), open_model))


def test_a_dry_run_shows_the_figures_and_changes_nothing(folder: Path, new: ByHand, tmp_path: Path) -> None:
    before = state_of(folder)
    _, shown = run_all(folder, new, dry_run=True)
    assert state_of(folder) == before
    assert not (folder / "gallery.db.rollback").exists()
    steps, report = run_all(folder, new)
    assert (steps, report.reused) == ([], 6)
    assert (shown.before, shown.after) == (report.before, report.after)
    assert (shown.migrated, report.migrated) == (False, True)
    require_of(new, folder, tmp_path / "photos")


def test_the_gallerys_own_strangers_are_the_old_models(folder: Path, old: ByHand, new: ByHand) -> None:
    with open_gallery(folder, old) as gallery:
        gallery.set_strangers(old.embed(np.stack([toy_model.crop(500 + i, 0) for i in range(7)])), "visitors")
        gallery.set_target(0.2)
        limit = gallery.threshold
    _, report = run_all(folder, new)
    assert report.strangers_dropped == 7
    assert report.before is not None
    assert report.before.threshold == limit
    assert report.before.fpir_strangers is not None
    assert report.before.fpir_strangers.searches == 67
    with open_gallery(folder, new) as gallery:
        calibration = gallery.calibration()
        assert calibration is not None
        assert (calibration.strangers, calibration.fpir) == (60, 0.2)


def test_a_model_without_strangers_or_threshold(folder: Path, tmp_path: Path) -> None:
    bare = ByHand(tmp_path / "models", "bare", 7, strangers=0)
    _, report = run_all(folder, bare)
    assert report.after is not None
    assert (report.migrated, report.after.threshold, report.after.fnir) == (True, None, None)


# -------------------------------------------------------------------------------------------------- photos


def test_who_cannot_be_migrated_is_named_and_nothing_changes(folder: Path, new: ByHand, tmp_path: Path) -> None:
    photos = photos_of(tmp_path / "photos")
    missing, changed, unreadable = photos["Ann Zebra"][0], photos["Ann Zebra"][2], photos["Çelik 王"][0]
    missing.unlink()
    toy_model.save_crop(changed, 7, 7)
    unreadable.unlink()
    unreadable.mkdir()
    before = state_of(folder)
    for dry_run in (False, True):
        steps, report = run_all(folder, new, dry_run=dry_run)
        assert state_of(folder) == before
        assert not report.migrated
        assert [(x.person, x.lost, x.templates) for x in report.losses] == [("Ann Zebra", 2, 3), ("Çelik 王", 1, 1)]
        problems = {step.source: step.problem or "" for step in steps if step.problem}
        assert set(problems) == {str(path.resolve()) for path in (missing, changed, unreadable)}
        for path, problem in problems.items():
            assert problem.startswith(f"{path}: ")
            assert problem.endswith(
                "; put the photo that was enrolled back, or give the folder it is in now as --photos"
            )
        assert "no such file" in problems[str(missing)]
        assert "not the photo that was enrolled any more" in problems[str(changed)]
        assert (report.before is None) == (not dry_run)
    unreadable.rmdir()
    photos_of(tmp_path / "photos")
    steps, report = run_all(folder, new)
    assert (report.migrated, report.reused, len(steps)) == (True, 3, 3)
    require_of(new, folder, tmp_path / "photos")


def test_photos_that_were_moved_are_found_by_their_content(folder: Path, new: ByHand, tmp_path: Path) -> None:
    shutil.move(tmp_path / "photos" / "Ann Zebra", tmp_path / "archive" / "2020")
    (tmp_path / "archive" / "2020" / "0.png").rename(tmp_path / "archive" / "ann, young.png")
    (tmp_path / "archive" / "broken.png").symlink_to("nowhere")
    toy_model.save_crop(tmp_path / "archive" / "other.png", 7, 7)
    assert not run_all(folder, new)[1].migrated
    _, report = run_all(folder, new, elsewhere=tmp_path / "archive")
    assert (report.migrated, report.losses) == (True, ())
    require_of(new, folder, tmp_path / "photos")


def test_left_out_only_when_told_and_the_rollback_copy_has_them(
    folder: Path, old: ByHand, new: ByHand, tmp_path: Path
) -> None:
    photos = photos_of(tmp_path / "photos")
    for path in (photos["Ann Zebra"][1], *photos["Bob Ray"]):
        path.unlink()
    _, report = run_all(folder, new, leave_out=True)
    assert report.migrated
    assert [(x.person, x.lost, x.templates) for x in report.losses] == [("Ann Zebra", 1, 3), ("Bob Ray", 2, 2)]
    assert report.after is not None
    assert (report.after.people, report.after.templates) == (2, 3)
    with open_gallery(folder, new) as gallery:
        assert {p.name: p.templates for p in gallery.people()} == {"Ann Zebra": 2, "Çelik 王": 1}
        assert gallery.check().problems == ()
        left = [(entry.person, entry.facts) for entry in gallery.log()[0] if entry.action == "left out"]
        assert left == [(1, {"templates": 1}), (2, {"templates": 2})]
    run("gallery", "restore", "--from", "rollback", gallery=folder)
    with open_gallery(folder, old) as gallery:
        assert {p.name: p.templates for p in gallery.people()} == PEOPLE


def test_a_gallery_of_which_nothing_is_left_is_not_migrated(folder: Path, new: ByHand, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "photos")
    before = state_of(folder)
    with pytest.raises(GalleryError, match="not one of its 6 photos can be migrated"):
        run_all(folder, new, leave_out=True)
    assert not run_all(folder, new)[1].migrated
    assert state_of(folder) == before


class Row:
    """Finds every 112 x 112 square of a photo, from the left; the last one is the main face."""

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        return [[self._face(image, left) for left in range(image.shape[1] - 112, -1, -112)] for image in images]

    def _face(self, image: Image, left: int) -> Face:
        box: Box = (left + 3.5, 2.25, left + 110, 111)
        return Face(image[:112, left : left + 112], box, template(112) + (left, 0), 0.99)


def test_the_same_face_of_a_photo_is_taken(tmp_path: Path, old: ByHand, new: ByHand) -> None:
    crops = [toy_model.crop(person, 0) for person in range(3)]
    path = tmp_path / "photos" / "party.png"
    path.parent.mkdir()
    PIL.Image.fromarray(np.concatenate(crops, axis=1)).save(path)
    folder = tmp_path / "gallery"
    with open_gallery(folder, old, create=True) as gallery:
        face = Row().detect([read_image(path)])[0][1]  # as `cluster --enroll` does, one that is not the main one
        row = old.embed(face.crop[None])[0]
        from facerec.types import Template

        gallery.add("Ann Zebra", Template(photo_hash(path), str(path), face.box, face.confidence, row))
    steps, report = run_all(folder, new)
    assert steps[0].problem is not None, "a detector that finds the whole"
    assert "not an aligned crop" in steps[0].problem or "is not found in it again" in steps[0].problem
    steps, report = run_all(folder, new, detector=Row())
    assert report.migrated
    assert vectors_in(folder) == {"Ann Zebra": [new.embed(crops[1][None])[0].tobytes()]}


# -------------------------------------------------------------------------------------------------- kept crops


def test_kept_crops_stand_for_the_photos(tmp_path: Path, old: ByHand, new: ByHand) -> None:
    folder, photos = tmp_path / "gallery", tmp_path / "photos"
    fill(folder, photos, old, crops=True)
    wanted = expected(new, photos)
    shutil.rmtree(photos)
    steps, report = run_all(folder, new)
    assert {step.taken_from for step in steps} == {"crop"}
    assert (report.migrated, report.crops, report.photos) == (True, 6, 0)
    assert vectors_in(folder) == wanted
    sheet = tmp_path / "sheet.png"
    assert run("gallery", "show", "Ann Zebra", "--sheet", sheet, gallery=folder).exit_code == 0
    assert np.std(read_image(sheet)[:160, :160]) > 20, "the crop, where the photo is gone"


def test_crops_are_kept_from_then_on_and_a_migration_adds_those_it_makes(
    folder: Path, old: ByHand, new: ByHand
) -> None:
    def crops() -> int:
        with closing(sqlite3.connect(folder / "gallery.db")) as db:
            return db.execute("SELECT count(*) FROM crops").fetchone()[0]

    assert crops() == 0
    with open_gallery(folder, old) as gallery:
        gallery.keep_crops(True)
        gallery.keep_crops(True)
        path = toy_model.save_crop(folder.parent / "photos" / "dee.png", 8, 0)
        list(enrol(gallery, {"Dee": [path]}, AlignedDetector(), old, force=True))
        assert crops() == 1
        (crop,) = gallery.crops("Dee")
        assert np.array_equal(crop, toy_model.crop(8, 0))  # type: ignore[arg-type]
        assert gallery.crops("Bob Ray") == [None, None]
    _, report = run_all(folder, new)
    assert (report.crops, report.photos, crops()) == (1, 6, 7)
    with open_gallery(folder, new) as gallery:
        assert np.array_equal(gallery.crops("Bob Ray")[1], toy_model.crop(1, 1))  # type: ignore[arg-type]


def test_a_broken_crop_is_found_and_the_photo_does_instead(tmp_path: Path, old: ByHand, new: ByHand) -> None:
    folder = fill(tmp_path / "gallery", tmp_path / "photos", old, crops=True)
    square = encode_png(np.zeros((20, 10, 3), np.uint8))
    for number, png in enumerate(("x'00ff'", "substr(png, 1, 200)", f"x'{square.hex()}'"), 1):
        sql(folder, f"UPDATE crops SET png = {png} WHERE template = {number}")
    with open_gallery(folder, old) as gallery:
        problems = gallery.check().problems
    assert len(problems) == 3
    assert all("the crop of " in problem and "enroll them again" in problem for problem in problems)
    _, report = run_all(folder, new)
    assert (report.crops, report.photos) == (3, 3)
    assert vectors_in(folder) == expected(new, tmp_path / "photos")


def test_crops_of_another_size_are_fitted(tmp_path: Path, old: ByHand, new: ByHand) -> None:
    folder = fill(tmp_path / "gallery", tmp_path / "photos", old, crops=True)
    larger = [np.pad(toy_model.crop(0, n), ((8, 8), (8, 8), (0, 0)), mode="symmetric") for n in range(3)]
    for number, crop in enumerate(larger, 1):
        sql(folder, f"UPDATE crops SET png = x'{encode_png(crop).hex()}' WHERE template = {number}")
    run_all(folder, new)
    assert vectors_in(folder) == expected(new, tmp_path / "photos")


# -------------------------------------------------------------------------------------------------- removal


def ann_in(content: bytes, photos: Path, *models: ByHand) -> list[str]:
    """What of Ann is in some bytes: her name, vectors of any model, and crops."""
    found = ["name"] if b"Zebra" in content else []
    for n in range(3):
        crop = toy_model.crop(0, n)
        found += [f"crop {n}"] if encode_png(crop)[40:] in content else []
        found += [f"{model.card.name} {n}" for model in models if model.embed(crop[None]).tobytes() in content]
    return found


def test_removal_reaches_crops_unfinished_work_and_the_rollback_copy(tmp_path: Path, old: ByHand, new: ByHand) -> None:
    photos = tmp_path / "photos"
    third = ByHand(tmp_path / "models", "third", 2)
    folder = fill(tmp_path / "gallery", photos, old, crops=True)
    run_all(folder, new)
    run_all(folder, third, dry_run=True)
    content = everything_in(folder)
    assert len(ann_in(content, photos, old, new, third)) == 1 + 3 * 4, "the search finds them while they are there"
    with open_gallery(folder, new) as gallery:
        gallery.search(new.embed(toy_model.crop(0, 0)[None]), 1)
        gallery.remove("Ann Zebra")
        assert ann_in(everything_in(folder), photos, old, new, third) == []
        assert gallery.check().problems == ()
    assert not (folder / "gallery.db.rollback").exists()
    assert ann_in(everything_in(folder), photos, old, new, third) == []
    assert encode_png(toy_model.crop(1, 0))[40:] in everything_in(folder)


def test_dropped_crops_are_in_no_file(tmp_path: Path, old: ByHand) -> None:
    folder = fill(tmp_path / "gallery", tmp_path / "photos", old, crops=True)
    assert len(ann_in(everything_in(folder), tmp_path / "photos")) == 4
    with open_gallery(folder, old) as gallery:
        gallery.keep_crops(False)
        assert ann_in(everything_in(folder), tmp_path / "photos") == ["name"]
        assert gallery.check().problems == ()
        assert [(e.action, e.facts) for e in gallery.log()[0] if "crops" in e.action] == [
            ("crops kept", {"crops": 0}), ("crops dropped", {"crops": 6})
        ]  # fmt: skip
    assert ann_in(everything_in(folder), tmp_path / "photos") == ["name"]


def test_the_old_models_vectors_are_in_the_rollback_copy_only(folder: Path, old: ByHand, new: ByHand) -> None:
    with open_gallery(folder, old) as gallery:
        gallery.search(old.embed(toy_model.crop(0, 0)[None]), 1)
    run_all(folder, new)
    row = old.embed(toy_model.crop(0, 0)[None]).tobytes()
    assert {path.name for path in folder.iterdir() if row in path.read_bytes()} == {"gallery.db.rollback"}


# -------------------------------------------------------------------------------------------------- other processes


def step_by_step(folder: Path, model: ByHand, meanwhile: Callable[[], None]) -> Report:
    """Do something between the first template and the rest."""
    with open_renewal(folder, model) as renewal:
        steps: Iterator[Step | Report] = migrate(renewal, AlignedDetector(), model)
        next(steps)
        meanwhile()
        *_, report = steps
    assert isinstance(report, Report)
    return report


def test_who_is_enrolled_meanwhile_is_migrated_too(folder: Path, old: ByHand, new: ByHand, tmp_path: Path) -> None:
    path = toy_model.save_crop(tmp_path / "dee.png", 8, 0)

    def enrol_another() -> None:
        with open_gallery(folder, old) as gallery:
            list(enrol(gallery, {"Dee": [path]}, AlignedDetector(), old, force=True))

    report = step_by_step(folder, new, enrol_another)
    assert (report.migrated, report.photos) == (True, 7)
    assert vectors_in(folder) == {**expected(new, tmp_path / "photos"), "Dee": [new.vector(path).tobytes()]}
    run("gallery", "restore", "--from", "rollback", gallery=folder)
    assert [*vectors_in(folder)] == [*PEOPLE, "Dee"], "in the rollback copy, too"


def test_who_is_removed_or_renamed_meanwhile_stays_so(folder: Path, old: ByHand, new: ByHand, tmp_path: Path) -> None:
    def change() -> None:
        with open_gallery(folder, old) as gallery:
            gallery.remove("Ann Zebra")
            gallery.rename("Bob Ray", "Rob Ray")
            gallery.set_consent("Rob Ray", "agreed")

    report = step_by_step(folder, new, change)
    assert report.migrated
    assert [*vectors_in(folder)] == ["Rob Ray", "Çelik 王"]
    assert ann_in(everything_in(folder), tmp_path / "photos", old, new) == []
    with open_gallery(folder, new) as gallery:
        assert gallery.consent("Rob Ray") == ("agreed", None)


def test_an_enrolment_after_the_change_is_refused_with_one_line(folder: Path, old: ByHand, new: ByHand) -> None:
    path = toy_model.save_crop(folder.parent / "dee.png", 8, 0)
    with open_gallery(folder, old) as other:
        assert other.search(old.embed(toy_model.crop(0, 0)[None]), 1)[0][0].person == "Ann Zebra"
        run_all(folder, new)
        for act in (
            lambda: list(enrol(other, {"Dee": [path]}, AlignedDetector(), old, force=True)),
            lambda: other.search(old.embed(toy_model.crop(0, 0)[None]), 1),
            lambda: other.calibration(),
        ):
            with pytest.raises(ForeignModelError, match="now of model new; give that one as --model"):
                act()
    assert [*vectors_in(folder)] == [*PEOPLE]


def test_of_two_migrations_one_is_done(folder: Path, new: ByHand, tmp_path: Path) -> None:
    third = ByHand(tmp_path / "models", "third", 2)
    for other in (new, third):
        copy = tmp_path / other.card.name
        shutil.copytree(folder, copy)
        with pytest.raises(GalleryError, match=f"another process made it a gallery of {other.card.name}"):
            step_by_step(copy, new, lambda copy=copy, other=other: run_all(copy, other) and None)
        require_of(other, copy, tmp_path / "photos")


def test_work_for_another_model_is_thrown_away(folder: Path, new: ByHand, tmp_path: Path) -> None:
    third = ByHand(tmp_path / "models", "third", 2)
    run_all(folder, new, dry_run=True)
    row = new.embed(toy_model.crop(0, 0)[None]).tobytes()
    assert row in (folder / "gallery.db").read_bytes()
    assert run_all(folder, third, dry_run=True)[1].reused == 0
    assert row not in (folder / "gallery.db").read_bytes()
    assert run_all(folder, new)[1].reused == 0


def test_work_that_is_thrown_away_meanwhile_is_done_again(folder: Path, new: ByHand, tmp_path: Path) -> None:
    third = ByHand(tmp_path / "models", "third", 2)
    report = step_by_step(folder, new, lambda: run_all(folder, third, dry_run=True) and None)
    assert (report.migrated, report.photos) == (True, 12)
    require_of(new, folder, tmp_path / "photos")


# -------------------------------------------------------------------------------------------------- accidents


def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of two, so that there is something between them."""
    monkeypatch.setattr("facerec.migrate.BATCH", 2)


EVERY = 3


def test_killed_before_any_step(
    tmp_path: Path, folder: Path, old: ByHand, new: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before every third statement or change of a file: of the old model or the new one, and the next run ends it."""
    many(monkeypatch)
    photos, seen, step, killed = tmp_path / "photos", [], 1 - EVERY, True
    reused = set()
    while killed:
        step += EVERY
        copy = tmp_path / str(step)
        shutil.copytree(folder, copy)
        killed = killed_before(step, lambda copy=copy: run_all(copy, new))
        state = model_now(copy)
        seen.append(state)
        require_of(old if state == "old" else new, copy, photos)
        if state == "old":
            report = run_all(copy, new)[1]
            reused.add(report.reused)
            assert report.migrated
            require_of(new, copy, photos)
        assert run("gallery", "restore", "--from", "rollback", gallery=copy).exit_code == 0
        require_of(old, copy, photos)
        assert not list(copy.glob("*.draft*"))
    assert step > 90
    assert reused == {0, 2, 4, 6}
    assert seen == sorted(seen, key=["old", "new"].index), "once it has happened it stays so"
    assert {seen[0], seen[-1]} == {"old", "new"}


def model_now(folder: Path) -> str:
    with Gallery.open(folder) as gallery:
        name = gallery.model_name
    assert name is not None
    return name


def test_killed_anywhere(
    tmp_path: Path, folder: Path, old: ByHand, new: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock, there and back again."""
    many(monkeypatch)
    chance, kills = random.Random(0), 0
    for _ in range(25):
        now, then = (old, new) if model_now(folder) == "old" else (new, old)
        kills += killed_after(chance.random() * 0.1, lambda then=then: run_all(folder, then))
        require_of(now if model_now(folder) == now.card.name else then, folder, tmp_path / "photos")
    assert kills > 5


def test_a_full_disk_changes_nothing(folder: Path, tmp_path: Path, old: ByHand) -> None:
    large = ByHand(tmp_path / "models", "large", 56)
    before = state_of(folder)
    with open_renewal(folder, large) as renewal:
        with renewal._database.read() as db:
            pages = db.execute("PRAGMA page_count").fetchone()[0]
            db.execute(f"PRAGMA max_page_count = {pages + 40}")
        with pytest.raises(GalleryError, match="the disk is full"):
            list(migrate(renewal, AlignedDetector(), large))
    assert state_of(folder) == before
    require_of(old, folder, tmp_path / "photos")


def test_without_a_rollback_copy_nothing_is_changed(folder: Path, tmp_path: Path, old: ByHand, new: ByHand) -> None:
    (folder / "gallery.db.rollback").mkdir()
    before = state_of(folder)
    with pytest.raises(GalleryError, match=r"gallery\.db\.rollback"):
        run_all(folder, new)
    assert state_of(folder) == before
    require_of(old, folder, tmp_path / "photos")


# -------------------------------------------------------------------------------------------------- the older format


def make_format_3(folder: Path) -> None:
    drop = [f"DROP TABLE {table}" for table in ("keeping", "crops", "renewal")]
    sql(folder, *drop, "PRAGMA user_version = 3", "PRAGMA wal_checkpoint(TRUNCATE)")


def test_a_gallery_of_format_3_is_brought_up_to_date_and_keeps_its_copies(
    folder: Path, tmp_path: Path, old: ByHand, new: ByHand
) -> None:
    make_format_3(folder)
    shutil.copy(folder / "gallery.db", folder / "gallery.db.backup")
    shutil.copy(folder / "gallery.db", folder / "gallery.db.rollback")
    with open_gallery(folder, old) as gallery:
        assert (folder / "gallery.db.rollback").exists()
        (upgraded,) = [entry for entry in gallery.log()[0] if entry.action == "upgraded"]
        assert upgraded.facts == {"format": 3, "people": 3}
        assert not gallery.traces_left
        assert gallery.check().problems == ()
    assert run("gallery", "restore", "--from", "rollback", gallery=folder).exit_code == 0
    require_of(old, folder, tmp_path / "photos")
    assert run_all(folder, new)[1].migrated


def test_a_gallery_of_format_3_that_may_only_be_read(tmp_path: Path, old: ByHand) -> None:
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name), tmp_path / "photos", old)
        make_format_3(Path(name))
        with as_a_user_who_may_only_read(Path(name)), Gallery.open(Path(name)) as gallery:
            assert gallery.crops("Bob Ray") == [None, None]
            assert gallery.check().problems == ()
            for change in (lambda: gallery.keep_crops(True), lambda: gallery.remove("Bob Ray")):
                with pytest.raises(GalleryError, match="make the gallery's folder writable"):
                    change()


# -------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    """Two ONNX models with 99 strangers each, the second with another idea of grey."""
    paths = []
    for name, mean in (("one", 127.5), ("two", 90.0)):
        paths.append(toy_model.write_model(tmp_path / name, name, mean=(mean,) * 3))
        embedder = load_embedder(str(paths[-1]))
        rows = embedder.embed(np.stack([toy_model.crop(100 + i, 0) for i in range(99)]))
        save_cohort(paths[-1], embedder.card, rows, "made up")
    return paths[0], paths[1]


@pytest.fixture
def shop(models: tuple[Path, Path], tmp_path: Path) -> Path:
    """A gallery by command, of PEOPLE's photos."""
    photos_of(tmp_path / "photos")
    result = run("enroll", tmp_path / "photos", "--aligned", "--model", models[0], gallery=tmp_path / "shop")
    assert result.exit_code == 0
    return tmp_path / "shop"


def test_the_command(shop: Path, models: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = models
    ann = toy_model.save_crop(tmp_path / "ann.png", 0, 9)
    foreign = run("identify", ann, "--aligned", "--model", two, gallery=shop)
    assert (foreign.exit_code, "`facerec gallery migrate --model NEW`" in foreign.stderr) == (2, True)
    dry = run("gallery", "migrate", "--model", two, "--dry-run", gallery=shop)
    assert (dry.exit_code, dry.stderr) == (0, "")
    assert "With one, 6 photos of 3 people, threshold" in dry.stdout
    assert "FNIR, each photo searched while it is left out: 0 of 5, 0 % (0 to 84)" in dry.stdout
    assert "FPIR, the strangers that set the threshold: 1 of 99, 1 % (0.026 to 5.5)" in dry.stdout
    assert "FPIR, each person searched while left out: " in dry.stdout
    assert dry.stdout.endswith("The gallery is as it was; without --dry-run it would be migrated.\n")
    done = run("gallery", "migrate", "--model", two, "--json", gallery=shop)
    (line,) = json_lines(done)
    assert (done.exit_code, line["migrated"], line["reused"], line["losses"]) == (0, True, 6, [])
    assert (line["old_model"], line["model"]) == ("one", "two")
    assert line["before"]["fnir"] == {
        "rate": 0, "errors": 0, "searches": 5, "people": 2, "ci95": [0, pytest.approx(0.8419, abs=1e-3)]
    }  # fmt: skip
    (found,) = json_lines(run("identify", ann, "--aligned", "--model", two, "--json", gallery=shop))
    assert (found["person"], found["threshold"]) == ("Ann Zebra", line["after"]["threshold"])
    assert run("identify", ann, "--aligned", "--model", one, gallery=shop).exit_code == 2
    again = run("gallery", "migrate", "--model", two, gallery=shop)
    assert (again.exit_code, "of model two already" in again.stderr) == (2, True)
    assert run("gallery", "restore", "--from", "rollback", gallery=shop).exit_code == 0
    assert run("identify", ann, "--aligned", "--model", one, gallery=shop).stdout.startswith(f"{ann}: Ann Zebra")
    text = run("gallery", "migrate", "--model", two, gallery=shop).stdout
    assert text.endswith("The gallery is of two now; `facerec gallery restore --from rollback` goes back to one.\n")


def test_the_command_names_who_would_be_lost(shop: Path, models: tuple[Path, Path], tmp_path: Path) -> None:
    photos = photos_of(tmp_path / "photos")
    for path in (photos["Ann Zebra"][0], photos["Çelik 王"][0]):
        path.unlink()
    result = run("gallery", "migrate", "--model", models[1], gallery=shop)
    assert result.exit_code == 2
    assert "The gallery is as it was. With --leave-out it is migrated without these photos." in result.stdout
    *problems, ann, celik = result.stderr.splitlines()
    assert [line.split(": ")[0] for line in problems] == ["Ann Zebra", "Çelik 王"]
    assert ann == "Ann Zebra: 1 of 3 photos cannot be migrated"
    assert celik == "Çelik 王: cannot be migrated, no photo of 1 can be used"
    failed, second, summary = json_lines(run("gallery", "migrate", "--model", models[1], "--json", gallery=shop))
    assert (failed["person"], failed["status"]) == ("Ann Zebra", "failed")
    assert second["image"] == str(photos["Çelik 王"][0].resolve())
    assert (summary["migrated"], summary["before"], summary["after"]) == (False, None, None)
    assert len(json_lines(run("gallery", "list", "--json", gallery=shop))) == 3
    trial = run("gallery", "migrate", "--model", models[1], "--dry-run", gallery=shop)
    assert trial.exit_code == 1
    left = run("gallery", "migrate", "--model", models[1], "--leave-out", gallery=shop)
    assert left.exit_code == 1
    assert "Çelik 王: not enrolled any more, no photo could be migrated; the rollback copy has them" in left.stderr
    assert "Ann Zebra: 1 of 3 photos were left out" in left.stderr
    assert [x["person"] for x in json_lines(run("gallery", "list", "--json", gallery=shop))] == ["Ann Zebra", "Bob Ray"]


def test_the_command_takes_moved_photos_and_kept_crops(models: tuple[Path, Path], tmp_path: Path) -> None:
    photos, shop = tmp_path / "photos", tmp_path / "shop"
    photos_of(photos, "Ann Zebra")
    enrolled = ("enroll", photos, "--aligned", "--model", models[0])
    assert run(*enrolled, gallery=shop).exit_code == 0
    photos_of(photos, "Bob Ray")
    assert run(*enrolled, "--keep-crops", gallery=shop).exit_code == 0
    shutil.rmtree(photos / "Bob Ray")
    (photos / "Ann Zebra").rename(tmp_path / "moved")
    assert run("gallery", "migrate", "--model", models[1], gallery=shop).exit_code == 2
    moved = ("gallery", "migrate", "--model", models[1], "--photos", tmp_path / "moved", "--json")
    (line,) = json_lines(run(*moved, gallery=shop))
    assert (line["migrated"], line["crops"], line["photos"], line["reused"]) == (True, 0, 3, 2)
    actions = [entry["action"] for entry in json_lines(run("gallery", "log", "--json", gallery=shop))[:-1]]
    assert "crops kept" in actions
    run(
        "enroll",
        tmp_path / "moved",
        "--name",
        "Ann Zebra",
        "--drop-crops",
        "--aligned",
        "--model",
        models[1],
        gallery=shop,
    )
    with Gallery.open(shop) as gallery:
        assert gallery.crops("Bob Ray") == [None, None]


def test_photos_that_are_no_folder_are_one_line(shop: Path, models: tuple[Path, Path], tmp_path: Path) -> None:
    result = run("gallery", "migrate", "--model", models[1], "--photos", tmp_path / "none", gallery=shop)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    result = run("gallery", "migrate", "--model", tmp_path / "none.onnx", gallery=shop)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
