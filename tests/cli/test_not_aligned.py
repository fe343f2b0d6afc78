"""Raw photos given as aligned crops are refused by every command, in one line; crops of other sizes are taken."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from complaints import refused
from running import run

from facerec.errors import DataError
from facerec.faces.aligned import CropCheck, moved_by_alignment, require_crops_in
from facerec.faces.alignment import similarity, template
from facerec.faces.detector import AlignedDetector, faces_in_photos
from facerec.faces.mtcnn import MTCNNDetector
from facerec.photos.folders import find_photos
from facerec.photos.reading import read_image

PEOPLE, PHOTOS = 2, 5
NOT_THERE = "no aligned crop: the face is not where alignment puts it"


@pytest.fixture(scope="module")
def raw(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """people/p0/0.png and so on: a square photo of a face and shoulders. Do not change."""
    folder = tmp_path_factory.mktemp("raw") / "people"
    whole = PIL.Image.open(samples / "strangers" / "eileen_collins_astronaut.jpg").convert("RGB")
    for person in range(PEOPLE):
        (folder / f"p{person}").mkdir(parents=True)
        for photo in range(PHOTOS):
            whole.crop((100, 0, 350, 250)).save(folder / f"p{person}" / f"{photo}.png")
    return folder


@pytest.fixture(scope="module")
def crop(samples: Path) -> np.ndarray:
    """The aligned crop of the same face, 128 x 128."""
    whole = read_image(samples / "strangers" / "eileen_collins_astronaut.jpg")
    return MTCNNDetector(crop_size=128).detect([whole])[0][0].crop


COMMANDS = {
    "enroll": ["enroll", "RAW", "--model", "TOY"],
    "identify": ["identify", "RAW", "--model", "TOY"],
    "verify": ["verify", "ONE", "ONE", "--threshold", 1, "--model", "TOY"],
    "search": ["search", "ONE", "--in", "RAW", "--model", "TOY"],
    "cluster": ["cluster", "RAW", "--threshold", 1, "--model", "TOY"],
    "check-data": ["check-data", "RAW", "--model", "TOY"],
    "evaluate": ["evaluate", "identification", "--gallery-images", "RAW", "--probe-images", "RAW", "--model", "TOY"],
    "features": ["features", "RAW", "--output", "OUT/x.npz", "--model", "TINY"],
    "advise": ["advise", "RAW", "--backbone", "squeezenet1_1", "--input-size", 48],
    "train": ["train", "RAW", "--output", "OUT/run", "--backbone", "squeezenet1_1", "--init", "random"],
}


@pytest.mark.usefixtures("random_weights", "one_thread")
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_raw_photos(
    command: str, raw: Path, toy: Path, tiny_model: Path, crops: Path, tmp_path: Path
) -> None:
    gallery = tmp_path / "gallery"
    if command == "identify":
        assert run("enroll", crops / "people", "--aligned", "--model", toy, gallery=gallery).exit_code == 0
    paths = {"RAW": raw, "ONE": raw / "p0" / "0.png", "TOY": toy, "TINY": tiny_model, "OUT": tmp_path}
    words = [
        str(tmp_path / word[4:]) if str(word).startswith("OUT/") else paths.get(word, word)
        for word in COMMANDS[command]
    ]
    refused(run(*words, "--aligned", gallery=gallery), raw, NOT_THERE, "leave out --aligned")


@pytest.mark.parametrize("side", [112, 128])
def test_thumbnails_as_large_as_crops_are_refused(side: int, raw: Path, toy: Path, tmp_path: Path) -> None:
    for path in raw.rglob("*.png"):
        thumbnail = tmp_path / "people" / path.relative_to(raw)
        thumbnail.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.open(path).resize((side, side)).save(thumbnail)
    result = run("enroll", tmp_path / "people", "--aligned", "--model", toy, gallery=tmp_path / "gallery")
    refused(result, tmp_path / "people", NOT_THERE, "leave out --aligned")
    one = run(
        "enroll", tmp_path / "people" / "p0" / "0.png", "--name", "Ann", "--aligned", "--model", toy, gallery=tmp_path
    )
    assert (one.exit_code, f"{NOT_THERE}; give its crop, or leave out --aligned" in one.stderr) == (2, True)


def test_crops_of_any_size_are_taken(crop: np.ndarray) -> None:
    for side in (60, 96, 112, 128, 160, 224, 250):
        image = np.asarray(PIL.Image.fromarray(crop).resize((side, side)))
        assert not any(CropCheck().faults([(Path("a.png"), image)] * 2))
    tight = np.asarray(PIL.Image.fromarray(crop[8:120, 8:120]).resize((224, 224)))
    nobody = np.zeros((200, 200, 3), np.uint8)  # no face: nothing is known
    assert CropCheck().faults([(Path("a.png"), tight), (Path("b.png"), nobody)]) == [None, None]


def test_a_few_others_among_crops_are_refused_by_themselves(raw: Path, crop: np.ndarray) -> None:
    photo = read_image(raw / "p0" / "0.png")
    others = [(Path("b.png"), photo), (Path("c.png"), photo[:200])]
    faults = [None, "the face is not where alignment puts it", None]  # `aligned_crop` refuses the last one
    assert CropCheck().faults([(Path("a.png"), crop), *others[:1]]) == faults[:2]
    with pytest.raises(DataError, match=r"^b\.png: .*\(2 of 3 photos looked at are none\); leave out `aligned`$"):
        CropCheck().faults([(Path("a.png"), crop), *others])
    begun = CropCheck()
    assert not any(begun.faults([(Path("a.png"), crop)] * 3))
    assert begun.faults([(Path("a.png"), crop), *others]) == faults, "what began with crops is not refused as a whole"


def test_one_raw_photo_among_many_crops_fails_and_the_rest_is_used(
    raw: Path, crops: Path, toy: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "people" / "Ann"
    folder.mkdir(parents=True)
    aligned = read_image(crops / "ann.png")
    for number in range(25):
        PIL.Image.fromarray(np.roll(aligned, number, 1)).save(folder / f"{number:02}.png")
    (folder / "19.png").write_bytes((raw / "p0" / "0.png").read_bytes())
    result = run("enroll", folder.parent, "--aligned", "--model", toy, "--force", gallery=tmp_path / "gallery")
    assert result.exit_code == 1
    assert f"{folder / '19.png'}: {NOT_THERE}; give its crop, or leave out --aligned" in result.output
    assert result.output.count("no aligned crop") == 1
    assert "24 added" in result.output


def test_photos_that_are_not_square_are_refused_together(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(20)]
    for path in paths:
        PIL.Image.new("RGB", (64, 48)).save(path)
    for look in (require_crops_in, lambda paths: list(faces_in_photos(paths, AlignedDetector(), 16))):
        with pytest.raises(DataError, match=r"0\.png: no aligned crop: 64x48 is not square \((6 of 6|16 of 16)"):
            look(paths)
    assert len(list(faces_in_photos(paths, AlignedDetector(known=True), 16))) == 20


def test_crops_of_a_size_once_seen_are_believed(raw: Path, crop: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector looks at some photos of each size, but at all as long as some are no crops."""
    looked = []
    detect = MTCNNDetector.detect
    monkeypatch.setattr(MTCNNDetector, "detect", lambda self, images: looked.append(1) or detect(self, images))
    check, large = CropCheck(), np.asarray(PIL.Image.fromarray(crop).resize((160, 160)))
    for image, looks in ((crop, 6), (large, 12)):
        for _ in range(2):
            check.faults([(Path("a.png"), image)] * 15)
        assert len(looked) == looks
    photo = read_image(raw / "p0" / "0.png")
    assert all(check.faults([(Path("a.png"), photo)] * 10))
    assert len(looked) == 22


def test_a_profile_is_not_moved_by_alignment_though_its_landmarks_are_elsewhere() -> None:
    squeezed = np.array([[0.5, 0], [0, 1]], np.float32)
    profile = ((template(112) - 55) @ squeezed + 55).astype(np.float32)  # eyes and corners of the mouth side by side
    forward = similarity(profile, template(112)).astype(np.float32)
    aligned = (profile @ forward[:, :2].T + forward[:, 2]).astype(np.float32)
    assert np.sqrt(np.square(aligned - template(112)).sum(1).mean()) / 112 > 0.06
    for side in (80, 112, 250):
        assert moved_by_alignment(((aligned + 0.5) * (side / 112) - 0.5).astype(np.float32), side) < 1e-5
    assert moved_by_alignment((aligned / 2 + 28).astype(np.float32), 112) > 0.15, (
        "in the middle of a picture twice as wide"
    )


@pytest.mark.real
def test_crops_in_profile_pass(shared_data: Path) -> None:
    paths = [path for path in find_photos(shared_data / "faces_profile") if path.name.startswith("p")]
    require_crops_in(paths)
    check = CropCheck()
    faults = [fault for path in paths[:32] for fault in check.faults([(path, read_image(path))])]
    assert faults.count(None) >= 31
