"""The work on shards: by processes that are killed, by several at a time, and after the archive has changed."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pyarrow.parquet
import pytest
import toy_shards
from killing import killed_before
from running import ROOT

from facerec.errors import ConfigError, DataError
from facerec.faces.settings import DetectorSettings
from facerec.inference.shard_plan import Differences, Plan, Recipe, read_plan
from facerec.inference.shard_work import Asked, ShardDone, make_shards, missing, prepare

CARD = toy_shards.Thumbnails.card


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return toy_shards.small_crops(tmp_path / "photos")


def prepared(source: Path, output: Path, per_shard: int = 2) -> tuple[Plan, Differences]:
    asked = Asked(output, aligned=True)
    return prepare(source, asked, Recipe.of(CARD, True, asked.settings), per_shard)


# ------------------------------------------------------------------------------------------------------------- killed


def test_a_kill_at_any_step_leaves_no_trace_after_the_next_run(tmp_path: Path) -> None:
    """Before each change and each opening of a file, in turn: the next run makes the same files, to the byte."""
    source = toy_shards.small_crops(tmp_path / "photos", 2, 1)
    toy_shards.run(source, tmp_path / "undisturbed")
    expected = toy_shards.files(tmp_path / "undisturbed")
    kills = 0
    while True:
        output = tmp_path / f"{kills}"
        if not killed_before(kills + 1, partial(toy_shards.run, source, output)):
            break
        kills += 1
        for shard in output.glob("*.parquet"):
            assert shard.read_bytes() == expected[shard.name], "a shard that is there is whole"
        toy_shards.run(source, output)
        assert toy_shards.files(output) == expected
    assert kills > 20
    assert len(expected) == 3  # the plan and two shards


def test_a_killed_process_gives_its_shard_back(source: Path, tmp_path: Path) -> None:
    """Another process waits for it, and makes its shard the moment it is gone."""
    toy_shards.run(source, tmp_path / "undisturbed")
    output, fork = tmp_path / "vectors", multiprocessing.get_context("fork")
    plan, _ = prepared(source, output)
    ready = fork.Event()

    def begin() -> None:
        for _ in make_shards(Asked(output, aligned=True), plan, toy_shards.Thumbnails(), [1]):
            ready.set()
            time.sleep(600)  # in the middle of a shard

    stuck, other = fork.Process(target=begin), fork.Process(target=toy_shards.run, args=(source, output))
    stuck.start()
    assert ready.wait(60)
    other.start()
    while missing(output, plan) != [1]:
        time.sleep(0.02)
    other.join(0.3)
    assert other.is_alive(), "it waits for the shard of the other"
    stuck.kill()
    other.join(60)
    assert other.exitcode == 0
    assert toy_shards.files(output) == toy_shards.files(tmp_path / "undisturbed")


def test_processes_side_by_side_make_each_shard_once(source: Path, tmp_path: Path) -> None:
    toy_shards.run(source, tmp_path / "undisturbed", 1)
    output, fork = tmp_path / "vectors", multiprocessing.get_context("fork")
    plan, _ = prepared(source, output, 1)
    made = fork.SimpleQueue()

    def work() -> None:
        for event in make_shards(Asked(output, aligned=True), plan, toy_shards.Thumbnails()):
            if isinstance(event, ShardDone):
                made.put(event.number)

    processes = [fork.Process(target=work) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert sorted(made.get() for _ in plan.shards) == list(range(len(plan.shards)))
    assert made.empty()
    assert toy_shards.files(output) == toy_shards.files(tmp_path / "undisturbed")


def embedding(samples: Path, output: Path, *options: str) -> "subprocess.Popen[bytes]":
    """`facerec embed` of the sample photos, in a process group of its own."""
    words = [sys.executable, "-m", "facerec.cli.main", "embed", samples, "--output", output, *options]
    words += ["--photos-per-shard", "2", "--quiet"]
    return subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True)


@toy_shards.linux
def test_real_photos_by_two_workers_of_which_one_is_killed_and_then_all(small_samples: Path, tmp_path: Path) -> None:
    undisturbed, output = tmp_path / "undisturbed", tmp_path / "vectors"
    assert embedding(small_samples, undisturbed).wait() == 0
    both = embedding(small_samples, output, "--workers", "2")
    os.kill(toy_shards.first_claimant(output, both), signal.SIGKILL)
    _, said = both.communicate(timeout=120)
    assert both.returncode == 0, said
    assert b"ended with code -9; the others go on" in said
    assert toy_shards.files(output) == toy_shards.files(undisturbed)
    (output / "shard-00001.parquet").unlink()
    (output / "shard-00003.parquet").unlink()
    alone = embedding(small_samples, output)
    assert toy_shards.first_claimant(output, alone) == alone.pid
    alone.kill()
    alone.communicate()
    assert missing(output, read_plan(output))
    assert embedding(small_samples, output).wait() == 0
    assert toy_shards.files(output) == toy_shards.files(undisturbed)


# ---------------------------------------------------------------------------------------------------- another archive


def test_photos_that_came_later_get_shards_of_their_own(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "vectors"
    toy_shards.run(source, output)
    before = toy_shards.files(output)
    toy_shards.small_crops(source / "more", 2, 1)
    _, found = prepared(source, output)
    assert sorted(found.added) == ["more/person 0/0.png", "more/person 0/bad.png", "more/person 1/0.png"]
    assert found.lines(output) == []
    toy_shards.run(source, output)
    after = toy_shards.files(output)
    assert sorted(after.keys() - before.keys()) == ["shard-00004.parquet", "shard-00005.parquet"]
    assert {name: after[name] for name in before if name != "plan.json"} == {
        name: content for name, content in before.items() if name != "plan.json"
    }
    rows = [row for name in after if name != "plan.json" for row in pyarrow.parquet.read_table(output / name)["path"]]
    assert len(rows) == len(set(map(str, rows))) == 10


def test_photos_that_changed_or_are_gone_are_said(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "vectors"
    toy_shards.run(source, output)
    (source / "person 1" / "0.png").write_bytes(b"something else")
    (source / "person 2" / "1.png").unlink()
    _, found = prepared(source, output)
    changed, gone = found.lines(output)
    assert "1 photo changed, the first person 1/0.png" in changed
    assert "1 photo gone, the first person 2/1.png" in gone
    (output / "shard-00001.parquet").unlink()  # the remedy that the line names
    toy_shards.run(source, output)
    _, found = prepared(source, output)
    assert (found.changed, found.gone) == ([], ["person 2/1.png"])


def test_another_folder_model_or_detector_is_refused(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "vectors"
    toy_shards.run(source, output)
    before = toy_shards.files(output)
    other = toy_shards.small_crops(tmp_path / "others")
    asked, own = Asked(output, aligned=True), Recipe.of(CARD, True, DetectorSettings())
    recipes = {
        "was begun with the model thumbnails": Recipe(**{**_values(own), "fingerprint": "other"}),
        "was begun with aligned crops": Recipe.of(CARD, False, DetectorSettings()),
    }
    for words, recipe in recipes.items():
        with pytest.raises(ConfigError, match=f"{words}.*another `output`"):
            prepare(source, asked, recipe, 2)
    with pytest.raises(ConfigError, match=r"holds the vectors of .*photos; give another `output`"):
        prepare(other, asked, own, 2)
    assert toy_shards.files(output) == before


def _values(recipe: Recipe) -> dict[str, object]:
    return {name: getattr(recipe, name) for name in recipe.__slots__}


def test_a_folder_with_something_else_in_it_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear Ann", "utf-8")
    with pytest.raises(DataError, match=r"holds letter\.txt and is no folder of shards; give another `output`"):
        prepared(source, tmp_path / "mine")


def test_no_photos_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no photos"):
        prepared(tmp_path / "empty", tmp_path / "vectors")
