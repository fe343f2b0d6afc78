"""The recipe of the first document: its photos, its settings, its networks."""

import dataclasses
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from toy_images import smooth

from facerec.models.network import Network
from facerec.study import recipe
from facerec.study.planning import Asked, cell_settings, plan_study, resolve
from facerec.training.plan import make_plan


def write_pictures(folder: Path, count: int) -> Path:
    """Write two classes of so many pictures each, all different. Returns the folder."""
    for kind in ("ants", "bees"):
        for number in range(count):
            path = folder / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(np.roll(smooth(40, 60), 7 * number + len(kind[0]) * (kind == "bees"), 1)).save(path)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with the document's `train` and `val`, of 4 and 2 pictures of each class."""
    write_pictures(tmp_path / "given" / "train", 4)
    for path in write_pictures(tmp_path / "given" / "val", 2).rglob("*.png"):
        PIL.Image.fromarray(255 - np.asarray(PIL.Image.open(path))).save(path)
    return tmp_path / "given"


def test_half_of_the_training_photos_are_added_mirrored(pictures: Path, tmp_path: Path) -> None:
    train, validation = recipe.prepare_photos(*recipe.photo_folders(pictures, None), tmp_path / "made")
    made = sorted(train.rglob("*.png"))
    mirrored = [path for path in made if path.name.startswith("mirrored ")]
    assert (len(made), len(mirrored)) == (8 + 4, 4)
    for path in mirrored:
        plain = path.with_name(path.name.removeprefix("mirrored "))
        assert np.array_equal(np.asarray(PIL.Image.open(path)), np.asarray(PIL.Image.open(plain))[:, ::-1])
    assert len(list(validation.rglob("*.png"))) == 4
    assert {min(PIL.Image.open(path).size) for path in (*made, *validation.rglob("*.png"))} == {256}
    before = {path: path.stat().st_mtime_ns for path in made}
    recipe.prepare_photos(*recipe.photo_folders(pictures, None), tmp_path / "made")
    assert {path: path.stat().st_mtime_ns for path in sorted(train.rglob("*.png"))} == before


@pytest.mark.parametrize(("backbone", "features"), [("alexnet", 9216), ("vgg16", 25088), ("resnet50", 2048)])
def test_one_linear_layer_takes_the_place_of_the_classifier(backbone: str, features: int) -> None:
    form = recipe.form_of(backbone)
    with torch.device("meta"):
        network = Network(backbone, 2, mode="classify", input_size=recipe.CROP, **form)
        assert [tuple(p.shape) for p in network.head.parameters()] == [(2, features), (2,)]
        assert network.eval()(torch.zeros(1, 3, recipe.CROP, recipe.CROP)).shape == (1, 2)


def test_the_settings_are_those_of_the_document(pictures: Path, tmp_path: Path) -> None:
    asked = resolve(Asked(recipe="tutorial"))
    assert (asked.mode, asked.backbones, asked.seeds) == ("classify", ("alexnet", "vgg16"), 3)
    assert asked.strategies == ("full", "frozen", "partial", "discriminative")
    train, validation = recipe.prepare_photos(*recipe.photo_folders(pictures, None), tmp_path / "made")
    plan, task = plan_study(pictures, train, dataclasses.replace(asked, data={"validation": validation}))
    assert (plan.crops, plan.minutes, len(task.batches(0))) == (0, 0.0, 3)
    for cell in plan.cells():
        s = cell_settings(plan, cell)
        assert (s.optimizer, s.lr, s.schedule, s.step_epochs, s.epochs, s.batch_size) == (
            *("adam", 1e-3, "step", 7, 25),
            4,
        )
        assert (s.epoch_batches, s.input_size, s.picture_views, s.measure_train) == (0, 244, "cut", False)
        assert make_plan(s).loss.terms == {"cross-entropy": 1.0}
