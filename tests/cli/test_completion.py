"""What a shell offers: commands, options, fixed choices, and names of people."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import toy_fixtures
from click.shell_completion import ShellComplete
from running import ROOT, json_lines, run
from toy_model import NAMES as PEOPLE

from facerec.cli.completion import SHELLS, VARIABLE
from facerec.cli.main import COMMANDS, main
from facerec.models.backbones import BACKBONES
from facerec.models.names import NAMES
from facerec.models.network import MODES, POOLINGS
from facerec.training.checks import CHOICES
from facerec.training.freezing import STRATEGIES
from facerec.training.losses import CLASS_LOSSES, MINING, PAIR_LOSSES
from facerec.training.schedule import OPTIMIZERS, PRECISIONS, SCHEDULES
from facerec.training.settings import LOSSES

gallery = toy_fixtures.three_people


def offered(*words: object, typed: str = "") -> list[str]:
    """What is offered after these words, in place of what is typed so far. A type instead of a value: files."""
    found = ShellComplete(main, {}, "facerec", VARIABLE).get_completions([str(word) for word in words], typed)
    return [item.value if item.type == "plain" else item.type for item in found]


def test_commands_and_options() -> None:
    assert offered() == list(COMMANDS)
    assert "rename" in offered("gallery")
    assert {"--model", "--quiet", "--explain"} <= set(offered("identify", typed="--"))


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("train", "--strategy"), tuple(STRATEGIES)),
        (("train", "--mode"), MODES),
        (("train", "--pooling"), POOLINGS),
        (("train", "--mining"), MINING),
        (("train", "--optimizer"), tuple(OPTIMIZERS)),
        (("train", "--schedule"), SCHEDULES),
        (("train", "--precision"), PRECISIONS),
        (("train", "--backbone"), tuple(BACKBONES)),
        (("train", "--loss"), (*PAIR_LOSSES, *CLASS_LOSSES)),
        (("advise", "--backbone"), tuple(BACKBONES)),
        (("export", "--format"), ("onnx", "openvino")),
        (("export", "--precision"), ("fp32", "int8")),
        (("cluster", "--method"), ("linkage", "dbscan")),
        (("features", "--classifier"), ("svm", "logistic", "knn")),
        (("gallery", "restore", "--from"), ("backup", "rollback")),
        (("completion",), SHELLS),
    ],
    ids=str,
)
def test_fixed_choices_are_offered(words: tuple[str, ...], values: tuple[str, ...]) -> None:
    assert offered(*words) == list(values)


def test_the_light_lists_are_those_of_the_code() -> None:
    assert tuple(BACKBONES) == NAMES
    assert set(LOSSES) == {*PAIR_LOSSES, *CLASS_LOSSES}
    known = {"mode": MODES, "pooling": POOLINGS, "strategy": tuple(STRATEGIES), "mining": MINING}
    known |= {"optimizer": tuple(OPTIMIZERS), "schedule": SCHEDULES, "precision": PRECISIONS}
    known["picture_views"] = ("scaled", "cut")
    assert {name: set(values) for name, values in CHOICES.items()} == {name: {*own} for name, own in known.items()}


def test_help_lists_the_choices() -> None:
    shown = " ".join(run("train", "--help").stdout.split())
    for name, values in CHOICES.items():
        assert f"--{name.replace('_', '-')} [{'|'.join(values)}]" in shown


def test_a_model_is_a_name_or_a_file() -> None:
    assert offered("identify", "--model", typed="de") == ["default"]
    assert offered("identify", "--model", typed="mod") == offered("identify", "--model") == ["file"]


@pytest.mark.parametrize(
    "words",
    [
        ("show",), ("rename",), ("merge",), ("merge", "Ann Lee"), ("remove",), ("consent",), ("not-same", "party.jpg"),
        ("not-same", "--people"),
    ],
    ids=str,
)  # fmt: skip
def test_names_of_people(words: tuple[str, ...], gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sorted(offered("gallery", *words, "--gallery", gallery)) == sorted(PEOPLE)
    monkeypatch.setenv("FACEREC_GALLERY", str(gallery))
    assert offered("gallery", *words, typed="Ann") == ["Ann Lee"]


def test_names_of_the_gallery_in_the_settings(gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEREC_GALLERY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "facerec.toml").write_text(f'gallery = "{gallery}"\n')
    assert offered("gallery", "show", typed="B") == ["Bob O'Ray"]
    assert offered("enroll", "x.jpg", "--name", typed="B") == ["Bob O'Ray"]
    (tmp_path / "facerec.toml").write_text("nonsense")
    assert offered("gallery", "show", typed="B") == []


def test_a_photo_comes_before_whom_it_does_not_show(gallery: Path) -> None:
    assert offered("gallery", "not-same") == ["file"]


def test_completing_changes_nothing_and_is_silent(
    gallery: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in gallery.iterdir()}
    assert len(offered("gallery", "show", "--gallery", gallery)) == 3
    assert {path.name: path.read_bytes() for path in gallery.iterdir()} == before
    assert offered("gallery", "show", "--gallery", tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
    (gallery / "gallery.db").write_bytes(b"garbage" * 1000)
    assert offered("gallery", "show", "--gallery", gallery) == []
    assert capfd.readouterr() == ("", "")


def test_names_while_somebody_enrolls(gallery: Path) -> None:
    with sqlite3.connect(gallery / "gallery.db") as other:
        other.execute("BEGIN IMMEDIATE")
        assert len(offered("gallery", "show", "--gallery", gallery)) == 3
    other.close()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell(shell: str) -> None:
    script = run("completion", shell).stdout
    assert f"{VARIABLE}={shell}_complete" in script
    assert json_lines(run("completion", shell, "--json")) == [{"shell": shell, "script": script.removesuffix("\n")}]
    assert run("completion", "tcsh").exit_code == 2


@pytest.mark.parametrize(
    ("typed", "replies"),
    [
        *[("Bob", [r"Bob\ O\'Ray"]), ("Ann\\ L", [r"Ann\ Lee"]), ('"Ann L', ["Ann Lee"]), ("Nobody", [])],
        *[("'Bob", [r"Bob O'\''Ray"]), ('"Bob', ["Bob O'Ray"])],
    ],
)
def test_bash_is_given_names_that_it_can_read_again(
    typed: str, replies: list[str], gallery: Path, tmp_path: Path
) -> None:
    """With bash itself: a name with blanks and quotes is one word. Neither torch nor a question delays it."""
    if (bash := shutil.which("bash")) is None:
        pytest.skip("no bash here")
    program = tmp_path / "facerec"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom facerec.cli.main import main\n"
        "try:\n    main(prog_name='facerec')\nfinally:\n    assert 'torch' not in sys.modules\n"
    )
    program.chmod(0o700)
    code = 'source /dev/stdin; COMP_WORDS=(facerec gallery show "$TYPED"); COMP_CWORD=3; _facerec_completion "$PROGRAM"'
    code += '; printf "%s\\n" "${COMPREPLY[@]}"'
    env = {**os.environ, "FACEREC_GALLERY": str(gallery), "TYPED": typed, "PROGRAM": str(program)}
    done = subprocess.run(
        [bash, "--norc", "-c", code], input=run("completion", "bash").stdout, env=env | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout.split("\n")[:-1], done.stderr) == (replies or [""], "")


@pytest.mark.parametrize("name", ["Ke$ha Ray", 'Jim "Jo" Ray', r"back\slash", "O'Brien: Pat", "$(id) `id`"])
@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_bash_reads_the_very_name(name: str, quote: str) -> None:
    """What completion gives, read by the script's `read` and then as if it were typed, is the name again."""
    if (bash := shutil.which("bash")) is None:
        pytest.skip("no bash here")
    typed = {"COMP_WORDS": f"facerec\ngallery\nshow\n{quote}{name[0]}", "COMP_CWORD": "3"}
    code = (
        "import sys; from facerec.cli.completion import _Bash; from click.shell_completion import CompletionItem as I; "
    )
    code += "print(_Bash.format_completion(None, I(sys.argv[1])))"
    given = subprocess.run(
        [sys.executable, "-c", code, name], env={**os.environ, **typed, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    read = 'IFS="," read kind value; eval "printf %s $QUOTE$value$QUOTE"'
    done = subprocess.run(
        [bash, "--norc", "-c", read], input=given.stdout, env={**os.environ, "QUOTE": quote},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == name
