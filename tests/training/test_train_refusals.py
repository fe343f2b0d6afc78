"""What a run refuses, in one line that names the remedy, before anything is written."""

import json
import logging
import math
import re
from pathlib import Path
from typing import Any

import pytest
import running
from toy_faces import some_people, write_splits
from toy_runs import SMALL, VALIDATION, Data, classes, make_classes, make_people, read_run, small

from facerec.errors import ConfigError, DataError, FacerecError, TrainingError
from facerec.models.checkpoint import load_model
from facerec.training.run_folder import RUN, hold_folder
from facerec.training.train import check_run, settings_of, train

pytestmark = pytest.mark.usefixtures("one_thread")


def assert_refused(match: str, kind: type[FacerecError], *arguments: Any, **options: Any) -> None:
    with pytest.raises(kind, match=match) as caught:
        train(*arguments, **options)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------- folders of runs


def test_a_run_is_not_started_over_another(whole_run: Path, some_faces: Data) -> None:
    before = (whole_run / RUN).read_bytes()
    message = "already holds a run; go on with --resume"
    assert_refused(message, TrainingError, some_faces.folder, whole_run, small(lr=1.0))
    assert (whole_run / RUN).read_bytes() == before


def test_nothing_to_resume_is_said(some_faces: Data, tmp_path: Path) -> None:
    message = "holds no run to resume"
    assert_refused(message, TrainingError, some_faces.folder, tmp_path / "run", SMALL, resume=True)
    assert not (tmp_path / "run").exists()


def test_other_settings_are_no_resumption(whole_run: Path, some_faces: Data) -> None:
    options = {"splits": some_faces.splits, "resume": True}
    changed = small(lr=1e-5, margin=0.3)
    message = "its settings differs in margin, lr;"
    assert_refused(message, TrainingError, some_faces.folder, whole_run, changed, **options)
    assert settings_of(whole_run) == SMALL


def test_other_versions_are_named_when_a_run_is_resumed(
    some_faces: Data, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    some_faces.train(tmp_path / "run", small(epochs=1))
    run = read_run(tmp_path / "run")
    run["versions"]["torch"] = "1.0"
    written = json.dumps(run)
    (tmp_path / "run" / RUN).write_text(written, "utf-8")
    some_faces.train(tmp_path / "run", small(epochs=1), resume=True)
    (message,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "'torch': '1.0'" in message
    assert "its numbers may differ" in message
    assert (tmp_path / "run" / RUN).read_text("utf-8") == written, "what it was started with stays on record"


def test_a_folder_another_process_trains_in_is_refused(some_faces: Data, tmp_path: Path) -> None:
    with hold_folder(tmp_path / "run"):
        message = "another process trains here; wait, or give another --output"
        assert_refused(message, TrainingError, some_faces.folder, tmp_path / "run", SMALL, splits=some_faces.splits)
    assert not (tmp_path / "run" / RUN).exists()


def test_a_model_is_not_trained_over(whole_run: Path, some_faces: Data, tmp_path: Path) -> None:
    for name in ("model.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((whole_run / name).read_bytes())
    message = "already holds a model; give another"
    assert_refused(message, TrainingError, some_faces.folder, tmp_path, SMALL)
    assert load_model(tmp_path)[1] == load_model(whole_run)[1]


def test_a_broken_record_of_the_run_is_one_line(some_faces: Data, tmp_path: Path) -> None:
    for content in ("{}", "[]", "{"):
        (tmp_path / RUN).write_text(content)
        result = running.run("train", some_faces.folder, "--aligned", "--output", tmp_path, "--resume")
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "holds no run to resume" in result.stderr


def test_a_folder_that_holds_a_run_is_refused_before_photos_are_aligned(
    whole_run: Path, small_samples: Path, tmp_path: Path
) -> None:
    result = running.run("train", small_samples / "people", "--output", whole_run)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "already holds a run" in result.stderr
    assert not (whole_run / "crops").exists()
    result = running.run("train", small_samples / "people", "--output", tmp_path / "run", "--strategy", "most")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no strategy 'most'" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_one_line(some_faces: Data, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    output = tmp_path / "file" / "run"
    assert_refused("cannot be made .* give another --output", TrainingError, some_faces.folder, output, SMALL)


@pytest.mark.parametrize("output", ["file", "file/run"])
def test_nor_are_photos_looked_at_for_one(small_samples: Path, tmp_path: Path, output: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    result = running.run("train", small_samples / "people", "--output", tmp_path / output)
    said = f"Error: {tmp_path / output}: cannot be made (Not a directory); give another --output\n"
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", said)


def test_the_command_line_resumes_with_the_settings_of_the_run(whole_run: Path, some_faces: Data) -> None:
    words = ["train", some_faces.folder, "--aligned", "--splits", some_faces.splits, "--output", whole_run, "--resume"]
    result = running.run(*words, "--lr", "0.5")
    assert result.exit_code == 2
    assert result.stderr == f"Error: {whole_run}: was started with --lr 0.0005; resume it with that\n"
    result = running.run(*words, "--config", "any.toml")
    assert result.exit_code == 2
    assert result.stderr == f"Error: {whole_run}: keeps the settings it was started with; resume it without --config\n"
    result = running.run(*words, "--lr", "0.0005", "--json")
    assert result.exit_code == 0
    (line,) = running.json_lines(result)
    assert line["fingerprint"] == load_model(whole_run)[1].fingerprint


# ------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize("change", ["a new name", "one byte"])
def test_other_data_are_no_resumption(change: str, whole_run: Path, tmp_path: Path) -> None:
    data = make_people(tmp_path, 12, 4)
    path = data.folder / "p007" / "000.png"
    if change == "a new name":
        path.rename(path.with_name("new.png"))
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    options = {"splits": data.splits, "resume": True}
    assert_refused("its train differs in fingerprint;", TrainingError, data.folder, whole_run, SMALL, **options)


def test_other_validation_people_are_no_resumption(whole_run: Path, some_faces: Data, tmp_path: Path) -> None:
    splits = write_splits(tmp_path / "splits", validation=["faces/p005", "faces/p006", "faces/p007", "faces/p008"])
    options = {"splits": splits, "resume": True}
    assert_refused("cannot resume, its", TrainingError, some_faces.folder, whole_run, SMALL, **options)


def test_what_cannot_be_validated_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    splits = write_splits(tmp_path / "splits", validation=[f"faces/{person}" for person in VALIDATION])
    folder = some_people(tmp_path / "faces", 12, 4)
    for person in VALIDATION:
        for path in sorted((folder / person).iterdir())[1:]:
            path.write_bytes(b"broken")
    message = "no two photos of one and of two validation people can be read"
    assert_refused(message, DataError, folder, tmp_path / "run", SMALL, splits=splits)


def test_too_few_people_for_a_batch_is_one_line(some_faces: Data, tmp_path: Path) -> None:
    message = "a batch wants 9 people .* and only 8 have"
    arguments = (some_faces.folder, tmp_path / "run", small(people_per_batch=9))
    assert_refused(message, DataError, *arguments, splits=some_faces.splits)


@pytest.mark.parametrize("mode", ["metric", "classify"])
def test_validation_photos_that_cannot_be_read_are_one_line(mode: str, tmp_path: Path) -> None:
    data = make_people(tmp_path, 8, 2) if mode == "metric" else make_classes(tmp_path / "kinds", 4, 4)
    settings = small(epochs=1) if mode == "metric" else classes()
    for path in data.task(settings).validation.paths:
        path.write_bytes(b"")
    message = "not one validation photo can be read"
    assert_refused(message, DataError, data.folder, tmp_path / "run", settings, splits=data.splits)


@pytest.mark.parametrize("mode", ["metric", "classify"])
def test_a_batch_that_cannot_be_read_ends_the_run_with_one_line(mode: str, tmp_path: Path) -> None:
    data = make_people(tmp_path, 8, 2) if mode == "metric" else make_classes(tmp_path / "kinds", 4, 4)
    settings = small() if mode == "metric" else classes()
    for path in data.task(settings).train.paths[1:]:
        path.write_bytes(b"")
    message = "fewer than two photos of a batch can be read"
    assert_refused(message, DataError, data.folder, tmp_path / "run", settings, splits=data.splits)


@pytest.mark.parametrize(
    ("counts", "message"),
    [((4,), "holds one class, c0"), ((4, 1), "class c1 has one photo")],
)
def test_classes_that_cannot_be_trained_are_one_line(counts: tuple[int, ...], message: str, tmp_path: Path) -> None:
    folder = make_classes(tmp_path / "kinds", *counts).folder
    assert_refused(message, DataError, folder, tmp_path / "run", classes())
    assert not (tmp_path / "run").exists()


def test_options_of_one_mode_are_refused_in_the_other(some_faces: Data, some_classes: Data, tmp_path: Path) -> None:
    output = tmp_path / "run"
    message = "--splits is for --mode metric; classes to validate on are given by --validation"
    assert_refused(message, ConfigError, some_classes.folder, output, classes(), splits=some_faces.splits)
    message = "--validation is for --mode classify; people to validate on are named by --splits"
    assert_refused(message, ConfigError, some_faces.folder, output, SMALL, validation=some_faces.folder)
    judge = make_classes(tmp_path / "judge", 1, 1, first=50)
    (judge.folder / "c1").rename(judge.folder / "other")
    message = "class other is not trained; trained are c0, c1, c2"
    assert_refused(message, DataError, some_classes.folder, output, classes(), validation=judge.folder)
    assert not output.exists()


# ------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "guess"}, "no mode 'guess'; known are metric, classify"),
        ({"backbone": "vgg"}, "no backbone 'vgg'"),
        ({"strategy": "most"}, "no strategy 'most'"),
        ({"strategy": "partial", "frozen_stages": 4}, "between 1 and 3 stages"),
        ({"strategy": "partial", "kept_stages": 2, "frozen_stages": 2}, "between 1 and 1 stages"),
        ({"strategy": "scratch", "init": "models/mine"}, "scratch starts from random weights; leave --init out"),
        ({"kept_stages": 5}, "squeezenet1_1 has 4 stages; keep between 1 and 4 of them, not 5"),
        ({"kept_stages": -1}, "kept_stages must be at least 0"),
        ({"head_layers": 0}, "head_layers must be at least 1"),
        ({"unfreeze_epochs": 0}, "unfreeze_epochs must be at least 1"),
        ({"loss": "hinge"}, "no loss 'hinge'; known are triplet, contrastive"),
        ({"loss": "triplet + x*arcface"}, "no loss 'x.arcface'"),
        ({"loss": "triplet + triplet"}, "no loss 'triplet'"),
        ({"mode": "classify", "loss": "triplet"}, "no loss 'triplet'; known are cross-entropy"),
        ({"mining": "easy"}, "no mining 'easy'"),
        ({"memory": 4}, "memory must hold a whole batch"),
        ({"memory": 64, "loss": "arcface"}, "memory is for losses that compare photos"),
        ({"memory": -1}, "memory must be at least 0"),
        ({"optimizer": "lion"}, "no optimizer 'lion'; known are adam, adamw, sgd, adagrad"),
        ({"schedule": "linear"}, "no schedule 'linear'; known are step, cosine, plateau"),
        ({"precision": "fp64"}, "no precision 'fp64'"),
        ({"loss": "none"}, "nothing to learn from: give --loss triplet, or --teacher"),
        ({"loss": "none", "mode": "classify"}, "nothing to learn from: give --loss cross-entropy, or --teacher"),
        ({"teacher_loss": "cosine + hints"}, "no teacher loss 'hints'; known are cosine, mse, relational"),
        ({"people_per_batch": 0}, "people_per_batch must be at least 2, not 0"),
        ({"people_per_batch": 1}, "people_per_batch must be at least 2, not 1"),
        ({"photos_per_person": 1}, "photos_per_person must be at least 2, not 1"),
        ({"batch_size": 1}, "batch_size must be at least 2, not 1"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"early_stopping": -1}, "early_stopping must be at least 0"),
        ({"step_epochs": 0}, "step_epochs must be at least 1"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"views": -1}, "views must be at least 0"),
        ({"embedding_dim": 0}, "embedding_dim must be at least 1"),
        ({"embedding_dim": 2 * 10**9}, "embedding_dim must be at most 65536"),
        ({"margin": math.nan}, "the margin must be 0"),
        ({"train_size": 16}, "train_size must be 0 or at least 32"),
        ({"input_size": 31}, "input_size must be 0 or at least 32"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"lr": -1e-3}, "lr must be a number above 0, not -0.001"),
        ({"head_lr": math.inf}, "head_lr must be a number above 0, not inf"),
        ({"checkpoint_minutes": -1.0}, "checkpoint_minutes must be a number from 0"),
        ({"weight_decay": -1.0}, "weight_decay must be a number from 0, not -1.0"),
        ({"clip_norm": math.nan}, "clip_norm must be a number from 0, not nan"),
        ({"cache_gb": -1.0}, "cache_gb must be a number from 0"),
        ({"teacher_weight": math.nan}, "teacher_weight must be a number from 0, not nan"),
        ({"stage_decay": 0.0}, "stage_decay must be above 0 and at most 1"),
        ({"warmup": 1.0}, "warmup must be from 0 to below 1"),
        ({"ema": 1.0}, "ema must be from 0 to below 1"),
        ({"label_smoothing": -0.1}, "label_smoothing must be from 0 to below 1"),
        ({"limit_people": 0}, "limit_people must be at least 2, not 0"),
        ({"seed": 2**63}, "seed must be below 2"),
        ({"views": 1001}, "views must be at most 1000"),
        ({"memory": 10**7}, "memory must be at most 1000000"),
        ({"head_layers": 17}, "head_layers must be at most 16"),
        ({"cache_gb": 1e300}, "cache_gb must be at most 1000000"),
        ({"train_size": 4096}, "train_size must be at most 2048"),
        ({"mix": 1.5}, "mix must be from 0 to 1, not 1.5"),
        ({"mix": 0.5}, "mix makes faces of nobody: give --loss none"),
        ({"mix": 0.5, "loss": "none", "teacher": ("stored.npz",)}, "mix makes faces of nobody: give --loss none"),
        ({"pooling": "max"}, "no pooling 'max'; known are mean, flat"),
        ({"pooling": "flat"}, "flat pooling knows the places of one size; leave --train-size out"),
        ({"input_size": 128}, "input_size 128 is that of stored crops, which have a margin; give another"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_written(
    changes: dict[str, Any], message: str, some_faces: Data, tmp_path: Path
) -> None:
    arguments = (some_faces.folder, tmp_path / "run", small(**changes))
    assert_refused(message, ConfigError, *arguments, splits=some_faces.splits)
    assert not (tmp_path / "run").exists()


def test_batches_of_single_photos_suffice_a_teacher(tmp_path: Path) -> None:
    (tmp_path / "any.npz").touch()
    teacher = (str(tmp_path / "any.npz"),)
    check_run(tmp_path / "run", small(loss="none", photos_per_person=1, teacher=teacher), resume=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": ("none.npz",)}, "none.npz: no such file; give a teacher's .npz, a FILE.onnx or a model folder"),
        ({"teacher": ("none.onnx",)}, "none.onnx: no such model; give a model folder, a FILE.onnx with its card"),
        ({"init": "no/model"}, "no/model/model.json: no such file"),
        ({"precision": "fp16"}, "no precision 'fp16'"),
    ],
)
def test_what_is_missing_is_said_before_photos_are_aligned(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(FacerecError, match=re.escape(message)):
        check_run(tmp_path / "run", small(**changes), resume=False)


def test_a_model_folder_of_another_shape_is_refused(
    whole_run: Path, some_faces: Data, some_classes: Data, tmp_path: Path
) -> None:
    message = "holds a squeezenet1_1 with 16 dimensions; give --backbone squeezenet1_1 --embedding-dim 16"
    arguments = (some_faces.folder, tmp_path / "run", small(init=str(whole_run), embedding_dim=32))
    assert_refused(message, ConfigError, *arguments, splits=some_faces.splits)
    settings = classes(init=str(whole_run), kept_stages=2)
    message = "give --backbone squeezenet1_1 --kept-stages 0"
    assert_refused(message, ConfigError, some_classes.folder, tmp_path / "run", settings)
