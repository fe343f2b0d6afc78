"""Raw photos given as aligned crops are refused by every command, in one line; crops of other sizes are taken."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from complaints import refused
from running import run

from facerec.errors import DataError
from facerec.faces.aligned import require_crops, require_crops_in
from facerec.faces.detector import AlignedDetector, faces_in_photos
from facerec.faces.mtcnn import MTCNNDetector
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


def test_crops_of_any_size_are_taken(crop: np.ndarray) -> None:
    for side in (60, 96, 160, 224, 250):
        image = np.asarray(PIL.Image.fromarray(crop).resize((side, side)))
        require_crops([(Path("a.png"), image)] * 2)
    tight = np.asarray(PIL.Image.fromarray(crop[8:120, 8:120]).resize((224, 224)))
    require_crops([(Path("a.png"), tight)])
    require_crops([(Path("a.png"), np.zeros((200, 200, 3), np.uint8))])  # no face: nothing is known


def test_a_few_others_among_crops_are_not_refused_together(raw: Path, crop: np.ndarray) -> None:
    photo = read_image(raw / "p0" / "0.png")
    require_crops([(Path("a.png"), crop), (Path("b.png"), photo)])
    require_crops([(Path("a.png"), crop), (Path("b.png"), photo[:200])])
    with pytest.raises(DataError, match=r"^b\.png: .*\(2 of 3 photos looked at are none\); leave out `aligned`$"):
        require_crops([(Path("a.png"), crop), (Path("b.png"), photo), (Path("c.png"), photo[:200])])


def test_photos_that_are_not_square_are_refused_together(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(20)]
    for path in paths:
        PIL.Image.new("RGB", (64, 48)).save(path)
    for look in (require_crops_in, lambda paths: list(faces_in_photos(paths, AlignedDetector(), 16))):
        with pytest.raises(DataError, match=r"0\.png: no aligned crop: 64x48 is not square \(8 of 8"):
            look(paths)
    assert len(list(faces_in_photos(paths, AlignedDetector(known=True), 16))) == 20


def test_crops_once_seen_are_believed(crop: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector looks at some photos and not at all."""
    looked = []
    detect = MTCNNDetector.detect
    monkeypatch.setattr(MTCNNDetector, "detect", lambda self, images: looked.append(1) or detect(self, images))
    detector, large = AlignedDetector(), np.asarray(PIL.Image.fromarray(crop).resize((160, 160)))
    for _ in range(3):
        detector.require_crops([(Path("a.png"), crop)] * 30)
    assert not looked
    for _ in range(3):
        detector.require_crops([(Path("a.png"), large)] * 30)
    assert len(looked) == 8
