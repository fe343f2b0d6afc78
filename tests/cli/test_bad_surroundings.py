"""What surrounds a command is against it: files it may not touch, a full disk, a reader that goes away."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
import toy_fixtures
import toy_model
from click.testing import CliRunner
from complaints import clear, complaint, enroll, identify, refused
from running import ROOT, json_lines, run, run_process

from facerec.cli import common

gallery = toy_fixtures.one_person


# ---------------------------------------------------------------------------------------------------- permissions


@contextmanager
def nobody() -> Iterator[None]:
    """As a user who may not read everything, where the tests run as one who may."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)  # the real user, too: os.access asks for that one
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def open_folder(gallery: Path, good: Path, toy: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """good.png, toy.onnx and gallery/ in a folder that every user may read, its parents too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        monkeypatch.setenv("XDG_CONFIG_HOME", name)  # no facerec.toml that only this user may read
        shutil.copy(good, folder / "good.png")
        for path in (toy, toy.with_suffix(".json")):
            shutil.copy(path, folder)
        shutil.copytree(gallery, folder / "gallery")
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield folder
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)


def test_a_photo_and_a_folder_nobody_may_read(open_folder: Path) -> None:
    bad = toy_model.save_crop(open_folder / "bad.png", 1, 0)
    bad.chmod(0)
    closed = toy_model.save_crop(open_folder / "closed" / "1.png", 1, 0).parent
    closed.chmod(0)
    with nobody():
        results = [
            identify(open_folder / "gallery", open_folder / "toy.onnx", path, open_folder / "good.png")
            for path in (bad, closed, closed / "1.png")
        ]
        alone = enroll(open_folder / "gallery", open_folder / "toy.onnx", closed)
    for result in results:
        assert "Permission denied" in complaint(result, 1)
        assert json_lines(result)[-1]["person"] == "Ann Lee"
    refused(alone, closed, "Permission denied")


def test_a_gallery_that_may_only_be_read(open_folder: Path) -> None:
    new = toy_model.save_crop(open_folder / "new.png", 1, 0)
    for path in (open_folder / "gallery", *(open_folder / "gallery").iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with nobody():
        found = identify(open_folder / "gallery", open_folder / "toy.onnx", open_folder / "good.png")
        added = enroll(open_folder / "gallery", open_folder / "toy.onnx", new, "--name", "Bob")
        made = enroll(open_folder / "made", open_folder / "toy.onnx", new, "--name", "Bob")
    assert json_lines(found)[0]["person"] == "Ann Lee"
    refused(added, open_folder / "gallery", "writable")
    refused(made, open_folder / "made", "Permission denied")


# ---------------------------------------------------------------------------------------------------- disks, pipes


def test_a_full_disk(gallery: Path, toy: Path, tmp_path: Path) -> None:
    """No file may grow beyond 12 kB: the write-ahead log cannot take a new person."""
    resource = pytest.importorskip("resource", reason="no limits on file sizes here")
    other = toy_model.save_crop(tmp_path / "bob.png", 1, 0)
    result = run_process(
        "enroll", other, "--name", "Bob", "--aligned", "--json", "--model", toy, "--gallery", gallery,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000)),
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stdout == "", "what is not stored is not acknowledged"
    assert clear(result.stderr)
    assert "space" in result.stderr
    assert json_lines(run("gallery", "check", "--json", gallery=gallery)) == [
        {"people": 1, "templates": 1, "problems": []}
    ]
    assert enroll(gallery, toy, other, "--name", "Bob").exit_code == 0


ANSWERS = [["completion", "bash"], ["--help"], ["--version"], ["gallery", "--help"], ["gallery", "list", "--help"]]


def _run_with(words: list[str], stdout: Any, stderr: Any = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "facerec.cli.main", *words]
    return subprocess.run(command, cwd=ROOT, text=True, stdout=stdout, stderr=stderr)


@pytest.mark.parametrize("words", ANSWERS, ids=" ".join)
def test_an_output_on_a_full_disk(words: list[str]) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:
        done = _run_with(words, stdout=full)
        assert (done.returncode, done.stderr) == (2, "Error: the output: No space left on device\n")
        if words == ANSWERS[0]:
            assert _run_with(words, stdout=full, stderr=full).returncode == 2, "nor can it be said"


UNSAID = [["verify"], ["verify", "a.jpg", "b.jpg"], ["gallery", "nonsense"], ["nonsense"]]


@pytest.mark.parametrize("words", UNSAID, ids=" ".join)
def test_an_error_that_cannot_be_said_is_no_answer(words: list[str]) -> None:
    """Exit code 1 of `verify` says that two photos show different people."""
    read, gone = os.pipe()
    os.close(read)
    assert _run_with(words, stdout=subprocess.PIPE, stderr=gone).returncode == 2
    os.close(gone)


def test_remarks_that_cannot_be_said_stop_nothing(good: Path, gallery: Path, toy: Path) -> None:
    words = ["--verbose", "--aligned", "--json", "--model", str(toy), "--gallery", str(gallery), "missing.png"]
    read, gone = os.pipe()
    os.close(read)
    done = _run_with(["identify", *words, str(good)], stdout=subprocess.PIPE, stderr=gone)
    os.close(gone)
    assert done.returncode == 1, "one of the photos failed"
    assert json.loads(done.stdout.splitlines()[-1])["person"] == "Ann Lee"


def test_a_reader_that_goes_away(good: Path, gallery: Path, toy: Path) -> None:
    command = [sys.executable, "-m", "facerec.cli.main", "identify", "--aligned", "--json", "--model", str(toy)]
    command += ["--gallery", str(gallery), *[str(good)] * 400]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["person"] == "Ann Lee"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode in (0, 141)


@pytest.mark.parametrize("words", ANSWERS[:2], ids=" ".join)
def test_a_reader_that_has_gone_is_no_answer(words: list[str]) -> None:
    """`verify` answers by its exit code, so what ends a command early must not look like "different people"."""
    read, write = os.pipe()
    os.close(read)
    done = _run_with(words, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "Aborted!"),
        (click.Abort(), 130, "Aborted!"),
        (MemoryError("of 4 GB"), 2, "Error: not enough memory, or a damaged installation (of 4 GB)"),
        (ImportError("x.so: failed to map"), 2, "Error: not enough memory, or a damaged installation (x.so: failed"),
    ],
)
def test_what_ends_a_command_early_is_no_answer(error: BaseException, code: int, said: str) -> None:
    @common.command()
    def fails() -> None:
        raise error

    result = CliRunner().invoke(fails)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (code, "", 1)
    assert result.stderr.startswith(said)
