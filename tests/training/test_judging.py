"""How a run is judged: on which photos, at which FMR, and how far its own photos are ahead of those."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_runs import Data, classes, measured, read_history, small
from training_oracles import all_triplets, squared_distance

from facerec import metrics
from facerec.models.network import Network
from facerec.training.feed import photo_rows
from facerec.training.losses import triplet_loss

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("margin", [0.0, 0.2, 3.0])
def test_the_loss_that_compares_epochs_is_that_of_all_triplets(margin: float) -> None:
    rows = torch.nn.functional.normalize(torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = [0, 0, 0, 1, 1, 2, 2, 2, 3]
    vectors = rows.tolist()
    d = [[squared_distance(a, b) for b in vectors] for a in vectors]
    expected = np.mean([max(d[a][p] - d[a][n] + margin, 0) for a, p, n in all_triplets(labels)])
    assert triplet_loss(rows.numpy(), np.array(labels), margin) == pytest.approx(expected, rel=1e-5)


def test_the_training_people_are_measured_as_the_validation_people_are(some_faces: Data, tmp_path: Path) -> None:
    some_faces.train(tmp_path / "run", small(measure_train=True, epochs=1))
    some_faces.train(tmp_path / "without", small(epochs=1))
    [entry], [plain] = read_history(tmp_path / "run"), read_history(tmp_path / "without")
    extra = {"train_auc", "train_tar", "train_loss", "train_threshold", "train_impostors", "validation_loss"}
    assert entry.keys() - plain.keys() == extra
    assert {key: entry[key] for key in plain} == plain
    task = some_faces.task(small(measure_train=True))
    assert len(task.sample.names) == len(task.validation.names)
    assert set(task.sample.paths) < set(task.train.paths)


def test_the_measures_of_the_sample_are_those_of_its_photos(some_classes: Data) -> None:
    learner = some_classes.learner(classes(measure_train=True))
    found, task = learner.validate()[0], learner.task
    assert len(task.sample) == len(task.validation)
    assert set(task.sample.paths) < set(task.train.paths)
    own = task.measure(*photo_rows(learner.network, task.views, task.sample))
    assert {key: found[key.replace("validation", "train")] for key in own} == pytest.approx(own, rel=1e-4)
    learner.feed.close()


def test_epochs_are_compared_at_the_fmr_that_is_asked_for(some_faces: Data) -> None:
    network = Network("squeezenet1_1", 16).eval()
    task = some_faces.task(small(validation_fmr=0.1))
    distances, genuine = metrics.all_pairs(*photo_rows(network, task.views, task.validation))
    expected = metrics.tar_at_fmr(metrics.roc(distances, genuine), 0.1)
    assert measured(network, task)["validation_tar"] == pytest.approx(float(expected))
    usual = measured(network, some_faces.task(small()))
    assert measured(network, task)["validation_threshold"] == usual["validation_threshold"]  # still that of 1e-3


def test_runs_of_one_data_seed_share_validation_and_views(some_faces: Data, some_classes: Data) -> None:
    people = dataclasses.replace(some_faces, splits=None)
    for data, settings in ((people, small), (some_classes, classes)):
        one, same, other = (
            data.task(settings(seed=seed, data_seed=fixed)) for seed, fixed in ((1, 7), (2, 7), (7, None))
        )
        assert one.validation.paths == same.validation.paths == other.validation.paths
        assert one.views == same.views == other.views
        assert [b.tolist() for b in one.batches(0)] != [b.tolist() for b in same.batches(0)]
        seeds = {data.task(settings(seed=seed)).validation.paths for seed in range(5)}
        assert len(seeds) > 1


def test_a_run_ends_when_its_minutes_are_over(some_classes: Data, tmp_path: Path) -> None:
    card = some_classes.train(tmp_path / "run", classes(minutes=1e-9, epochs=50))
    [entry] = read_history(tmp_path / "run")  # validated and kept all the same
    assert (entry["photos"], card.training["epoch"]) == (4, 0)
    some_classes.train(tmp_path / "run", classes(minutes=1e-9, epochs=50), resume=True)
    assert len(read_history(tmp_path / "run")) == 1


def test_flat_linear_features_are_every_place_of_every_map() -> None:
    network = Network("squeezenet1_1", 3, mode="classify", input_size=64, kept_stages=2, pooling="flat-linear").eval()
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    maps = network.maps(pixels, 2)
    [weight, bias] = network.head.parameters()
    assert network.width == maps[0].numel()
    assert torch.allclose(network(pixels), maps.flatten(1) @ weight.T + bias, atol=1e-4)
