"""Classification as a whole: library and command line, on pictures whose class one can see."""

import json
import math
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import oracles
import PIL.Image
import pytest
import torch
import toy_classes
import toy_fixtures
import toy_model
from complaints import one_refusal
from running import json_lines, run
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, roc_auc_score
from torchvision.transforms import v2

from facerec.errors import DataError, ImageError, ModelError
from facerec.evaluation.classification import class_labels, classification
from facerec.inference.embedder import BATCH
from facerec.inference.loading import load_classifier, load_embedder
from facerec.inference.pipeline import BATCH as READ_TOGETHER
from facerec.inference.pipeline import classify
from facerec.models.checkpoint import describe, load_model, save_model
from facerec.models.network import Network

GREEN, BLUE, RED = NAMES = toy_classes.NAMES


model = toy_fixtures.classifier
enrolled = toy_fixtures.one_person


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of each class in a folder of its name; the last blue and the last red lie with the green."""
    folder = tmp_path_factory.mktemp("pictures")
    for kind, name in enumerate(NAMES):
        for number in range(3):
            home = name if number < 2 else GREEN
            toy_classes.save_picture(folder / home / f"{kind} {number}.png", kind, number)
    return folder


def broken(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not a picture")
    return path


def some_pictures(count: int, size: int = toy_classes.SIZE) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), np.uint8)


# ---------------------------------------------------------------------------------------------------- the runtime


@pytest.mark.parametrize("count", [0, 1, 5, BATCH + 3])
def test_rows_are_the_softmax_of_the_networks_logits(model: Path, count: int) -> None:
    crops = some_pictures(count)
    given = load_classifier(str(model)).probabilities(crops)
    network, _ = load_model(model)
    with torch.inference_mode():
        expected = network(torch.from_numpy(crops).permute(0, 3, 1, 2)).softmax(dim=1).numpy()
    assert (given.shape, given.dtype) == ((count, 3), np.float32)
    np.testing.assert_allclose(given.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_pictures_of_another_size_are_a_programmer_s_error(model: Path) -> None:
    with pytest.raises(ValueError, match=r"expected \(N, \(56, 56, 3\)\) uint8, got \(2, 57, 57, 3\)"):
        load_classifier(str(model)).probabilities(some_pictures(2, 57))


def test_a_network_that_gives_no_numbers_is_a_broken_model(tmp_path: Path) -> None:
    network = Network("squeezenet1_1", 3, mode="classify", input_size=toy_classes.SIZE)
    torch.nn.init.constant_(next(reversed(list(network.head.parameters()))), float("nan"))
    save_model(network, tmp_path, describe(network, "nan", NAMES))
    with pytest.raises(ModelError, match=re.escape(f"{tmp_path}: gives probabilities that are not finite")):
        load_classifier(str(tmp_path)).probabilities(some_pictures(1))
    result = run("doctor", "--model", tmp_path, gallery=tmp_path / "none")
    assert result.exit_code == 1
    assert "not finite" in result.stderr


def test_each_kind_of_model_is_refused_for_the_other_s_work(model: Path, tiny_model: Path, toy: Path) -> None:
    with pytest.raises(ModelError, match=re.escape(f"{model}: classifies pictures") + ".*facerec classify"):
        load_embedder(str(model))
    with pytest.raises(ModelError, match=re.escape(f"{tiny_model}: embeds faces") + ".*facerec identify"):
        load_classifier(str(tiny_model))
    with pytest.raises(ModelError, match=re.escape(f"{toy}: a model file; to classify, give a model folder")):
        load_classifier(str(toy))
    with pytest.raises(ModelError, match="embeds faces"):
        load_classifier("default")


def test_an_onnx_file_whose_card_says_classify_embeds_nothing(tmp_path: Path) -> None:
    classes = [str(i) for i in range(toy_model.DIMENSION)]
    path = toy_model.write_model(tmp_path, mode="classify", classes=classes, alignment="none")
    with pytest.raises(ModelError, match=re.escape(f"{path}: classifies pictures")):
        load_embedder(str(path))


# ---------------------------------------------------------------------------------------------------- the library


def test_the_way_of_a_photo_is_torchvision_s(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "shaded.png"
    steps = np.add.outer(np.arange(192), np.arange(192)) * 255 // 382
    PIL.Image.fromarray(np.stack([steps, 255 - steps, steps // 2], axis=2).astype(np.uint8)).save(path)
    prepare = v2.Compose([v2.Resize(64), v2.CenterCrop(56), v2.PILToTensor()])
    network, _ = load_model(model)
    with PIL.Image.open(path) as image, torch.inference_mode():
        expected = network(prepare(image)[None]).softmax(dim=1).numpy()
    (result,) = classify([path], load_classifier(str(model)))
    assert result.probabilities is not None
    np.testing.assert_allclose(result.probabilities, expected[0], atol=1e-5)
    assert expected.max() < 0.99  # one that is sure of itself would hide a difference


def test_photos_come_in_order_and_bad_ones_in_their_places(model: Path, tmp_path: Path) -> None:
    count = 2 * READ_TOGETHER + 3
    bad = {0, 5, *range(READ_TOGETHER, 2 * READ_TOGETHER), count - 1}  # a whole batch among them
    paths = [
        broken(tmp_path / f"{i}.png") if i in bad else toy_classes.save_picture(tmp_path / f"{i}.png", i % 3, i)
        for i in range(count)
    ]
    results = list(classify(paths, load_classifier(str(model))))
    assert [result.path for result in results] == paths
    for i, result in enumerate(results):
        if i in bad:
            assert result.probabilities is None
            assert isinstance(result.error, ImageError)
            assert str(paths[i]) in str(result.error)
        else:
            assert result.probabilities is not None
            assert (result.probabilities.argmax(), result.error) == (i % 3, None)


def test_photos_are_asked_for_as_they_are_needed(model: Path, pictures: Path) -> None:
    asked = []

    def many() -> Iterator[Path]:
        for number in range(5 * READ_TOGETHER):
            asked.append(number)
            yield pictures / GREEN / "0 0.png"

    next(classify(many(), load_classifier(str(model))))
    assert len(asked) == 3 * READ_TOGETHER


# ---------------------------------------------------------------------------------------------------- facerec classify


def test_json_has_the_fields_of_the_contract(model: Path, pictures: Path) -> None:
    path = pictures / BLUE / "1 0.png"
    result = run("classify", path, "--model", model, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (line,) = json_lines(result)
    assert list(line) == ["image", "class", "probability", "probabilities"]
    assert (line["image"], line["class"]) == (str(path), BLUE)
    assert set(line["probabilities"]) == set(NAMES)
    values = list(line["probabilities"].values())
    assert values == sorted(values, reverse=True)
    assert line["probability"] == values[0] > 0.9
    assert sum(values) == pytest.approx(1, abs=1e-6)


def test_a_folder_is_all_photos_in_it(model: Path, pictures: Path) -> None:
    lines = json_lines(run("classify", pictures, "--model", model, "--json"))
    assert [line["image"] for line in lines] == sorted(str(p) for p in pictures.glob("*/*.png"))
    assert [line["class"] for line in lines] == [NAMES[int(Path(line["image"]).name[0])] for line in lines]


def test_text_is_a_line_per_photo(model: Path, pictures: Path) -> None:
    green, red = pictures / GREEN / "0 0.png", pictures / RED / "2 0.png"
    *lines, summary = run("classify", green, red, "--model", model).stdout.splitlines()
    assert [re.sub(r"\d+\.\d %", "P", line) for line in lines] == [f"{green}: green (P)", f"{red}: red [b] (P)"]
    assert summary == "2 photos: 1 green, 1 red [b]"
    (line,) = run("classify", red, "--model", model, "--top", 2).stdout.splitlines()
    assert re.fullmatch(re.escape(f"{red}: red [b] (") + r"9\d\.\d %\), \S.* \(\d\.\d %\)", line)


@pytest.mark.parametrize(("top", "listed"), [(1, 1), (2, 2), (9, 3)])
def test_top_shortens_the_list(model: Path, pictures: Path, top: int, listed: int) -> None:
    (line,) = json_lines(run("classify", pictures / RED / "2 0.png", "--model", model, "--json", "--top", top))
    assert len(line["probabilities"]) == listed
    assert next(iter(line["probabilities"])) == line["class"] == RED


def test_bad_photos_are_named_and_the_rest_is_done(model: Path, pictures: Path, tmp_path: Path) -> None:
    bad, missing = broken(tmp_path / "bad.jpg"), tmp_path / "missing.jpg"
    result = run("classify", bad, pictures / RED / "2 0.png", missing, tmp_path, "--model", model, "--json")
    assert result.exit_code == 1
    lines = json_lines(result)
    assert [line["class"] for line in lines] == [None, RED, None, None]
    assert list(lines[0]) == ["image", "class", "probability", "probabilities", "error"]
    assert lines[0] | {"error": ""} == {
        "image": str(bad), "class": None, "probability": None, "probabilities": {}, "error": ""
    }  # fmt: skip
    assert result.stderr.splitlines() == [line["error"] for line in lines if line["class"] is None]
    assert str(missing) in lines[2]["error"]


def test_nothing_could_be_done(model: Path, tmp_path: Path) -> None:
    result = run("classify", broken(tmp_path / "bad.jpg"), "--model", model)
    assert (result.exit_code, result.stdout) == (2, "")
    (tmp_path / "empty").mkdir()
    result = run("classify", tmp_path / "empty", "--model", model, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no photos in this folder" in result.stderr


def test_a_file_s_name_may_be_any(model: Path, tmp_path: Path) -> None:
    path = toy_classes.save_picture(tmp_path / "двор 王\n.png", 0, 0)
    (line,) = json_lines(run("classify", path, "--model", model, "--json"))
    assert line["image"] == str(path)
    (shown,) = run("classify", path, "--model", model).stdout.splitlines()
    assert "двор 王\\n.png: green" in shown


def test_a_model_must_be_named(pictures: Path) -> None:
    result = run("classify", pictures)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--model" in result.stderr


# ---------------------------------------------------------------------------------------------------- wrong models


def test_commands_for_faces_refuse_a_classifier(model: Path, crops: Path, enrolled: Path, tmp_path: Path) -> None:
    photo, pairs = crops / "ann.png", tmp_path / "pairs.csv"
    pairs.write_text("a,b,same\nann.png,stranger.png,0\n", "utf-8")
    for arguments in (
        ("identify", photo),
        ("enroll", photo, "--name", "Ann"),
        ("verify", photo, photo),
        ("evaluate", "verification", "--images", crops, "--pairs", pairs),
    ):
        gallery = enrolled if arguments[0] == "identify" else tmp_path / "new"  # identify needs one that is there
        result = run(*arguments, "--aligned", "--model", model, gallery=gallery)
        one_refusal(result, str(model), "facerec classify")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "command",
    [["classify"], ["show-features", "--layer", "layer4", "--output", "x.png"], ["search", "--in", "{photo.parent}"]],
    ids=lambda command: command[0],
)
def test_no_command_takes_aligned_for_a_model_of_pictures(command: list[str], model: Path, pictures: Path) -> None:
    photo = next(pictures.rglob("*.png"))
    words = [word.format(photo=photo) for word in command]
    result = run(*words, photo, "--model", model, "--aligned")
    assert result.exit_code == 2
    assert "toy classes looks at whole pictures and finds no faces; leave out --aligned" in result.stderr


def test_commands_for_classes_refuse_a_model_of_faces(tiny_model: Path, pictures: Path) -> None:
    one_refusal(run("classify", pictures, "--model", tiny_model), str(tiny_model), "facerec identify")
    result = run("evaluate", "classification", "--images", pictures, "--model", tiny_model)
    one_refusal(result, str(tiny_model), "facerec identify")


def test_doctor_and_models_know_a_classifier(model: Path, tmp_path: Path) -> None:
    result = run("doctor", "--model", model, "--json", gallery=tmp_path / "none")
    assert result.exit_code == 0
    assert re.fullmatch(r"toy classes \([0-9a-f]{16}\), 3 classes, works", json_lines(result)[0]["model"])
    (line,) = json_lines(run("models", "--model", model, "--json"))
    assert (line["card"]["mode"], line["card"]["classes"]) == ("classify", list(NAMES))
    shown = run("models", "--model", model).stdout.splitlines()
    assert {"  mode: classify", f"  classes: {', '.join(NAMES)}"} <= set(shown)


# ---------------------------------------------------------------------------------------------------- the protocol


def test_report_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 60)
    p = rng.dirichlet(np.ones(4), 60) + 0.3 * np.eye(4)[y]
    p = (p / p.sum(axis=1, keepdims=True)).astype(np.float64)
    rows = [None if i in (7, 30, 31) else row for i, row in enumerate(p)]
    read = [i for i, row in enumerate(rows) if row is not None]
    result = classification(y.tolist(), rows, 4)
    right = accuracy_score(y[read], p[read].argmax(axis=1), normalize=False)
    answers = [[math.nan] * 4 if row is None else row.tolist() for row in rows]
    assert (result.images, result.classes, result.failures) == (60, 4, 3)
    assert result.accuracy == right / 60
    assert result.roc_auc == pytest.approx(oracles.class_auc_by_pairs(y.tolist(), answers))
    without = roc_auc_score(y[read], p[read], multi_class="ovr")
    assert result.roc_auc is not None
    assert result.roc_auc < without, "a failure is a miss"
    assert result.confusion == confusion_matrix(y[read], p[read].argmax(axis=1)).tolist()
    exact = binomtest(int(right), 60).proportion_ci(0.95, "exact")
    assert result.ci95["accuracy"] == pytest.approx([exact.low, exact.high])
    low, high = result.ci95["roc_auc"]
    assert low < result.roc_auc < high
    assert result.to_json() == classification(y.tolist(), rows, 4).to_json()


def test_one_class_alone_has_an_accuracy_and_no_roc() -> None:
    row = np.array([0.8, 0.2], np.float32)
    result = json.loads(json.dumps(classification([0, 0], [row, row], 2).to_json(), allow_nan=False))
    assert (result["accuracy"], result["roc_auc"], result["ci95"]["roc_auc"]) == (1, None, None)


def test_labels_are_places_in_the_model_s_list() -> None:
    folders = {"b": [Path("b/1"), Path("b/2")], "a": [Path("a/1")], "empty": []}
    paths, labels = class_labels(folders, ["unseen", "a", "empty", "b"])
    assert paths == [Path("b/1"), Path("b/2"), Path("a/1")]
    assert labels == [3, 3, 1]


def test_an_unknown_folder_is_one_line_that_names_the_known() -> None:
    with pytest.raises(DataError, match=r"^horse: no class .* known are cat, dog$"):
        class_labels({"cat": [Path("1")], "horse": [Path("2")]}, ["cat", "dog"])
    with pytest.raises(DataError, match=r"known are 0, 1, .*, 19 and 980 more$"):
        class_labels({"horse": []}, [str(i) for i in range(1000)])


def test_accents_may_be_apart(model: Path, tmp_path: Path) -> None:
    apart = unicodedata.normalize("NFD", BLUE)
    assert apart != BLUE
    toy_classes.save_picture(tmp_path / apart / "1.png", 1, 0)
    result = run("evaluate", "classification", "--images", tmp_path, "--model", model, "--json")
    assert json_lines(result)[0]["accuracy"] == 1


# ---------------------------------------------------------------------------------------------------- facerec evaluate


def test_evaluate_classification(model: Path, pictures: Path) -> None:
    result = run("evaluate", "classification", "--images", pictures, "--model", model, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (line,) = json_lines(result)
    assert {"images", "classes", "accuracy", "roc_auc", "confusion", "ci95"} < set(line)
    assert (line["images"], line["classes"], line["failures"]) == (9, 3, 0)
    assert line["accuracy"] == 7 / 9  # a blue and a red picture lie with the green
    assert line["confusion"] == [[3, 1, 1], [0, 2, 0], [0, 0, 2]]
    assert line["class_names"] == list(NAMES)
    assert (line["model"], len(line["model_fingerprint"])) == ("toy classes", 16)
    assert all(low <= line[key] <= high for key in ("accuracy", "roc_auc") for low, high in [line["ci95"][key]])
    assert line["images_per_second"] > 0


def test_the_table_shows_every_class_under_its_name(model: Path, pictures: Path) -> None:
    shown = run("evaluate", "classification", "--images", pictures, "--model", model).stdout
    assert re.search(r"accuracy\W+0\.77778\W+0\.3", shown)
    assert re.search(r"green\W+5\W+3\W+Çelik 王 \(1\)", shown)
    assert re.search(r"red \[b\]\W+2\W+2\W+-", shown)
    assert "unreadable, left out" in shown
    assert "face" not in shown, "the model looks at whole pictures"


def test_what_cannot_be_read_says_nothing_of_the_model(model: Path, tmp_path: Path) -> None:
    toy_classes.save_picture(tmp_path / GREEN / "0.png", 0, 0)
    toy_classes.save_picture(tmp_path / RED / "0.png", 2, 0)
    bad = broken(tmp_path / RED / "1.png")
    (tmp_path / BLUE).mkdir()
    command = ("evaluate", "classification", "--images", tmp_path, "--model", model)
    result = run(*command, "--json")
    one_refusal(result, f"1 of 3 photos is unreadable, the first {bad}: not an image", "with --skip-missing")
    result = run(*command, "--json", "--skip-missing")
    assert result.exit_code == 0
    (line,) = json_lines(result)
    assert (line["images"], line["skipped"], line["failures"]) == (2, 1, 0)
    assert (line["photos"], line["photos_unreadable"], line["accuracy"], line["roc_auc"]) == (3, 1, 1, 1)
    assert line["confusion"] == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert result.stderr.startswith(f"1 photo unreadable and left out, the first {bad}: ")


def test_what_cannot_be_evaluated(model: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", "classification", "--images", tmp_path, "--model", model)
    one_refusal(run(*arguments), str(tmp_path), "no folders with photos")
    broken(tmp_path / GREEN / "1.png")
    one_refusal(run(*arguments), "1 of 1 photo is unreadable, the first")
    one_refusal(run(*arguments, "--skip-missing"), "not one photo (of 1) can be read, the first")
    toy_classes.save_picture(tmp_path / "purple" / "1.png", 0, 0)
    one_refusal(
        run(*arguments, "--skip-missing"), "purple: no class of the model", "known are green, Çelik 王, red [b]"
    )
