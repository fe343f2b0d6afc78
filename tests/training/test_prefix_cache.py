"""What frozen stages make of photos is computed once, and changes no number of a run."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_runs import (
    Data,
    classes,
    command,
    given_photos,
    interrupt_at,
    make_classes,
    make_people,
    read_history,
    small,
    start,
    stores,
    wait_for_checkpoint,
    warnings_of,
)

from facerec.errors import TrainingError
from facerec.models.network import Network
from facerec.training.learner import Learner
from facerec.training.prefix_cache import store_key
from facerec.training.run_folder import lock_file
from facerec.training.settings import TrainSettings
from facerec.training.train import Progress

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


@pytest.fixture
def own_cache(own_cache: Path) -> Path:
    """The folder of this test's stores."""
    own_cache.mkdir()
    return own_cache / "prefixes"


FROZEN = small(strategy="frozen", views=2, epochs=4)
PARTIAL = small(strategy="partial", views=2, epochs=4)


def uncached(settings: TrainSettings) -> TrainSettings:
    return dataclasses.replace(settings, cache_gb=0.0)


def assert_same_numbers(one: Path, other: Path) -> None:
    """Within the tolerance that batches of other sizes give floats."""
    histories = [[{**entry, "lr": 0} for entry in read_history(run)] for run in (one, other)]
    for before, after in zip(*histories, strict=True):
        assert before == pytest.approx(after, rel=1e-4, abs=1e-5)


@contextmanager
def prefixes_of(learner: Learner) -> Iterator[list[int]]:
    """How many photos went through the first stage, batch by batch."""
    seen: list[int] = []
    handle = learner.network.stages[0].register_forward_hook(lambda stage, given, out: seen.append(len(given[0])))
    yield seen
    handle.remove()


# ------------------------------------------------------------------------------------------------- whole runs


@pytest.mark.parametrize("settings", [FROZEN, PARTIAL], ids=["frozen", "partial"])
def test_a_run_has_the_same_numbers_with_and_without(
    settings: TrainSettings, some_faces: Data, own_cache: Path, tmp_path: Path
) -> None:
    some_faces.train(tmp_path / "without", uncached(settings))
    assert stores(own_cache) == {}
    for name in ("first", "second"):  # the second finds all rows
        some_faces.train(tmp_path / name, settings)
        assert_same_numbers(tmp_path / "without", tmp_path / name)
    assert len(stores(own_cache)) == 2, "the training photos' and the validation photos'"


def test_gradual_unfreezing_keeps_what_each_epoch_can_use(some_faces: Data, own_cache: Path, tmp_path: Path) -> None:
    settings = small(strategy="gradual", views=1, epochs=4, unfreeze_epochs=2)
    some_faces.train(tmp_path / "without", uncached(settings))
    some_faces.train(tmp_path / "with", settings)
    assert_same_numbers(tmp_path / "without", tmp_path / "with")
    assert len(stores(own_cache)) == 4, "of all stages, and of all but the last"


@pytest.mark.parametrize("photos", [4, 5])
def test_no_photo_is_read_once_all_views_are_kept(photos: int, tmp_path: Path) -> None:
    """All photos are gone after the second of the two views; the run does not notice.

    Of 5 photos the batches take 4, in every epoch others.
    """
    data = make_people(tmp_path, 12, photos)

    def delete(progress: Progress) -> None:
        if (progress.epoch, progress.batch) == (2, 1):
            for path in data.folder.rglob("*.png"):
                path.unlink()

    data.train(tmp_path / "run", FROZEN, watch=delete)
    assert [entry["photos"] for entry in read_history(tmp_path / "run")] == [32] * 4
    assert not list(data.folder.rglob("*.png"))


def test_frozen_stages_see_each_view_of_a_photo_once(some_faces: Data) -> None:
    learner = some_faces.learner(PARTIAL)
    with prefixes_of(learner) as seen:
        for epoch in range(4):
            given_photos(learner, epoch)
            learner.still_rows()
    assert sum(seen) == 2 * 32 + 2 * 16  # of validation photos the mirror images, too
    given = given_photos(learner)[0]
    assert given.pixels is None
    assert given.positions.tolist() == learner.task.batches(0)[0].tolist()
    learner.feed.close()


def test_without_a_number_of_views_only_validation_is_kept(some_faces: Data, own_cache: Path) -> None:
    learner = some_faces.learner(small(strategy="partial"))
    with prefixes_of(learner) as seen:
        for epoch in range(2):
            given_photos(learner, epoch)
            learner.still_rows()
    assert sum(seen) == 2 * 32 + 2 * 16
    assert len(stores(own_cache)) == 1
    learner.feed.close()


def test_a_photo_that_cannot_be_read_is_missing_whether_rows_are_kept_or_not(tmp_path: Path) -> None:
    data = make_classes(tmp_path / "kinds", 6, 6)
    settings = classes(strategy="partial", views=1, batch_size=5)
    task = data.task(settings)
    task.train.paths[2].write_bytes(b"")
    task.validation.paths[0].write_bytes(b"")
    learner = data.learner(settings)
    for _ in range(2):
        given = given_photos(learner)
        expected = [[i for i in batch if i != 2] for batch in learner.task.batches(0)]
        assert [one.positions.tolist() for one in given] == expected
        assert [len(one.x) for one in given] == [len(batch) for batch in expected]
        assert learner.still_rows()[2].tolist() == [1]
    learner.feed.close()


def test_rows_come_in_the_order_of_the_batch_however_few_are_kept(some_faces: Data) -> None:
    learner, kept = some_faces.learner(uncached(PARTIAL)), some_faces.learner(PARTIAL)
    for batch in ([9, 4, 30], [9, 12, 4, 0], [30, 2, 12, 9], [0, 2, 4, 9]):
        (plain,), (given,) = (list(each.feed.train([np.array(batch)], 0)) for each in (learner, kept))
        assert given.positions.tolist() == batch
        torch.testing.assert_close(given.x, plain.x, rtol=1e-4, atol=1e-4)
    kept.feed.close()


# ------------------------------------------------------------------------------------------------- keys


def test_other_photos_weights_or_views_have_another_store(some_faces: Data, own_cache: Path, tmp_path: Path) -> None:
    def keys_of(settings: TrainSettings, data: Data = some_faces) -> set[str]:
        before = set(stores(own_cache))
        learner = data.learner(settings)
        given_photos(learner)
        learner.feed.close()
        return set(stores(own_cache)) - before

    assert len(keys_of(PARTIAL)) == 1
    assert keys_of(PARTIAL) == set(), "the same run"
    assert keys_of(small(strategy="partial", views=2, margin=0.5, lr=1e-5)) == set(), "what is not in the rows"
    others: list[dict[str, Any]] = [{"views": 3}, {"train_size": 40}, {"strong_augmentation": True}, {"seed": 1}]
    others += [{"frozen_stages": 1}, {"precision": "bf16"}]
    for change in others:
        assert len(keys_of(small(**{"strategy": "partial", "views": 2} | change))) == 1, change
    copy = make_people(tmp_path / "copy", 12, 4)
    assert keys_of(PARTIAL, copy) == set(), "the same photos elsewhere"
    path = copy.folder / "p007" / "000.png"
    path.write_bytes(path.read_bytes() + b"!")
    assert len(keys_of(PARTIAL, copy)) == 1


def test_a_key_names_the_weights_of_the_frozen_stages_only() -> None:
    network = Network("mobilenet_v3_small", 8)
    key = store_key(network, 2, ["a", "b"], "facts")
    with torch.no_grad():
        next(network.stages[2].parameters()).add_(1)
    assert store_key(network, 2, ["a", "b"], "facts") == key
    assert store_key(network, 2, ["a", "c"], "facts") != key
    assert store_key(network, 3, ["a", "b"], "facts") != key
    next(buffer for name, buffer in network.stages[1].named_buffers() if "running_mean" in name).add_(1)
    assert store_key(network, 2, ["a", "b"], "facts") != key


# ------------------------------------------------------------------------------------------------- a store


def test_a_run_whose_rows_do_not_all_fit_has_the_same_numbers(
    some_faces: Data, own_cache: Path, tmp_path: Path
) -> None:
    some_faces.train(tmp_path / "all", FROZEN)
    whole = sum(stores(own_cache).values())
    for path in own_cache.iterdir():
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    some_faces.train(tmp_path / "some", small(strategy="frozen", views=2, epochs=4, cache_gb=0.5 * whole / 1e9))
    assert 0 < sum(stores(own_cache).values()) <= 0.5 * whole
    assert_same_numbers(tmp_path / "all", tmp_path / "some")


def test_pooled_rows_are_not_those_of_a_longer_network() -> None:
    """The same first stages, once all there are and once followed by others."""
    whole, cut = (Network("squeezenet1_1", 8, kept_stages=kept).eval() for kept in (0, 2))
    cut.stages.load_state_dict(whole.stages[:2].state_dict())
    assert store_key(whole, 2, ["a"]) != store_key(cut, 2, ["a"])
    assert store_key(whole, 1, ["a"]) == store_key(cut, 1, ["a"])


def test_an_interrupted_run_leaves_its_stores_to_others(some_faces: Data, own_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        some_faces.train(tmp_path / "run", FROZEN, watch=interrupt_at(0, 2))
    assert len(stores(own_cache)) == 2
    for store in stores(own_cache):
        lock_file(own_cache / store / "lock").close()
        assert np.fromfile(own_cache / store / "done", np.bool_).any()


def test_what_a_kill_leaves_is_right(some_faces: Data, own_cache: Path, tmp_path: Path) -> None:
    """Killed in the second epoch: the first one's rows are noted, and every row that is noted is the right one."""
    process = start(*command(some_faces, tmp_path / "killed", small(strategy="frozen", views=2, epochs=90)))
    wait_for_checkpoint(process, tmp_path / "killed", 1, 0)
    process.kill()
    process.communicate()
    noted = [np.fromfile(own_cache / store / "done", np.bool_) for store in stores(own_cache)]
    assert sorted(len(done) for done in noted) == [32, 64]
    assert all(done.sum() >= 16 for done in noted)
    some_faces.train(tmp_path / "with", FROZEN)
    some_faces.train(tmp_path / "without", uncached(FROZEN))
    assert_same_numbers(tmp_path / "with", tmp_path / "without")


# ------------------------------------------------------------------------------------------------- no place to keep


def a_file(cache: Path) -> None:
    cache.write_bytes(b"")


def a_link_to_nowhere(cache: Path) -> None:
    cache.symlink_to("/proc/nothing")


@pytest.mark.parametrize("spoil", [a_file, a_link_to_nowhere])
def test_a_place_that_cannot_be_written_is_a_warning_each_store(
    spoil: Callable[[Path], None], some_faces: Data, own_cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(own_cache)
    some_faces.train(tmp_path / "run", FROZEN)
    messages = warnings_of(caplog)
    assert len(messages) == 2, messages
    assert all("nothing can be kept there" in message and "\n" not in message for message in messages)
    some_faces.train(tmp_path / "without", uncached(FROZEN))
    assert_same_numbers(tmp_path / "run", tmp_path / "without")
