"""What a run refuses, in one line that names the remedy, before anything is written."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import running
from toy_faces import some_people, write_splits
from toy_runs import SMALL, VALIDATION, Data, classes, make_classes, make_people, read_run, run_of, small

from facerec.errors import ConfigError, DataError, FacerecError, TrainingError
from facerec.models.checkpoint import load_model
from facerec.training.run_folder import RUN, hold_folder, settings_of

pytestmark = pytest.mark.usefixtures("one_thread")


def assert_refused(match: str, kind: type[FacerecError], *arguments: Any, **options: Any) -> None:
    with pytest.raises(kind, match=match) as caught:
        run_of(*arguments, **options)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------- folders of runs


def test_a_run_is_not_started_over_another(whole_run: Path, some_faces: Data) -> None:
    before = (whole_run / RUN).read_bytes()
    message = "already holds a run; go on with `resume`"
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
        message = "another process trains here; wait, or give another `output`"
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
    assert_refused("cannot be made .* give another `output`", TrainingError, some_faces.folder, output, SMALL)


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
    result = running.run(*words, "--epochs", 60)
    assert f"To train its model further, start a new run with --init {whole_run} and another --output" in result.stderr
    (whole_run.parent / "any.toml").touch()
    result = running.run(*words, "--config", whole_run.parent / "any.toml")
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
    message = "to validate, two photos of one person and photos of two people must be readable"
    assert_refused(message, DataError, folder, tmp_path / "run", SMALL, splits=splits)


def test_too_few_people_for_a_batch_is_one_line(some_faces: Data, tmp_path: Path) -> None:
    message = "a batch needs 9 people .* and only 8 have"
    arguments = (some_faces.folder, tmp_path / "run", small(people_per_batch=9))
    assert_refused(message, DataError, *arguments, splits=some_faces.splits)


@pytest.mark.parametrize("mode", ["metric", "classify"])
def test_validation_photos_that_cannot_be_read_are_one_line(mode: str, tmp_path: Path) -> None:
    data = make_people(tmp_path, 8, 2) if mode == "metric" else make_classes(tmp_path / "kinds", 4, 4)
    settings = small(epochs=1) if mode == "metric" else classes()
    for path in data.task(settings).validation.paths:
        path.write_bytes(b"")
    message = "no validation photo can be read"
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
    message = "`splits` is for `mode=metric`; to give other photos to validate on, give `validation`"
    assert_refused(message, ConfigError, some_classes.folder, output, classes(), splits=some_faces.splits)
    message = "`validation` is for `mode=classify`; to name people to validate on, give `splits`"
    assert_refused(message, ConfigError, some_faces.folder, output, SMALL, validation=some_faces.folder)
    judge = make_classes(tmp_path / "judge", 1, 1, first=50)
    (judge.folder / "c1").rename(judge.folder / "other")
    message = "class other is not trained; trained are c0, c1, c2"
    assert_refused(message, DataError, some_classes.folder, output, classes(), validation=judge.folder)
    assert not output.exists()


# ------------------------------------------------------------------------------------------------- settings


def test_settings_that_make_no_sense_leave_no_folder(some_faces: Data, tmp_path: Path) -> None:
    """What is refused and how: test_plan.py."""
    arguments = (some_faces.folder, tmp_path / "run", small(strategy="most"))
    assert_refused("no strategy 'most'", ConfigError, *arguments, splits=some_faces.splits)
    assert not (tmp_path / "run").exists()


def test_a_model_folder_of_another_shape_is_refused(
    whole_run: Path, some_faces: Data, some_classes: Data, tmp_path: Path
) -> None:
    message = "holds a squeezenet1_1 with 16 dimensions; give `embedding_dim=16`"
    arguments = (some_faces.folder, tmp_path / "run", small(init=str(whole_run), embedding_dim=32))
    assert_refused(message, ConfigError, *arguments, splits=some_faces.splits)
    settings = classes(init=str(whole_run), kept_stages=2)
    message = "give `backbone=squeezenet1_1` and `kept_stages=0`"
    assert_refused(message, ConfigError, some_classes.folder, tmp_path / "run", settings)
