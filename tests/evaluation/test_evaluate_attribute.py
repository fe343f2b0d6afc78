"""`facerec evaluate classification --attribute`: how right a second head is, by a model whose answers one can see."""

import re
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import toy_classes
from complaints import one_refusal
from report_pages import read
from running import json_lines, run
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from facerec import metrics
from facerec.datasets.attributes import Attribute
from facerec.errors import DataError
from facerec.evaluation.classification import REPLICATES, SEED, attribute_labels, classification
from facerec.models.checkpoint import describe, save_model
from facerec.models.network import Network

GREEN, BLUE, RED = VALUES = toy_classes.NAMES
SIDE = 112
PEOPLE = {"Ann": (0, 1, 0), "Bob": (1, 1), "Çelik": (2, 2, 1), "Dan": (0,)}  # the colours of each person's photos


def write_teller(folder: Path, mode: str, size: int = SIDE, name: str = "light") -> Path:
    """A model of either mode with a second head that tells the three colours; the first is good for nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network("squeezenet1_1", 3, mode=mode, input_size=size, attributes=3).eval()
    typical = np.stack([toy_classes.picture(kind, 0, size, size) for kind in range(3)])
    with torch.inference_mode():
        features = network.prefix(torch.from_numpy(typical).permute(0, 3, 1, 2), len(network.stages))
        scale = 10 / torch.nn.functional.pdist(features).square().min()
        assert network.attribute_head is not None
        network.attribute_head.weight.copy_(scale * features)
        network.attribute_head.bias.copy_(-scale * features.square().sum(dim=1) / 2)
    classes = ("one", "two", "three") if mode == "classify" else ()
    save_model(network, folder, describe(network, f"toy {mode}", classes, (name, VALUES)))
    return folder


@pytest.fixture(scope="module")
def faces_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embeds faces, and tells their light. Do not change."""
    return write_teller(tmp_path_factory.mktemp("models") / "faces", "metric")


@pytest.fixture(scope="module")
def pictures_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Knows the classes one, two and three, and the light. Do not change."""
    return write_teller(tmp_path_factory.mktemp("models") / "pictures", "classify", toy_classes.SIZE)


@pytest.fixture(scope="module")
def party(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The aligned crops of PEOPLE, party/Ann/0.png and so on. Do not change."""
    folder = tmp_path_factory.mktemp("photos") / "party"
    for person, kinds in PEOPLE.items():
        for number, kind in enumerate(kinds):
            toy_classes.save_picture(folder / person / f"{number}.png", kind, number, width=SIDE, height=SIDE)
    return folder


def write_light(path: Path, name: str = "light", **wrong: str) -> Path:
    """A line for each photo of the party; `wrong`: Ann_0="..." says something else of Ann/0.png."""
    lines = [
        f"{person}/{number}.png,{wrong.get(f'{person}_{number}', VALUES[kind])}"
        for person, kinds in PEOPLE.items()
        for number, kind in enumerate(kinds)
    ]
    path.write_text("\n".join([f"photo,{name}", *lines]), "utf-8")
    return path


def evaluate(images: Path, attribute: Path, model: Path, *more: object) -> Any:
    return run("evaluate", "classification", "--images", images, "--attribute", attribute, "--model", model, *more)


# ------------------------------------------------------------------------------------------------- what is reported


def test_the_attribute_of_faces_is_judged_over_people(faces_model: Path, party: Path, tmp_path: Path) -> None:
    """Of nine photos two are said to be what they are not, so seven of the answers are right."""
    light = write_light(tmp_path / "light.csv", Ann_0=RED, Çelik_2=RED)
    result = evaluate(party, light, faces_model, "--aligned", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (line,) = json_lines(result)
    assert {"images", "classes", "accuracy", "roc_auc", "confusion", "ci95"} < set(line)
    assert (line["images"], line["classes"], line["failures"], line["accuracy"]) == (9, 3, 0, 7 / 9)
    assert line["confusion"] == [[2, 0, 0], [0, 3, 0], [1, 1, 2]]
    assert line["class_names"] == list(VALUES)
    assert (line["attribute"], line["ci95_over"], line["model"]) == ("light", "people", "toy metric")
    right = {"Ann": (2, 3), "Bob": (2, 2), "Çelik": (2, 3), "Dan": (1, 1)}
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(4000):  # people with replacement, slowly
        some = [right[list(right)[i]] for i in rng.integers(0, 4, 4)]
        drawn.append(sum(part for part, _ in some) / sum(whole for _, whole in some))
    low, high = np.quantile(drawn, [0.025, 0.975])
    none_of_four = 0.025 ** (1 / 4)  # the low end, had all four people always been right: two errors do not raise it
    assert line["ci95"]["accuracy"] == pytest.approx([min(low, none_of_four), high], abs=0.03)


def test_the_attribute_of_pictures_is_judged_over_photos(pictures_model: Path, party: Path, tmp_path: Path) -> None:
    """The folders need not be the model's classes: the file says what is on the photos."""
    (line,) = json_lines(evaluate(party, write_light(tmp_path / "light.csv", Bob_1=RED), pictures_model, "--json"))
    assert (line["accuracy"], line["ci95_over"]) == (8 / 9, "photos")
    assert line["ci95"]["accuracy"] == pytest.approx(list(binomtest(8, 9).proportion_ci(0.95, "exact")))


def test_the_table_has_a_row_for_each_value(faces_model: Path, party: Path, tmp_path: Path) -> None:
    light = write_light(tmp_path / "light.csv", Ann_0=RED)
    shown = evaluate(party, light, faces_model, "--aligned").stdout
    assert re.search(r"light\W+photos read\W+right\W+most often taken for", shown)
    assert re.search(r"red \[b\]\W+3\W+2\W+green \(1\)", shown)
    assert re.search(r"accuracy\W+0\.88889\W+0\.\d{5} to 1\.00000", shown)
    assert "95 % intervals over people." in shown
    assert "without a usable face" in shown


def test_a_line_may_be_of_a_person_and_accents_apart(faces_model: Path, party: Path, tmp_path: Path) -> None:
    apart = unicodedata.normalize("NFD", f"person,light\nAnn,{GREEN}\nBob,{BLUE}\nÇelik,{RED}\nDan,{GREEN}\n")
    (tmp_path / "light.csv").write_text(apart, "utf-8")
    (line,) = json_lines(evaluate(party, tmp_path / "light.csv", faces_model, "--aligned", "--json"))
    assert line["confusion"] == [[3, 1, 0], [0, 2, 0], [0, 1, 2]]


def test_a_photo_without_a_face_is_no_right_answer(faces_model: Path, small_samples: Path, tmp_path: Path) -> None:
    """Real photos, no --aligned: whatever it says of the one face, the wall counts as wrong."""
    (tmp_path / "photos" / "x").mkdir(parents=True)
    face = next((small_samples / "people").glob("*/*.jpg"))
    (tmp_path / "photos" / "x" / "face.jpg").write_bytes(face.read_bytes())
    PIL.Image.new("RGB", (200, 200), "grey").save(tmp_path / "photos" / "x" / "wall.png")
    (tmp_path / "light.csv").write_text(f"person,light\nx,{RED}\n", "utf-8")
    result = evaluate(tmp_path / "photos", tmp_path / "light.csv", faces_model, "--json")
    assert result.exit_code == 1
    (line,) = json_lines(result)
    assert (line["images"], line["failures"], sum(map(sum, line["confusion"]))) == (2, 1, 1)
    assert line["accuracy"] in (0, 0.5)
    assert line["ci95"] == {"accuracy": None, "roc_auc": None, "replicates": REPLICATES}, "of one person"
    assert "wall.png: no face found" in result.stderr
    assert (line["photos_without_face"], line["poor_faces"]) == (1, 0)
    (tmp_path / "photos" / "x" / "face.jpg").unlink()
    result = evaluate(tmp_path / "photos", tmp_path / "light.csv", faces_model)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "not one photo (of 1) has a usable face, the first" in result.stderr


def test_the_report_shows_the_faces_that_were_told_wrong(faces_model: Path, party: Path, tmp_path: Path) -> None:
    light = write_light(tmp_path / "light.csv", Ann_0=RED)
    assert evaluate(party, light, faces_model, "--aligned", "--report", tmp_path / "out").exit_code == 0
    page = read(tmp_path / "out")
    assert "Classification by light: toy metric" in page.text
    assert "Ann/0.png: red [b], taken for green at " in page.text
    assert len(page.images("jpeg")) == 1


# ------------------------------------------------------------------------------------------------- intervals


def test_intervals_over_people_leave_the_values_as_they_are() -> None:
    rng = np.random.default_rng(1)
    y, people = rng.integers(0, 3, 90), [f"p{i // 6}" for i in range(90)]
    p = rng.dirichlet(np.ones(3), 90) + 0.4 * np.eye(3)[y]
    p = p / p.sum(axis=1, keepdims=True)
    rows = [None if i == 5 else row for i, row in enumerate(p)]
    over_photos, over_people = classification(y.tolist(), rows, 3), classification(y.tolist(), rows, 3, people)
    for name in ("images", "classes", "failures", "accuracy", "roc_auc", "confusion"):
        assert getattr(over_photos, name) == getattr(over_people, name)
    low, high = over_people.ci95["roc_auc"]
    assert over_people.roc_auc is not None
    assert low < over_people.roc_auc < high


def test_the_auc_of_resampled_people_is_scikit_learn_s() -> None:
    """A person drawn twice is there twice."""
    rng = np.random.default_rng(2)
    y, people = np.arange(24) % 3, np.arange(24) // 4
    p = rng.dirichlet(np.ones(3), 24)
    drawn = metrics.class_auc_bootstrap(y, p, 5, SEED, people)
    (weights,) = metrics.people_weights(people, people, 5, SEED)
    for value, row in zip(drawn, weights, strict=True):
        copies = np.repeat(np.arange(24), row.astype(int))
        assert value == pytest.approx(roc_auc_score(y[copies], p[copies], multi_class="ovr"))


def test_people_who_are_always_right_prove_no_perfection() -> None:
    row = np.array([0.9, 0.1])
    result = classification([0] * 6, [row] * 6, 2, ["a", "a", "b", "b", "c", "c"])
    assert result.ci95["accuracy"] == pytest.approx([0.025 ** (1 / 3), 1])  # Clopper and Pearson's, of three people


# ------------------------------------------------------------------------------------------------- what is refused


def test_what_is_no_file_of_this_attribute_is_one_line(faces_model: Path, party: Path, tmp_path: Path) -> None:
    light = write_light(tmp_path / "light.csv", Bob_0="dusk")
    for words, file in (
        (("light.csv: dusk is no value that the model tells of light", "known are green, Çelik 王, red [b]"), light),
        (("sun.csv: its attribute is sun, and the model tells light",), write_light(tmp_path / "sun.csv", "sun")),
        (("none.csv: no such file", "check the name"), tmp_path / "none.csv"),
    ):
        one_refusal(evaluate(party, file, faces_model, "--aligned"), *words)
    light.write_text(f"photo,light\nAnn/0.png,{GREEN}\n", "utf-8")
    result = evaluate(party, light, faces_model, "--aligned")
    wanted = "has no line for 8 photos that are used, the first Ann/1.png; add a line for each, or move them to another"
    one_refusal(result, wanted)
    assert "--exclude" not in result.stderr, "which this command does not have"


@pytest.mark.parametrize("of", ["photo", "person"])
def test_what_the_file_names_and_the_folder_lacks_is_missing(
    of: str, pictures_model: Path, party: Path, tmp_path: Path
) -> None:
    """Else the accuracy would rise in silence when a photo goes that is told wrong."""
    shutil.copytree(party, tmp_path / "party")
    light = write_light(tmp_path / "light.csv", Dan_0=RED)
    lost, what = tmp_path / "party" / "Dan" / "0.png", "no such photo"
    lost.unlink()
    if of == "person":
        light.write_text(f"person,light\nAnn,{GREEN}\nBob,{BLUE}\nÇelik,{RED}\nDan,{RED}\n", "utf-8")
        lost, what = lost.parent, "no photo of this person"
    first = f"the first {lost}: {what}, though {light} names it"
    (tmp_path / "no model").mkdir()
    one_refusal(evaluate(tmp_path / "party", light, tmp_path / "no model"), f"1 of 9 photos is missing, {first}; add")
    result = evaluate(tmp_path / "party", light, pictures_model, "--skip-missing", "--json")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (0, f"1 photo missing and left out, {first}")
    (line,) = json_lines(result)
    assert (line["photos"], line["photos_missing"], line["skipped"], line["images"]) == (9, 1, 1, 8)


def test_a_model_without_a_second_head_is_refused(tiny_model: Path, party: Path, tmp_path: Path) -> None:
    light = write_light(tmp_path / "light.csv")
    one_refusal(evaluate(party, light, tiny_model), "tells no attribute; give a model trained with", "--attribute")


def test_crops_are_for_models_of_faces(pictures_model: Path, party: Path, tmp_path: Path) -> None:
    light = write_light(tmp_path / "light.csv")
    one_refusal(evaluate(party, light, pictures_model, "--aligned"), "looks at whole pictures", "leave out --aligned")


def test_labels_are_places_of_values_and_people_are_folders() -> None:
    attribute = Attribute(Path("a.csv"), "hat", "photo", {"b/1.jpg": "no", "b/2.jpg": "yes", "a/1.jpg": "no"})
    folders = {"b": [Path("r/b/1.jpg"), Path("r/b/2.jpg")], "a": [Path("r/a/1.jpg.png")], "empty": []}
    paths, labels, people = attribute_labels(folders, Path("r"), attribute, "hat", ["yes", "cap", "no"])
    assert (paths, labels, people) == ([*folders["b"], *folders["a"]], [2, 0, 2], ["b", "b", "a"])
    with pytest.raises(DataError, match=r"^a\.csv: yes is no value .* of hat; correct its lines, known are no$"):
        attribute_labels(folders, Path("r"), attribute, "hat", ["no"])
