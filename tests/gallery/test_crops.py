"""Crops a gallery keeps: they stand for the photos, go with their person, and are new in format 4."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy_model
from killing import everything_in
from running import run
from toy_gallery import rows, sql
from toy_migration import (
    ByHand,
    ann_in,
    expected,
    fill,
    run_all,
    vectors_in,
)

from facerec.errors import ImageError
from facerec.faces.alignment import align, template
from facerec.faces.detector import AlignedDetector
from facerec.gallery.enrolled import crops as kept_crops
from facerec.gallery.maintenance import keep_crops
from facerec.photos.crops import decode_png, encode_png, fitted_crop
from facerec.photos.reading import read_image
from facerec.recognition.enroll import enroll
from facerec.recognition.identify import open_gallery

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
        return rows(folder, "SELECT count(*) FROM crops")[0][0]

    assert crops() == 0
    with open_gallery(folder, old) as gallery:
        keep_crops(gallery.store, True)
        keep_crops(gallery.store, True)
        path = toy_model.save_crop(folder.parent / "photos" / "dee.png", 8, 0)
        list(enroll(gallery, {"Dee": [path]}, AlignedDetector(), old, force=True))
        assert crops() == 1
        (crop,) = kept_crops(gallery.store, "Dee")
        assert np.array_equal(crop, toy_model.crop(8, 0))  # type: ignore[arg-type]
        assert kept_crops(gallery.store, "Bob Ray") == [None, None]
    _, report = run_all(folder, new)
    assert (report.crops, report.photos, crops()) == (1, 6, 7)
    with open_gallery(folder, new) as gallery:
        assert np.array_equal(kept_crops(gallery.store, "Bob Ray")[1], toy_model.crop(1, 1))  # type: ignore[arg-type]


def test_a_merged_person_has_both_ones_crops(tmp_path: Path, old: ByHand) -> None:
    folder = fill(tmp_path / "gallery", tmp_path / "photos", old, crops=True)
    with open_gallery(folder, old) as gallery:
        gallery.merge("Bob Ray", "Ann Zebra")
        crops = kept_crops(gallery.store, "Ann Zebra")
        assert gallery.check().problems == ()
    wanted = [toy_model.crop(0, n) for n in range(3)] + [toy_model.crop(1, n) for n in range(2)]
    assert np.array_equal(np.stack([crop for crop in crops if crop is not None]), np.stack(wanted))


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


def test_removal_reaches_crops_unfinished_work_and_the_rollback_copy(
    tmp_path: Path, old: ByHand, new: ByHand, held_by: str
) -> None:
    photos = tmp_path / "photos"
    third = ByHand(tmp_path / "models", "third", 2)
    folder = fill(tmp_path / "gallery", photos, old, crops=True)
    run_all(folder, new)
    run_all(folder, third, dry_run=True)
    content = everything_in(folder)
    assert len(ann_in(content, old, new, third)) == 1 + 3 * (4 if held_by == "sqlite" else 3), (
        "the search finds them while they are there"
    )
    with open_gallery(folder, new) as gallery:
        gallery.search(new.embed(toy_model.crop(0, 0)[None]), 1)
        gallery.remove("Ann Zebra")
        assert ann_in(everything_in(folder), old, new, third) == []
        assert gallery.check().problems == ()
    assert not (folder / "gallery.db.rollback").exists()
    assert ann_in(everything_in(folder), old, new, third) == []
    assert encode_png(toy_model.crop(1, 0))[40:] in everything_in(folder)


def test_dropped_crops_are_in_no_file(tmp_path: Path, old: ByHand) -> None:
    folder = fill(tmp_path / "gallery", tmp_path / "photos", old, crops=True)
    assert len(ann_in(everything_in(folder))) == 4
    with open_gallery(folder, old) as gallery:
        keep_crops(gallery.store, False)
        assert ann_in(everything_in(folder)) == ["name"]
        assert gallery.check().problems == ()
        assert [(e.action, e.facts) for e in gallery.log()[0] if "crops" in e.action] == [
            ("crops kept", {"crops": 0}), ("crops dropped", {"crops": 6})
        ]  # fmt: skip
    assert ann_in(everything_in(folder)) == ["name"]


# -------------------------------------------------------------------------------------------------- the older format


# -------------------------------------------------------------------------------------------------- as pictures


def test_a_png_gives_back_every_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    data = encode_png(image)
    assert data.startswith(b"\x89PNG")
    assert np.array_equal(decode_png(data), image)


@pytest.mark.parametrize("side", [112, 128, 96, 160])
@pytest.mark.parametrize("size", [112, 128, 96, 160])
def test_a_crop_fits_another_size_as_if_it_had_been_aligned_to_it(side: int, size: int) -> None:
    """On a photo without edges, so that resampling loses nothing; all but the border, which a crop cannot know."""
    y, x = np.mgrid[:400, :400]
    photo = np.stack([128 + 100 * np.sin(x / 40), 128 + 100 * np.cos(y / 50), (x + y) / 4], axis=2).astype(np.uint8)
    landmarks = template(112) * 1.7 + 90
    fitted = fitted_crop(align(photo, landmarks, side), size)
    assert fitted.shape == (size, size, 3)
    inner = slice(12, size - 12)
    difference = fitted[inner, inner].astype(int) - align(photo, landmarks, size)[inner, inner]
    assert np.abs(difference).max() <= 3
    if side == size:
        assert np.array_equal(fitted, align(photo, landmarks, size))


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(40)])
def test_what_is_no_png_is_one_error(data: bytes) -> None:
    with pytest.raises(ImageError, match="not a sound PNG"):
        decode_png(data)


def test_a_png_that_is_no_crop() -> None:
    for image in (np.zeros((4, 5, 3), np.uint8), np.zeros((5, 5), np.uint8)):
        with pytest.raises(ImageError, match="instead of a crop"):
            decode_png(encode_png(image))
    whole = encode_png(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8))
    for end in range(1, len(whole) - 12, 97):
        with pytest.raises(ImageError):
            decode_png(whole[:end])
    for place in range(0, len(whole), 211):
        flipped = bytearray(whole)
        flipped[place] ^= 0x55
        with contextlib.suppress(ImageError):
            decode_png(bytes(flipped))
