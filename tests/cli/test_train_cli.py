"""`facerec train` at the command line: what it prints where, and what its options become."""

import dataclasses
import json
import os
import pty
import re
from pathlib import Path

import pytest
import running
from toy_faces import some_people, write_teacher
from toy_runs import CLASSES, SMALL, Data, classes, command, make_classes, make_people, read_history, read_run, start

from facerec.models.checkpoint import load_model
from facerec.training.run_folder import settings_of

pytestmark = pytest.mark.usefixtures("one_thread")


def options_of(data: Data, output: Path, *more: object) -> list[object]:
    settings = SMALL if data.splits else CLASSES
    return ["train", *command(data, output, settings)[1:], *more]


def test_the_plan_comes_first_then_the_epochs_and_only_the_result_on_stdout(some_faces: Data, tmp_path: Path) -> None:
    result = running.run_process(*options_of(some_faces, tmp_path / "run", "--strategy", "partial", "--json"))
    assert result.returncode == 0, result.stderr
    plan, epochs = result.stderr.splitlines()[:-2], result.stderr.splitlines()[-2:]
    assert [re.sub(r"\s+", " ", line) for line in plan] == [
        "stage0 1,792 parameters frozen",
        "stage1 23,840 parameters frozen",
        "stage2 94,784 parameters trains at 0.0005",
        "stage3 602,080 parameters trains at 0.0005",
        "head 8,224 parameters trains at 0.002",
        "frozen stages stay random, as --init random makes them; --strategy scratch trains all stages",
    ]
    for number, line in enumerate(epochs):
        entry = read_history(tmp_path / "run")[number]
        assert line.startswith(f"epoch {number + 1} of 2: loss {entry['loss']:.4f}, triplet loss ")
    (line,) = [json.loads(line) for line in result.stdout.splitlines()]
    card = load_model(tmp_path / "run")[1]
    assert line == {"output": str(tmp_path / "run"), "fingerprint": card.fingerprint, **card.results}


def test_emulated_bf16_is_warned_of_in_one_line(
    some_faces: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """oneDNN's variable takes the units from a CPU that has them."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx2")
    words = options_of(some_faces, tmp_path / "run", "--epochs", 1, "--quiet")
    (line,) = running.run_process(*words, "--precision", "bf16").stderr.splitlines()
    assert re.match(r"(this CPU has no|ONEDNN_MAX_CPU_ISA=avx2 hides the) bf16 units", line)
    assert line.endswith(": --precision bf16 is emulated, up to hundreds of times slower; give --precision fp32")


def test_a_classifier_by_command_for_people(some_classes: Data, tmp_path: Path) -> None:
    judge = make_classes(tmp_path / "judge", 2, 2, 2, first=50)
    result = running.run(*options_of(some_classes, tmp_path / "run", "--validation", judge.folder))
    assert result.exit_code == 0, result.stderr
    card = load_model(tmp_path / "run")[1]
    first, second = result.stdout.splitlines()
    assert first.startswith(f"{tmp_path / 'run'}: best epoch {card.training['epoch'] + 1}: validation_loss")
    assert f"{card.results['validation_accuracy']:.4f}" in first
    assert second == f"use it with --model {tmp_path / 'run'}"
    assert read_run(tmp_path / "run")["validation"]["folder"] == "judge"


def test_an_option_that_is_given_several_times(some_faces: Data, tmp_path: Path) -> None:
    teacher = write_teacher(tmp_path / "teacher.npz", some_faces.task(SMALL).train)
    other = write_teacher(tmp_path / "other.npz", some_faces.task(SMALL).train)
    words = options_of(some_faces, tmp_path / "run", "--epochs", 1, "--teacher", teacher, "--teacher", other)
    assert running.run(*words).exit_code == 0
    assert settings_of(tmp_path / "run").teacher == (str(teacher), str(other))
    resume = ["train", some_faces.folder, "--aligned", "--splits", some_faces.splits, "--output", tmp_path / "run"]
    assert running.run(*resume, "--resume").exit_code == 0
    result = running.run(*resume, "--resume", "--teacher", teacher)
    assert result.exit_code == 2
    assert "was started with --teacher" in result.stderr


def test_settings_from_a_file_and_options_over_them(some_classes: Data, tmp_path: Path) -> None:
    lines = ['mode = "classify"', 'backbone = "squeezenet1_1"', 'init = "random"', "input_size = 32", "epochs = 7"]
    (tmp_path / "train.toml").write_text("\n".join([*lines, "lr = 1", "tensorboard = false"]), "utf-8")
    words = ["train", some_classes.folder, "--output", tmp_path / "run", "--config", tmp_path / "train.toml"]
    assert running.run(*words, "--epochs", 1, "--lr", 0.001, "--strategy", "frozen").exit_code == 0
    settings = settings_of(tmp_path / "run")
    assert (settings.mode, settings.input_size, settings.epochs, settings.lr) == ("classify", 32, 1, 0.001)


def test_photos_a_list_names_are_left_out(tmp_path: Path) -> None:
    data = make_people(tmp_path, 8, 3)
    (tmp_path / "out.txt").write_text("# worse than none\nfaces/p005/001.png\n", "utf-8")
    words = ["--epochs", 1, "--exclude", tmp_path / "out.txt"]
    assert running.run(*options_of(data, tmp_path / "run", *words)).exit_code == 0
    assert read_run(tmp_path / "run")["train"]["photos"] == 11
    words = ["train", data.folder, "--aligned", "--splits", data.splits, "--output", tmp_path / "run", "--resume"]
    result = running.run(*words)
    assert result.exit_code == 2
    assert "cannot resume, its train differs in photos, fingerprint; give what it was started with" in result.stderr
    assert running.run(*words, "--exclude", tmp_path / "out.txt").exit_code == 0


def test_a_terminal_sees_a_bar_with_rate_and_time_left(some_classes: Data, tmp_path: Path) -> None:
    """stderr is a pseudo-terminal; every line of an epoch and of the plan is on a line of its own."""
    ours, theirs = pty.openpty()
    process = start(*command(some_classes, tmp_path / "run", classes()), stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # Linux says EIO where the other end is closed
        pass
    process.communicate()
    assert process.returncode == 0
    text = seen.decode()
    assert re.search(r"epoch 1/2, loss \d+\.\d{4}, \d+ photos/s", text)
    assert re.search(r"3/3", text)
    assert re.search(r"\d:\d\d:\d\d", text)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = [line.strip() for line in re.split(r"[\r\n]+", plain)]
    assert [line[:12] for line in lines if re.match(r"epoch \d of", line)] == ["epoch 1 of 2", "epoch 2 of 2"]


def test_a_class_of_ten_needs_no_option(tmp_path: Path) -> None:
    """Two of them validate. The record has the P that was used, so the run resumes; a P that is given is kept."""
    people = some_people(tmp_path / "class", 10, 4)
    words = ["train", people, "--aligned", "--backbone", "squeezenet1_1", "--init", "random", "--train-size", 32]
    first = running.run_process(*words, "--output", tmp_path / "run", "--epochs", 1)
    assert first.returncode == 0, first.stderr
    note = "batches of 8 people x 4 photos instead of 16 x 4: no more people have 4 training photos"
    assert first.stderr.splitlines().count(note) == 1
    assert settings_of(tmp_path / "run").people_per_batch == 8
    assert read_history(tmp_path / "run")[0]["photos"] == 32
    resume = ["train", people, "--aligned", "--output", tmp_path / "run", "--resume"]
    again = running.run_process(*resume)
    assert (again.returncode, again.stderr) == (0, "".join(first.stderr.splitlines(keepends=True)[1:-1]))
    assert running.run(*resume, "--people-per-batch", 8).exit_code == 0
    assert "was started with --people-per-batch 8" in running.run(*resume, "--people-per-batch", 16).stderr
    (tmp_path / "train.toml").write_text("people_per_batch = 16\n", "utf-8")
    for asked in (["--people-per-batch", 16], ["--config", tmp_path / "train.toml"]):
        result = running.run(*words, "--output", tmp_path / "other", *asked)
        assert result.exit_code == 2
        assert "a batch needs 16 people with 4 photos each, and only 8 have as many" in result.stderr
        assert not (tmp_path / "other").exists()


def test_what_a_run_was_started_without_is_not_given_when_it_is_resumed(some_classes: Data, tmp_path: Path) -> None:
    some_classes.train(tmp_path / "run", classes(epochs=1))
    words = ["train", some_classes.folder, "--output", tmp_path / "run", "--resume", "--frozen-stages", 1]
    wanted = f"Error: {tmp_path / 'run'}: was started without --frozen-stages; resume it without\n"
    assert running.run(*words).stderr == wanted


def test_a_run_takes_the_form_of_the_model_it_begins_from(some_faces: Data, tmp_path: Path) -> None:
    """None of the options that made the first run's network, bar one, which an option or a file then contradicts."""
    flat = ["--pooling", "flat", "--kept-stages", 3, "--train-size", 0, "--epochs", 1]
    assert running.run(*options_of(some_faces, tmp_path / "first", *flat)).exit_code == 0
    words = ["train", some_faces.folder, "--aligned", "--splits", some_faces.splits, "--init", tmp_path / "first"]
    words += ["--strategy", "frozen", "--epochs", 1, "--people-per-batch", 4, "--photos-per-person", 2]
    result = running.run(*words, "--output", tmp_path / "next")
    assert result.exit_code == 0, result.stderr
    settings, first = settings_of(tmp_path / "next"), settings_of(tmp_path / "first")
    for name in ("backbone", "kept_stages", "pooling", "embedding_dim", "head_layers"):
        assert getattr(settings, name) == getattr(first, name), name
    assert settings.input_size == 112
    assert "embedding-dim 16" in running.run(*words, "--output", tmp_path / "x", "--embedding-dim", 512).stderr
    (tmp_path / "train.toml").write_text("embedding_dim = 512\n", "utf-8")
    result = running.run(*words, "--output", tmp_path / "y", "--config", tmp_path / "train.toml")
    assert "embedding-dim 16" in result.stderr


def test_a_classifier_takes_only_the_backbone_of_a_model_that_embeds(
    some_faces: Data, some_classes: Data, tmp_path: Path
) -> None:
    some_faces.train(tmp_path / "faces", dataclasses.replace(SMALL, epochs=1))
    words = ["train", some_classes.folder, "--mode", "classify", "--init", tmp_path / "faces", "--input-size", 32]
    result = running.run(*words, "--output", tmp_path / "classes", "--epochs", 1, "--batch-size", 4)
    assert result.exit_code == 0, result.stderr
    settings = settings_of(tmp_path / "classes")
    assert (settings.backbone, settings.input_size, settings.embedding_dim) == ("squeezenet1_1", 32, 512)
