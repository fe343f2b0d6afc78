"""Training runs: that they learn, that they say so when they do not, and that nothing of them is lost."""

import dataclasses
import json
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import running
import torch
from safetensors.torch import load_file
from toy_faces import some_people, write_splits, write_teacher

from facerec.config import TrainSettings
from facerec.data import FaceSet, read_faces, split_people
from facerec.errors import ConfigError, DataError, FacerecError, TrainingError
from facerec.models.checkpoint import load_model, read_facts, save_model
from facerec.models.network import Network
from facerec.runs import CHECKPOINT, HISTORY, PLOT, RUN, hold_folder, settings_of
from facerec.train import Learner, Progress, check_settings, lr_factor, make_card, train, use_bf16, validate

ROOT = Path(__file__).resolve().parents[1]
SMALL = TrainSettings(
    backbone="squeezenet1_1",
    strategy="full",
    embedding_dim=16,
    init="random",
    mining="all",
    people_per_batch=4,
    photos_per_person=2,
    epochs=2,
    lr=5e-4,
    head_lr=2e-3,
    train_size=32,
    precision="fp32",
)
VALIDATION = ("p000", "p001", "p002", "p003")


@dataclasses.dataclass(frozen=True)
class Data:
    """Made-up people: `folder` of identity folders, and the `splits` that name VALIDATION."""

    folder: Path
    splits: Path

    def sets(self) -> tuple[FaceSet, FaceSet]:
        return split_people(read_faces(self.folder), self.splits, 0)


def make_data(folder: Path, people: int, photos: int) -> Data:
    splits = write_splits(folder / "splits", validation=[f"faces/{person}" for person in VALIDATION])
    return Data(some_people(folder / "faces", people, photos), splits)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """12 people with 4 photos each, 8 of them to train on: 4 batches an epoch. Do not change."""
    return make_data(tmp_path_factory.mktemp("data"), 12, 4)


@pytest.fixture(scope="module")
def more_data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """24 people with 8 photos each, 20 of them to train on: enough to learn from. Do not change."""
    return make_data(tmp_path_factory.mktemp("more"), 24, 8)


@pytest.fixture(scope="module")
def whole_run(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What SMALL leaves when nothing interrupts it. Do not change."""
    output = tmp_path_factory.mktemp("whole") / "run"
    train(data.folder, output, SMALL, splits=data.splits)
    return output


def small(**changes: Any) -> TrainSettings:
    return dataclasses.replace(SMALL, **changes)


def read_history(run: Path) -> list[dict[str, Any]]:
    return json.loads((run / HISTORY).read_text("utf-8"))


def without_name(path: Path) -> dict[str, Any]:
    return {k: v for k, v in json.loads(path.read_text("utf-8")).items() if k != "name"}


def assert_same_run(one: Path, other: Path) -> None:
    """Byte for byte, but for the folder's name in the card, and the picture."""
    for name in ("weights.safetensors", CHECKPOINT, HISTORY, RUN):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert without_name(one / "model.json") == without_name(other / "model.json")


# ------------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize(
    "changes", [{}, {"loss": "none", "teacher": True}, {"teacher": True, "mining": "semihard"}], ids=lambda c: str(c)
)
def test_training_learns_to_tell_strangers_apart(changes: dict[str, Any], more_data: Data, tmp_path: Path) -> None:
    """Validation people were never trained on; the spread shows that the embedding has not collapsed."""
    faces, validation = more_data.sets()
    if changes.get("teacher"):
        changes = {**changes, "teacher": str(write_teacher(tmp_path / "teacher.npz", faces))}
    settings = small(people_per_batch=8, photos_per_person=4, epochs=4, train_size=64, **changes)
    before = validate(Learner(settings, faces).network, validation)
    card = train(more_data.folder, tmp_path / "run", settings, splits=more_data.splits)
    history = read_history(tmp_path / "run")
    assert max(entry["validation_auc"] for entry in history) > before["validation_auc"] + 0.08
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert all(entry["spread"] > 1.5 for entry in history)
    assert history[-1]["active_triplets"] < history[0]["active_triplets"]
    assert card.results["validation_tar"] == max(entry["validation_tar"] for entry in history)


def test_a_run_leaves_its_settings_history_plot_checkpoint_and_a_model(whole_run: Path, data: Data) -> None:
    names = [".lock", CHECKPOINT, HISTORY, PLOT, "model.json", RUN, "weights.safetensors"]
    assert sorted(path.name for path in whole_run.iterdir()) == names
    assert settings_of(whole_run) == SMALL
    run = json.loads((whole_run / RUN).read_text("utf-8"))
    assert (run["train"]["people"], run["train"]["photos"], run["validation"]["people"]) == (8, 32, 4)
    assert (whole_run / PLOT).read_bytes().startswith(b"\x89PNG")
    for number, entry in enumerate(read_history(whole_run)):
        assert entry["epoch"] == number
        assert entry["photos"] == 32
        assert entry["loss"] == entry["triplet_loss"] > 0
        assert 0 <= entry["active_triplets"] <= 1
        assert entry["lr"] == {**{f"stage{i}": 5e-4 for i in range(4)}, "head": 2e-3}
        assert {"spread", "validation_auc", "validation_tar"} <= entry.keys()


def test_the_model_is_that_of_the_epoch_with_the_best_tar(whole_run: Path, data: Data) -> None:
    network, card = load_model(whole_run)
    best = max(read_history(whole_run), key=lambda entry: entry["validation_tar"])  # the first of equals
    assert card.training["epoch"] == best["epoch"]
    measured = validate(network, data.sets()[1])
    for key in ("validation_auc", "validation_tar"):
        assert measured[key] == pytest.approx(best[key], abs=1e-6)
        assert card.results[key] == best[key]
    assert card.threshold["distance"] == pytest.approx(measured["validation_threshold"], abs=1e-5)
    assert card.threshold["pairs"] == 96  # 6 pairs of 4 people, 4 x 4 photos each
    assert card.threshold["source"] == "no false match in 96 pairs of 4 validation people, too few for FMR 0.1 %"


def test_the_same_settings_give_the_same_run(whole_run: Path, data: Data, tmp_path: Path) -> None:
    train(data.folder, tmp_path / "run", SMALL, splits=data.splits)
    assert_same_run(whole_run, tmp_path / "run")


def test_another_seed_gives_another_run(whole_run: Path, data: Data, tmp_path: Path) -> None:
    train(data.folder, tmp_path / "run", small(seed=1, epochs=1), splits=data.splits)
    assert read_history(tmp_path / "run")[0]["loss"] != read_history(whole_run)[0]["loss"]


def test_training_goes_on_from_a_model_folder(whole_run: Path, data: Data, tmp_path: Path) -> None:
    """With a rate of next to nothing it stays that model, but for the BatchNorm statistics of the head."""
    settings = small(init=str(whole_run), strategy="frozen", head_lr=1e-20, epochs=1)
    train(data.folder, tmp_path / "run", settings, splits=data.splits)
    before, after = (load_model(run)[0].state_dict() for run in (whole_run, tmp_path / "run"))
    assert [name for name in before if not torch.equal(before[name], after[name])] == [
        "head.1.running_mean",
        "head.1.running_var",
        "head.1.num_batches_tracked",
    ]


def test_only_as_many_people_as_asked_take_part(data: Data, tmp_path: Path) -> None:
    train(data.folder, tmp_path / "run", small(limit_people=5, epochs=1), splits=data.splits)
    run = json.loads((tmp_path / "run" / RUN).read_text("utf-8"))
    assert (run["train"]["people"], run["validation"]["people"]) == (5, 4)
    assert read_history(tmp_path / "run")[0]["photos"] <= 20


def test_whoever_watches_hears_of_every_batch(data: Data, tmp_path: Path) -> None:
    heard: list[Progress] = []
    train(data.folder, tmp_path / "run", SMALL, splits=data.splits, watch=heard.append)
    assert [(p.epoch, p.batch, p.batches) for p in heard] == [(e, b, 4) for e in (0, 1) for b in (1, 2, 3, 4)]
    assert all(p.crops_per_second > 0 and math.isfinite(p.loss) for p in heard)


def test_bf16_learns_in_float32_weights(data: Data, tmp_path: Path) -> None:
    train(data.folder, tmp_path / "run", small(precision="bf16", epochs=1), splits=data.splits)
    network, _ = load_model(tmp_path / "run")
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert math.isfinite(read_history(tmp_path / "run")[0]["loss"])


# ------------------------------------------------------------------------------------------------- going on


def interrupt_at(epoch: int, batch: int) -> Callable[[Progress], None]:
    """SIGINT to this very process after that batch (from 1)."""

    def watch(progress: Progress) -> None:
        if (progress.epoch, progress.batch) == (epoch, batch):
            os.kill(os.getpid(), signal.SIGINT)

    return watch


@pytest.mark.parametrize(("epoch", "batch"), [(0, 1), (0, 4), (1, 2), (1, 4)])
def test_an_interrupted_run_resumes_to_the_same_numbers(
    epoch: int, batch: int, whole_run: Path, data: Data, tmp_path: Path
) -> None:
    """Batch 4 is the last: what is left of that epoch is validation alone."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(TrainingError, match=rf"stopped in epoch {epoch + 1}; go on with --resume"):
        train(data.folder, tmp_path / "run", SMALL, splits=data.splits, watch=interrupt_at(epoch, batch))
    assert signal.getsignal(signal.SIGINT) is before
    facts = read_facts(tmp_path / "run" / CHECKPOINT)
    assert (facts["epoch"], facts["batch"]) == (epoch, batch)
    train(data.folder, tmp_path / "run", SMALL, splits=data.splits, resume=True)
    assert_same_run(whole_run, tmp_path / "run")


def test_a_cosine_run_with_teacher_and_frozen_stages_resumes_to_the_same_numbers(data: Data, tmp_path: Path) -> None:
    """The rates of the steps, the projection and the moments of some tensors only are part of the state."""
    teacher = write_teacher(tmp_path / "teacher.npz", data.sets()[0])
    settings = small(teacher=str(teacher), strategy="partial", schedule="cosine", warmup=0.2, weight_decay=0.05)
    train(data.folder, tmp_path / "whole", settings, splits=data.splits)
    with pytest.raises(TrainingError):
        train(data.folder, tmp_path / "run", settings, splits=data.splits, watch=interrupt_at(0, 4))
    train(data.folder, tmp_path / "run", settings, splits=data.splits, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    assert read_history(tmp_path / "run")[0]["lr"].keys() == {"stage2", "stage3", "head", "teacher"}


def test_resuming_a_finished_run_changes_nothing(whole_run: Path, data: Data) -> None:
    before = {path: path.read_bytes() for path in whole_run.iterdir()}
    card = train(data.folder, whole_run, SMALL, splits=data.splits, resume=True)
    assert {path: path.read_bytes() for path in whole_run.iterdir()} == before
    assert card == load_model(whole_run)[1]


def command(data: Data, output: Path, *more: str) -> list[str]:
    """The command line of SMALL, as somebody would type it."""
    given = {k: v for k, v in dataclasses.asdict(SMALL).items() if v != getattr(TrainSettings(), k)}
    options = [word for key, value in given.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    folders = [str(data.folder), "--aligned", "--splits", str(data.splits), "--output", str(output)]
    return [sys.executable, "-m", "facerec.cli.train", *folders, *options, *more]


def start(*words: str) -> subprocess.Popen[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_checkpoint(process: subprocess.Popen[str], path: Path, epoch: int, batch: int) -> None:
    """Until a checkpoint says that much is done."""
    while process.poll() is None:
        if path.exists():
            try:
                facts = read_facts(path)
            except RuntimeError:  # safetensors opens a file twice, and this one was replaced in between
                continue
            if (facts["epoch"], facts["batch"]) >= (epoch, batch):
                return
        time.sleep(0.005)
    raise AssertionError(f"the run ended too early: {process.communicate()}")


def test_a_killed_run_resumes_to_the_same_numbers(data: Data, tmp_path: Path) -> None:
    """SIGKILL, mid-epoch, twice; against a run of the same command that nobody killed."""
    options = ("--epochs", "6", "--checkpoint-minutes", "0")
    whole = start(*command(data, tmp_path / "whole", *options))
    killed = start(*command(data, tmp_path / "run", *options))
    for epoch, batch in ((1, 2), (3, 1)):
        wait_for_checkpoint(killed, tmp_path / "run" / CHECKPOINT, epoch, batch)
        killed.kill()
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL
        killed = start(*command(data, tmp_path / "run", "--resume", *options))
    for process in (whole, killed):
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    assert load_model(tmp_path / "whole")[1].fingerprint == load_model(tmp_path / "run")[1].fingerprint
    assert not list((tmp_path / "run").glob("*.part")), "what a kill left is overwritten by the next whole file"


def test_ctrl_c_leaves_a_checkpoint_and_one_clear_line(data: Data, tmp_path: Path) -> None:
    process = start(*command(data, tmp_path / "run", "--epochs", "50", "--checkpoint-minutes", "0"))
    wait_for_checkpoint(process, tmp_path / "run" / CHECKPOINT, 0, 1)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 2
    assert output == ""
    epoch = read_facts(tmp_path / "run" / CHECKPOINT)["epoch"]
    assert errors == f"Error: {tmp_path / 'run'}: stopped in epoch {epoch + 1}; go on with --resume\n"


# ------------------------------------------------------------------------------------------------- refusals


def assert_refused(match: str, kind: type[FacerecError], *arguments: Any, **options: Any) -> None:
    with pytest.raises(kind, match=match) as caught:
        train(*arguments, **options)
    assert "\n" not in str(caught.value)


def test_a_run_is_not_started_over_another(whole_run: Path, data: Data) -> None:
    before = (whole_run / RUN).read_bytes()
    assert_refused("already holds a run; go on with --resume", TrainingError, data.folder, whole_run, small(lr=1.0))
    assert (whole_run / RUN).read_bytes() == before


def test_nothing_to_resume_is_said(data: Data, tmp_path: Path) -> None:
    assert_refused("holds no run to resume", TrainingError, data.folder, tmp_path / "run", SMALL, resume=True)
    assert not (tmp_path / "run").exists()


def test_other_settings_are_no_resumption(whole_run: Path, data: Data) -> None:
    options = {"splits": data.splits, "resume": True}
    changed = small(lr=1e-5, margin=0.3)
    assert_refused("its settings differs in margin, lr;", TrainingError, data.folder, whole_run, changed, **options)
    assert settings_of(whole_run) == SMALL


def test_other_versions_are_named_when_a_run_is_resumed(
    data: Data, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(data.folder, tmp_path / "run", small(epochs=1), splits=data.splits)
    run = json.loads((tmp_path / "run" / RUN).read_text("utf-8"))
    run["versions"]["torch"] = "1.0"
    written = json.dumps(run)
    (tmp_path / "run" / RUN).write_text(written, "utf-8")
    with caplog.at_level(logging.WARNING):
        train(data.folder, tmp_path / "run", small(epochs=1), splits=data.splits, resume=True)
    (message,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "'torch': '1.0'" in message
    assert "its numbers may differ" in message
    assert (tmp_path / "run" / RUN).read_text("utf-8") == written, "what it was started with stays on record"


def test_a_folder_another_process_trains_in_is_refused(data: Data, tmp_path: Path) -> None:
    with hold_folder(tmp_path / "run"):
        message = "another process trains here; wait, or give another --output"
        assert_refused(message, TrainingError, data.folder, tmp_path / "run", SMALL, splits=data.splits)
    assert not (tmp_path / "run" / RUN).exists()


def test_a_model_is_not_trained_over(whole_run: Path, data: Data, tmp_path: Path) -> None:
    for name in ("model.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((whole_run / name).read_bytes())
    assert_refused("already holds a model; give another", TrainingError, data.folder, tmp_path, SMALL)
    assert load_model(tmp_path)[1] == load_model(whole_run)[1]


def test_a_broken_record_of_the_run_is_one_line(whole_run: Path, data: Data, tmp_path: Path) -> None:
    for content in ("{}", "[]", "{"):
        (tmp_path / RUN).write_text(content)
        result = running.run("train", data.folder, "--aligned", "--output", tmp_path, "--resume")
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "holds no run to resume" in result.stderr


def test_what_cannot_be_validated_is_refused_before_it_is_trained(data: Data, tmp_path: Path) -> None:
    folder = some_people(tmp_path / "faces", 12, 4)
    for person in VALIDATION:
        for path in sorted((folder / person).iterdir())[1:]:
            path.write_bytes(b"broken")
    message = "no two photos of one and of two validation people can be read"
    assert_refused(message, DataError, folder, tmp_path / "run", SMALL, splits=data.splits)


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


def test_other_data_are_no_resumption(whole_run: Path, tmp_path: Path) -> None:
    renamed = make_data(tmp_path, 12, 4)
    (renamed.folder / "p007" / "000.png").rename(renamed.folder / "p007" / "new.png")
    options = {"splits": renamed.splits, "resume": True}
    assert_refused("its train differs in fingerprint;", TrainingError, renamed.folder, whole_run, SMALL, **options)


def test_other_validation_people_are_no_resumption(whole_run: Path, data: Data, tmp_path: Path) -> None:
    splits = write_splits(tmp_path / "splits", validation=["faces/p005", "faces/p006", "faces/p007", "faces/p008"])
    options = {"splits": splits, "resume": True}
    assert_refused("cannot resume, its", TrainingError, data.folder, whole_run, SMALL, **options)


def test_the_command_line_resumes_with_the_settings_of_the_run(whole_run: Path, data: Data) -> None:
    words = ["train", data.folder, "--aligned", "--splits", data.splits, "--output", whole_run, "--resume"]
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "vgg"}, "no backbone 'vgg'"),
        ({"strategy": "most"}, "no strategy 'most'"),
        ({"strategy": "partial", "frozen_stages": 4}, "between 1 and 3 stages"),
        ({"loss": "arcface"}, "no loss 'arcface'; known are triplet, none"),
        ({"mining": "easy"}, "no mining 'easy'"),
        ({"schedule": "linear"}, "no schedule 'linear'; known are step, cosine"),
        ({"precision": "fp64"}, "no precision 'fp64'"),
        ({"loss": "none"}, "nothing to learn from: give --loss triplet, or --teacher"),
        ({"people_per_batch": 0}, "people_per_batch must be at least 2, not 0"),
        ({"people_per_batch": 1}, "people_per_batch must be at least 2, not 1"),
        ({"photos_per_person": 1}, "photos_per_person must be at least 2, not 1"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"step_epochs": 0}, "step_epochs must be at least 1"),
        ({"embedding_dim": 0}, "embedding_dim must be at least 1"),
        ({"embedding_dim": 2 * 10**9}, "embedding_dim must be at most 65536"),
        ({"margin": math.nan}, "the margin must be 0"),
        ({"train_size": 16}, "train_size must be at least 32"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"lr": -1e-3}, "lr must be a number above 0, not -0.001"),
        ({"head_lr": math.inf}, "head_lr must be a number above 0, not inf"),
        ({"checkpoint_minutes": -1.0}, "checkpoint_minutes must be a number from 0"),
        ({"weight_decay": -1.0}, "weight_decay must be a number from 0, not -1.0"),
        ({"teacher_weight": math.nan}, "teacher_weight must be a number from 0, not nan"),
        ({"stage_decay": 0.0}, "stage_decay must be above 0 and at most 1"),
        ({"warmup": 1.0}, "warmup must be from 0 to below 1"),
        ({"limit_people": 0}, "limit_people must be at least 2, not 0"),
        ({"seed": 2**63}, "seed must be below 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_written(
    changes: dict[str, Any], message: str, data: Data, tmp_path: Path
) -> None:
    assert_refused(message, ConfigError, data.folder, tmp_path / "run", small(**changes), splits=data.splits)
    assert not (tmp_path / "run").exists()


def test_batches_of_single_photos_suffice_a_teacher() -> None:
    check_settings(small(loss="none", photos_per_person=1))


def test_a_model_folder_of_another_shape_is_refused(whole_run: Path, data: Data, tmp_path: Path) -> None:
    settings = small(init=str(whole_run), embedding_dim=32)
    message = "holds a squeezenet1_1 with 16 dimensions; give --backbone squeezenet1_1 --embedding-dim 16"
    assert_refused(message, ConfigError, data.folder, tmp_path / "run", settings, splits=data.splits)


def test_too_few_people_for_a_batch_is_one_line(data: Data, tmp_path: Path) -> None:
    settings = small(people_per_batch=9)
    message = "a batch wants 9 people .* and only 8 have"
    assert_refused(message, DataError, data.folder, tmp_path / "run", settings, splits=data.splits)


def test_validation_photos_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    data = make_data(tmp_path, 8, 2)
    for person in VALIDATION:
        for path in (data.folder / person).iterdir():
            path.write_bytes(b"")
    settings = small(epochs=1)
    message = "not one validation photo can be read"
    assert_refused(message, DataError, data.folder, tmp_path / "run", settings, splits=data.splits)


def test_a_folder_that_cannot_be_made_is_one_line(data: Data, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    output = tmp_path / "file" / "run"
    assert_refused("cannot be made .* give another --output", TrainingError, data.folder, output, SMALL)


# ------------------------------------------------------------------------------------------------- going wrong


def test_a_loss_that_is_no_number_ends_the_run(data: Data, tmp_path: Path) -> None:
    settings = small(lr=1e30, head_lr=1e30)
    message = r"the loss became nan; lower --lr or --head-lr"
    assert_refused(message, TrainingError, data.folder, tmp_path / "run", settings, splits=data.splits)


def collapsed_model(folder: Path) -> Path:
    """A model to which all faces look alike: the same large number is added to every embedding."""
    torch.manual_seed(0)
    network = Network("squeezenet1_1", 16)
    with torch.no_grad():
        network.head[1].bias.fill_(1e4)  # type: ignore[union-attr]
    entry = {"epoch": 0, "validation_auc": 0.5, "validation_tar": 0.0, "validation_threshold": 0.0}
    entry["validation_impostors"] = 1000
    save_model(network, folder, make_card(network, "collapsed", {"validation": {"people": 2}}, entry))
    return folder


def test_a_collapse_is_warned_of_in_one_line(data: Data, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = small(init=str(collapsed_model(tmp_path / "collapsed")), epochs=1, lr=1e-9, head_lr=1e-9)
    with caplog.at_level(logging.WARNING):
        card = train(data.folder, tmp_path / "run", settings, splits=data.splits)
    (message,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert message.startswith("training has collapsed: different people are at a mean distance of 0.00")
    assert "--mining all or semihard, a lower --lr, or --margin 0" in message
    assert "\n" not in message
    assert read_history(tmp_path / "run")[0]["spread"] < 0.01
    assert card == load_model(tmp_path / "run")[1], "the model is poor, but sound"


@pytest.mark.parametrize(
    ("pairs", "source"),
    [
        (999, "no false match in 999 pairs of 4 validation people, too few for FMR 0.1 %"),
        (1000, "FMR 0.1 % on 4 validation people"),
    ],
)
def test_a_threshold_says_no_more_than_its_pairs_can_show(pairs: int, source: str) -> None:
    entry = {"epoch": 0, "validation_auc": 0.9, "validation_tar": 0.5, "validation_threshold": 1.25}
    network = Network("squeezenet1_1", 8)
    card = make_card(network, "few", {"validation": {"people": 4}}, {**entry, "validation_impostors": pairs})
    assert card.threshold == {"distance": 1.25, "fmr": 1e-3, "people": 4, "pairs": pairs, "source": source}


def test_a_sound_run_is_not_called_collapsed(data: Data, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        train(data.folder, tmp_path / "run", small(epochs=1), splits=data.splits)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_photo_that_cannot_be_read_does_not_end_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = make_data(tmp_path, 8, 4)
    (data.folder / "p006" / "002.png").write_bytes(b"not an image")
    with caplog.at_level(logging.WARNING):
        train(data.folder, tmp_path / "run", small(epochs=1), splits=data.splits)
    assert read_history(tmp_path / "run")[0]["photos"] == 15
    assert str(data.folder / "p006" / "002.png") in caplog.text


def test_a_run_that_starts_from_another_goes_on_with_its_teachers_projection(data: Data, tmp_path: Path) -> None:
    faces, _ = data.sets()
    settings = small(teacher=str(write_teacher(tmp_path / "teacher.npz", faces)), epochs=1)
    train(data.folder, tmp_path / "first", settings, splits=data.splits)
    stored = load_file(tmp_path / "first" / CHECKPOINT)["teacher/projection.weight"]
    following = Learner(dataclasses.replace(settings, init=str(tmp_path / "first")), faces)
    assert following.teacher_loss is not None
    assert torch.equal(following.teacher_loss.projection.weight, stored)
    fresh = Learner(settings, faces)
    assert fresh.teacher_loss is not None
    assert not torch.equal(fresh.teacher_loss.projection.weight, stored)


# ------------------------------------------------------------------------------------------------- rates, precision


@pytest.mark.parametrize(
    ("progress", "factor"), [(0, 1), (1, 1), (6.99, 1), (7, 0.1), (13.99, 0.1), (14, 0.01), (21, 0.001)]
)
def test_steps_of_the_step_schedule(progress: float, factor: float) -> None:
    assert lr_factor(TrainSettings(schedule="step", step_epochs=7), progress) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("progress", "factor"), [(0, 0.001 / 0.101), (0.5, 0.051 / 0.101), (1, 1), (5.5, 0.5), (3.25, 0.853553), (10, 0)]
)
def test_points_of_the_cosine_schedule(progress: float, factor: float) -> None:
    """10 epochs, the first warms up; 3.25 is a quarter of the way down: (1 + cos 45 degrees) / 2."""
    settings = TrainSettings(schedule="cosine", epochs=10, warmup=0.1)
    assert lr_factor(settings, progress) == pytest.approx(factor, abs=1e-6)


def test_cosine_without_warm_up_begins_at_the_top() -> None:
    assert lr_factor(TrainSettings(schedule="cosine", warmup=0.0), 0) == 1


def test_steps_use_the_rates_of_the_schedule(data: Data) -> None:
    faces, _ = data.sets()
    learner = Learner(small(strategy="discriminative", stage_decay=0.5, step_epochs=1), faces)
    crops = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    learner.step(crops, np.arange(8), 1.25)
    rates = {group["name"]: group["lr"] for group in learner.optimizer.param_groups}
    expected = {"stage0": 6.25e-6, "stage1": 1.25e-5, "stage2": 2.5e-5, "stage3": 5e-5, "head": 2e-4}
    assert rates == pytest.approx(expected)
    assert learner.rates(1.25) == rates


def test_names_of_precisions() -> None:
    cpu = torch.device("cpu")
    assert use_bf16("bf16", cpu)
    assert not use_bf16("fp32", cpu)
    assert use_bf16("auto", cpu) in (True, False)
    with pytest.raises(ConfigError, match="no precision 'half'; known are auto, bf16, fp32"):
        use_bf16("half", cpu)


# ------------------------------------------------------------------------------------------------- real faces


@pytest.mark.real
@pytest.mark.parametrize("strategy", ["full", "frozen", "partial", "discriminative"])
def test_every_strategy_trains_on_real_faces_under_the_triplet_loss_alone(
    strategy: str, shared_data: Path, tmp_path: Path
) -> None:
    lists = {path.stem: path.read_text("utf-8").split() for path in (shared_data / "splits").glob("*.txt")}
    validation = lists["validation"]
    few = write_splits(tmp_path / "splits", **lists | {"validation": validation[:6], "rest": validation[6:]})
    options = ["--backbone", "squeezenet1_1", "--init", "random", "--embedding-dim", 32, "--train-size", 64]
    options += ["--epochs", 1, "--limit-people", 12, "--people-per-batch", 8, "--mining", "all"]
    words = [shared_data / "faces", "--aligned", "--splits", few, "--strategy", strategy, "--output", tmp_path / "run"]
    result = running.run("train", *words, *options, "--json")
    assert result.exit_code == 0, result.stderr
    (line,) = running.json_lines(result)
    assert line["fingerprint"] == load_model(tmp_path / "run")[1].fingerprint
    (entry,) = read_history(tmp_path / "run")
    assert entry["spread"] > 1
    assert entry["validation_auc"] > 0.5
    assert json.loads((tmp_path / "run" / RUN).read_text("utf-8"))["train"]["people"] == 12
