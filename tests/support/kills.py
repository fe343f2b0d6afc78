"""Kill facerec's commands at random moments and check the gallery after each kill. Linux only. Run as a program:

    scripts/kill_gallery --kills 200 [--seed 0]

All commands work on one gallery, so each finds what the kill before has left. A command is the real one, in a process
of its own (forked, with everything imported). It is stopped, inspected (see victims.py) and then killed. For half of
the kills the moment is drawn from the whole command, for the others from the times in which an undisturbed run held the
database's write lock. A command that ends before its moment is not counted.

After each kill the folder is copied and the copy opened. These must hold:
- The gallery is sound (`facerec gallery check`).
- The command is done or not done. An enrollment may be done in part, but every photo that was acknowledged on stdout is
  there, and no photo is there in part.
- Everybody is found at the mean of their vectors.
- The log continues and adds up to what is enrolled.
- No unfinished file is left, and nothing of anybody who was removed.
"""

import argparse
import hashlib
import importlib
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import toy_model
from killing import everything_in
from victims import ELSEWHERE, INSIDE, OPEN, Span, killed, left_alone, measured

from facerec.gallery.audit_log import LogEntry
from facerec.gallery.gallery import Gallery
from facerec.inference.loading import load_embedder

State = frozenset[tuple[str, str]]
"""Person and SHA-256 of each photo enrolled."""

PAST = "2001-01-01"
PRELOADED = ("faiss", "openvino", "facerec.faces.mtcnn", "facerec.recognition.identify")
PRELOADED += (
    "facerec.cli.enroll",
    "facerec.cli.gallery",
    "facerec.recognition.review",
    "facerec.cli.gallery_migrate",
    "facerec.gallery.model_change",
    "facerec.evaluation.self_search",
)
"""Modules that the commands import. Imported once, a kill costs a fork instead of seconds."""
LASTING = {"gallery.db", "gallery.db.backup", "gallery.db.rollback", "people.cache"}
MOST = 10  # people enrolled; with more, nobody else is enrolled


@dataclass(frozen=True, slots=True)
class Deed:
    """A command line and its effect.

    after: who is enrolled once it is done. piecewise: it works photo by photo; otherwise it does all or nothing.
    model: the gallery's model once it is done, if it changes the model.
    """

    arguments: list[str]
    after: State
    piecewise: bool = False
    model: Path | None = None


# ------------------------------------------------------------------------------------------------------- operations


class World:
    """A gallery with two models and photos for it, and what it is known to hold.

    model: the gallery's model. other: the model that it can be migrated to.
    """

    def __init__(self, root: Path) -> None:
        """Begin with nobody enrolled. root: an empty folder."""
        self.root, self.gallery = root, root / "gallery"
        self.model = toy_model.write_model(root / "model")
        self.other = toy_model.write_model(root / "other model", "other", mean=(90.0, 100.0, 160.0))
        self.fingerprints = {load_embedder(str(path)).card.fingerprint: path for path in (self.model, self.other)}
        self.state: State = frozenset()
        self.people = 0  # made up so far
        self.vectors: dict[tuple[str, str], set[bytes]] = {}  # of every photo ever found enrolled, of either model
        self.log: list[str] = []  # the hashes of its entries
        self.guests = self._export_guests()

    def new_people(self, count: int, photos: int) -> tuple[Path, State]:
        """Write identity folders of new people. Returns the folder, and (person, photo) of each photo."""
        folder, pairs = self.root / f"people-{self.people}", set()
        for _ in range(count):
            self.people += 1
            for photo in range(photos):
                name = f"Person {self.people:04}"
                path = toy_model.save_crop(folder / name / f"{photo}.png", self.people, photo)
                pairs.add((name, digest(path)))
        return folder, frozenset(pairs)

    def enroll(self, folder: Path, gallery: Path) -> list[str]:
        """Return the arguments of `facerec enroll`."""
        return ["enroll", str(folder), "--aligned", "--model", str(self.model), "--gallery", str(gallery), "--json"]

    def found(self, fingerprint: str) -> None:
        """Note the gallery's model, by its fingerprint."""
        self.model = self.fingerprints[fingerprint]
        (self.other,) = set(self.fingerprints.values()) - {self.model}

    @property
    def guest_file(self) -> Path:
        """The archive of the guests, with vectors of the gallery's model."""
        return self.root / f"guests of {self.model.stem}.npz"

    def command(self, *arguments: str) -> list[str]:
        """Return the arguments of `facerec gallery`."""
        return ["gallery", *arguments, "--gallery", str(self.gallery), "--json"]

    def _export_guests(self) -> State:
        """Write an archive of people for each model, whose last day has passed. Returns their (person, photo)."""
        folder, guests = self.new_people(4, 3)
        for fingerprint, path in self.fingerprints.items():
            self.found(fingerprint)
            elsewhere = self.root / f"gallery of {path.stem}"
            left_alone(self.enroll(folder, elsewhere))
            with Gallery.open(elsewhere) as gallery:
                for person in gallery.people():
                    gallery.set_consent(person.name, until=PAST)
                gallery.export(self.guest_file)
        return guests


def enroll(world: World) -> Deed | None:
    if len({person for person, _ in world.state}) > MOST:
        return None
    folder, new = world.new_people(2, 3)
    return Deed(world.enroll(folder, world.gallery), world.state | new, piecewise=True)


def remove(world: World) -> Deed | None:
    people = sorted({person for person, _ in world.state - world.guests})
    if len(people) < 2:
        return None
    return Deed(world.command("remove", people[0]), frozenset(pair for pair in world.state if pair[0] != people[0]))


def expire(world: World) -> Deed | None:
    return Deed(world.command("expire"), world.state - world.guests) if world.guests <= world.state else None


def import_guests(world: World) -> Deed | None:
    missing = not world.guests & world.state
    return (
        Deed(world.command("import", str(world.guest_file), "--again"), world.state | world.guests) if missing else None
    )


def rebuild(world: World) -> Deed:
    return Deed(world.command("rebuild"), world.state)


def migrate(world: World) -> Deed | None:
    if not world.state:
        return None
    return Deed(world.command("migrate", "--model", str(world.other)), world.state, model=world.other)


OPERATIONS: dict[str, tuple[Callable[[World], Deed | None], str]] = {
    "enroll": (enroll, "remove"),
    "remove": (remove, "enroll"),
    "expire": (expire, "import"),
    "import": (import_guests, "expire"),
    "rebuild": (rebuild, ""),
    "migrate": (migrate, "enroll"),
}
"""The commands to kill. Each has a function that returns its Deed, or None if there is nothing to do; and the command
that then gives it something to do."""


# --------------------------------------------------------------------------------------------------- what is left


def digest(path: Path) -> str:
    """Return the hash by which facerec knows a photo."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def look(world: World) -> State:
    """Open a copy of the gallery and check everything about it. Returns what it holds."""
    copy = world.root / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(world.gallery, copy)
    with Gallery.open(copy) as gallery:
        problems = gallery.check().problems
        assert problems == (), problems
        entries, _ = gallery.log()
        with closing(sqlite3.connect(copy / "gallery.db")) as db:  # facerec itself does not show this
            model = db.execute("SELECT model_fingerprint, model_name, dimension FROM gallery").fetchone()
            rows = db.execute("SELECT name, photo_hash, vector FROM templates JOIN people ON person = people.id")
            found = {(name, photo): vector for name, photo, vector in rows}
        fingerprint, name, dimension = model
        world.found(fingerprint)
        gallery.bind_model(fingerprint, name, dimension, toy_model.CARD.default_threshold)
        names, means = gallery.mean_templates()
    require_log(world, entries, len(found))
    require_means(found, dict(zip(names, means, strict=True)))
    for pair, vector in found.items():
        world.vectors.setdefault(pair, set()).add(vector)
    require_nothing_left(world, copy, found.keys())
    return frozenset(found)


def require_log(world: World, entries: list[LogEntry], templates: int) -> None:
    """Assert that the log only grew, and adds up to what is enrolled."""
    hashes = [entry.hash for entry in entries]
    assert hashes[: len(world.log)] == world.log, "the log lost entries"
    world.log = hashes
    signs = {"enrolled": 1, "imported": 1, "removed": -1, "expired": -1}
    told = sum(signs.get(entry.action, 0) * entry.facts.get("templates", 0) for entry in entries)
    assert told == templates, f"{templates} photos, by the log {told}"


def require_means(found: dict[tuple[str, str], bytes], means: dict[str, np.ndarray]) -> None:
    """Assert that everybody is searched at the mean of their vectors."""
    assert means.keys() == {person for person, _ in found}, "others are searched than are enrolled"
    for person, mean in means.items():
        total = sum(np.frombuffer(vector, "<f4") for (owner, _), vector in found.items() if owner == person)
        assert np.allclose(mean, total / np.linalg.norm(total), atol=1e-5), f"{person} is searched elsewhere"


def require_nothing_left(world: World, folder: Path, enrolled: Any) -> None:
    """Assert that no unfinished file is left, and nothing of anybody who is gone."""
    strange = {path.name for path in folder.iterdir()} - LASTING
    assert not strange, f"left unfinished: {strange}"
    content, there = everything_in(folder), {person for person, _ in enrolled}
    for (person, photo), vectors in world.vectors.items():
        if (person, photo) not in enrolled:
            assert not any(vector in content for vector in vectors), f"a vector of {person} is left"
            assert person in there or person.encode() not in content, f"the name {person} is left"


def require_whole(deed: Deed, before: State, found: State, lines: list[str]) -> None:
    """Assert that nothing acknowledged is lost, and nothing is half-done."""
    said = [json.loads(line) for line in lines]
    if deed.piecewise:
        assert before <= found <= deed.after, "a photo was lost, or one that nobody enrolled is there"
        added = {(line["person"], digest(Path(line["image"]))) for line in said if line.get("status") == "added"}
        assert added <= found, "an acknowledged photo was lost"
    else:
        assert found in {before, deed.after}, "half-done"
        assert found == deed.after or not said, "acknowledged and not done"


# ------------------------------------------------------------------------------------------------------------- kills


@dataclass
class Kills:
    """Counts of killed commands. places: by operation and place. done: of these, how many changed the gallery."""

    places: Counter[tuple[str, str]] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return self.places.total()

    @property
    def inside(self) -> int:
        """How many were killed inside a write."""
        return sum(count for (_, where), count in self.places.items() if where in INSIDE)

    def table(self) -> str:
        """Return the counts as a table to print."""
        columns = [*INSIDE, OPEN, ELSEWHERE]
        lines = [" | ".join(["killed", "times", *columns, "changed the gallery"])]
        for name in OPERATIONS:
            counts = [self.places[name, where] for where in columns]
            lines.append(" | ".join([name, *map(str, (sum(counts), *counts, self.done[name]))]))
        totals = [sum(self.places[name, where] for name in OPERATIONS) for where in columns]
        lines.append(" | ".join(["all", *map(str, (len(self), *totals, self.done.total()))]))
        return "\n".join(lines)


def ready(world: World, name: str) -> Deed:
    """Return the Deed of an operation. If it has nothing to do, another command is run first."""
    deed = OPERATIONS[name][0](world)
    if deed is None:
        other = ready(world, OPERATIONS[name][1])
        left_alone(other.arguments)
        world.state = other.after
        return ready(world, name)
    return deed


def typical_span(world: World, name: str) -> Span:
    """Return the median of three runs by the time spent writing: a busy machine overlooks some of it."""
    spans = []
    for _ in range(3):
        deed = ready(world, name)
        spans.append(measured(deed.arguments, world.gallery))
        world.state = look(world)
        assert world.state == deed.after, f"{name} left alone did not do what it should"
    return sorted(spans, key=lambda span: span.writing)[1]


def kill_many(root: Path, kills: int, seed: int) -> Kills:
    """Kill so many commands. Raises AssertionError for the first that leaves anything wrong."""
    for name in PRELOADED:
        importlib.import_module(name)
    PIL.Image.init()
    world, chance, counts = World(root), random.Random(seed), Kills()
    spans = {name: typical_span(world, name) for name in OPERATIONS}
    while len(counts) < kills:
        round_, turn = divmod(len(counts), len(OPERATIONS))
        name = list(OPERATIONS)[turn]
        deed, before = ready(world, name), world.state
        where, lines = killed(deed.arguments, world.gallery, spans[name], round_ % 2 == 1, chance)
        world.state = look(world)
        require_whole(deed, before, world.state, lines)
        assert not lines or deed.model in (None, world.model), "acknowledged, and the model is the one before"
        if where:
            counts.places[name, where] += 1
            counts.done[name] += world.state != before or deed.model == world.model
    return counts


def main() -> None:
    """Parse the arguments, kill commands and print the counts."""
    parser = argparse.ArgumentParser(description="Kill facerec's commands and check what is left of the gallery.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    root, began = Path(tempfile.mkdtemp(prefix="facerec-kills-")), time.monotonic()
    try:
        counts = kill_many(root, given.kills, given.seed)
    except AssertionError:
        print(f"what was left: {root}", file=sys.stderr)
        raise
    shutil.rmtree(root)
    print(counts.table())
    print(
        f"{len(counts)} kills, {counts.inside} inside a write, in {time.monotonic() - began:.0f} s: nothing was lost,"
    )
    print("nothing half-done was found, every gallery opened and was sound.")


if __name__ == "__main__":
    main()
