"""Folders and settings that nothing can be learned with: one clear line on stderr, and no run."""

import shutil
from pathlib import Path

import pytest
import toy_model
from click.testing import Result
from complaints import clear, refused, written
from running import run, run_process


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Six made-up people of two photos each: just enough to train on."""
    for person in range(6):
        for photo in range(2):
            toy_model.save_crop(tmp_path / "people" / f"p{person}" / f"{photo}.png", person, photo)
    return tmp_path / "people"


SMALL = [
    "--aligned", "--backbone", "squeezenet1_1", "--init", "random", "--strategy", "full", "--embedding-dim", 8,
    "--epochs", 1, "--people-per-batch", 4, "--photos-per-person", 2, "--train-size", 64, "--mining", "all",
]  # fmt: skip


def train(folder: Path, *arguments: object) -> Result:
    """A small run, its settings changed by `arguments`: of an option given twice the last counts."""
    return run("train", folder, "--output", folder.parent / "run", *SMALL, *arguments)


SETTINGS: dict[str, tuple[list[object], str]] = {
    "backbone": (["--backbone", "vgg"], "no backbone 'vgg'; known are"),
    "strategy": (["--strategy", "hope"], "no strategy 'hope'; known are"),
    "mining": (["--mining", "gold"], "no mining 'gold'; known are"),
    "loss": (["--loss", "hinge"], "no loss 'hinge'; known are"),
    "schedule": (["--schedule", "weekly"], "no schedule 'weekly'; known are"),
    "precision": (["--precision", "fp7"], "no precision 'fp7'; known are"),
    "init": (["--init", "no-such-model"], "no-such-model"),
    "margin": (["--margin", -1], "--margin must be"),
    "frozen stages": (["--strategy", "partial", "--frozen-stages", 9], "partial freezes between 1 and"),
    "epochs": (["--epochs", 0], "--epochs must be at least 1, not 0"),
    "batch": (["--people-per-batch", 0], "--people-per-batch must be at least 2"),
    "embedding": (["--embedding-dim", 0], "--embedding-dim must be"),
    "train size": (["--train-size", 1], "--train-size must be"),
    "rate": (["--lr", "nan"], "--lr must be"),
    "too few people": (["--people-per-batch", 40], "--people-per-batch"),
    "one person": (["--limit-people", 1], "people"),
    "no teacher": (["--teacher", "none.npz"], "none.npz"),
    "nothing to learn from": (["--loss", "none"], "--teacher"),
    "no splits": (["--splits", "none"], "none: No such file"),
    "no config": (["--config", "none.toml"], "none.toml"),
    "no exclusions": (["--exclude", "none.txt"], "none.txt"),
    "mode": (["--mode", "guess"], "no mode 'guess'; known are"),
    "optimizer": (["--optimizer", "luck"], "no optimizer 'luck'; known are"),
    "weight of a loss": (["--loss", "0*triplet"], "weight must be above 0"),
    "teacher's loss": (["--teacher-loss", "hints"], "no teacher loss 'hints'; known are"),
    "teacher model": (["--teacher", "no-such-model"], "no-such-model"),
    "kept stages": (["--kept-stages", 9], "keep between 1 and"),
    "scratch from a model": (["--strategy", "scratch", "--init", "."], "leave --init out"),
    "classes by splits": (["--mode", "classify", "--splits", "."], "--validation"),
    "people by validation": (["--validation", "."], "--splits"),
    "classes nobody has": (["--mode", "classify", "--validation", "none"], "none"),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_setting_that_makes_no_sense(kind: str, people: Path) -> None:
    arguments, word = SETTINGS[kind]
    refused(train(people, *arguments), word)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"lr = ", "not TOML"),
        (b"learning_rate = 1e-3", "unknown setting 'learning_rate'"),
        (b"epochs = 'ten'", "'epochs' must be a whole number"),
        (b"\xff\xfe", "not TOML"),
    ],
    ids=["not TOML", "unknown key", "wrong type", "not UTF-8"],
)
def test_a_bad_file_of_settings(content: bytes, word: str, people: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "train.toml", content)
    refused(train(people, "--config", path), path, word)


def test_folders_nothing_can_be_learned_from(good: Path, people: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(train(tmp_path / "empty"), tmp_path / "empty", "one per person")
    refused(train(tmp_path / "none"), tmp_path / "none")
    refused(train(good.parent), good.parent, "one per person")
    for person in range(1, 6):
        shutil.rmtree(people / f"p{person}")
    refused(train(people), people, "people to train")


def test_resuming_what_never_began(people: Path) -> None:
    refused(train(people, "--resume"), people.parent / "run", "start without --resume")


def test_an_output_that_is_a_file(people: Path) -> None:
    written(people.parent / "run", b"my notes")
    refused(train(people), people.parent / "run")
    assert (people.parent / "run").read_bytes() == b"my notes"


def test_a_disk_that_fills_up_while_training(people: Path) -> None:
    """No file may grow beyond 100 kB: the weights do not fit."""
    resource = pytest.importorskip("resource", reason="no limits on file sizes here")
    result = run_process(
        "train", people, "--output", people.parent / "run", *SMALL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )  # fmt: skip
    assert result.returncode == 2
    last = result.stderr.splitlines()[-1]  # after the plan
    assert clear(last)
    assert str(people.parent / "run") in last
