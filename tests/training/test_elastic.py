"""Training on two machines. Here two agents of torchrun stand for them, and one of their processes is killed."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from toy_runs import (
    Data,
    assert_same_run,
    command,
    finish,
    read_history,
    read_run,
    small,
    start,
    start_two,
    wait_for_checkpoint,
)

from facerec.errors import TrainingError
from facerec.training.fit import train
from facerec.training.run_folder import RUN, begins

pytestmark = pytest.mark.usefixtures("one_thread")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def start_nodes(*words: str) -> list[subprocess.Popen[str]]:
    """Start the agents of two nodes. Each starts one process, and starts it anew if a process of the run ends."""
    node = ["torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "2"]
    node += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--rdzv-id", "test"]
    return [start(*node, "-m", *words) for _ in range(2)]


def kill_worker(agent: subprocess.Popen[str]) -> None:
    """Kill the process that an agent started (Linux)."""
    threads = Path(f"/proc/{agent.pid}/task").iterdir()
    (worker,) = (child for thread in threads for child in (thread / "children").read_text().split())
    os.kill(int(worker), signal.SIGKILL)


def test_a_run_on_two_nodes_goes_on_after_a_worker_is_killed(some_faces: Data, tmp_path: Path) -> None:
    """It ends in the numbers of a run on one node that nobody disturbed, so a batch is shared by all processes."""
    settings = small(checkpoint_minutes=0.0)
    whole = start_two("-m", *command(some_faces, tmp_path / "whole", settings))
    nodes = start_nodes(*command(some_faces, tmp_path / "run", settings, "--resume"))
    wait_for_checkpoint(nodes[0], tmp_path / "run", 0, 2)
    kill_worker(nodes[1])
    said = [finish(agent)[1] for agent in nodes]
    assert "exitcode: -9" in said[1], "it was killed, and its agent started another"
    finish(whole)
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    assert [entry["photos"] for entry in read_history(tmp_path / "run")] == [32, 32], "as in one process"
    assert read_run(tmp_path / "run")["processes"] == 2


def test_only_where_torchrun_restarts_does_resume_begin_a_run(
    some_faces: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"aligned": True, "splits": some_faces.splits, "resume": True}
    for restarts in (None, "0"):
        monkeypatch.delenv("TORCHELASTIC_MAX_RESTARTS", raising=False)
        if restarts:
            monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", restarts)
        with pytest.raises(TrainingError, match="holds no run to resume"):
            train(some_faces.folder, tmp_path, **options)
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    assert begins(tmp_path)
    (tmp_path / RUN).write_text("{}", "utf-8")
    assert not begins(tmp_path), "there is one to go on with"
    with pytest.raises(TrainingError, match=r"run\.json is broken"):
        train(some_faces.folder, tmp_path, **options)
