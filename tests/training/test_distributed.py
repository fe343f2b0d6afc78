"""Runs in several processes: that together they compute what one would, and leave one run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import running
import torch
import toy_model
import toy_processes
from toy_faces import write_people, write_teacher
from toy_processes import CASES, Arrays
from toy_runs import (
    SMALL,
    Data,
    assert_same_run,
    classes,
    command,
    finish,
    make_classes,
    make_people,
    read_history,
    read_run,
    small,
    start_two,
    wait_for_checkpoint,
    write_lamp,
)

from facerec.models.checkpoint import load_model
from facerec.training import distributed

pytestmark = pytest.mark.usefixtures("one_thread")

World = tuple[Data, Data, str]  # people, pictures, a teacher of the people


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Like some_faces and some_classes, but one photo of each cannot be read."""
    folder = tmp_path_factory.mktemp("world")
    people, pictures = make_people(folder, 10, 4), make_classes(folder / "colours", 5, 5, 5)
    teacher = write_teacher(folder / "teacher.npz", people.task(SMALL).train)
    write_lamp(folder / "lamp.csv", people)
    toy_model.write_model(folder)
    write_people(folder / "loose", {"a": 2, "b": 2}, size=112)
    people.task(SMALL).train.paths[3].write_bytes(b"not an image")
    pictures.task(classes()).train.paths[1].write_bytes(b"not an image")
    return people, pictures, str(teacher)


@pytest.fixture(scope="module")
def of_two(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Arrays]]:
    """What two processes say of the same steps: case -> one dictionary per process."""
    people, pictures, teacher = world
    output = tmp_path_factory.mktemp("of two")
    program = str(Path(toy_processes.__file__))
    finish(start_two(program, str(people.folder), str(pictures.folder), teacher, str(output)))
    return {case: [dict(np.load(output / f"{case}-{rank}.npz")) for rank in (0, 1)] for case in (*CASES, "weights")}


@pytest.mark.parametrize("case", CASES)
def test_a_step_of_two_processes_is_that_of_one_with_the_whole_batch(
    case: str, world: World, of_two: dict[str, list[Arrays]]
) -> None:
    alone = toy_processes.step_of(CASES[case], *world)
    assert sum(name.startswith("network") for name in alone) >= 4
    for found in of_two[case]:
        assert found.keys() == alone.keys()
        for name, expected in alone.items():
            scale = float(np.abs(expected).max())
            np.testing.assert_allclose(found[name], expected, rtol=1e-3, atol=1e-3 * scale + 1e-9, err_msg=name)


def test_the_facts_of_a_batch_are_those_of_all_its_photos(of_two: dict[str, list[Arrays]]) -> None:
    assert [found["fact photos"] for found in of_two["a photo that cannot be read"]] == [5, 5]
    assert [found["fact photos"] for found in of_two["classes of an odd batch"]] == [5, 5]


def test_both_processes_hold_one_network(of_two: dict[str, list[Arrays]]) -> None:
    """Statistics of BatchNorm and the moving average included."""
    first, second = of_two["weights"]
    assert sum(name.endswith("running_mean") for name in first) > 20
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_two_processes_leave_one_run_that_resumes(some_faces: Data, tmp_path: Path) -> None:
    """A copy made while it runs is what a kill would leave."""
    settings = small(epochs=2, accumulate=2, strategy="partial", views=1, checkpoint_minutes=0.0)
    whole = start_two("-m", *command(some_faces, tmp_path / "whole", settings, "--json"))
    wait_for_checkpoint(whole, tmp_path / "whole", 1, 0)
    shutil.copytree(tmp_path / "whole", tmp_path / "run", ignore=shutil.ignore_patterns("*.draft"))
    output, errors = finish(whole)
    resumed, _ = finish(start_two("-m", *command(some_faces, tmp_path / "run", settings, "--resume", "--json")))
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    for text in (output, resumed):
        (line,) = [json.loads(line) for line in text.splitlines()]
        assert line["fingerprint"] == load_model(tmp_path / "whole")[1].fingerprint
    assert [line.split(":")[0] for line in errors.splitlines() if line.startswith("epoch")] == [
        "epoch 1 of 2",
        "epoch 2 of 2",
    ]
    assert [entry["photos"] for entry in read_history(tmp_path / "whole")] == [32, 32]
    assert read_run(tmp_path / "whole")["processes"] == 2


def test_batches_too_small_to_be_shared_are_refused(some_classes: Data, tmp_path: Path) -> None:
    two = start_two("-m", *command(some_classes, tmp_path / "run", classes(batch_size=3)))
    _, errors = two.communicate()
    assert two.returncode != 0
    assert "batches of 3 are too small for 2 processes; give a larger batch" in errors
    assert not (tmp_path / "run" / "run.json").exists()


def test_crops_are_not_made_by_several_processes_at_once(
    small_samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = running.run("train", small_samples / "people", "--output", tmp_path / "run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "several processes need aligned crops; begin with one, then give --aligned" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_process_alone_does_nothing_of_all_this() -> None:
    rows = torch.rand(3, 2, requires_grad=True)
    assert distributed.gather_rows(rows) is rows
    assert distributed.own_share(np.arange(5)).tolist() == [0, 1, 2, 3, 4]
    assert distributed.gather_objects("me") == ["me"]
    assert distributed.agree(True)
    assert not distributed.agree(False)
    assert (distributed.process_count(), distributed.process_number(), distributed.is_first()) == (1, 0, True)
