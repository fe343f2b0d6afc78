"""What was said not to be somebody is embedded anew when the gallery gets another model, or else dropped and named."""

from contextlib import closing
from pathlib import Path

import pytest
import toy_model
from killing import everything_in
from running import json_lines, run
from toy_gallery import rows
from toy_migration import ByHand, fill, require_of, run_all

from facerec.errors import DamagedGalleryError
from facerec.faces.detector import AlignedDetector
from facerec.gallery import vetoes
from facerec.gallery.database import connect
from facerec.gallery.gallery import Gallery
from facerec.gallery.maintenance import keep_crops
from facerec.gallery.unknown_faces import keep
from facerec.inference.embedder import Embedder
from facerec.photos.crops import encode_png
from facerec.photos.reading import read_image
from facerec.recognition.identify import open_gallery
from facerec.recognition.migrate import migrate, open_model_change
from facerec.recognition.not_same import not_same
from facerec.types import Template, Threshold

ANYTHING = Threshold(4.0, "a test")


def party(folder: Path, number: int) -> Path:
    """A photo of a stranger."""
    return toy_model.save_crop(folder / f"party{number}.png", 9, number)


def say(folder: Path, model: Embedder, *photos: Path, crops: bool = False) -> None:
    """The faces in these photos are not Ann."""
    with open_gallery(folder, model) as gallery:
        keep_crops(gallery.store, crops)
        for photo in photos:
            assert not_same(gallery, photo, "Ann Zebra", AlignedDetector(), model, ANYTHING).added


def vectors_of_vetoes(folder: Path) -> dict[str, bytes]:
    return {Path(source).name: blob for source, blob in rows(folder, "SELECT source, vector FROM vetoes ORDER BY id")}


def test_from_the_photo_if_it_is_there(folder: Path, old: ByHand, new: ByHand, tmp_path: Path) -> None:
    photos = [party(tmp_path, number) for number in range(3)]
    say(folder, old, *photos)
    moved = photos[1].rename(tmp_path / "photos" / "moved.png")
    wanted = {f"party{n}.png": new.vector(path).tobytes() for n, path in enumerate((photos[0], moved, photos[2]))}
    assert vectors_of_vetoes(folder) != wanted
    _, report = run_all(folder, new, elsewhere=tmp_path / "photos")
    assert (report.migrated, report.vetoes, report.vetoes_dropped) == (True, 3, ())
    assert vectors_of_vetoes(folder) == wanted
    require_of(new, folder, tmp_path / "photos")
    with open_gallery(folder, new) as gallery:
        (ann,) = (each for each in gallery.search(new.vector(photos[0])[None], 3)[0] if each.person == "Ann Zebra")
        assert ann.veto is not None
        assert ann.veto.face == 0
        assert [png for (png,) in rows(folder, "SELECT png FROM vetoes")] == [None] * 3


def test_from_the_crop_if_it_was_kept(folder: Path, old: ByHand, new: ByHand, tmp_path: Path) -> None:
    kept, plain = party(tmp_path, 0), party(tmp_path, 1)
    say(folder, old, plain)
    say(folder, old, kept, crops=True)
    wanted, png = new.vector(kept).tobytes(), encode_png(read_image(plain))
    kept.unlink()
    _, report = run_all(folder, new)
    assert (report.vetoes, report.vetoes_dropped) == (2, ())
    assert vectors_of_vetoes(folder) == {"party0.png": wanted, "party1.png": new.vector(plain).tobytes()}
    assert rows(folder, "SELECT png FROM vetoes ORDER BY id")[0] == (png,), "kept from now on"


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_face_that_is_found_nowhere_is_dropped_and_named(
    folder: Path, old: ByHand, new: ByHand, tmp_path: Path, dry_run: bool
) -> None:
    gone, stays = party(tmp_path, 0), party(tmp_path, 1)
    say(folder, old, gone, stays)
    gone.unlink()
    _, report = run_all(folder, new, dry_run=dry_run)
    assert (report.migrated, report.vetoes, report.losses) == (not dry_run, 1, ())
    (dropped,) = report.vetoes_dropped
    assert (dropped.person, dropped.source) == ("Ann Zebra", str(gone))
    assert dropped.problem is not None
    assert dropped.problem.startswith(f"{gone}: no such file")
    with Gallery.open(folder) as gallery:
        left = [Path(veto.source) for veto in vetoes.vetoes(gallery.store, "Ann Zebra")]
        assert left == ([gone, stays] if dry_run else [stays])
        said = [(entry.action, entry.facts) for entry in gallery.log()[0] if entry.action == "vetoes left out"]
        assert said == ([] if dry_run else [("vetoes left out", {"vetoes": 1})])
        assert gallery.check().problems == ()


def test_what_is_said_while_it_is_migrated_counts(folder: Path, old: ByHand, new: ByHand, tmp_path: Path) -> None:
    first, second = party(tmp_path, 0), party(tmp_path, 1)
    say(folder, old, first)
    with open_model_change(folder, new) as change:
        for number, _ in enumerate(migrate(change, AlignedDetector(), new)):
            if number == 3:
                say(folder, old, second)
    assert vectors_of_vetoes(folder) == {path.name: new.vector(path).tobytes() for path in (first, second)}


def test_who_is_left_out_takes_what_was_said_along(old: ByHand, new: ByHand, tmp_path: Path) -> None:
    folder = fill(tmp_path / "gallery", tmp_path / "photos", old)
    say(folder, old, party(tmp_path, 0))
    for path in (tmp_path / "photos" / "Ann Zebra").iterdir():
        path.unlink()
    _, report = run_all(folder, new, leave_out=True)
    assert [loss.person for loss in report.losses] == ["Ann Zebra"]
    assert vectors_of_vetoes(folder) == {}


def test_a_damaged_veto_stops_it(folder: Path, old: ByHand, new: ByHand, tmp_path: Path) -> None:
    """No rollback copy is made of it, as of any other damage."""
    say(folder, old, party(tmp_path, 0))
    with closing(connect(folder / "gallery.db", "mode=rw")) as db:
        db.execute("UPDATE vetoes SET checksum = checksum + 1")
    with pytest.raises(DamagedGalleryError, match=r"party0.png that was said not to be somebody is not"):
        run_all(folder, new)
    assert not (folder / "gallery.db.rollback").exists()


def test_the_command(tmp_path: Path) -> None:
    one, two = (
        toy_model.write_model(tmp_path / name, name, mean=(mean,) * 3) for name, mean in (("a", 127.5), ("b", 90))
    )
    ann = toy_model.save_crop(tmp_path / "ann.png", 0, 0)
    shop, photos = tmp_path / "shop", [party(tmp_path, number) for number in range(2)]
    run("enroll", ann, "--name", "Ann", "--aligned", "--model", one, gallery=shop)
    for photo in photos:
        assert run("gallery", "not-same", photo, "Ann", "--aligned", "--model", one, gallery=shop).exit_code == 0
    photos[0].unlink()
    text = run("gallery", "migrate", "--model", two, "--dry-run", gallery=shop)
    assert (text.exit_code, "1 vetoed face embedded, too.\n" in text.stdout) == (1, True)
    assert text.stderr.startswith(
        f"Ann: a face that was said not to be them would be forgotten; {photos[0]}: no such file"
    )
    result = run("gallery", "migrate", "--model", two, "--json", gallery=shop)
    (line,) = json_lines(result)
    assert (result.exit_code, line["migrated"], line["vetoes"]) == (1, True, 1)
    assert [(each["person"], each["image"]) for each in line["vetoes_dropped"]] == [("Ann", str(photos[0]))]
    assert "is forgotten; " in result.stderr


def test_unknown_faces_are_forgotten_before_the_rollback_copy_is_made(folder: Path, old: ByHand, new: ByHand) -> None:
    vector = old.embed(toy_model.crop(9, 0)[None])[0]
    face = Template("9" * 64, "visitor.jpg", (0, 0, 112, 112), 1.0, vector, toy_model.crop(9, 0))
    with open_gallery(folder, old) as gallery:
        assert keep(gallery.store, "8" * 64, [face], "2031-12-30") == 1
    assert vector.tobytes() in everything_in(folder)
    _, report = run_all(folder, new)
    assert report.migrated
    assert (folder / "gallery.db.rollback").exists()
    assert vector.tobytes() not in everything_in(folder)
    assert b"visitor.jpg" not in everything_in(folder)
