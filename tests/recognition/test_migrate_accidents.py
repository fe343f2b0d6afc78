"""A migration beside other processes, and when it is killed: nothing is lost, and nothing is half done."""

import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import toy_model
from killing import everything_in, killed_after, killed_before
from running import run
from toy_migration import (
    PEOPLE,
    ByHand,
    ann_in,
    expected,
    require_of,
    run_all,
    state_of,
    vectors_in,
)

from facerec.errors import ForeignModelError, GalleryError
from facerec.faces.detector import AlignedDetector
from facerec.gallery.enrolled import consent
from facerec.gallery.gallery import Gallery
from facerec.recognition.enroll import enroll
from facerec.recognition.identify import open_gallery
from facerec.recognition.migrate import Report, Step, migrate, open_model_change

# -------------------------------------------------------------------------------------------------- other processes


def step_by_step(folder: Path, model: ByHand, meanwhile: Callable[[], None]) -> Report:
    """Do something between the first template and the rest."""
    with open_model_change(folder, model) as change:
        steps: Iterator[Step | Report] = migrate(change, AlignedDetector(), model)
        next(steps)
        meanwhile()
        *_, report = steps
    assert isinstance(report, Report)
    return report


def test_who_is_enrolled_meanwhile_is_migrated_too(folder: Path, old: ByHand, new: ByHand, tmp_path: Path) -> None:
    path = toy_model.save_crop(tmp_path / "dee.png", 8, 0)

    def enrol_another() -> None:
        with open_gallery(folder, old) as gallery:
            list(enroll(gallery, {"Dee": [path]}, AlignedDetector(), old, force=True))

    report = step_by_step(folder, new, enrol_another)
    assert (report.migrated, report.photos) == (True, 7)
    assert vectors_in(folder) == {**expected(new, tmp_path / "photos"), "Dee": [new.vector(path).tobytes()]}
    run("gallery", "restore", "--from", "rollback", gallery=folder)
    assert [*vectors_in(folder)] == [*PEOPLE, "Dee"], "in the rollback copy, too"


def test_who_is_removed_or_renamed_meanwhile_stays_so(folder: Path, old: ByHand, new: ByHand) -> None:
    def change() -> None:
        with open_gallery(folder, old) as gallery:
            gallery.remove("Ann Zebra")
            gallery.rename("Bob Ray", "Rob Ray")
            gallery.set_consent("Rob Ray", "agreed")

    report = step_by_step(folder, new, change)
    assert report.migrated
    assert [*vectors_in(folder)] == ["Rob Ray", "Çelik 王"]
    assert ann_in(everything_in(folder), old, new) == []
    with open_gallery(folder, new) as gallery:
        assert consent(gallery.store, "Rob Ray") == ("agreed", None)


def test_an_enrolment_after_the_change_is_refused_with_one_line(folder: Path, old: ByHand, new: ByHand) -> None:
    path = toy_model.save_crop(folder.parent / "dee.png", 8, 0)
    with open_gallery(folder, old) as other:
        assert other.search(old.embed(toy_model.crop(0, 0)[None]), 1)[0][0].person == "Ann Zebra"
        run_all(folder, new)
        for act in (
            lambda: list(enroll(other, {"Dee": [path]}, AlignedDetector(), old, force=True)),
            lambda: other.search(old.embed(toy_model.crop(0, 0)[None]), 1),
            lambda: other.calibration(),
        ):
            with pytest.raises(ForeignModelError, match="now of model new; give that one as `model`"):
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
    monkeypatch.setattr("facerec.recognition.migrate.BATCH", 2)


EVERY = 7


def test_killed_before_any_step(
    tmp_path: Path, folder: Path, old: ByHand, new: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before every seventh statement or change of a file: of the old model or the new, and the next run ends it."""
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
    assert {0, 6} < reused <= {0, 2, 4, 6}, "what was done before is not done again"
    assert seen == sorted(seen, key=["old", "new"].index), "once it has happened it stays so"
    assert {seen[0], seen[-1]} == {"old", "new"}


def model_now(folder: Path) -> str:
    with Gallery.open(folder) as gallery:
        name = gallery.store.model_name
    assert name is not None
    return name


def test_killed_anywhere(
    tmp_path: Path, folder: Path, old: ByHand, new: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock, there and back again."""
    many(monkeypatch)
    chance, kills = random.Random(0), 0
    shutil.copytree(folder, tmp_path / "left alone")
    began = time.monotonic()
    assert not killed_before(10**6, lambda: run_all(tmp_path / "left alone", new))
    whole = time.monotonic() - began
    for turn in range(200):
        if turn >= 25 and kills > 5:  # how many it takes depends on how busy the machine is
            break
        now, then = (old, new) if model_now(folder) == "old" else (new, old)
        kills += killed_after(chance.random() * whole, lambda then=then: run_all(folder, then))
        require_of(now if model_now(folder) == now.card.name else then, folder, tmp_path / "photos")
    assert kills > 5


def test_a_full_disk_changes_nothing(folder: Path, tmp_path: Path, old: ByHand) -> None:
    large = ByHand(tmp_path / "models", "large", 56)
    before = state_of(folder)
    with open_model_change(folder, large) as change:
        with change.store.database.read() as db:
            pages = db.execute("PRAGMA page_count").fetchone()[0]
            db.execute(f"PRAGMA max_page_count = {pages + 40}")
        with pytest.raises(GalleryError, match="the disk is full"):
            list(migrate(change, AlignedDetector(), large))
    assert state_of(folder) == before
    require_of(old, folder, tmp_path / "photos")


def test_without_a_rollback_copy_nothing_is_changed(folder: Path, tmp_path: Path, old: ByHand, new: ByHand) -> None:
    (folder / "gallery.db.rollback").mkdir()
    before = state_of(folder)
    with pytest.raises(GalleryError, match=r"gallery\.db\.rollback"):
        run_all(folder, new)
    assert state_of(folder) == before
    require_of(old, folder, tmp_path / "photos")
