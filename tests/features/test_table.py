"""Features of stages: the numbers themselves, the command, and pictures that are alike."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_classes
import toy_fixtures
import toy_model
from running import json_lines, run

from facerec.errors import ConfigError, ImageError, ModelError
from facerec.extras import install
from facerec.faces.detector import AlignedDetector
from facerec.features.similar import most_alike
from facerec.features.table import PhotoFeatures, gather_features, photo_features, read_features
from facerec.inference.loading import load_stage
from facerec.models.backbones import BACKBONES
from facerec.models.checkpoint import describe, load_model, load_pretrained, save_model
from facerec.models.network import Network
from facerec.photos.crops import aligned_crop, centre_picture
from facerec.photos.folders import find_photos
from facerec.photos.reading import read_image

pytestmark = pytest.mark.usefixtures("one_thread")
STAGES = [name for name, _ in BACKBONES["squeezenet1_1"].stages]


classifier = toy_fixtures.classifier


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six pictures of each class in a folder of its name, and one that is damaged."""
    for kind, name in enumerate(toy_classes.NAMES):
        for number in range(6):
            toy_classes.save_picture(tmp_path / "pictures" / name / f"{number}.png", kind, number)
    (tmp_path / "pictures" / "green" / "bad.png").write_bytes(b"no picture")
    return tmp_path / "pictures"


def by_hand(folder: Path, layer: str, crops: list[np.ndarray]) -> np.ndarray:
    """Picture by picture: the stages one after the other, then the mean of every map."""
    network, card = load_model(folder)
    rows = []
    for crop in crops:
        x = torch.from_numpy(crop.astype(np.float32).transpose(2, 0, 1)[None])
        x = (x - torch.tensor(card.mean).view(3, 1, 1)) / torch.tensor(card.std).view(3, 1, 1)
        with torch.inference_mode():
            for name, stage in network.named_stages():
                x = stage(x)
                if name == layer:
                    break
        rows.append([float(channel.mean()) for channel in x[0]])
    return np.array(rows)


# --------------------------------------------------------------------------------------------------------- the numbers


@pytest.mark.parametrize("layer", STAGES)
def test_features_are_the_means_of_a_stages_maps(classifier: Path, layer: str) -> None:
    crops = np.stack([toy_classes.picture(kind, 0, 56, 56) for kind in (0, 1, 2)])
    reader = load_stage(str(classifier), layer)
    rows = reader.embed(crops)
    expected = by_hand(classifier, layer, list(crops))
    assert (rows.shape, rows.dtype, reader.card.embedding_dim) == (expected.shape, np.float32, expected.shape[1])
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)
    assert reader.embed(crops[:0]).shape == (0, expected.shape[1])


def test_the_last_stage_is_what_is_meant_without_one(classifier: Path) -> None:
    assert load_stage(str(classifier)).layer == STAGES[-1]


def test_flat_pooling_does_not_keep_features_from_being_means(tmp_path: Path) -> None:
    network = Network("squeezenet1_1", 8, pooling="flat", kept_stages=3)
    save_model(network, tmp_path, describe(network, "flat"))
    crop = toy_model.crop(0, 0)
    rows = load_stage(str(tmp_path)).embed(crop[None])
    np.testing.assert_allclose(rows, by_hand(tmp_path, STAGES[2], [crop]), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("random_weights")
def test_a_backbone_by_its_name_has_its_authors_weights_and_a_fingerprint_of_them() -> None:
    network, card = load_pretrained("squeezenet1_1", 64)
    again, other = load_pretrained("squeezenet1_1", 64)
    assert card == other, "nothing random is in the fingerprint"
    assert (card.name, card.mode, card.input_size, card.embedding_dim) == ("squeezenet1_1", "classify", 64, 512)
    assert load_pretrained("squeezenet1_1")[1].fingerprint != card.fingerprint, "the size is part of what is computed"
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(network(pixels), again.pooled(pixels, 4))
    reader = load_stage("squeezenet1_1", "stage1", 64)
    assert (reader.card.fingerprint, reader.card.embedding_dim, reader.layer) == (card.fingerprint, 128, "stage1")


@pytest.mark.usefixtures("random_weights")
def test_stages_and_sizes_that_there_are_not(classifier: Path, toy: Path) -> None:
    with pytest.raises(ConfigError, match="no stage 'layer9'; give one of stage0, stage1, stage2, stage3"):
        load_stage("squeezenet1_1", "layer9")
    with pytest.raises(ConfigError, match="8 pixels are too few for stage3 of squeezenet1_1"):
        load_stage("squeezenet1_1", input_size=8)
    with pytest.raises(ConfigError, match="reads 56 pixels; `input_size` is for a backbone"):
        load_stage(str(classifier), input_size=64)
    with pytest.raises(ModelError, match="which has no stages"):
        load_stage(str(toy))
    with pytest.raises(ModelError, match="no model folder, and no backbone of this name"):
        load_stage("squeezenet9")


def test_a_network_that_gives_no_numbers_is_a_broken_model(tmp_path: Path) -> None:
    network = Network("squeezenet1_1", 3, mode="classify", input_size=56)
    torch.nn.init.constant_(next(network.stages.parameters()), float("nan"))
    save_model(network, tmp_path, describe(network, "nan", toy_classes.NAMES))
    with pytest.raises(ModelError, match="features that are not finite; copy the model again"):
        load_stage(str(tmp_path)).embed(np.zeros((1, 56, 56, 3), np.uint8))


# ----------------------------------------------------------------------------------------------------------- the photos


def test_the_middle_of_each_picture_is_read_and_bad_ones_are_named(classifier: Path, pictures: Path) -> None:
    reader = load_stage(str(classifier), "stage1")
    paths = find_photos(pictures)
    photos = list(photo_features(paths, reader))
    assert [photo.path for photo in photos] == paths
    (bad,) = [photo for photo in photos if photo.row is None]
    assert isinstance(bad.error, ImageError)
    assert bad.path.name == "bad.png"
    good = [photo for photo in photos if photo.row is not None]
    crops = [centre_picture(read_image(photo.path), 56) for photo in good]
    np.testing.assert_allclose(
        np.array([photo.row for photo in good]), by_hand(classifier, "stage1", crops), rtol=1e-4, atol=1e-5
    )


def test_a_face_model_sees_the_main_face(tiny_model: Path, crops: Path) -> None:
    reader = load_stage(str(tiny_model))
    paths = find_photos(crops / "people")
    rows = np.array([photo.row for photo in photo_features(paths, reader, AlignedDetector(112))])
    expected = by_hand(tiny_model, STAGES[-1], [aligned_crop(read_image(path)) for path in paths])
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)


def test_labels_are_the_first_folder_below(classifier: Path, pictures: Path) -> None:
    toy_classes.save_picture(pictures / "loose.png", 0, 9)
    toy_classes.save_picture(pictures / "green" / "deep" / "x.png", 0, 8)
    (pictures / "linked").symlink_to(pictures.parent / "elsewhere", target_is_directory=True)
    toy_classes.save_picture(pictures.parent / "elsewhere" / "y.png", 0, 7)
    reader = load_stage(str(classifier), "stage0")
    table = gather_features(photo_features(find_photos(pictures), reader), pictures, reader)
    owners = dict(zip(table.paths, table.labels, strict=True))
    assert len(table) == 21
    assert owners["linked/y.png"] == "linked"
    assert (owners["loose.png"], owners["green/deep/x.png"], owners["Çelik 王/0.png"]) == ("", "green", "Çelik 王")


# ---------------------------------------------------------------------------------------------------------- the command


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_the_command_writes_the_table_and_names_what_is_missing(classifier: Path, pictures: Path, suffix: str) -> None:
    output = pictures.parent / f"new/x{suffix}"
    result = run("features", pictures, "--model", classifier, "--layer", "stage1", "--output", output, "--json")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "bad.png: not an image" in line
    table = read_features(output)
    assert json_lines(result) == [
        {"output": str(output), "photos": 18, "features": 128, "layer": "stage1", "model": "toy classes",
         "model_fingerprint": table.fingerprint},
    ]  # fmt: skip
    assert table.fingerprint == load_stage(str(classifier)).card.fingerprint
    assert (len(table), set(table.labels)) == (18, set(toy_classes.NAMES))


def test_the_command_for_people_and_faces(tiny_model: Path, crops: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.npz"
    result = run("features", crops / "people", "--aligned", "--model", tiny_model, "--output", output)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{output} holds 512 features of 6 photos, stage3 of tiny.\n6 photos: 6 used\n"
    assert read_features(output).labels == ("Ann Lee",) * 2 + ("Bob O'Ray",) * 2 + ("Çelik 王",) * 2


def test_names_that_are_no_text_can_be_written(classifier: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    toy_classes.save_picture(tmp_path / "in" / folder.name / "1.png", 0, 0)
    for suffix in (".npz", ".parquet"):
        output = tmp_path / f"x{suffix}"
        assert run("features", tmp_path / "in", "--model", classifier, "--output", output).exit_code == 0
        assert read_features(output).labels == ("caf\\xe9",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give --output FILE to write the features, --classifier to measure a classifier, or both"),
        (["--output", "x.csv"], "x.csv: features are written as .npz or .parquet"),
        (["--output", "x.npz", "--test", "DIR"], "--test DIR goes with --classifier"),
        (["--output", "x.npz", "--layer", "conv9"], "toy classes has no stage 'conv9'; give one of stage0"),
        (["--output", "x.npz", "--aligned"], "looks at whole pictures and finds no faces; leave out --aligned"),
        (["--output", "folder.npz"], "folder.npz: is a folder"),
        (["--output", "file/x.npz"], "x.npz: cannot be written (File exists)"),
        (["--classifier", "svm", "--test", "DIR"], "is among the training photos; validate on others"),
    ],
)
def test_what_cannot_be_is_one_line(
    classifier: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(pictures.parent)
    Path("folder.npz").mkdir()
    Path("file").touch()
    given = [pictures if word == "DIR" else word for word in words]
    result = run("features", pictures, "--model", classifier, *given)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert message in line
    assert not Path("x.npz").exists()


def test_a_size_that_no_memory_holds_is_not_called_too_small(pictures: Path, tmp_path: Path) -> None:
    given = ("--model", "squeezenet1_1", "--input-size", 100_000, "--output", tmp_path / "x.npz")
    result = run("features", pictures, *given)
    assert result.exit_code == 2
    assert "100000 is not in the range 1<=x<=2048" in result.stderr


def test_a_folder_of_nothing_usable_writes_nothing(classifier: Path, pictures: Path, tmp_path: Path) -> None:
    for path in find_photos(pictures):
        path.write_bytes(b"no picture")
    result = run("features", pictures, "--model", classifier, "--output", tmp_path / "x.npz")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 19)
    assert not (tmp_path / "x.npz").exists()


def test_parquet_without_its_library(classifier: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    result = run("features", pictures, "--model", classifier, "--output", pictures.parent / "x.parquet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert install("parquet") in result.stderr


# --------------------------------------------------------------------------------------------------- what is most alike


def test_pictures_most_alike_are_those_of_the_largest_cosine(classifier: Path, pictures: Path) -> None:
    reader = load_stage(str(classifier))
    photos = list(photo_features(find_photos(pictures), reader))
    row = photos[0].row
    assert row is not None
    hits = most_alike(row, photos, 7)
    unit = {p.path: p.row / np.linalg.norm(p.row) for p in photos if p.row is not None}
    expected = sorted(unit, key=lambda path: np.square(unit[path] - unit[photos[0].path]).sum())
    assert [hit.path for hit in hits] == expected[:7]
    for hit in hits:
        assert hit.distance == pytest.approx(np.square(unit[hit.path] - unit[photos[0].path]).sum(), abs=1e-5)


def test_features_without_a_direction_are_like_nothing() -> None:
    photos = [PhotoFeatures(Path("a"), np.zeros(3, np.float32)), PhotoFeatures(Path("b"), np.ones(3, np.float32))]
    assert [(hit.path.name, hit.cosine) for hit in most_alike(np.ones(3, np.float32), photos, 5)] == [
        ("b", pytest.approx(1)), ("a", 0),
    ]  # fmt: skip


def test_search_finds_pictures_of_the_same_class(classifier: Path, pictures: Path, tmp_path: Path) -> None:
    wanted = toy_classes.save_picture(tmp_path / "red.png", 2, 99)
    result = run("search", wanted, "--in", pictures, "--model", classifier, "--top", 6, "--json")
    lines = json_lines(result)
    assert result.exit_code == 1
    assert "bad.png" in result.stderr
    assert [Path(line["image"]).parent.name for line in lines] == [toy_classes.NAMES[2]] * 6
    assert [list(line) for line in lines] == [["image", "distance", "cosine"]] * 6
    assert all(line["distance"] == pytest.approx(2 - 2 * line["cosine"]) for line in lines)
    (pictures / "green" / "bad.png").unlink()
    told = run("search", wanted, "--in", pictures, "--model", classifier, "--top", 1, "--quiet")
    assert told.exit_code == 0
    assert told.stdout == f"{lines[0]['image']}: distance {lines[0]['distance']:.2f}, cosine {lines[0]['cosine']:.3f}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threshold", 1], "--threshold is for faces, and this model compares whole pictures"),
        (["--aligned"], "leave out --aligned"),
    ],
)
def test_search_for_pictures_has_no_use_for_what_faces_have(
    classifier: Path, pictures: Path, words: list[object], message: str
) -> None:
    result = run("search", pictures / "green" / "0.png", "--in", pictures, "--model", classifier, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_search_for_a_picture_that_cannot_be_read(classifier: Path, pictures: Path) -> None:
    result = run("search", pictures / "green" / "bad.png", "--in", pictures, "--model", classifier)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "bad.png: not an image" in result.stderr


def test_a_face_models_search_is_as_it_was(crops: Path, toy: Path) -> None:
    result = run(
        "search", crops / "ann.png", "--in", crops / "people", "--model", toy, "--aligned", "--json", "--top", 1
    )
    (line,) = json_lines(result)
    assert line["same"] is True
