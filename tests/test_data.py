"""Identity folders, splits, augmentation and the batches of pixels."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_faces import face_set, photo, some_people, write_people, write_splits

from facerec.data import (
    Detected,
    FaceSet,
    align_folder,
    augment,
    disturb,
    limit_people,
    read_faces,
    split_people,
    still_batches,
    to_tensor,
    training_batches,
)
from facerec.detect import AlignedDetector, MTCNNDetector
from facerec.errors import DataError


def people_of(*sets: FaceSet) -> list[set[str]]:
    return [set(faces.people) for faces in sets]


# ------------------------------------------------------------------------------------------------- folders


def test_identity_folders_become_paths_and_labels(tmp_path: Path) -> None:
    faces = read_faces(write_people(tmp_path / "faces", {"Zoë Çelik": 2, "Ann Lee": 3}))
    assert faces.people == ("Ann Lee", "Zoë Çelik")
    assert faces.labels.tolist() == [0, 0, 0, 1, 1]
    assert faces.labels.dtype == np.int64
    assert len(faces) == 5
    assert faces.keys()[:2] == ["faces/Ann Lee/000.png", "faces/Ann Lee/001.png"]
    assert [path.name for path in faces.photos_of("Zoë Çelik")] == ["000.png", "001.png"]


def test_the_folder_may_be_named_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`facerec train .` must find the same keys as `facerec train ../faces`."""
    monkeypatch.chdir(some_people(tmp_path / "faces", 1, 1))
    assert read_faces(Path()).keys() == ["faces/p000/000.png"]


def test_folders_without_photos_are_nobody(tmp_path: Path) -> None:
    folder = some_people(tmp_path / "faces", 2, 1)
    (folder / "nobody").mkdir()
    assert read_faces(folder).people == ("p000", "p001")


def test_only_keeps_the_photos_of_the_people_named(tmp_path: Path) -> None:
    faces = read_faces(write_people(tmp_path / "faces", {"a": 1, "b": 2, "c": 3}))
    some, all_keys = faces.only(["c", "a"]), faces.keys()
    assert some.people == ("a", "c")
    assert some.labels.tolist() == [0, 1, 1, 1]
    assert some.keys() == [key for key in all_keys if "/b/" not in key]


def test_the_fingerprint_changes_with_the_photos_and_not_with_the_place(tmp_path: Path) -> None:
    first, second = face_set(tmp_path / "x" / "faces", 2, 2), face_set(tmp_path / "y" / "faces", 2, 2)
    assert first.fingerprint() == second.fingerprint()
    (tmp_path / "y" / "faces" / "p000" / "000.png").rename(tmp_path / "y" / "faces" / "p000" / "new.png")
    assert first.fingerprint() != read_faces(tmp_path / "y" / "faces").fingerprint()
    assert first.fingerprint() != first.only(["p000"]).fingerprint()


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
    faces = read_faces(write_people(tmp_path / "my faces", {"Ann Lee": 2, "Bo": 2, "C D E": 2, "F": 2, "G H": 1}))
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
    assert train | validation == set(faces.people)
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
        (all_listed, "1 people to train and 4 to validate on"),
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
    with pytest.raises(DataError, match="nobody to validate on has two photos"):
        split_people(face_set(tmp_path / "faces", 5, 1), None, seed=0)


@pytest.mark.real
def test_nobody_of_the_real_lists_is_trained_on(shared_data: Path) -> None:
    """The counts are those of the data's own README."""
    train, validation = split_people(read_faces(shared_data / "faces"), shared_data / "splits", seed=0)
    assert (len(train.people), len(train)) == (1044, 25722)
    listed = {line for path in (shared_data / "splits").glob("*.txt") for line in path.read_text("utf-8").split()}
    assert not {f"faces/{person}" for person in train.people} & listed
    expected = (shared_data / "splits" / "validation.txt").read_text("utf-8").split()
    assert [f"faces/{person}" for person in validation.people] == sorted(expected)
    assert {path.parent.name for path in train.paths} == set(train.people)


def test_limit_people_is_a_seeded_choice(tmp_path: Path) -> None:
    faces = face_set(tmp_path / "faces", 12, 1)
    few = limit_people(faces, 5, seed=0)
    assert len(few.people) == 5
    assert set(few.people) < set(faces.people)
    assert few.people == limit_people(faces, 5, seed=0).people
    assert any(few.people != limit_people(faces, 5, seed).people for seed in range(1, 5))
    assert limit_people(faces, 99, seed=0).people == faces.people


# ------------------------------------------------------------------------------------------------- pixels


def test_augmentation_shifts_by_up_to_8_pixels_and_mirrors_half_the_time() -> None:
    rows, columns = np.mgrid[:128, :128].astype(np.uint8)
    crop = np.stack([rows, columns, rows], axis=-1)
    shifts, mirrored = [], []
    for seed in range(600):
        out = augment(crop, np.random.default_rng(seed))
        assert out.shape == (112, 112, 3)
        top, left, flipped = int(out[0, 0, 0]), int(out[..., 1].min()), bool(out[0, 0, 1] > out[0, -1, 1])
        window = crop[top : top + 112, left : left + 112]
        assert np.array_equal(out, window[:, ::-1] if flipped else window)
        shifts.append((top - 8, left - 8))
        mirrored.append(flipped)
    for axis in (0, 1):
        assert {shift[axis] for shift in shifts} == set(range(-8, 9))
    assert 0.42 < np.mean(mirrored) < 0.58


def test_crops_become_channels_first_and_are_scaled_on_request() -> None:
    crops = [photo(0, 0)[8:120, 8:120], photo(1, 0)[8:120, 8:120]]
    plain = to_tensor(crops)
    assert plain.dtype == torch.uint8
    assert plain.shape == (2, 3, 112, 112)
    assert plain[1, :, 5, 9].tolist() == crops[1][5, 9].tolist()
    small = to_tensor(crops, 56)
    assert small.dtype == torch.float32
    assert small.shape == (2, 3, 56, 56)
    # Half the size, antialiased: smooth, and of the same mean colour.
    torch.testing.assert_close(small.mean((2, 3)), plain.float().mean((2, 3)), atol=0.5, rtol=0)
    assert small.std() < plain.float().std()


def batches_of(faces: FaceSet, plan: list[list[int]], seed: int = 0, epoch: int = 0, size: int = 112) -> list:
    return list(training_batches(faces, [np.array(batch) for batch in plan], size, seed, epoch))


def test_training_batches_are_the_photos_asked_for_in_order(tmp_path: Path) -> None:
    faces = face_set(tmp_path / "faces", 4, 3)
    plan = [[0, 11, 5], [3, 2], [7, 1, 10], [4, 6], [8, 9]]  # more batches than are read ahead
    batches = batches_of(faces, plan)
    assert [positions.tolist() for _, positions in batches] == plan
    for pixels, positions in batches:
        assert pixels.shape == (len(positions), 3, 112, 112)
        assert pixels.dtype == torch.uint8
        for crop, position in zip(pixels, positions, strict=True):
            assert is_window(crop.permute(1, 2, 0).numpy(), photo(int(faces.labels[position]), int(position) % 3))


def is_window(crop: np.ndarray, whole: np.ndarray) -> bool:
    """Whether the 112x112 crop lies somewhere in the 128x128 photo, mirrored or not."""
    windows = np.lib.stride_tricks.sliding_window_view(whole, (112, 112), axis=(0, 1))  # (17, 17, 3, 112, 112)
    both = np.stack([crop, crop[:, ::-1]]).transpose(0, 3, 1, 2)
    return any((windows == one).all((2, 3, 4)).any() for one in both)


def test_the_same_seed_and_epoch_give_the_same_pixels_and_another_gives_others(tmp_path: Path) -> None:
    faces, plan = face_set(tmp_path / "faces", 3, 4), [[0, 4, 8, 1], [5, 9, 2, 6]]
    first = torch.cat([pixels for pixels, _ in batches_of(faces, plan)])
    assert torch.equal(first, torch.cat([pixels for pixels, _ in batches_of(faces, plan)]))
    for seed, epoch in ((0, 1), (1, 0)):
        assert not torch.equal(first, torch.cat([pixels for pixels, _ in batches_of(faces, plan, seed, epoch)]))


def test_a_photos_augmentation_does_not_depend_on_where_the_epoch_was_taken_up(tmp_path: Path) -> None:
    faces, plan = face_set(tmp_path / "faces", 3, 4), [[0, 4], [8, 1], [5, 9], [2, 6]]
    whole, rest = batches_of(faces, plan, size=64), batches_of(faces, plan[2:], size=64)
    for (pixels, positions), (again, same_positions) in zip(whole[2:], rest, strict=True):
        assert torch.equal(pixels, again)
        assert positions.tolist() == same_positions.tolist()


def test_an_unreadable_photo_is_named_and_left_out_of_its_batch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faces = face_set(tmp_path / "faces", 2, 4)
    faces.paths[1].write_bytes(b"not an image")
    faces.paths[6].unlink()
    with caplog.at_level(logging.WARNING):
        batches = batches_of(faces, [[0, 1, 4], [5, 6, 2, 7]])
    assert [positions.tolist() for _, positions in batches] == [[0, 4], [5, 2, 7]]
    assert [len(pixels) for pixels, _ in batches] == [2, 3]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    for message, position in zip(sorted(messages), (1, 6), strict=True):
        assert str(faces.paths[position]) in message
        assert "\n" not in message


def test_a_batch_that_cannot_be_read_ends_the_run_with_one_line(tmp_path: Path) -> None:
    faces = face_set(tmp_path / "faces", 2, 2)
    for path in faces.paths[1:]:
        path.write_bytes(b"")
    with pytest.raises(DataError, match="fewer than two photos of a batch can be read"):
        batches_of(faces, [[0, 1, 2]])


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_still_batches_are_the_centres_in_order(
    batch_size: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faces = face_set(tmp_path / "faces", 3, 3)
    Image.fromarray(np.zeros((80, 128, 3), np.uint8)).save(faces.paths[4])
    batches = list(still_batches(faces, batch_size))
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"left out: {faces.paths[4]}: 128x80 is not an aligned crop")
    positions = np.concatenate([positions for _, positions in batches]).tolist()
    assert positions == [0, 1, 2, 3, 5, 6, 7, 8]
    pixels = torch.cat([pixels for pixels, _ in batches])
    for crop, position in zip(pixels, positions, strict=True):
        whole = photo(int(faces.labels[position]), position % 3)
        assert np.array_equal(crop.permute(1, 2, 0).numpy(), whole[8:120, 8:120])


def test_crops_of_112_pixels_can_be_trained_on_too(tmp_path: Path) -> None:
    """They lack the margin: black moves in where a shift leaves them."""
    faces = read_faces(write_people(tmp_path / "faces", {"a": 2, "b": 2}, size=112))
    ((pixels, _),) = batches_of(faces, [[0, 1, 2, 3]])
    assert pixels.shape == (4, 3, 112, 112)
    ((still, _),) = still_batches(faces, 4)
    assert np.array_equal(still[3].permute(1, 2, 0).numpy(), photo(1, 1, 112))


def test_strong_augmentation_changes_light_colour_sharpness_and_covers_parts() -> None:
    crop = photo(0, 0, 112)
    before = crop.copy()
    views = [disturb(crop, np.random.default_rng(i)) for i in range(200)]
    assert np.array_equal(crop, before), "the crop itself is left alone"
    assert all(view.shape == crop.shape and view.dtype == np.uint8 for view in views)
    assert len({view.tobytes() for view in views}) == 200
    grey = [bool((np.ptp(view.astype(int), axis=2) == 0).mean() > 0.75) for view in views]
    assert 20 <= sum(grey) <= 60  # a fifth
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    even = [
        np.mean(np.abs(np.diff(disturb(noise, np.random.default_rng(i)).astype(int), axis=1)).sum(2) == 0)
        for i in range(200)
    ]
    assert 40 <= (np.array(even) > 0.02).sum() <= 85  # three in ten have a part of one colour
    contrast = [view.std() / crop.std() for view in views]
    assert min(contrast) < 0.85
    assert max(contrast) > 1.15
    sharpness = np.array([np.abs(np.diff(view.astype(float).mean(2), axis=0)).mean() for view in views])
    assert 20 <= (sharpness < 0.5 * np.median(sharpness)).sum() <= 80  # a quarter is of low resolution


def test_strong_augmentation_follows_from_seed_epoch_and_place(tmp_path: Path) -> None:
    faces = face_set(tmp_path / "faces", 2, 2)
    everything = [np.arange(4)]

    def pixels(epoch: int, strong: bool) -> torch.Tensor:
        ((crops, _),) = training_batches(faces, everything, 112, 0, epoch, strong)
        return crops

    assert torch.equal(pixels(0, True), pixels(0, True))
    assert not torch.equal(pixels(0, True), pixels(1, True))
    assert not torch.equal(pixels(0, True), pixels(0, False))


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
    assert read_faces(target).people == tuple(sorted({p.parts[0] for p in photos}))

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
    with pytest.raises(DataError, match="give another --output"):
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
