"""What is stored of a face is what is read of it: a bit that flips in the file is found, named, and mended."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import toy_fixtures
import toy_model
from killing import photos_in
from running import run
from toy_damage import COHORT, NAMED, REMEDY, flip, place_of, places_of, read_all, spoil
from toy_gallery import DIMENSION, MODEL, nearest, opened, rows, sql, template, vector
from toy_migration import ByHand, expected, fill, run_all, vectors_in

from facerec.errors import DamagedGalleryError, ImageError
from facerec.faces.detector import AlignedDetector
from facerec.gallery.archive_file import read_archive
from facerec.gallery.backup import list_copies
from facerec.gallery.encryption import encrypt, is_encrypted
from facerec.gallery.gallery import Gallery
from facerec.gallery.maintenance import rebuild
from facerec.photos.crops import decode_png, encode_png
from facerec.recognition.identify import open_gallery
from facerec.recognition.migrate import migrate, open_model_change

folder = toy_fixtures.few_people


# ------------------------------------------------------------------------------------------------------ what is found


def test_every_flipped_bit_of_a_vector_is_named(folder: Path) -> None:
    path, start = folder / "gallery.db", 8 * place_of(folder, vector(1).tobytes())
    for bit in range(start, start + 32 * DIMENSION, 3):
        flip(path, bit)
        with Gallery.open(folder) as gallery:
            (problem, *_) = gallery.check().problems
        assert problem.startswith("the vector of photos/1.jpg ")
        assert problem.endswith(REMEDY)
        flip(path, bit)
    with Gallery.open(folder) as gallery:
        assert gallery.check().problems == ()


def test_what_belongs_to_a_vector_is_found_too(folder: Path) -> None:
    """Whose it is, of which photo, and what they are called, SQLite has in an index, too, and compares first."""
    hash_of = template(3).photo_hash.encode()
    row = 8 * place_of(folder, b"\x03" + hash_of + b"photos/3.jpg")  # the person's number, the photo's hash, its path
    name = 8 * place_of(folder, b"Cy20")  # the name, the time
    for bit in (row, row + 8 * 64, name):
        flip(folder / "gallery.db", bit)
        with pytest.raises(DamagedGalleryError, match="`facerec gallery restore` brings it back"):
            read_all(folder)
        flip(folder / "gallery.db", bit)
    assert rows(folder, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("change", ["checksum = checksum + 1", "checksum = NULL", "vector = CAST(vector AS TEXT)"])
def test_a_checksum_is_damaged_itself(folder: Path, change: str) -> None:
    sql(folder, f"UPDATE templates SET {change} WHERE id = 2")
    with Gallery.open(folder) as gallery:
        assert NAMED in gallery.check().problems


def test_a_damaged_vector_is_never_searched(folder: Path) -> None:
    """The index file has a checksum of its own, and what it holds; without it the vector is read, and refused."""
    spoil(folder)
    with Gallery.open(folder) as gallery:
        gallery.bind_model(*MODEL, COHORT)
        assert nearest(gallery, 1) == "Bob"
        assert gallery.check().problems == (
            NAMED, f"{folder / 'people.cache'}: not the people of the database; run `facerec gallery rebuild`"
        )  # fmt: skip
    (folder / "people.cache").unlink()
    with Gallery.open(folder) as gallery:
        gallery.bind_model(*MODEL, COHORT)
        for look in (lambda: nearest(gallery, 0), gallery.calibration, lambda: rebuild(gallery.store)):
            with pytest.raises(DamagedGalleryError) as error:
                look()
            assert str(error.value) == f"{folder}: {NAMED}"
    assert not (folder / "people.cache").exists()


def test_who_has_it_open_reads_no_damaged_vector_that_another_process_added(folder: Path) -> None:
    with opened(folder) as reader, opened(folder) as writer:
        assert nearest(reader, 0) == "Ann"
        writer.add("Dee", template(4))
        sql(folder, f"UPDATE templates SET vector = x'{vector(5).tobytes().hex()}' WHERE id = 5")
        with pytest.raises(DamagedGalleryError, match=r"photos/4.jpg is not what was stored; .* remove 'Dee' and"):
            nearest(reader, 0)


def test_an_odd_name_and_path_stay_on_one_line(folder: Path) -> None:
    sql(
        folder,
        "UPDATE templates SET checksum = 0, source = 'a' || char(10) || 'b'",
        "UPDATE people SET name = char(8238) || name",
    )
    with Gallery.open(folder) as gallery:
        assert all(problem.isprintable() for problem in gallery.check().problems)


def test_text_that_is_none_is_damage(folder: Path) -> None:
    """In a row, where SQLite does not look at it, and in one that stands in an index, where it does."""
    hash_of = rows(folder, "SELECT hash FROM log WHERE number = 2")[0][0].encode()
    for what in (hash_of, b"photos/1.jpg"):
        for place in places_of(folder, what):
            flip(folder / "gallery.db", 8 * place + 7)
            told = pytest.raises(DamagedGalleryError, match="brings it back from a backup")
            with told, Gallery.open(folder) as gallery:
                gallery.check()
            assert run("gallery", "restore", "--from", "backup", gallery=folder).exit_code == 0
            with Gallery.open(folder) as gallery:
                assert gallery.check().problems == ()


# --------------------------------------------------------------------------------------------------------- and mended


def test_a_restore_brings_the_vector_back(folder: Path) -> None:
    spoil(folder)
    result = run("gallery", "check", gallery=folder)
    assert (result.exit_code, NAMED in result.stderr) == (1, True)
    assert run("gallery", "restore", gallery=folder).exit_code == 0
    with opened(folder) as gallery:
        assert gallery.check().problems == ()
        assert [nearest(gallery, number) for number in range(4)] == ["Ann", "Bob", "Bob", "Cy"]


def test_so_does_enrolling_again(folder: Path) -> None:
    (folder / "gallery.db.backup").unlink()
    spoil(folder)
    with opened(folder) as gallery:
        gallery.remove("Bob")
        for number in (1, 2):
            gallery.add("Bob", template(number))
        assert gallery.check().problems == ()
        assert nearest(gallery, 1) == "Bob"


def test_nothing_is_made_of_a_damaged_vector(folder: Path, tmp_path: Path) -> None:
    """No backup in a good one's place, no export, no encrypted gallery; and a damaged copy is not restored."""
    good = (folder / "gallery.db.backup").read_bytes()
    spoil(folder)
    with opened(folder) as gallery:
        gallery.rename("Ann", "Anna")
        with pytest.raises(DamagedGalleryError, match=r"the vector of photos/1.jpg is not what was stored"):
            gallery.export(tmp_path / "x.npz")
    assert not (tmp_path / "x.npz").exists()
    with pytest.raises(DamagedGalleryError, match=r"the vector of photos/1.jpg is not what was stored"):
        encrypt(folder, "correct horse")
    assert not is_encrypted(folder)
    assert (folder / "gallery.db.backup").read_bytes() == good
    shutil.copy(folder / "gallery.db", folder / "gallery.db.backup")
    (copy,) = list_copies(folder)
    assert copy.problem == f"{folder / 'gallery.db.backup'}: damaged"
    result = run("gallery", "restore", gallery=folder)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "damaged, as is the database; enroll again" in result.stderr


def test_a_merge_and_a_new_name_leave_the_damage_to_be_seen(folder: Path) -> None:
    spoil(folder)
    with opened(folder) as gallery:
        gallery.merge("Bob", "Ann")
        gallery.rename("Ann", "Anna")
        (problem, *_) = gallery.check().problems
        assert problem.endswith("remove 'Anna' and enroll them again")


@pytest.mark.usefixtures("kind")
def test_what_is_sound_stays_so(tmp_path: Path) -> None:
    """Checksums go the ways of the vectors."""
    with opened(tmp_path / "g") as gallery:
        for number in range(6):
            gallery.add(f"Person {number % 3}", template(number))
        gallery.merge("Person 0", "Person 1")
        gallery.rename("Person 1", "Both")
        gallery.remove("Person 2")
        rebuild(gallery.store)
        gallery.export(tmp_path / "out.npz")
        assert gallery.check().problems == ()
    with Gallery.open(tmp_path / "other", create=True) as gallery:
        gallery.import_archive(read_archive(tmp_path / "out.npz"))
        assert gallery.check().problems == ()
        assert photos_in(gallery) == {"Both": [0, 1, 3, 4]}


# ------------------------------------------------------------------------------------------- strangers, another model


def test_a_damaged_cohort_is_replaced_by_the_models(folder: Path) -> None:
    flip(folder / "gallery.db", 8 * place_of(folder, COHORT.astype("<f2").tobytes()))
    with Gallery.open(folder) as gallery:
        (problem,) = gallery.check().problems
        assert (
            problem == "the strangers (the cohort of toy) are not what was stored; `facerec calibrate` sets them anew"
        )
        gallery.bind_model(*MODEL, COHORT)
        assert gallery.check().problems == ()
        assert gallery.calibration() is not None


def test_damaged_strangers_set_no_threshold(folder: Path) -> None:
    with Gallery.open(folder) as gallery:
        gallery.bind_model(*MODEL, COHORT)
        wanted = gallery.calibration(0.1)
    flip(folder / "gallery.db", 8 * place_of(folder, (COHORT[:20] * -1).astype("<f2").tobytes()) + 9)
    said = "the strangers (visitors/) are not what was stored; `facerec calibrate --strangers` replaces them"
    with Gallery.open(folder) as gallery:
        gallery.bind_model(*MODEL, COHORT)
        assert gallery.check().problems == (said,)
        with pytest.raises(DamagedGalleryError) as error:
            gallery.calibration(0.1)
        assert str(error.value) == f"{folder}: {said}"
        gallery.set_calibration(strangers=COHORT[:20] * -1, source="visitors/")
        assert gallery.check().problems == ()
        assert gallery.calibration(0.1) == wanted


@pytest.mark.parametrize("change", ["distance = 3.9", "within = within + 1", "checksum = NULL"])
def test_a_kept_threshold_that_was_damaged_is_found_again(folder: Path, change: str) -> None:
    with Gallery.open(folder) as gallery:
        gallery.bind_model(*MODEL, COHORT)
        gallery.set_calibration(0.1)
        wanted = gallery.calibration()
        assert wanted is not None
        sql(folder, f"UPDATE calibration SET {change}")
        assert gallery.calibration() == wanted
        assert rows(folder, "SELECT distance, within FROM calibration") == [(wanted.distance, wanted.within)]
        sql(folder, "UPDATE calibration SET distance = 3.9, checksum = checksum + 1")
    with Gallery.open(folder) as gallery:
        gallery.bind_model(*MODEL, COHORT)
        assert gallery.threshold is not None
        assert gallery.threshold == wanted.threshold


def test_another_models_vectors_bring_their_checksums(tmp_path: Path, old: ByHand, new: ByHand) -> None:
    photos = tmp_path / "photos"
    folder = fill(tmp_path / "gallery", photos, old)
    run_all(folder, new, dry_run=True)
    sql(folder, "UPDATE renewal SET vector = (SELECT vector FROM renewal WHERE template = 2) WHERE template = 1")
    sql(folder, "UPDATE renewal SET checksum = NULL WHERE template = 4")
    _, report = run_all(folder, new)
    assert report.reused == 4, "two were damaged, and are embedded anew"
    assert vectors_in(folder) == expected(new, photos)
    with open_gallery(folder, new) as gallery:
        assert gallery.check().problems == ()


def test_a_vector_damaged_on_its_way_is_found_afterwards(tmp_path: Path, old: ByHand, new: ByHand) -> None:
    folder = fill(tmp_path / "gallery", tmp_path / "photos", old)
    with open_model_change(folder, new) as change:
        for number, _ in enumerate(migrate(change, AlignedDetector(), new)):
            if number == 0:  # the whole batch is kept by now
                sql(
                    folder,
                    "UPDATE renewal SET vector = (SELECT vector FROM renewal WHERE template = 2) WHERE template = 1",
                )
    with open_gallery(folder, new) as gallery:
        (problem,) = gallery.check().problems
        assert "0.png is not what was stored; " in problem


def test_no_figures_and_no_rollback_copy_of_a_damaged_vector(tmp_path: Path, old: ByHand, new: ByHand) -> None:
    folder = fill(tmp_path / "gallery", tmp_path / "photos", old)
    flip(folder / "gallery.db", 8 * place_of(folder, vectors_in(folder)["Bob Ray"][0]))
    for rules in ({"dry_run": True}, {}):
        with pytest.raises(DamagedGalleryError, match=r"0.png is not what was stored"):
            run_all(folder, new, **rules)
    assert not (folder / "gallery.db.rollback").exists()


# ------------------------------------------------------------------------------------------------- what has their own


def test_a_flipped_bit_of_a_crop_is_found_or_harmless() -> None:
    """A crop needs no checksum beside it: a PNG has one of each chunk, and of the pixels."""
    crop = toy_model.crop(0, 0)
    png = encode_png(crop)
    harmless = 0
    for bit in range(0, 8 * len(png), 101):
        flipped = bytearray(png)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert np.array_equal(decode_png(bytes(flipped)), crop), bit
            harmless += 1
        except ImageError:
            pass
    assert harmless < 20
