"""A gallery of one model becomes one of another, whole or not at all: by library and by command."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import toy_model
from running import json_lines, run
from surroundings import as_a_user_who_may_only_read
from toy_migration import PEOPLE, ByHand, fill, photos_of, require_of, run_all, state_of, vectors_in

from facerec.errors import ForeignModelError, GalleryError
from facerec.faces.alignment import template
from facerec.faces.detector import AlignedDetector
from facerec.gallery.enrolled import crops
from facerec.gallery.gallery import Gallery
from facerec.inference.loading import load_embedder
from facerec.models.cohort import save_cohort
from facerec.photos.folders import photo_hash
from facerec.photos.reading import read_image
from facerec.recognition.identify import open_gallery
from facerec.recognition.migrate import migrate, open_model_change
from facerec.types import Box, Face, Image, Template

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
        open_model_change(folder, new)


def test_what_cannot_be_migrated_is_one_line(tmp_path: Path, new: ByHand, old: ByHand) -> None:
    with pytest.raises(GalleryError, match="no gallery here"):
        open_model_change(tmp_path / "none", new)
    open_gallery(tmp_path / "empty", old, create=True).close()
    with open_model_change(tmp_path / "empty", new) as change, pytest.raises(GalleryError, match="nobody is enrolled"):
        next(migrate(change, AlignedDetector(), new))
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as models:
        fill(Path(name), tmp_path / "photos", old)
        Path(models).chmod(0o755)  # pytest's own folders let nobody else in
        open_model = ByHand(Path(models), "new", 8, strangers=0)
        with (
            as_a_user_who_may_only_read(Path(name)),
            open_model_change(Path(name), open_model) as change,
            pytest.raises(GalleryError, match="make the gallery's folder writable"),
        ):
            next(migrate(change, AlignedDetector(), open_model))


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
        visitors = old.embed(np.stack([toy_model.crop(500 + i, 0) for i in range(7)]))
        gallery.set_calibration(strangers=visitors, source="visitors")
        gallery.set_calibration(0.2)
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
                "; put the photo that was enrolled back, or give the folder it is in now as `photos`"
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
        return Face(image[:112, left : left + 112], box, template(112) + np.array([left, 0], np.float32), 0.99)


def test_the_same_face_of_a_photo_is_taken(tmp_path: Path, old: ByHand, new: ByHand) -> None:
    crops = [toy_model.crop(person, 0) for person in range(3)]
    path = tmp_path / "photos" / "party.png"
    path.parent.mkdir()
    PIL.Image.fromarray(np.concatenate(crops, axis=1)).save(path)
    folder = tmp_path / "gallery"
    with open_gallery(folder, old, create=True) as gallery:
        face = Row().detect([read_image(path)])[0][1]  # as `cluster --enroll` does, one that is not the main one
        row = old.embed(face.crop[None])[0]
        gallery.add("Ann Zebra", Template(photo_hash(path), str(path), face.box, face.confidence, row))
    steps, report = run_all(folder, new)
    assert steps[0].problem is not None, "a detector that finds the whole"
    assert "not an aligned crop" in steps[0].problem or "is not found in it again" in steps[0].problem
    steps, report = run_all(folder, new, detector=Row())
    assert report.migrated
    assert vectors_in(folder) == {"Ann Zebra": [new.embed(crops[1][None])[0].tobytes()]}


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
    fnir = (
        "FNIR, each photo searched while it is left out: 0 of 5 by 2 people, 0 % (0 to 84): too small a gallery to tell"
    )
    assert dry.stdout.count(fnir) == 2
    assert "FPIR, the strangers that set the threshold: 1 of 99 by 99 people, 1 % (0.026 to 5.5)\n" in dry.stdout
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
    assert f"\nFrom now on give `--model {two}` to every command that takes one.\n" in text
    assert text.endswith("The gallery is of two now; `facerec gallery restore --from rollback` goes back to one.\n")


def test_the_command_says_100_percent_in_figures(models: tuple[Path, Path], tmp_path: Path) -> None:
    """One person under two names, as it happens: each is taken for the other while left out."""
    for name, number in (("Ann Ray", 0), ("Ann Zebra", 1)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        toy_model.save_crop(tmp_path / "photos" / name / "a.png", 0, number)
    enrolled = run("enroll", tmp_path / "photos", "--aligned", "--model", models[0], gallery=tmp_path / "shop")
    assert enrolled.exit_code == 0
    text = run("gallery", "migrate", "--model", models[1], gallery=tmp_path / "shop").stdout
    assert (
        text.count("FPIR, each person searched while left out: 2 of 2 by 2 people, 100 % (16 to 100): too small") == 2
    )


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
    assert "; without --dry-run and with --leave-out it would be migrated." in trial.stdout
    trial = run("gallery", "migrate", "--model", models[1], "--dry-run", "--leave-out", gallery=shop)
    assert trial.exit_code == 1
    assert "; without --dry-run it would be migrated." in trial.stdout
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
        assert crops(gallery.store, "Bob Ray") == [None, None]


def test_photos_that_are_no_folder_are_one_line(shop: Path, models: tuple[Path, Path], tmp_path: Path) -> None:
    result = run("gallery", "migrate", "--model", models[1], "--photos", tmp_path / "none", gallery=shop)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    result = run("gallery", "migrate", "--model", tmp_path / "none.onnx", gallery=shop)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
