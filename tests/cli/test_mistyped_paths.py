"""A mistyped path is refused at once: before numpy, OpenVINO, torch or anything else heavy is imported."""

import json
import subprocess
import sys
from pathlib import Path

import mistyped


def test_every_path_of_every_command(tmp_path: Path) -> None:
    command = [sys.executable, mistyped.__file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ran = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ran) >= 69
    for arguments, code, stderr, heavy in ran:
        assert (code, stderr.count("\n"), heavy) == (2, 1, []), arguments
        assert mistyped.MISSING in stderr, arguments
