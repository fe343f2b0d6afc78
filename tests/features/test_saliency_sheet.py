"""What a network sees: maps, filters and Grad-CAM against slow oracles; the sheet; the command."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import toy_classes
import toy_fixtures
import toy_model
from running import json_lines, run
from torch import nn

from facerec.errors import ConfigError
from facerec.faces.detector import AlignedDetector
from facerec.features import saliency_sheet
from facerec.features.saliency_sheet import CHANNELS, decision, draw_sheet, mosaic, strongest
from facerec.inference.loading import load_embedder, load_stage
from facerec.models.backbones import BACKBONES
from facerec.models.card import read_card
from facerec.models.checkpoint import describe, load_model, save_model
from facerec.models.network import Network
from facerec.models.saliency import Sight, look
from facerec.photos.crops import centre_picture
from facerec.photos.reading import read_image

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
OTHER = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)

pytestmark = pytest.mark.usefixtures("one_thread")


def new_network(backbone: str = "squeezenet1_1", **options: object) -> Network:
    torch.manual_seed(0)
    return Network(backbone, 5, **options).eval()  # type: ignore[arg-type]


def pixels(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None]


def rest(network: Network, maps: torch.Tensor, place: int) -> torch.Tensor:
    """(dim,) before it is made unit-length, stage by stage."""
    for stage in network.stages[place:]:
        maps = stage(maps)
    x = maps.mean((2, 3)) if network.pooling == "mean" else maps.flatten(1)
    return network.head(x)[0]


def slow_cam(network: Network, picture: np.ndarray, place: int, score: object) -> np.ndarray:
    """Grad-CAM by the difference quotient: every place of every map moved a little, one at a time; float64."""
    network = network.double()
    with torch.no_grad():
        x = (pixels(picture).double() - network.mean) / network.std
        for stage in network.stages[:place]:
            x = stage(x)
        weights = torch.zeros(x.shape[1], dtype=torch.float64)
        for channel in range(x.shape[1]):
            for i in range(x.shape[2]):
                for j in range(x.shape[3]):
                    up, down = x.clone(), x.clone()
                    up[0, channel, i, j] += 1e-5
                    down[0, channel, i, j] -= 1e-5
                    values = [score(rest(network, moved, place)) for moved in (up, down)]  # type: ignore[operator]
                    weights[channel] += (values[0] - values[1]) / 2e-5
        weights /= x.shape[2] * x.shape[3]
        cam = torch.zeros(x.shape[2:], dtype=torch.float64)
        for channel in range(x.shape[1]):
            cam += weights[channel] * x[0, channel]
    network.float()
    return np.maximum(cam.numpy(), 0)


def small_picture() -> np.ndarray:
    return PICTURE[:32, :32].copy()


# ------------------------------------------------------------------------------------------------- what is computed


def test_grad_cam_of_the_likeliest_class_is_that_of_the_difference_quotient() -> None:
    network = new_network(mode="classify", input_size=32)
    sight = look(network, small_picture(), "stage1")
    with torch.no_grad():
        logits = network(pixels(small_picture()))[0]
    likeliest = int(logits.argmax())
    np.testing.assert_allclose(sight.row, logits.softmax(0).numpy(), rtol=1e-5)
    assert sight.score == pytest.approx(float(logits.softmax(0).max()))
    expected = slow_cam(network, small_picture(), 2, lambda row: row[likeliest])
    assert expected.max() > 0
    np.testing.assert_allclose(sight.heat, expected, rtol=1e-3, atol=1e-4 * expected.max())


@pytest.mark.parametrize("pooling", ["mean", "flat"])
def test_grad_cam_of_a_likeness_is_that_of_the_cosine(pooling: str) -> None:
    network = new_network(pooling=pooling, input_size=32)
    other = OTHER[:32, :32].copy()
    sight = look(network, small_picture(), "stage3", other)
    with torch.no_grad():
        a, b = network(pixels(small_picture()))[0], network(pixels(other))[0]
    assert sight.score == pytest.approx(float(a @ b), abs=1e-5)
    direction = b.double()
    expected = slow_cam(network, small_picture(), 4, lambda row: row @ direction / row.norm())
    np.testing.assert_allclose(sight.heat, expected, rtol=1e-3, atol=1e-3 * max(expected.max(), 1e-9))


def test_a_face_for_itself_is_looked_at_by_the_length_of_its_embedding() -> None:
    network = new_network(input_size=32)
    sight = look(network, small_picture(), "stage2")
    with torch.no_grad():
        row = network.head(network.prefix(pixels(small_picture()), 4))[0]
    assert sight.score == pytest.approx(float(row.norm()), rel=1e-5)
    np.testing.assert_allclose(sight.row, (row / row.norm()).numpy(), atol=1e-6)
    expected = slow_cam(network, small_picture(), 3, torch.linalg.vector_norm)
    assert expected.max() > 0, "the cosine with itself would be flat here"
    np.testing.assert_allclose(sight.heat, expected, rtol=1e-3, atol=1e-4 * expected.max())


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", "densenet121", "mobilenet_v2", "googlenet", "alexnet"])
def test_maps_of_every_stage_and_the_rest_of_the_way_are_the_network(name: str) -> None:
    network = new_network(name, mode="classify", input_size=96)
    picture = np.random.default_rng(2).integers(0, 256, (96, 96, 3), np.uint8)
    with torch.no_grad():
        logits = network(pixels(picture))[0]
    for place, (stage, _) in enumerate(BACKBONES[name].stages, start=1):
        if stage == "fc":
            continue
        sight = look(network, picture, stage)
        with torch.no_grad():
            x = (pixels(picture).float() - network.mean) / network.std
            for layer in network.stages[:place]:
                x = layer(x)
        np.testing.assert_allclose(sight.maps, x[0].numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(sight.row, logits.softmax(0).numpy(), rtol=1e-4, atol=1e-6)
        assert sight.heat.shape == sight.maps.shape[1:]
        assert (sight.heat >= 0).all()
        first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
        assert np.array_equal(sight.filters[0, :, :, 1], first.weight[0, 1].numpy())


def test_looking_changes_nothing() -> None:
    network = new_network("resnet18", mode="classify", input_size=64)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    look(network, PICTURE, "layer2")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    again = [look(network, PICTURE, "layer2") for _ in range(2)]
    assert np.array_equal(again[0].heat, again[1].heat)


@pytest.mark.parametrize(
    ("backbone", "stage", "message"),
    [
        (
            "resnet18",
            "layer9",
            "no stage 'layer9' in this resnet18; its stages are stem, layer1, layer2, layer3, layer4",
        ),
        ("alexnet", "fc", "stage 'fc' of alexnet is fully connected: no maps"),
    ],
)
def test_a_stage_without_maps_is_one_line(backbone: str, stage: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        look(new_network(backbone, mode="classify", input_size=96), PICTURE, stage)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------- what is drawn


def test_the_strongest_channels_are_those_whose_positive_mean_is_largest() -> None:
    maps = np.zeros((5, 2, 2), np.float32)
    maps[1] = -9  # a channel that answers nothing
    maps[2, 0, 0] = 4  # mean 1
    maps[3] = 2
    maps[4] = 2
    assert strongest(maps, 3) == [3, 4, 2]
    assert strongest(maps) == [3, 4, 2, 0, 1]


def test_filters_lie_side_by_side_each_in_its_own_range_around_grey() -> None:
    filters = np.zeros((5, 3, 3, 3), np.float32)
    filters[1, 0, 0] = (2, -2, 1)
    filters[4] = -0.001
    picture = mosaic(filters)
    assert picture.shape == (8, 12, 3)
    assert (picture[:3, :3] == 0.5).all()
    np.testing.assert_allclose(picture[0, 4], (1, 0, 0.75))
    assert (picture[4:7, 4:7] == 0).all()
    assert (picture[3] == 1).all()
    assert (picture[:, 3] == 1).all()


@pytest.mark.parametrize(("channels", "side"), [(1, 1), (3, 7), (40, 2)])
def test_the_sheet_of_few_and_flat_maps(channels: int, side: int) -> None:
    nothing = np.zeros((channels, side, side), np.float32)
    sight = Sight(PICTURE, np.zeros((7, 3, 3, 3), np.float32), nothing, nothing[0], np.ones(2, np.float32), 0.5)
    title = r"a $photo_{ with \frac marks, Çelik 王"
    sheet = draw_sheet(sight, title, "layer1", "likeness to $x^ " + "long " * 30)
    assert (sheet.ndim, sheet.shape[2], sheet.dtype) == (3, 3, np.uint8)
    assert 20 < sheet.std() < 128


@pytest.mark.parametrize("letters", ["a", "a b ", "a_long_name-"])
def test_titles_fit(letters: str) -> None:
    for count in (1, 30, 300):
        text = f"likeness to {letters * count}.jpg (cosine 0.67)"
        lines = saliency_sheet._fit(text, 44).split("\n")
        assert all(len(line) <= 44 for line in lines)
        assert len(lines) <= 4
        assert "".join(lines).replace(" ", "").endswith("(cosine0.67)"), "the figure is not cut off"


# ------------------------------------------------------------------------------------------------- the command


model = toy_fixtures.classifier


def test_a_picture_in_a_model_that_classifies(model: Path, tmp_path: Path) -> None:
    photo = toy_classes.save_picture(tmp_path / "green.png", 0, 5)
    result = run(
        "show-features", photo, "--model", model, "--layer", "stage2", "--output", tmp_path / "s.png", "--json"
    )
    assert result.exit_code == 0, result.stderr
    (line,) = json_lines(result)
    card = read_card(model / "model.json")
    assert line["decision"].startswith("green (")
    assert 0.5 < line["score"] <= 1
    assert line["model_fingerprint"] == card.fingerprint
    assert (line["image"], line["layer"], line["output"]) == (str(photo), "stage2", str(tmp_path / "s.png"))
    network, _ = load_model(model)
    sight = look(network, read_image(photo)[:56, :56], "stage2")
    assert len(line["channels"]) == CHANNELS == len(set(line["channels"]))
    assert max(line["channels"]) < len(sight.maps)
    assert read_image(tmp_path / "s.png").shape[2] == 3


def test_a_face_for_itself_and_against_another(tiny_model: Path, crops: Path, tmp_path: Path) -> None:
    words = ["show-features", crops / "ann.png", "--aligned", "--model", tiny_model, "--layer", "stage3", "--json"]
    (own,) = json_lines(run(*words, "--output", tmp_path / "own.png"))
    assert own["decision"].startswith("the face's own embedding (length ")
    other = crops / "people" / "Ann Lee" / "0.png"
    (pair,) = json_lines(run(*words, "--output", tmp_path / "pair.jpg", "--against", other))
    assert pair["decision"] == f"likeness to 0.png (cosine {pair['score']:.2f})"
    rows = load_embedder(str(tiny_model)).embed(np.stack([read_image(path) for path in (crops / "ann.png", other)]))
    assert pair["score"] == pytest.approx(float(rows[0] @ rows[1]), abs=1e-5)
    assert PIL.Image.open(tmp_path / "pair.jpg").format == "JPEG"
    text = run(*words[:-1], "--output", tmp_path / "text.png")
    assert text.stdout == f"{tmp_path / 'text.png'}: stage3 of tiny; Grad-CAM of {own['decision']}\n"


def test_a_photo_of_several_faces_is_told(
    tiny_model: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect = AlignedDetector.detect
    monkeypatch.setattr(AlignedDetector, "detect", lambda self, images: [2 * each for each in detect(self, images)])
    ann, other = crops / "ann.png", crops / "stranger.png"
    words = ["show-features", ann, "--aligned", "--model", tiny_model, "--layer", "stage3"]
    alone = run(*words, "--output", tmp_path / "a.png")
    assert alone.stderr == f"{ann}: has 2 faces; the main one is shown\n"
    (pair,) = json_lines(run(*words, "--output", tmp_path / "b.png", "--against", other, "--json"))
    assert pair["remarks"] == [f"{photo}: has 2 faces; the main one is compared" for photo in (ann, other)]


def test_a_pair_has_the_figure_that_verify_has(crops: Path, tmp_path: Path) -> None:
    """Also for a model whose embedding is the mean of two views."""
    network = new_network(mode="metric")
    card = dataclasses.replace(describe(network, "two"), mirrored=True, threshold=toy_model.THRESHOLD)
    save_model(network, tmp_path / "two", card)
    options = ["--aligned", "--model", tmp_path / "two", "--json"]
    photos = [crops / "ann.png", crops / "stranger.png"]
    (verified,) = json_lines(run("verify", *photos, *options))
    words = ["show-features", photos[0], "--against", photos[1], "--layer", "stage3", "--output", tmp_path / "s.png"]
    (shown,) = json_lines(run(*words, *options))
    assert 2 - 2 * shown["score"] == pytest.approx(verified["distance"], abs=1e-5)
    one_view = look(network, read_image(photos[0]), "stage3", read_image(photos[1])).score
    assert abs(shown["score"] - one_view) > 1e-5, "one view would have told another figure"


@pytest.mark.usefixtures("random_weights")
def test_a_backbone_by_its_name_is_looked_at_by_its_features(tmp_path: Path) -> None:
    """ImageNet's weights, and no head: Grad-CAM of the length of what the last stage gives."""
    photo = toy_classes.save_picture(tmp_path / "green.png", 0, 5, width=256, height=256)
    words = ["show-features", photo, "--model", "squeezenet1_1", "--layer", "stage2", "--output"]
    result = run(*words, tmp_path / "s.png", "--json")
    assert result.exit_code == 0, result.stderr
    (line,) = json_lines(result)
    reader = load_stage("squeezenet1_1")
    features = reader.embed(centre_picture(read_image(photo), 224)[None])[0]
    assert line["score"] == pytest.approx(float(np.linalg.norm(features)), rel=1e-4)
    assert line["decision"] == f"the picture's own features (length {line['score']:.1f})"
    assert (line["model"], line["model_fingerprint"]) == ("squeezenet1_1", reader.card.fingerprint)
    result = run(*words, tmp_path / "t.png", "--against", photo)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "squeezenet1_1 is a backbone; --against is for models" in result.stderr


def test_grad_cam_of_a_backbones_features_is_that_of_their_length() -> None:
    network = new_network(mode="classify", input_size=32)
    network.head = nn.Sequential()
    sight = look(network, small_picture(), "stage1")
    with torch.no_grad():
        row = network.prefix(pixels(small_picture()), 4)[0]
    assert sight.score == pytest.approx(float(row.norm()), rel=1e-5)
    np.testing.assert_allclose(sight.row, (row / row.norm()).numpy(), atol=1e-6)
    expected = slow_cam(network, small_picture(), 2, torch.linalg.vector_norm)
    np.testing.assert_allclose(sight.heat, expected, rtol=1e-3, atol=1e-4 * expected.max())


@pytest.mark.parametrize("command", ["show-features", "features", "advise"])
def test_an_unknown_name_is_the_same_line_wherever_a_network_is_named(command: str, tmp_path: Path) -> None:
    """advise lists the names: it takes nothing else."""
    photo = toy_classes.save_picture(tmp_path / "in" / "a" / "green.png", 0, 5)
    words: dict[str, list[object]] = {
        "show-features": [photo, "--layer", "stage1", "--output", tmp_path / "s.png"],
        "features": [tmp_path / "in", "--output", tmp_path / "s.npz"],
        "advise": [tmp_path / "in"],
    }
    result = run(command, *words[command], "--model", "resnet51")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    known = "no backbone 'resnet51'; known are alexnet" if command == "advise" else "no backbone of this name; facerec"
    assert known in result.stderr


def test_a_network_without_blocks_can_be_looked_at(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network("resnet18", 2, mode="classify", input_size=64, dropped_blocks=["layer2.0", "layer4.1"]).eval()
    save_model(network, tmp_path / "model", describe(network, "two", ("a", "b")))
    photo = toy_classes.save_picture(tmp_path / "green.png", 0, 5)
    words = ["show-features", photo, "--model", tmp_path / "model", "--layer", "layer2", "--output", tmp_path / "s.png"]
    assert run(*words).exit_code == 0


def test_what_cannot_be_shown_is_one_line_and_writes_nothing(
    model: Path, tiny_model: Path, toy: Path, crops: Path, tmp_path: Path
) -> None:
    photo = toy_classes.save_picture(tmp_path / "green.png", 0, 5)
    (tmp_path / "there.png").write_bytes(b"mine")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    new, faces = tmp_path / "new.png", ("--aligned", "--model", tiny_model)
    cases: list[tuple[list[object], str]] = [
        (
            [photo, "--model", model, "--layer", "stage9", "--output", new],
            "no stage 'stage9' in this squeezenet1_1; its",
        ),
        ([photo, "--model", model, "--layer", "stage1", "--output", tmp_path / "there.png"], "is there already"),
        ([photo, "--model", model, "--layer", "stage1", "--output", tmp_path / "x.pdf"], "ends in .jpg or .png"),
        ([photo, "--model", model, "--layer", "stage1", "--output", tmp_path / "no" / "x.png"], "cannot be written"),
        (
            [photo, "--model", model, "--layer", "stage1", "--output", new, "--against", photo],
            "--against is for models",
        ),
        ([tmp_path / "broken.jpg", "--model", model, "--layer", "stage1", "--output", new], "broken.jpg: not an image"),
        ([tmp_path / "none.jpg", "--model", model, "--layer", "stage1", "--output", new], "no such file"),
        (
            [photo, "--model", toy, "--layer", "stage1", "--output", new],
            "layers cannot be looked at; give a model folder",
        ),
        ([photo, "--model", "int8", "--layer", "stage1", "--output", new], "layers cannot be looked at"),
        ([photo, *faces, "--layer", "stage1", "--output", new], "not an aligned crop"),
        (
            [crops / "ann.png", *faces, "--layer", "stage1", "--output", new, "--against", tmp_path / "none.jpg"],
            "none.jpg: no such file",
        ),
    ]
    for words, message in cases:
        result = run("show-features", *words)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.stderr
        assert message in result.stderr
    assert not new.exists()
    assert (tmp_path / "there.png").read_bytes() == b"mine"


def test_a_photo_without_a_face_is_one_line(tiny_model: Path, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (200, 200), "white").save(tmp_path / "white.png")
    words = [tmp_path / "white.png", "--model", tiny_model, "--layer", "stage1", "--output", tmp_path / "s.png"]
    result = run("show-features", *words)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "no face found" in result.stderr


def test_the_words_for_a_decision_name_hostile_files_and_classes_safely() -> None:
    network = Network("squeezenet1_1", 2, mode="classify", input_size=32)
    card = describe(network, "m", ("a\nb", "c"))
    sight = Sight(PICTURE, np.zeros((1, 3, 3, 3), np.float32), *[np.zeros((1, 1))] * 2, np.array([1.0, 0]), 1.0)  # type: ignore[arg-type]
    assert decision(sight, card, None) == r"a\nb (100.0 %)"
    assert json.dumps(decision(sight, card, None)).count("\n") == 0
