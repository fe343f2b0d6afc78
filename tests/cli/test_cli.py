"""The command line as scripts and people meet it: fields, output, exit codes."""

import importlib.metadata
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import click
import numpy as np
import pytest
import toy_fixtures
import toy_model
from running import json_lines, run, run_process

from facerec.cli.main import COMMANDS, main
from facerec.inference.loading import load_embedder
from facerec.models.cohort import save_cohort
from facerec.models.places import SHIPPED_MODEL

gallery = toy_fixtures.three_people


# ---------------------------------------------------------------------------------------------------- the front door


def test_help_lists_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.split("Commands:\n")[1].splitlines()] == list(COMMANDS)
    assert list(COMMANDS) == sorted(COMMANDS)


def test_help_says_what_each_command_says_of_itself() -> None:
    context = click.Context(main)
    said = {name: main.get_command(context, name) for name in COMMANDS}
    assert {name: words for name, (_, words) in COMMANDS.items()} == {
        name: command.get_short_help_str(1000) for name, command in said.items() if command is not None
    }


def test_version() -> None:
    assert importlib.metadata.version("facerec") in run("--version").stdout


HEAVY = "{'numpy', 'PIL', 'torch', 'faiss', 'openvino', 'sklearn', 'scipy', 'matplotlib', 'rich', 'importlib.metadata'}"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from facerec.cli.main import main, COMMANDS\n"
        "for words in [[], *([name] for name in COMMANDS), ['gallery', 'remove'], ['evaluate', 'verification']]:\n"
        "    assert CliRunner().invoke(main, [*words, '--help']).exit_code == 0\n"
        f"print(*{HEAVY} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


@pytest.mark.parametrize("arguments", [["no-such-command"], ["gallery", "no-such"], ["identify", "--no-such", "a.jpg"]])
def test_what_does_not_exist_is_bad_usage(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "no such" in result.stderr.lower()


# ---------------------------------------------------------------------------------------------------- the rest


def test_models(tiny_model: Path) -> None:
    (line,) = json_lines(run("models", "--model", tiny_model, "--json"))
    assert {"resnet50", "resnet18", "mobilenet_v2", "squeezenet1_1"} <= line["backbones"].keys()
    assert line["strategies"] == ["full", "frozen", "partial", "discriminative", "gradual", "scratch"]
    assert line["card"] == json.loads((tiny_model / "model.json").read_text("utf-8"))
    shown = run("models", "--model", tiny_model).stdout
    for word in ("resnet50: ", "discriminative", "Model tiny:", line["card"]["fingerprint"], "made up for tests"):
        assert word in shown
    figures = run("models", "--model", "default").stdout
    lfw = json.loads((SHIPPED_MODEL / "model.json").read_text("utf-8"))["results"]["lfw"]
    assert f"results.lfw.tar_at_fmr.1e-3: {lfw['tar_at_fmr']['1e-3']}\n" in figures
    assert "{" not in figures, "a line for each figure"


def test_doctor_of_a_sound_house(gallery: Path, toy: Path) -> None:
    result = run("doctor", "--json", "--model", toy, gallery=gallery)
    (line,) = json_lines(result)
    assert (result.exit_code, result.stderr) == (0, "")
    assert list(line) == ["versions", "device", "settings", "model", "gallery"]
    assert line["versions"].startswith("Python 3.")
    assert line["model"].startswith("toy (")
    assert line["model"].endswith(
        "works, brings no strangers: its card's threshold holds for every gallery until "
        "`facerec calibrate --strangers DIR`"
    )
    assert line["gallery"] == f"{gallery}: 6 photos of 3 people, sound"


def test_doctor_names_what_is_wrong(gallery: Path, tmp_path: Path) -> None:
    (gallery / "gallery.db").write_bytes(b"garbage" * 1000)
    result = run("doctor", "--model", tmp_path / "none", gallery=gallery)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 2
    assert str(tmp_path / "none") in result.stderr
    assert str(gallery) in result.stderr


def test_doctor_tells_a_gallery_of_another_model(gallery: Path, tmp_path: Path) -> None:
    other = toy_model.write_model(tmp_path / "other", "other", mean=(0.0, 0.0, 0.0))
    before = (gallery / "gallery.db").read_bytes()
    result = run("doctor", "--model", other, gallery=gallery)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert f"{gallery}: made with model toy (" in result.stderr
    assert "`facerec gallery migrate --model NEW`" in result.stderr
    assert (gallery / "gallery.db").read_bytes() == before


def test_doctor_counts_the_models_strangers(tmp_path: Path) -> None:
    model = toy_model.write_model(tmp_path / "with", threshold={})
    bare = json_lines(run("doctor", "--json", "--model", model, gallery=tmp_path / "none"))[0]["model"]
    assert "brings no strangers: nor a threshold in its card until `facerec calibrate" in bare
    rows = np.stack([toy_model.vector(toy_model.crop(person, 0)) for person in range(7)])
    save_cohort(model, load_embedder(str(model)).card, rows.astype(np.float32), "made up")
    full = json_lines(run("doctor", "--json", "--model", model, gallery=tmp_path / "none"))[0]["model"]
    assert full.endswith("works, brings 7 strangers to set thresholds by")


def test_doctor_names_strangers_that_are_broken(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "cohort.safetensors").write_bytes(b"garbage" * 100)
    result = run("doctor", "--model", folder, gallery=tmp_path / "none")
    assert result.exit_code == 1
    assert str(folder / "cohort.safetensors") in result.stderr
    assert "copy the model again" in result.stderr


def test_train_then_use_the_model(tmp_path: Path) -> None:
    for person in range(6):
        for photo in range(2):
            toy_model.save_crop(tmp_path / "people" / f"p{person}" / f"{photo}.png", person, photo)
    settings = {
        "backbone": "squeezenet1_1", "init": "random", "strategy": "full", "embedding-dim": 8, "epochs": 1,
        "people-per-batch": 4, "photos-per-person": 2, "train-size": 64, "mining": "all",
    }  # fmt: skip
    options = [part for name, value in settings.items() for part in (f"--{name}", value)]
    run_folder = tmp_path / "run"
    result = run("train", tmp_path / "people", "--output", run_folder, "--aligned", *options, "--json")
    (line,) = json_lines(result)
    assert result.exit_code == 0
    assert line["output"] == str(run_folder)
    assert {"fingerprint", "validation_auc", "validation_tar"} <= line.keys()
    photo = tmp_path / "people" / "p0" / "0.png"
    result = run("verify", photo, photo, "--aligned", "--model", run_folder, "--threshold", 0.1, "--json")
    assert json_lines(result)[0]["same"] is True
    result = run("train", tmp_path / "people", "--output", run_folder, "--aligned", "--resume")
    assert result.exit_code == 0, "a finished run has nothing left to do"
    assert f"use it with --model {run_folder}" in result.stdout
    assert "it brings no strangers: the threshold of its galleries is one distance (no false match in " in result.stdout
    assert result.stdout.endswith(
        "validation people, too few for FMR 0.1 %), until `facerec calibrate --strangers DIR`\n"
    )


def test_the_program_itself(gallery: Path, crops: Path, toy: Path) -> None:
    arguments = [crops / "ann.png", crops / "missing.png", "--aligned", "--json", "--model", toy, "--gallery", gallery]
    result = run_process("identify", *arguments)
    assert result.returncode == 1
    assert [json.loads(line)["decision"] for line in result.stdout.splitlines()] == ["match", "error"]
    assert len(result.stderr.splitlines()) == 1


# ---------------------------------------------------------------------------------------------------- a terminal


def shown_on_a_terminal(code: str, **environment: str) -> bytes:
    """Run Python code in a process whose stdout and stderr are a terminal, and return what that shows."""
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    leader, follower = pty.openpty()
    command, env = [sys.executable, "-c", code], {**plain, "TERM": "xterm", **environment}
    with subprocess.Popen(command, stdout=follower, stderr=follower, env=env) as process:
        os.close(follower)
        shown = b""
        with suppress(OSError):  # what a terminal that nobody writes to any more answers
            while block := os.read(leader, 4096):
                shown += block
    os.close(leader)
    assert process.returncode == 0
    return shown


def test_the_progress_bar_is_gone_when_a_line_is_printed() -> None:
    """On a terminal that shows both stdout and stderr, as people have it."""
    code = """
import click
from facerec.cli.progress import show_progress
for i in show_progress(iter(range(3)), "Looking", 2, lambda i: i < 2):
    click.echo(f"answer {i}")
"""
    shown = shown_on_a_terminal(code)
    assert b"Looking" in shown
    before = re.findall(rb"(.{4})answer \d\r\n", shown, re.DOTALL)
    assert before == [b"\x1b[2K"] * 3, "each answer stands on a line that was cleared"
    assert re.search(rb"1/2.* 50%", shown), "it moves with the first photo"
    assert re.search(rb"2/2.*100%.* photos/s", shown)


def test_a_terminal_shows_colour_unless_it_is_told_not_to() -> None:
    code = """
import click
from facerec.cli import common

@common.command()
def toy():
    common.warn("a.jpg: failed")

toy()
"""
    assert b"\x1b[31ma.jpg: failed\x1b[0m" in shown_on_a_terminal(code)
    assert b"\x1b" not in shown_on_a_terminal(code, NO_COLOR="1")
    assert b"\x1b" not in shown_on_a_terminal(code, TERM="dumb")
