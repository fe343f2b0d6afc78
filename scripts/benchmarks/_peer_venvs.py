"""An environment for each library that `peers.py` compares, made by pip, and programs that run in them."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.common import ROOT, say

SIDES = Path(__file__).with_name("_peer_sides.py")
LONGEST_S = 1800
NOWHERE = "http://127.0.0.1:9"  # nothing listens there: a library can use only what its packages brought


class PeerError(Exception):
    """A library cannot be installed or run; says why in one line."""


@dataclass(frozen=True)
class Peer:
    """A library.

    name: of its row, and in `_peer_sides.LIBRARIES`. package: its name on PyPI. requirements: what pip installs, with
    all that it requires. alone: what pip installs without that. folder: of its environment, where others share it.
    note: what its row says beside the figures.
    """

    name: str
    package: str
    requirements: tuple[str, ...]
    alone: tuple[str, ...] = ()
    folder: str = ""
    note: str = ""

    def environment(self, venvs: Path) -> Path:
        """The folder of its environment."""
        return venvs / (self.folder or self.name)


FACEREC = ("--constraint", str(ROOT / "scripts" / "constraints.txt"), str(ROOT))
DLIB = ("dlib-bin==20.0.1.post1", "face-recognition-models==0.3.0", "setuptools<81", "click", "numpy", "pillow")
PEERS = (
    Peer("facerec", "facerec", FACEREC, note="the default model"),
    Peer("facerec-fast", "facerec", FACEREC, folder="facerec", note="the int8 model"),
    Peer("facerec-yunet", "facerec", FACEREC, folder="facerec", note="the default model, faces found by YuNet"),
    Peer(
        "face_recognition", "face-recognition", DLIB, alone=("face-recognition==1.3.0",),  # it requires dlib to compile
        note="with dlib-bin instead of dlib, which pip would compile",
    ),
    Peer("verifyface", "verifyface", ("verifyface==1.1.1",)),
    Peer("facenet-pytorch", "facenet-pytorch", ("facenet-pytorch==2.6.0",), note="ships no recognition weights"),
    Peer(
        "deepface", "deepface", ("deepface==0.0.103", "werkzeug"),
        note="with werkzeug, which it imports and does not require; ships no weights",
    ),
)  # fmt: skip


def install(peer: Peer, venvs: Path) -> dict[str, Any]:
    """Make a library's environment, unless it is there. Returns its version and megabytes; PeerError if pip fails.

    facerec's is always made anew, of the checkout as it is now.
    """
    folder = peer.environment(venvs)
    stamp, wanted = folder / "installed.json", json.dumps([peer.requirements, peer.alone])
    if peer.package == "facerec" or not (stamp.exists() and stamp.read_text("utf-8") == wanted):
        say(f"{peer.name}: installing into {folder}")
        venv.create(folder, with_pip=True, clear=True)
        _pip(folder, *peer.requirements)
        if peer.alone:
            _pip(folder, "--no-deps", *peer.alone)
        stamp.write_text(wanted, "utf-8")
    code = f"from importlib.metadata import version; print(version('{peer.package}'))"
    return {"version": _output(folder, None, "-c", code), "installed_mb": size_mb(folder)}


def run_stage(peer: Peer, venvs: Path, stage: str, job: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """What a stage of `_peer_sides.py` measures with a library; PeerError if it fails. home: for the files it keeps."""
    say(f"{peer.name}: {stage}")
    own = ("FACEREC_", "XDG_", "PYTHONPATH")  # folders of whoever runs the bench
    env = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    env |= {"HOME": str(home), "http_proxy": NOWHERE, "https_proxy": NOWHERE}
    words = ("-P", str(SIDES), peer.name, stage)
    return json.loads(_output(peer.environment(venvs), env, *words, given=json.dumps(job)))


def size_mb(folder: Path) -> int:
    """The megabytes (10^6 bytes) of the files in a folder; a link counts as nothing."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) // 10**6


def _pip(folder: Path, *words: str) -> None:
    _output(folder, None, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words)


def _output(folder: Path, env: Mapping[str, str] | None, *words: str, given: str = "") -> str:
    """The last line that the environment's Python prints."""
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    try:
        done = subprocess.run(
            [python, *words], env=env, input=given, capture_output=True, text=True, check=True, timeout=LONGEST_S
        )
    except subprocess.CalledProcessError as error:
        raise PeerError(_reason(error.stderr) or f"ended with status {error.returncode}") from error
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"took longer than {LONGEST_S} s") from error
    return done.stdout.strip().rpartition("\n")[2]


def _reason(complaints: str) -> str:
    """The last line that pip marks as an error, else the last line, as Python has it."""
    lines = [line.strip() for line in complaints.splitlines() if line.strip()]
    return ([""] + lines[-1:] + [line for line in lines if line.startswith("ERROR: ")])[-1]
