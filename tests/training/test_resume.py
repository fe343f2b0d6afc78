"""Interrupted runs: that nothing of them is lost, whatever stops them, and that they end in the same numbers."""

import shutil
import signal
from _thread import interrupt_main
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_model
from safetensors.torch import load_file, save_file
from toy_faces import write_people, write_teacher
from toy_runs import (
    CLASSES,
    SMALL,
    Data,
    assert_same_run,
    classes,
    command,
    finish,
    interrupt_at,
    make_people,
    read_history,
    small,
    start,
    wait_for_checkpoint,
)

from facerec.errors import TrainingError
from facerec.models.checkpoint import load_model, read_facts
from facerec.training.run_folder import CHECKPOINT, HISTORY, settings_of
from facerec.training.settings import TrainSettings

pytestmark = pytest.mark.usefixtures("one_thread")


def interrupt(data: Data, output: Path, settings: TrainSettings, epoch: int, batch: int) -> None:
    """A run that ends after that batch."""
    with pytest.raises(TrainingError, match=rf"stopped in epoch {epoch + 1}; go on with `resume`"):
        data.train(output, settings, watch=interrupt_at(epoch, batch))


@pytest.mark.parametrize(("epoch", "batch"), [(0, 1), (0, 4), (1, 2), (1, 4)])
def test_an_interrupted_run_resumes_to_the_same_numbers(
    epoch: int, batch: int, whole_run: Path, some_faces: Data, tmp_path: Path
) -> None:
    """Batch 4 is the last: what is left of that epoch is validation alone."""
    before = signal.getsignal(signal.SIGINT)
    interrupt(some_faces, tmp_path / "run", SMALL, epoch, batch)
    assert signal.getsignal(signal.SIGINT) is before
    facts = read_facts(tmp_path / "run" / CHECKPOINT)
    assert (facts["epoch"], facts["batch"]) == (epoch, batch)
    some_faces.train(tmp_path / "run", SMALL, resume=True)
    assert_same_run(whole_run, tmp_path / "run")


RATES: dict[str, Any] = {"schedule": "cosine", "warmup": 0.2, "weight_decay": 0.05}
KINDS: dict[str, dict[str, Any]] = {
    "moments of some tensors": {"strategy": "partial", **RATES},
    "a stage that begins to train": {"strategy": "gradual", "optimizer": "sgd"},
    "a moving average": {"ema": 0.7, "optimizer": "adam", "clip_norm": 0.5},
    "a memory of earlier batches": {"memory": 20, "optimizer": "adagrad"},
    "class vectors beside triplets": {"loss": "triplet + 0.1*arcface", "schedule": "plateau", "step_epochs": 1},
    "random mining": {"mining": "distance", "strong_augmentation": True, "views": 2},
    "several teachers": {"teacher": ("stored", "live"), "teacher_loss": "mse + relational"},
    "crops on the device": {"cache_on_device": True, "strong_augmentation": True},
    "photos without labels": {"unlabelled": "people", "mix": 0.5, "loss": "none", "batch_size": 8},
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_a_run_remembers_is_in_its_checkpoint(kind: str, some_faces: Data, tmp_path: Path) -> None:
    changes = dict(KINDS[kind])
    if "teacher" in changes:
        stored = write_teacher(tmp_path / "teacher.npz", some_faces.task(SMALL).train)
        changes["teacher"] = (str(stored), str(toy_model.write_model(tmp_path)))
    if "unlabelled" in changes:
        changes["unlabelled"] = str(write_people(tmp_path / "anybody", {"a": 3, "b": 3}, size=112))
        changes["teacher"] = (str(toy_model.write_model(tmp_path)),)
    settings = small(epochs=2, **changes)
    some_faces.train(tmp_path / "whole", settings)
    interrupt(some_faces, tmp_path / "run", settings, 1, 2)
    some_faces.train(tmp_path / "run", settings, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_gradients_that_wait_for_others_are_not_torn_apart(some_faces: Data, tmp_path: Path) -> None:
    """An interrupt in the middle of an accumulated step takes effect after it."""
    settings = small(accumulate=3)
    some_faces.train(tmp_path / "whole", settings)
    for batch, stopped in ((1, 3), (4, 4)):
        output = tmp_path / f"after {batch}"
        interrupt(some_faces, output, settings, 0, batch)
        assert read_facts(output / CHECKPOINT)["batch"] == stopped
        some_faces.train(output, settings, resume=True)
        assert_same_run(tmp_path / "whole", output)


def test_random_depth_is_drawn_again_as_it_was(some_classes: Data, tmp_path: Path) -> None:
    """EfficientNet leaves out whole blocks at random (stochastic depth)."""
    settings = classes(backbone="efficientnet_b0", ema=0.5, label_smoothing=0.1, strategy="discriminative")
    some_classes.train(tmp_path / "whole", settings)
    interrupt(some_classes, tmp_path / "run", settings, 0, 2)
    some_classes.train(tmp_path / "run", settings, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_rows_kept_of_frozen_stages_change_nothing_about_resuming(tmp_path: Path) -> None:
    """Mid-epoch, when some rows of the epoch are kept already and others are not."""
    data, settings = make_people(tmp_path, 12, 4), small(strategy="partial", views=1, epochs=3)
    interrupt(data, tmp_path / "run", settings, 0, 2)
    data.train(tmp_path / "run", settings, resume=True)
    data.train(tmp_path / "whole", settings)
    for one, other in zip(*(read_history(tmp_path / name) for name in ("whole", "run")), strict=True):
        assert {key: value for key, value in one.items() if key != "lr"} == pytest.approx(
            {key: value for key, value in other.items() if key != "lr"}, rel=1e-4, abs=1e-5
        )


def test_resuming_a_finished_run_changes_nothing(whole_run: Path, some_faces: Data) -> None:
    before = {path: path.read_bytes() for path in whole_run.iterdir()}
    card = some_faces.train(whole_run, SMALL, resume=True)
    assert {path: path.read_bytes() for path in whole_run.iterdir()} == before
    assert card == load_model(whole_run)[1]


# ------------------------------------------------------------------------------------------------- processes that end


@pytest.mark.parametrize("mode", ["metric", "classify"])
def test_a_killed_run_resumes_to_the_same_numbers(
    mode: str, some_faces: Data, some_classes: Data, tmp_path: Path
) -> None:
    """SIGKILL, mid-epoch; against a run of the same settings that nobody killed."""
    data = some_faces if mode == "metric" else some_classes
    settings = small(epochs=3, checkpoint_minutes=0.0)
    if mode == "classify":
        settings = classes(backbone="efficientnet_b0", epochs=3, checkpoint_minutes=0.0)
    killed = start(*command(data, tmp_path / "run", settings))
    wait_for_checkpoint(killed, tmp_path / "run", 1, 2)
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    resumed = start(*command(data, tmp_path / "run", settings, "--resume"))
    data.train(tmp_path / "whole", settings)
    _, errors = finish(resumed)
    assert errors.splitlines()[-1].startswith("epoch 3 of 3: ")
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    assert load_model(tmp_path / "whole")[1].fingerprint == load_model(tmp_path / "run")[1].fingerprint
    assert not list((tmp_path / "run").glob("*.draft")), "what a kill left is overwritten by the next whole file"


def test_ctrl_c_leaves_a_checkpoint_and_one_clear_line(some_classes: Data, tmp_path: Path) -> None:
    settings = classes(epochs=60, checkpoint_minutes=0.0)
    process = start(*command(some_classes, tmp_path / "run", settings))
    wait_for_checkpoint(process, tmp_path / "run", 0, 1)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert (process.returncode, output) == (2, "")
    epoch = read_facts(tmp_path / "run" / CHECKPOINT)["epoch"]
    last = errors.splitlines()[-1]
    assert last == f"Error: {tmp_path / 'run'}: stopped in epoch {epoch + 1}; go on with --resume"


# ------------------------------------------------------------------------------------------------- what may be resumed


def test_a_run_resumes_with_settings_as_json_gives_them_back(some_faces: Data, tmp_path: Path) -> None:
    """Tuples become lists on the way."""
    stored = write_teacher(tmp_path / "teacher.npz", some_faces.task(SMALL).train)
    settings = small(teacher=(str(stored), str(stored)), epochs=1)
    some_faces.train(tmp_path / "run", settings)
    assert settings_of(tmp_path / "run") == settings
    some_faces.train(tmp_path / "run", settings_of(tmp_path / "run"), resume=True)


def test_two_interrupts_end_a_run_at_once(some_faces: Data, tmp_path: Path) -> None:
    def twice(progress: object) -> None:
        interrupt_main()
        interrupt_main()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has none
    with pytest.raises(KeyboardInterrupt):
        some_faces.train(tmp_path / "run", SMALL, watch=twice)
    signal.signal(signal.SIGINT, before)
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_classify_settings_are_the_runs_own(some_classes: Data, tmp_path: Path) -> None:
    some_classes.train(tmp_path / "run", classes(epochs=1))
    with pytest.raises(TrainingError, match="its settings differs in epochs;"):
        some_classes.train(tmp_path / "run", CLASSES, resume=True)


def test_a_run_resumes_though_the_model_it_began_with_is_gone(
    whole_run: Path, some_faces: Data, tmp_path: Path
) -> None:
    """Every weight is in the checkpoint."""
    settings = small(init=str(tmp_path / "start"), strategy="partial", views=1)
    shutil.copytree(whole_run, tmp_path / "start")
    some_faces.train(tmp_path / "whole", settings)
    interrupt(some_faces, tmp_path / "run", settings, 1, 1)
    shutil.rmtree(tmp_path / "start")
    some_faces.train(tmp_path / "run", settings, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_another_teacher_is_no_resumption(some_faces: Data, tmp_path: Path) -> None:
    teacher = write_teacher(tmp_path / "teacher.npz", some_faces.task(SMALL).train)
    settings = small(teacher=(str(teacher),))
    interrupt(some_faces, tmp_path / "run", settings, 0, 2)
    with np.load(teacher) as arrays:
        np.savez(teacher, names=arrays["names"], embeddings=-arrays["embeddings"])
    with pytest.raises(TrainingError, match=r"cannot resume, its teachers differs in .*teacher\.npz"):
        some_faces.train(tmp_path / "run", settings, resume=True)


def test_a_history_that_a_kill_left_out_is_written_again(whole_run: Path, some_faces: Data, tmp_path: Path) -> None:
    shutil.copytree(whole_run, tmp_path / "run")
    (tmp_path / "run" / HISTORY).unlink()
    some_faces.train(tmp_path / "run", SMALL, resume=True)
    assert_same_run(whole_run, tmp_path / "run")


@pytest.mark.parametrize("facts", ["{", '{"bogus": 1}'])
def test_a_checkpoint_of_other_facts_is_one_line(facts: str, whole_run: Path, some_faces: Data, tmp_path: Path) -> None:
    shutil.copytree(whole_run, tmp_path / "run")
    save_file(load_file(whole_run / CHECKPOINT), tmp_path / "run" / CHECKPOINT, {"facts": facts})
    with pytest.raises(TrainingError, match=r"cannot be resumed from \(broken\); give another `output`"):
        some_faces.train(tmp_path / "run", SMALL, resume=True)
