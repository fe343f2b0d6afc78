"""Shards that are made by a Ray of this machine."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import toy_shards
from running import ROOT, run

SHARDS = ["--photos-per-shard", "2", "--detector", "yunet"]


@toy_shards.linux
def test_two_workers_of_which_one_is_killed_while_it_works(small_samples: Path, tmp_path: Path) -> None:
    output, alone = tmp_path / "vectors", tmp_path / "alone"
    words = ["embed", small_samples, "--output", output, *SHARDS, "--ray", "local", "--workers", "2", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "facerec.cli.main", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as command:
        os.kill(toy_shards.first_claimant(output, command), signal.SIGKILL)
        expected = run("embed", small_samples, "--output", alone, *SHARDS)
        said, _ = command.communicate(timeout=120)
    assert command.returncode == expected.exit_code == 1  # YuNet finds no face in one of the photos
    assert said.count(b'"shard"') == 4
    assert toy_shards.files(output) == toy_shards.files(alone)


def test_no_cluster_is_one_line(small_samples: Path, tmp_path: Path) -> None:
    result = run("embed", small_samples, "--output", tmp_path / "vectors", "--ray", "nowhere")
    (line,) = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--ray: no cluster at nowhere" in line
    assert "give its HOST:PORT, or local" in line
