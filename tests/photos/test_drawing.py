"""Annotated photos and contact sheets: what is drawn where, and that no file is ever written over."""

import os
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import toy_fixtures
import toy_model
from running import json_lines, run

from facerec.errors import DataError, ImageError
from facerec.photos.drawing import LABEL, TILE, annotated, contact_sheet, ready_folder, save_annotated, save_sheet
from facerec.photos.reading import read_image
from facerec.types import Box, Image

BOX = (100.0, 90.0, 180.0, 200.0)
NAMES = [
    "Ann Lee",
    "Çelik 王",
    "山田 太郎",
    "محمد علي",
    "שרה",
    "Ελένη Ωνάση",
    "Ann 👩‍🔬",
    "́" * 30,
    "a\nb\x00\udcff",
    "",
    "x" * 5000,
]


def grey(width: int = 300, height: int = 240) -> Image:
    return np.full((height, width, 3), 120, np.uint8)


def save(path: Path, image: Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(path)
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---------------------------------------------------------------------------------------------------- annotated


def test_a_box_is_drawn_where_the_face_is_and_the_rest_stays() -> None:
    image = grey()
    picture = annotated(image, [BOX], ["Ann Lee"])
    assert picture.shape == image.shape
    assert picture.dtype == np.uint8
    assert (image == 120).all(), "the photo itself is not touched"
    changed = (picture != 120).any(axis=-1)
    for row, column in ((90, 140), (200, 140), (150, 100), (150, 180)):
        assert changed[row, column], "a side of the box"
    assert not changed[110:190, 110:170].any(), "the face can be seen"
    assert not changed[201:].any()
    assert changed[60:90, 100:180].any(), "the name stands above"


def test_known_and_unknown_people_look_different() -> None:
    known, unknown = (annotated(grey(), [BOX], [name])[150, 100] for name in ("Ann", None))
    assert known[1] > known[0]
    assert unknown[0] > unknown[1]
    assert (annotated(grey(), [BOX], [None]) != annotated(grey(), [BOX], ["Ann"])).any()


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize("size", [(300, 240), (40, 40), (1, 1), (3, 500)])
def test_any_name_on_a_photo_of_any_size(name: str, size: tuple[int, int]) -> None:
    assert annotated(grey(*size), [BOX, (0, 0, 5, 5)], [name, None]).shape == (size[1], size[0], 3)


@pytest.mark.parametrize(
    "box", [(-50, -40, 60, 70), (250, 200, 400, 300), (-9, -9, 999, 999), (400, 400, 500, 500), (50, 50, 50, 50)]
)
def test_a_box_may_reach_past_the_border(box: Box) -> None:
    assert annotated(grey(), [box], ["Ann"]).shape == (240, 300, 3)


# ---------------------------------------------------------------------------------------------------- files


def test_nothing_is_ever_written_over(tmp_path: Path) -> None:
    photo = save(tmp_path / "photos" / "party.jpg", grey())
    other = save(tmp_path / "more" / "party.png", grey(50, 50))
    before = files(photo.parent)
    copies = [save_annotated(path, [BOX], ["Ann"], photo.parent) for path in (photo, other, photo)]
    assert [copy.name for copy in copies] == ["party-2.jpg", "party-3.jpg", "party-4.jpg"]
    assert {copy.parent for copy in copies} == {photo.parent}
    assert files(photo.parent)["party.jpg"] == before["party.jpg"]
    assert [read_image(copy).shape for copy in copies] == [(240, 300, 3), (50, 50, 3), (240, 300, 3)]


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    photo, precious = save(tmp_path / "party.png", grey()), tmp_path / "precious"
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "party.jpg").symlink_to(precious)
    assert save_annotated(photo, [BOX], ["Ann"], tmp_path / "named").name == "party-2.jpg"
    assert not precious.exists()


@pytest.mark.parametrize(
    "name",
    ["..png", "...png", ".hidden.png", " .png", b"\xff\xfe.png", "x" * 251 + ".png", "王" * 83 + ".png", "-.png"],
)
def test_hostile_names_stay_in_the_folder(name: str | bytes, tmp_path: Path) -> None:
    folder = tmp_path / "named"
    folder.mkdir()
    path = tmp_path / "photos" / os.fsdecode(name)
    save(tmp_path / "a.png", grey())
    path.parent.mkdir()
    (tmp_path / "a.png").rename(path)
    copies = [save_annotated(path, [BOX], ["Ann"], folder) for _ in range(2)]
    assert {copy.parent for copy in copies} == {folder}
    assert len(list(folder.iterdir())) == 2


def test_the_copy_is_upright_as_the_boxes_are(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(grey(300, 200)).save(tmp_path / "side.jpg", exif=exif)
    (tmp_path / "named").mkdir()
    copy = save_annotated(tmp_path / "side.jpg", [BOX], [None], tmp_path / "named")
    assert read_image(copy).shape == (300, 200, 3)
    assert (np.abs(read_image(copy)[150, 100].astype(int) - (176, 32, 32)) < 40).all()


def test_a_photo_too_long_for_jpeg_is_scaled_down(tmp_path: Path) -> None:
    photo = save(tmp_path / "long.png", grey(66_000, 3))
    (tmp_path / "named").mkdir()
    assert read_image(save_annotated(photo, [(0, 0, 3, 3)], ["Ann"], tmp_path / "named")).shape[1] <= 65_000


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    file = save(tmp_path / "file.png", grey())
    for folder in (file, file / "below", Path("/proc/nothing"), tmp_path / "a\0b"):
        with pytest.raises(DataError, match=r"cannot be written \(.*\); give another folder for the pictures"):
            ready_folder(folder)
    ready_folder(tmp_path / "new" / "deep")
    assert list((tmp_path / "new" / "deep").iterdir()) == [], "nothing is left there"
    with pytest.raises(DataError, match="cannot be written"):
        save_annotated(file, [BOX], ["Ann"], Path("/proc"))
    with pytest.raises(ImageError, match="no such file"):
        save_annotated(tmp_path / "none.jpg", [BOX], ["Ann"], tmp_path)


def test_a_full_disk_leaves_no_half_a_picture(tmp_path: Path) -> None:
    photo = save(tmp_path / "party.png", np.random.default_rng(0).integers(0, 256, (240, 300, 3), np.uint8))
    code = (
        "import resource, sys; from pathlib import Path; from facerec.errors import DataError\n"
        "from facerec.photos.drawing import save_annotated\n"
        "import matplotlib\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try: save_annotated(Path(sys.argv[1]), [], [], Path(sys.argv[2]))\n"
        "except DataError as error: print(error)\n"
    )
    import subprocess
    import sys

    (tmp_path / "named").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, photo, tmp_path / "named"], capture_output=True, text=True, check=True
    )
    assert "party.jpg: cannot be written" in done.stdout
    assert list((tmp_path / "named").iterdir()) == []


# ---------------------------------------------------------------------------------------------------- contact sheets


def test_a_sheet_has_a_tile_for_each_photo(tmp_path: Path) -> None:
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250)]
    photos = [save(tmp_path / f"{i}.png", np.full((100, 80, 3), colour, np.uint8)) for i, colour in enumerate(colours)]
    sheet = contact_sheet(photos, [(20, 20, 60, 60)] * 5, NAMES[:5])
    assert sheet.shape == (2 * (TILE + LABEL), 3 * TILE, 3)
    assert sheet.dtype == np.uint8
    for place, colour in enumerate(colours):
        row, column = divmod(place, 3)
        assert tuple(sheet[row * (TILE + LABEL) + TILE // 2, column * TILE + TILE // 2]) == colour
    assert (sheet[TILE + LABEL :, 2 * TILE :] == 255).all(), "no sixth"
    assert (sheet[TILE : TILE + LABEL] < 200).any(axis=-1).reshape(LABEL, 3, TILE).any(axis=(0, 2)).all(), "names"


def test_the_tile_shows_the_face(tmp_path: Path) -> None:
    image = grey(400, 400)
    image[300:340, 40:80] = (250, 0, 0)
    sheet = contact_sheet([save(tmp_path / "a.png", image)], [(40, 300, 80, 340)], ["Ann"])
    red = (sheet[:TILE, :, 0] > 200) & (sheet[:TILE, :, 1] < 60)
    assert 0.4 < red.mean() < 0.6, "the box is 1 / 1.4 of the tile's side"
    assert red[TILE // 2, TILE // 2]


def test_missing_and_broken_photos_are_empty_tiles_with_their_name(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"broken")
    photos = [tmp_path / "none.png", tmp_path / "broken.png", save(tmp_path / "good.png", grey())]
    sheet = contact_sheet(photos, [BOX] * 3, ["none", "broken", "good"])
    assert sheet.shape == (2 * (TILE + LABEL), 2 * TILE, 3)
    for place in (0, 1):
        tile = sheet[: TILE + LABEL, place * TILE : (place + 1) * TILE]
        assert (tile[20, 20] == 224).all()
        assert (tile[TILE:] < 200).any(), "its name"
    assert (sheet[TILE + LABEL + TILE // 2, TILE // 2] == 120).all()


@pytest.mark.parametrize(
    "box", [(-50, -50, 20, 20), (900, 900, 999, 999), (5, 5, 5, 5), (9, 9, 1, 1), (-9, -9, -5, -5)]
)
def test_boxes_of_a_photo_that_is_another_by_now(box: Box, tmp_path: Path) -> None:
    assert contact_sheet([save(tmp_path / "a.png", grey(30, 20))], [box], ["x"]).shape == (TILE + LABEL, TILE, 3)


@pytest.mark.parametrize("ending", [".jpg", ".JPEG", ".png"])
def test_a_sheet_is_saved_as_its_name_says(ending: str, tmp_path: Path) -> None:
    photos = [save(tmp_path / "a.png", grey())]
    save_sheet(photos, [BOX], ["Ann"], tmp_path / f"sheet{ending}")
    with PIL.Image.open(tmp_path / f"sheet{ending}") as saved:
        assert saved.format == ("PNG" if ending == ".png" else "JPEG")
        error = np.asarray(saved).astype(int) - contact_sheet(photos, [BOX], ["Ann"])
    assert np.abs(error).mean() < 3, "as good as JPEG is"


def test_a_sheet_is_never_written_over_a_file(tmp_path: Path) -> None:
    taken = tmp_path / "sheet.png"
    taken.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"sheet\.png: is there already; give another name"):
        save_sheet([], [], [], taken)
    assert taken.read_bytes() == b"mine"


@pytest.mark.parametrize(("name", "words"), [("sheet.gif", "jpg or .png"), ("none/sheet.png", "cannot be written")])
def test_a_sheet_that_cannot_be(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        save_sheet([], [], [], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_sheet_of_nobody() -> None:
    assert (contact_sheet([], [], []) == 255).all()


# ---------------------------------------------------------------------------------------------------- the command


gallery = toy_fixtures.three_people


def test_identify_saves_annotated_copies(gallery: Path, crops: Path, toy: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"broken")
    photos = [crops / "ann.png", broken, crops / "stranger.png", crops / "people"]
    arguments = ["identify", *photos, "--aligned", "--json", "--model", toy, "--save-annotated", tmp_path / "a" / "b"]
    result = run(*arguments, gallery=gallery)
    assert result.exit_code == 1
    assert len(json_lines(result)) == 9
    names = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
    assert names == ["0-2.jpg", "0-3.jpg", "0.jpg", "1-2.jpg", "1-3.jpg", "1.jpg", "ann.jpg", "stranger.jpg"]
    ann, stranger = (read_image(tmp_path / "a" / "b" / f"{name}.jpg") for name in ("ann", "stranger"))
    assert ann.shape == (112, 112, 3)
    assert ann[111, 60, 1] > ann[111, 60, 0]
    assert stranger[111, 60, 0] > stranger[111, 60, 1]


def test_a_photo_that_is_given_twice_is_copied_once(gallery: Path, crops: Path, toy: Path, tmp_path: Path) -> None:
    ann, stranger = crops / "ann.png", crops / "stranger.png"
    arguments = ["identify", "--aligned", "--json", "--model", toy, "--save-annotated"]
    once, often = tmp_path / "once", tmp_path / "often"
    (line,) = json_lines(run(*arguments, once, ann, gallery=gallery))
    lines = json_lines(run(*arguments, often, ann, ann, stranger, ann, gallery=gallery))
    assert [lines[i] for i in (0, 1, 3)] == [line] * 3, "an answer each time"
    assert sorted(path.name for path in often.iterdir()) == ["ann.jpg", "stranger.jpg"]
    assert (often / "ann.jpg").read_bytes() == (once / "ann.jpg").read_bytes()


def test_a_folder_for_pictures_is_refused_before_the_work(gallery: Path, crops: Path, tmp_path: Path) -> None:
    file = toy_model.save_crop(tmp_path / "file.png", 0, 0)
    before = file.read_bytes()
    (tmp_path / "broken.onnx").touch()  # would be refused if it were read
    options = ("--model", tmp_path / "broken.onnx", "--save-annotated", file)
    result = run("identify", crops / "ann.png", *options, gallery=gallery)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {file}: cannot be written (")
    assert file.read_bytes() == before


def test_copies_do_not_go_among_the_photos_they_are_of(gallery: Path, crops: Path, toy: Path, tmp_path: Path) -> None:
    """Else they would be photos themselves the next time, and of a person called "named" when they are enrolled."""
    trip = tmp_path / "trip"
    shutil.copytree(crops / "people", trip)
    for output in (trip, trip / "named"):
        result = run("identify", trip, "--aligned", "--model", toy, "--save-annotated", output, gallery=gallery)
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"{output}: is in {trip}, so what is written there would be read as its photos" in result.stderr
    assert not (trip / "named").exists()


def test_a_person_is_shown_on_a_sheet(gallery: Path, tmp_path: Path) -> None:
    person = json_lines(run("gallery", "list", "--json", gallery=gallery))[0]
    done = run("gallery", "show", person["person"], "--sheet", tmp_path / "sheet.png", gallery=gallery)
    assert done.exit_code == 0, done.output
    side = int(np.ceil(np.sqrt(person["templates"])))
    with PIL.Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == side * TILE
        assert (np.asarray(sheet)[20, 20] != 224).any(), "the photo is there, not an empty tile"
    again = run("gallery", "show", person["person"], "--sheet", tmp_path / "sheet.png", gallery=gallery)
    assert again.exit_code == 2
    assert "is there already" in again.stderr


@pytest.mark.parametrize("keep", ["--keep-crops", "--drop-crops"])
def test_another_photo_of_that_name_is_not_shown_as_theirs(toy: Path, keep: str, tmp_path: Path) -> None:
    """Cameras name their photos alike."""
    photo, gallery = toy_model.save_crop(tmp_path / "IMG_0001.png", 0, 0), tmp_path / "gallery"
    run("enroll", photo, "--name", "Ann", "--aligned", "--force", "--model", toy, keep, gallery=gallery)
    assert run("gallery", "show", "Ann", "--sheet", tmp_path / "before.png", gallery=gallery).exit_code == 0
    toy_model.save_crop(photo, 5, 0)
    assert run("gallery", "show", "Ann", "--sheet", tmp_path / "after.png", gallery=gallery).exit_code == 0
    if keep == "--keep-crops":
        assert (tmp_path / "after.png").read_bytes() == (tmp_path / "before.png").read_bytes(), "her crop"
    else:
        tile = read_image(tmp_path / "after.png")[:TILE]
        assert (tile[20:60, 20:-20] == 224).all(), "an empty tile"


def test_pictures_of_people_are_not_written_among_the_gallery_s_files(
    gallery: Path, crops: Path, toy: Path, tmp_path: Path
) -> None:
    """Removal does not reach them."""
    before = sorted(gallery.iterdir())
    person = json_lines(run("gallery", "list", "--json", gallery=gallery))[0]["person"]
    (tmp_path / "link").symlink_to(gallery)
    identify = ("identify", crops / "ann.png", "--aligned", "--model", toy, "--save-annotated")
    for folder in (gallery, tmp_path / "link", tmp_path / "link" / "pictures"):
        sheet = ("gallery", "show", person, "--sheet", folder / "sheet.png")
        for command in (sheet, (*identify, folder)):
            result = run(*command, gallery=gallery)
            assert (result.exit_code, result.stdout) == (2, "")
            assert "in the gallery's own folder" in result.stderr
            assert result.stderr.count("\n") == 1
    assert sorted(gallery.iterdir()) == before
    assert run(*identify, tmp_path / "named", gallery=gallery).exit_code == 0
