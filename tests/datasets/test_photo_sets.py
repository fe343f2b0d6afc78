"""Identity and class folders, exclusions, splits, and photos made into crops."""

import hashlib
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_faces import face_set, some_people, write_people, write_splits
from toy_runs import make_classes

from facerec.datasets.photo_sets import PhotoSet, read_exclusions, read_photos
from facerec.datasets.prepare import Detected, align_folder
from facerec.datasets.splits import limit_names, split_classes, split_people
from facerec.errors import DataError
from facerec.faces.detector import AlignedDetector
from facerec.faces.mtcnn import MTCNNDetector


def people_of(*sets: PhotoSet) -> list[set[str]]:
    return [set(faces.names) for faces in sets]


# ------------------------------------------------------------------------------------------------- folders


def test_identity_folders_become_paths_and_labels(tmp_path: Path) -> None:
    faces = read_photos(write_people(tmp_path / "faces", {"Zoë Çelik": 2, "Ann Lee": 3}))
    assert faces.names == ("Ann Lee", "Zoë Çelik")
    assert faces.labels.tolist() == [0, 0, 0, 1, 1]
    assert faces.labels.dtype == np.int64
    assert len(faces) == 5
    assert faces.keys()[:2] == ["faces/Ann Lee/000.png", "faces/Ann Lee/001.png"]
    assert [path.name for path in faces.photos_of("Zoë Çelik")] == ["000.png", "001.png"]


def test_the_folder_may_be_named_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`facerec train .` must find the same keys as `facerec train ../faces`."""
    monkeypatch.chdir(some_people(tmp_path / "faces", 1, 1))
    assert read_photos(Path()).keys() == ["faces/p000/000.png"]


def test_folders_without_photos_are_nobody(tmp_path: Path) -> None:
    folder = some_people(tmp_path / "faces", 2, 1)
    (folder / "nobody").mkdir()
    assert read_photos(folder).names == ("p000", "p001")


def test_only_keeps_the_photos_of_the_people_named(tmp_path: Path) -> None:
    faces = read_photos(write_people(tmp_path / "faces", {"a": 1, "b": 2, "c": 3}))
    some, all_keys = faces.only(["c", "a"]), faces.keys()
    assert some.names == ("a", "c")
    assert some.labels.tolist() == [0, 1, 1, 1]
    assert some.keys() == [key for key in all_keys if "/b/" not in key]


def test_the_fingerprint_changes_with_the_photos_and_not_with_the_place(tmp_path: Path) -> None:
    first, second = face_set(tmp_path / "x" / "faces", 2, 2), face_set(tmp_path / "y" / "faces", 2, 2)
    assert first.fingerprint() == second.fingerprint()
    (tmp_path / "y" / "faces" / "p000" / "000.png").rename(tmp_path / "y" / "faces" / "p000" / "new.png")
    assert first.fingerprint() != read_photos(tmp_path / "y" / "faces").fingerprint()
    assert first.fingerprint() != first.only(["p000"]).fingerprint()


def test_the_fingerprint_changes_with_one_byte_of_one_photo(tmp_path: Path) -> None:
    faces = face_set(tmp_path / "faces", 2, 2)
    before, content = faces.fingerprint(), bytearray(faces.paths[3].read_bytes())
    content[-1] ^= 1
    faces.paths[3].write_bytes(content)
    assert faces.fingerprint() != before
    content[-1] ^= 1
    faces.paths[3].write_bytes(content)
    assert faces.fingerprint() == before


def test_a_photo_that_cannot_be_read_has_the_hash_of_nothing(tmp_path: Path) -> None:
    faces = face_set(tmp_path / "faces", 2, 1)
    faces.paths[0].unlink()
    assert faces.hashes() == [
        hashlib.sha256().hexdigest(),
        hashlib.sha256(faces.paths[1].read_bytes()).hexdigest(),
    ]


def test_take_keeps_the_names_and_the_order_asked_for(tmp_path: Path) -> None:
    faces = face_set(tmp_path / "faces", 3, 2)
    some = faces.take(np.array([5, 0, 1]))
    assert some.names == faces.names
    assert some.labels.tolist() == [2, 0, 0]
    assert some.keys() == [faces.keys()[i] for i in (5, 0, 1)]


# ------------------------------------------------------------------------------------------------- exclusions


def test_photos_of_a_list_are_left_out(tmp_path: Path) -> None:
    folder = write_people(tmp_path / "my faces", {"Ann Lee": 2, "Bo": 1, "Çelik 王": 2})
    lines = ["# as check-data writes it", "", "my faces/Ann Lee/001.png", "my faces/Bo/000.png  ", "x/Çelik 王/000.png"]
    (tmp_path / "out.txt").write_text("\n".join(lines), "utf-8")
    assert read_exclusions(tmp_path / "out.txt") == {lines[2], "my faces/Bo/000.png", lines[4]}
    left = read_photos(folder, tmp_path / "out.txt")
    assert left.names == ("Ann Lee", "Çelik 王"), "who has no photo left is nobody"
    assert left.keys() == [f"my faces/{key}.png" for key in ("Ann Lee/000", "Çelik 王/000", "Çelik 王/001")]
    assert left.fingerprint() != read_photos(folder).fingerprint()


def test_a_list_that_leaves_nothing_or_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    folder = write_people(tmp_path / "faces", {"a": 1})
    (tmp_path / "all.txt").write_text("faces/a/000.png", "utf-8")
    (tmp_path / "odd.txt").write_bytes(b"\xff\xfe")
    for name, message in (
        ("all", "leaves no photo"),
        ("odd", "one folder/person/file a line"),
        ("none", "cannot be read"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            read_photos(folder, tmp_path / f"{name}.txt")
        assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------- splits


def test_listed_people_validate_and_people_of_other_lists_are_left_out(tmp_path: Path) -> None:
    faces = face_set(tmp_path / "faces", 8, 2)
    splits = write_splits(
        tmp_path / "splits",
        validation=["faces/p001", "faces/p002", "faces/not_here", "other/p007"],
        test=["faces/p003", "", "other/p006"],
        excluded=["faces/p004"],
    )
    train, validation = people_of(*split_people(faces, splits, seed=0))
    assert validation == {"p001", "p002"}
    assert train == {"p000", "p005", "p006", "p007"}


def test_names_with_spaces_can_be_listed(tmp_path: Path) -> None:
    faces = read_photos(write_people(tmp_path / "my faces", {"Ann Lee": 2, "Bo": 2, "C D E": 2, "F": 2, "G H": 1}))
    splits = write_splits(
        tmp_path / "splits", validation=["my faces/Ann Lee", "my faces/C D E "], test=["my faces/G H"]
    )
    assert people_of(*split_people(faces, splits, seed=0)) == [{"Bo", "F"}, {"Ann Lee", "C D E"}]


@pytest.mark.parametrize(("people", "expected"), [(4, 2), (19, 2), (40, 4)])
def test_without_lists_a_seeded_tenth_validates(people: int, expected: int, tmp_path: Path) -> None:
    faces = face_set(tmp_path / "faces", people, 2)
    train, validation = people_of(*split_people(faces, None, seed=0))
    assert len(validation) == expected
    assert not train & validation
    assert train | validation == set(faces.names)
    assert people_of(*split_people(faces, None, seed=0)) == [train, validation]
    others = [people_of(*split_people(faces, None, seed))[1] for seed in range(1, 9)]
    assert any(other != validation for other in others)


def bad_lists(tmp_path: Path) -> Path:
    return write_splits(tmp_path / "splits", validation=["faces/p000", "elsewhere/p001"])


def no_validation(tmp_path: Path) -> Path:
    return write_splits(tmp_path / "splits", test=["faces/p000"])


def all_listed(tmp_path: Path) -> Path:
    return write_splits(tmp_path / "splits", validation=[f"faces/p{i:03}" for i in range(4)])


def not_text(tmp_path: Path) -> Path:
    folder = no_validation(tmp_path)
    (folder / "validation.txt").write_bytes(b"\xff\xfe\x00")
    return folder


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tmp_path: tmp_path / "nowhere", "holds no validation.txt"),
        (no_validation, "holds no validation.txt"),
        (bad_lists, "4 people to train and 1 to validate on"),
        (all_listed, "1 person to train and 4 to validate on"),
        (not_text, "validation.txt: cannot be read"),
    ],
)
def test_splits_that_cannot_be_used_are_one_line(make: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    faces = face_set(tmp_path / "faces", 5, 2)
    with pytest.raises(DataError, match=message) as caught:
        split_people(faces, make(tmp_path), seed=0)
    assert "\n" not in str(caught.value)


def test_validation_without_two_photos_of_anybody_is_refused(tmp_path: Path) -> None:
    """There would be no genuine pair, and no TAR to choose the best weights by."""
    with pytest.raises(DataError, match="no validation person has two photos"):
        split_people(face_set(tmp_path / "faces", 5, 1), None, seed=0)


@pytest.mark.real
def test_nobody_of_the_real_lists_is_trained_on(shared_data: Path) -> None:
    """The counts are those of the data's own README."""
    train, validation = split_people(read_photos(shared_data / "faces"), shared_data / "splits", seed=0)
    assert (len(train.names), len(train)) == (1044, 25722)
    listed = {line for path in (shared_data / "splits").glob("*.txt") for line in path.read_text("utf-8").split()}
    assert not {f"faces/{person}" for person in train.names} & listed
    expected = (shared_data / "splits" / "validation.txt").read_text("utf-8").split()
    assert [f"faces/{person}" for person in validation.names] == sorted(expected)
    assert {path.parent.name for path in train.paths} == set(train.names)


def test_a_seeded_fifth_of_each_class_is_held_back(tmp_path: Path) -> None:
    photos = read_photos(make_classes(tmp_path / "kinds", 10, 2, 4).folder)
    train, validation = split_classes(photos, None, seed=0)
    assert train.names == validation.names == ("c0", "c1", "c2")
    assert np.bincount(validation.labels).tolist() == [2, 1, 1]
    assert np.bincount(train.labels).tolist() == [8, 1, 3]
    assert sorted(train.keys() + validation.keys()) == photos.keys()
    assert all(path.parent.name == train.names[label] for path, label in zip(train.paths, train.labels, strict=True))
    assert split_classes(photos, None, seed=0)[1].keys() == validation.keys()
    assert any(split_classes(photos, None, seed)[1].keys() != validation.keys() for seed in range(1, 5))


def test_a_folder_to_validate_on_is_labelled_as_the_trained_one(tmp_path: Path) -> None:
    """It may lack classes, and its own order of them is not that of the logits."""
    photos = read_photos(make_classes(tmp_path / "kinds", 2, 1, 2).folder)
    judge = read_photos(make_classes(tmp_path / "judge", 0, 1, 3, first=50).folder)
    train, validation = split_classes(photos, judge, seed=0)
    assert train is photos
    assert validation.names == ("c0", "c1", "c2")
    assert validation.labels.tolist() == [1, 2, 2, 2]
    assert validation.keys()[0] == "judge/c1/50.png"


@pytest.mark.parametrize(
    ("counts", "judge", "message"),
    [
        ((3,), None, "holds one class, c0; give a folder for each of two or more"),
        ((3, 1), None, "class c1 has one photo"),
        ((3, 3), (1, 1, 1), "class c2 is not trained; trained are c0, c1"),
    ],
)
def test_classes_that_cannot_be_split_are_one_line(
    counts: tuple[int, ...], judge: tuple[int, ...] | None, message: str, tmp_path: Path
) -> None:
    photos = read_photos(make_classes(tmp_path / "kinds", *counts).folder)
    validation = read_photos(make_classes(tmp_path / "judge", *judge, first=50).folder) if judge else None
    with pytest.raises(DataError, match=message) as caught:
        split_classes(photos, validation, seed=0)
    assert "\n" not in str(caught.value)


def test_a_photo_is_not_both_trained_and_validated_on_whatever_its_name(tmp_path: Path) -> None:
    photos = read_photos(make_classes(tmp_path / "kinds", 2, 2).folder)
    make_classes(tmp_path / "judge", 1, 1, first=50)
    (tmp_path / "judge" / "c1" / "copy.png").write_bytes(photos.paths[3].read_bytes())
    with pytest.raises(DataError, match=r"judge/c1/copy\.png: is among the training photos; validate on others"):
        split_classes(photos, read_photos(tmp_path / "judge"), seed=0)


def test_photos_that_cannot_be_read_are_not_taken_for_one_photo(tmp_path: Path) -> None:
    for folder in ("kinds", "judge"):
        make_classes(tmp_path / folder, 2, 2, first=50 * (folder == "judge"))
        (tmp_path / folder / "c0" / "empty.png").touch()
    train, validation = (read_photos(tmp_path / folder) for folder in ("kinds", "judge"))
    assert len(split_classes(train, validation, seed=0)[1]) == 5


def together(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def apart(name: str) -> str:
    return unicodedata.normalize("NFD", name)


@pytest.mark.parametrize(("listed", "filed"), [(together, apart), (apart, together)])
def test_a_listed_name_is_found_however_its_accents_are_written(
    listed: Callable[[str], str], filed: Callable[[str], str], tmp_path: Path
) -> None:
    """A test person who is not recognised would be trained on."""
    names = [filed("José"), filed("Zoë")]
    faces = read_photos(write_people(tmp_path / "faces", {**dict.fromkeys(names, 2), "a": 2, "b": 2, "c": 2}))
    lines = [listed(f"faces/{name}") for name in names]
    splits = write_splits(tmp_path / "splits", validation=["faces/a", "faces/b", lines[0]], test=[lines[1]])
    write_people(tmp_path / "faces", {"d": 2})
    train, validation = split_people(read_photos(faces.root), splits, seed=0)
    assert train.names == ("c", "d")
    assert set(validation.names) == {"a", "b", names[0]}
    (tmp_path / "out.txt").write_text(f"{lines[1]}/000.png\n", "utf-8")
    assert len(read_photos(faces.root, tmp_path / "out.txt")) == 11


def test_a_list_that_names_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    faces = face_set(tmp_path / "faces", 4, 2)
    (tmp_path / "out.txt").write_text("# a comment\nfaces/p000/000.png\nrenamed/p000/001.png\n#x/y.png\n", "utf-8")
    assert len(read_photos(faces.root, tmp_path / "out.txt")) == 7
    assert caplog.messages == [f"{tmp_path / 'out.txt'}: names photos that do not exist: #x/y.png and 1 more"]
    splits = write_splits(tmp_path / "splits", validation=["other/p000"], test=["other/p001"])
    with pytest.raises(DataError, match=r"its lists name nobody of .*; write faces/PERSON, a line each"):
        split_people(faces, splits, seed=0)


def test_limit_people_is_a_seeded_choice(tmp_path: Path) -> None:
    faces = face_set(tmp_path / "faces", 12, 1)
    few = limit_names(faces, 5, seed=0)
    assert len(few.names) == 5
    assert set(few.names) < set(faces.names)
    assert few.names == limit_names(faces, 5, seed=0).names
    assert any(few.names != limit_names(faces, 5, seed).names for seed in range(1, 5))
    assert limit_names(faces, 99, seed=0).names == faces.names


# ------------------------------------------------------------------------------------------------- photos to crops


def test_photos_are_aligned_for_training_once(small_samples: Path, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    shutil.copytree(small_samples / "people", folder)
    Image.fromarray(np.full((200, 200, 3), 90, np.uint8)).save(folder / "Joe Biden" / "wall.png")
    (folder / "Joe Biden" / "broken.jpg").write_bytes(b"not an image")
    photos = sorted(p.relative_to(folder) for p in folder.glob("*/*.jpg") if p.name != "broken.jpg")

    target, failures = align_folder(folder, tmp_path / "crops", MTCNNDetector(crop_size=128))
    assert target == tmp_path / "crops" / "people"
    crops = sorted(target.rglob("*.png"))
    assert [str(p.relative_to(target)) for p in crops] == [f"{p}.png" for p in photos]
    for crop in crops:
        with Image.open(crop) as image:
            assert image.size == (128, 128)
    assert len(failures) == 2
    for failure, name in zip(sorted(failures), ("broken.jpg", "wall.png"), strict=True):
        assert name in failure
        assert "\n" not in failure
    assert read_photos(target).names == tuple(sorted({p.parts[0] for p in photos}))

    before = {crop: crop.stat().st_mtime_ns for crop in crops}
    _, failures = align_folder(folder, tmp_path / "crops", MTCNNDetector(crop_size=128))
    assert {crop: crop.stat().st_mtime_ns for crop in crops} == before, "what is there already is kept"
    assert len(failures) == 2

    gone, changed = crops[0], crops[1]
    (folder / gone.relative_to(target).with_suffix("")).unlink()
    (folder / changed.relative_to(target).with_suffix("")).touch()
    asked: list[int] = []

    def watch(photos: Detected, total: int) -> Detected:
        asked.append(total)
        return photos

    align_folder(folder, tmp_path / "crops", MTCNNDetector(crop_size=128), watch)
    left = {crop: crop.stat().st_mtime_ns for crop in target.rglob("*.png")}
    assert left.keys() == before.keys() - {gone}, "a withdrawn photo is not trained on"
    assert [crop for crop in left if left[crop] != before[crop]] == [changed]
    assert asked == [3]  # the changed photo, and the two that cannot be used


@pytest.mark.parametrize("place", ["the photos", "below them", "above them", "a folder of something else"])
def test_nothing_but_stale_crops_is_ever_deleted(place: str, tmp_path: Path) -> None:
    """Somebody's own pictures may lie where the crops would go: then nothing is made, and nothing deleted."""
    folder, output = tmp_path / "run" / "crops" / "people", tmp_path / "run" / "crops"
    write_people(folder, {"ann": 2, "bob": 2}, size=128)
    if place == "below them":
        output = folder / "models"
    elif place == "above them":
        write_people(folder / "2020" / "people", {"eve": 1}, size=128)
        folder = folder / "2020" / "people"
    elif place == "a folder of something else":
        folder = write_people(tmp_path / "people", {"cyd": 1}, size=128)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="give another `output`"):
        align_folder(folder, output, AlignedDetector(128))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_photo_with_the_longest_name_gets_a_crop(tmp_path: Path) -> None:
    folder = write_people(tmp_path / "people", {"ann": 2}, size=128)
    long = [folder / "ann" / f"{'n' * 250}{i}.png" for i in range(2)]
    for path, new in zip(sorted((folder / "ann").iterdir()), long, strict=True):
        path.rename(new)
    target, failures = align_folder(folder, tmp_path / "crops", AlignedDetector(128))
    assert failures == []
    assert len(list((target / "ann").iterdir())) == 2
