"""What the base install can do: everything but training, classifying, looking into networks, exporting, and reports."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch_free
from running import run

from facerec.errors import MissingExtraError
from facerec.extras import EXTRAS, install, named, require_extra
from facerec.training import freezing, settings
from scripts.benchmarks import size

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = Path(torch_free.__file__)
Said = dict[str, Any]


def all_commands(python: Path, folder: Path, *options: str) -> list[Said]:
    """What torch_free.py says of every command. It is run far from the checkout, as by a user."""
    words = [python, SCRIPT, folder, *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT) if options else ""}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(said: list[Said], folder: Path) -> None:
    """Commands that need no torch are done; each of the others says in one line what to install."""
    free = len(torch_free.commands(torch_free.FREE, folder))
    assert len(said) == free + len(torch_free.commands(torch_free.NEEDY, folder))
    assert [each for each in said[:free] if each["exit"]] == []
    for each in said[free:]:
        assert (each["exit"], each["stdout"], each["stderr"].count("\n")) == (2, "", 1), each
        assert "needs" in each["stderr"]
        assert "pip install" in each["stderr"]
        assert "[train]'\n" in each["stderr"] or "[report]'\n" in each["stderr"]


@pytest.fixture
def folder(crops: Path, tmp_path: Path) -> Path:
    shutil.copytree(crops, tmp_path / "crops")
    shutil.copytree(ROOT / "gallery", tmp_path / "photos")
    return tmp_path


def test_recognising_people_imports_no_torch(folder: Path) -> None:
    check(all_commands(Path(sys.executable), folder, "--forbid"), folder)


@pytest.mark.install
def test_the_base_install_is_small_and_does_all_of_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python = size.install(folder / "environment")
    parts = size.megabytes(python)
    with capsys.disabled():
        print(size.table({"parts": parts}))
    assert sum(parts.values()) < 700
    assert not {"torch", "torchvision", "matplotlib"} & parts.keys()
    check(all_commands(python, folder), folder)


@pytest.mark.parametrize("clone", [True, False], ids=["from a clone", "installed"])
def test_the_remedy_fits_the_installation(clone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facerec.extras.__file__", str(tmp_path / "facerec" / "extras.py"))
    if clone:
        (tmp_path / "pyproject.toml").touch()
    assert install("train") == (f"pip install -e '{tmp_path}[train]'" if clone else "pip install 'facerec[train]'")
    monkeypatch.chdir(tmp_path)
    assert install("report") == ("pip install -e '.[report]'" if clone else "pip install 'facerec[report]'")


def test_every_library_of_an_extra_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    require_extra("train", "magic")
    for library in ("torch", "pytorch_metric_learning"):
        assert EXTRAS[library] == "train"
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, library, None)
            with pytest.raises(MissingExtraError, match=f"magic needs {library}: pip install"):
                require_extra("train", "magic")


def test_an_import_that_fails_is_named_unless_it_is_no_extra() -> None:
    with pytest.raises(MissingExtraError, match="magic needs torchvision"), named("magic"):
        raise ModuleNotFoundError("no module", name="torchvision.ops")
    with pytest.raises(ModuleNotFoundError, match="no module"), named("magic"):
        raise ModuleNotFoundError("no module", name="elsewhere")


def test_the_public_names_say_it_too(tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; import facerec\ntry: facerec.train\n"
    code += "except facerec.FacerecError as error: print(error)"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said == "facerec.train needs torch: pip install -e '.[train]'\n"


def test_the_strategies_are_known_without_torch() -> None:
    assert list(settings.STRATEGIES) == list(freezing.STRATEGIES)


@pytest.mark.parametrize("words", [["gallery", "list"], ["identify", "photo.jpg"], ["serve"]])
def test_a_gallery_on_a_server_without_its_extra_is_one_line(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    result = run(*words, "--gallery", "postgresql://ann:secret@localhost/club")
    assert result.exit_code == 2
    assert result.stderr == "Error: a gallery on a server needs psycopg: pip install -e '.[postgres]'\n"
