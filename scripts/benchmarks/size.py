"""Measures how much disk an installation takes, by package.

    scripts/bench size [--extra NAME] [--json]

It installs facerec into an empty environment with the versions of scripts/constraints.txt. So it needs the network, or
pip's cache, and some minutes. A package's megabytes (of 1,000,000 bytes) are those of all its files, compiled Python
included. pip itself does not count.
"""

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from scripts.benchmarks.common import ROOT, text_table

NOT_OURS = ("pip", "setuptools")  # every environment has them
LISTED = 1.0  # smaller packages are one row of the table

# Run by the environment's own Python.
_MEASURE = """
import importlib.metadata, json, os
found = {}
for each in importlib.metadata.distributions():
    files = {os.path.realpath(each.locate_file(file)) for file in each.files or ()}
    found[each.metadata["Name"]] = sum(os.path.getsize(file) for file in files if os.path.isfile(file)) / 1e6
print(json.dumps(found))
"""


def install(folder: Path, extra: str = "") -> Path:
    """Make an environment in `folder` and install facerec there, with an extra or without. Returns its Python."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    what = f"{ROOT}[{extra}]" if extra else str(ROOT)
    done = subprocess.run(
        [*pip, "--constraint", str(ROOT / "scripts" / "constraints.txt"), what], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return python


def megabytes(python: Path) -> dict[str, float]:
    """The megabytes of each package in a Python's environment, the largest first."""
    told = subprocess.run([python, "-P", "-c", _MEASURE], capture_output=True, text=True, check=True).stdout
    found = {name: size for name, size in json.loads(told).items() if name not in NOT_OURS}
    return dict(sorted(found.items(), key=lambda part: -part[1]))


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    parser.add_argument("--extra", default="", help="an extra of pyproject.toml, such as train (default none)")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Install and measure."""
    with TemporaryDirectory() as folder:
        parts = megabytes(install(Path(folder), options.extra))
    return {"extra": options.extra, "parts": parts, "megabytes": sum(parts.values())}


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    parts = figures["parts"]
    rows = [(name, f"{size:.0f}") for name, size in parts.items() if size >= LISTED]
    rest = [size for size in parts.values() if size < LISTED]
    rows += [(f"{len(rest)} smaller ones", f"{sum(rest):.0f}"), ("together", f"{sum(parts.values()):.0f}")]
    return text_table(("package", "MB"), rows)
