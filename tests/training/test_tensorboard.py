"""What a run writes for TensorBoard, read back with TensorBoard's own reader."""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_runs import SMALL, Data, classes, read_history, small

from facerec.errors import ConfigError
from facerec.extras import install
from facerec.models.checkpoint import load_model
from facerec.training.feed import photo_rows
from facerec.training.run_folder import CHECKPOINT
from facerec.training.train import Progress

pytestmark = pytest.mark.usefixtures("one_thread")


def read_board(run: Path) -> Any:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs TensorBoard")
    board = reader.EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    return board.Reload()


def scalars_of(board: Any) -> dict[str, list[tuple[int, float]]]:
    return {tag: [(event.step, event.value) for event in board.Scalars(tag)] for tag in board.Tags()["scalars"]}


def scalars_by_hand(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What the history says, epoch by epoch."""
    found: dict[str, list[tuple[int, float]]] = {}
    for entry in read_history(run):
        numbers = {key: value for key, value in entry.items() if isinstance(value, int | float)}
        numbers |= {f"lr/{name}": rate for name, rate in entry["lr"].items()}
        for key, value in numbers.items():
            found.setdefault(key, []).append((entry["epoch"], pytest.approx(value)))  # type: ignore[arg-type]
    return found


def test_the_board_shows_scalars_graph_and_projector(some_faces: Data, tmp_path: Path) -> None:
    some_faces.train(tmp_path / "run", small(tensorboard=True))
    board = read_board(tmp_path / "run")
    scalars = scalars_of(board)
    assert {"loss", "validation_auc", "lr/head", "lr/stage0"} <= scalars.keys()
    assert scalars == scalars_by_hand(tmp_path / "run")
    names = {node.name for node in board.Graph().node}
    assert any("stage0" in name for name in names)
    assert any("head" in name for name in names)

    network, card = load_model(tmp_path / "run")
    (folder,) = (tmp_path / "run" / "tensorboard").glob(f"{card.training['epoch']:05}/*")
    task = some_faces.task(SMALL)
    rows, labels = photo_rows(network, task.views, task.validation)
    np.testing.assert_allclose(np.loadtxt(folder / "tensors.tsv", delimiter="\t"), rows, atol=1e-5)
    assert (folder / "metadata.tsv").read_text("utf-8").split() == [task.validation.names[i] for i in labels]
    assert (folder / "sprite.png").read_bytes().startswith(b"\x89PNG")


def test_a_resumed_run_goes_on_with_its_board(some_classes: Data, tmp_path: Path) -> None:
    """From the end of the first epoch, as after a kill before the second one's checkpoint; it is shown once."""
    settings, run = classes(tensorboard=True, epochs=3), tmp_path / "run"

    def keep_checkpoint(progress: Progress) -> None:
        if (progress.epoch, progress.batch) == (1, 1):
            shutil.copy(run / CHECKPOINT, tmp_path)

    some_classes.train(run, settings, watch=keep_checkpoint)
    shutil.copy(tmp_path / CHECKPOINT, run)
    some_classes.train(run, settings, resume=True)
    assert len(list((run / "tensorboard").glob("events.*"))) == 2
    scalars = scalars_of(read_board(run))
    assert [step for step, _ in scalars["validation_accuracy"]] == [0, 1, 2]
    assert scalars == scalars_by_hand(run)


def test_the_board_changes_nothing_about_the_run(some_faces: Data, whole_run: Path, tmp_path: Path) -> None:
    some_faces.train(tmp_path / "run", small(tensorboard=True))
    assert read_history(tmp_path / "run") == read_history(whole_run)
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == (whole_run / "weights.safetensors").read_bytes()


def test_without_tensorboard_the_option_is_one_line(
    some_faces: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as Python marks what cannot be imported
    with pytest.raises(ConfigError, match=re.escape(install("tensorboard"))):
        some_faces.train(tmp_path / "run", small(tensorboard=True))
