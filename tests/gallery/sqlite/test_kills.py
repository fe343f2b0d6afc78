"""Commands killed at random moments: `scripts/kill_gallery`, for a few seconds; and that it sees what it is to see."""

import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("asks Linux who holds which lock", allow_module_level=True)

import kills
from kills import Deed, World
from toy_gallery import sql
from victims import Process, left_alone

from facerec.gallery import archive, erasure
from facerec.gallery.archive import Import
from facerec.gallery.archive_file import Archive
from facerec.gallery.store import Store


def test_nothing_is_lost_and_nothing_half_done(tmp_path: Path) -> None:
    counts = kills.kill_many(tmp_path, 12, seed=1)
    assert len(counts) == 12
    assert counts.inside >= 2
    assert {name for name, _ in counts.places} == set(kills.OPERATIONS)


def test_an_import_that_is_done_by_halves_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = archive.import_archive

    def person_by_person(store: Store, content: Archive, *choices: Any) -> Import:
        *first, last = (dataclasses.replace(content, people=(person,)) for person in content.people)
        for part in first:
            whole(store, part, *choices)
            time.sleep(0.02)
        return whole(store, last, *choices)

    monkeypatch.setattr(archive, "import_archive", person_by_person)
    monkeypatch.setattr(kills, "OPERATIONS", {name: kills.OPERATIONS[name] for name in ("import", "expire")})
    with pytest.raises(AssertionError, match="half-done"):
        kills.kill_many(tmp_path, 40, seed=0)


def test_a_removal_that_leaves_a_copy_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "copies_of", lambda path: [])
    monkeypatch.setattr(kills, "OPERATIONS", {name: kills.OPERATIONS[name] for name in ("remove", "enroll")})
    with pytest.raises(AssertionError, match="older than the last removal"):
        kills.kill_many(tmp_path, 40, seed=0)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two people with three photos each."""
    made = World(tmp_path)
    left_alone(kills.ready(made, "enroll").arguments)
    made.state = kills.look(made)
    return made


def test_two_enroll_while_one_identifies(world: World) -> None:
    """By their commands; of the photos being enrolled each is its person's or nobody's."""
    (one, ours), (other, theirs) = world.new_people(4, 3), world.new_people(4, 3)
    enrolling = [Process(world.enroll(folder, world.gallery)) for folder in (one, other)]
    rounds, named, last = 0, 0, False
    while not last:
        last = all(process.over() for process in enrolling)  # then everybody is there
        asked = Process(["identify", *map(str, (one, other)), *world.enroll(one, world.gallery)[2:]])
        while not asked.over():
            time.sleep(0.002)
        answers = [json.loads(line) for line in asked.kill()]
        assert {answer["person"] for answer in answers if answer["person"] != Path(answer["image"]).parent.name} <= {
            None
        }
        rounds, named = rounds + 1, sum(answer["person"] is not None for answer in answers)
    assert (rounds > 1, named) == (True, 24)
    assert sum(len(process.kill()) for process in enrolling) == 26, "a line for each photo, and two summaries"
    assert kills.look(world) == world.state | ours | theirs


def test_what_was_done_to_the_files_is_seen(world: World) -> None:
    def damaged(change: Callable[[Path], Any]) -> str:
        kept = world.root / "kept"
        world.gallery.rename(kept)
        shutil.copytree(kept, world.gallery)
        change(world.gallery)
        with pytest.raises(AssertionError) as error:
            kills.look(world)
        shutil.rmtree(world.gallery)
        kept.rename(world.gallery)
        return str(error.value)

    assert len(world.state) == 6
    forget = ("DROP TRIGGER log_kept", "DELETE FROM log WHERE number = (SELECT max(number) FROM log)")
    swap = "UPDATE templates SET vector = (SELECT vector FROM templates WHERE id = 1) WHERE id = 2"
    assert "the log: it ends" in damaged(lambda folder: sql(folder, *forget))
    assert "has no template" in damaged(lambda folder: sql(folder, "DELETE FROM templates WHERE person = 1"))
    assert "unfinished: {'gallery.db.x'}" in damaged(lambda folder: (folder / "gallery.db.x").write_bytes(b"x"))
    assert "5 photos, by the log 6" in damaged(lambda folder: sql(folder, "DELETE FROM templates WHERE id = 3"))
    left_alone(world.command("rebuild"))
    assert "people.cache" in damaged(lambda folder: sql(folder, "DROP TRIGGER template_changed", swap))
    assert kills.look(world) == world.state


def test_what_a_command_may_leave(world: World) -> None:
    before, new = world.state, frozenset({("Eve", "a" * 64), ("Eve", "b" * 64)})
    folder, pairs = world.new_people(1, 1)
    (path,), line = folder.rglob("*.png"), '{{"status": "added", "person": "{}", "image": "{}"}}\n'
    said = [line.format(next(iter(pairs))[0], path)]
    by_photo, whole = Deed([], before | new | pairs, piecewise=True), Deed([], before | new)
    kills.require_whole(by_photo, before, before | pairs, said)
    kills.require_whole(by_photo, before, before | set(list(new)[:1]), [])
    kills.require_whole(whole, before, before, [])
    kills.require_whole(whole, before, before | new, [])
    kills.require_whole(whole, before, before | new, ["{}\n"])
    for deed, found, lines, wrong in (
        (by_photo, before, said, "an acknowledged photo was lost"),
        (by_photo, before - set(list(before)[:1]), [], "a photo was lost"),
        (by_photo, before | {("Eve", "c" * 64)}, [], "nobody enrolled"),
        (whole, before | set(list(new)[:1]), [], "half-done"),
        (whole, before, ["{}\n"], "acknowledged and not done"),
    ):
        with pytest.raises(AssertionError, match=wrong):
            kills.require_whole(deed, before, found, lines)
