"""Removal from the pages and copies of SQLite's file."""

from pathlib import Path

import numpy as np
import pytest
from killing import everything_in, killed_before, photos_in
from remains_of_ann import ANN, ann_in
from toy_gallery import make_format_4, opened, sql, template, vector

from facerec.gallery.backup import keep_copy
from facerec.gallery.gallery import Gallery
from facerec.gallery.leftovers import full_free_pages
from facerec.gallery.maintenance import rebuild
from facerec.types import Template


def photo(name: str, number: int) -> Template:
    """A photo whose path says whose it is."""
    made = template(number)
    return Template(f"{name.encode().hex()[:8]}{number:056x}", f"{name}/{number}.jpg", made.box, 1.0, made.vector)


def fill(folder: Path) -> None:
    """Ann's and Bob's photos, by turns, so that they lie on the same pages; with index, backup and rollback copy."""
    with opened(folder) as gallery:
        for number in range(40):
            gallery.add("Ann Zebra" if number in ANN else "Bob Ray", photo("Zebra" if number in ANN else "Ray", number))
        gallery.set_consent("Ann Zebra", "Zebra agreed", "2020-01-31")
        gallery.search(vector(0)[None], 1)
        keep_copy(gallery.store.database, "rollback")


def test_strangers_cut_off_before_there_were_checksums_keep_nobody_from_being_removed(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    fill(folder)
    with opened(folder) as gallery:
        gallery.set_calibration(strangers=np.stack([vector(n) for n in (0, 100)]), source="visitors")
    make_format_4(folder)
    sql(folder, "UPDATE strangers SET vectors = substr(vectors, 1, 37)")
    with opened(folder) as gallery:
        gallery.remove("Ann Zebra")
        assert gallery.log()[0][-2].facts == {"strangers": 0}
    assert ann_in(everything_in(folder)) == []


def test_check_looks_for_what_others_left(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    fill(folder)
    old = (folder / "gallery.db.backup").read_bytes()
    with opened(folder) as gallery:
        gallery.remove("Ann Zebra")
    (folder / "gallery.db.rollback").write_bytes(old)
    (folder / "people.cache.draft").write_bytes(vector(0).tobytes())
    with opened(folder) as gallery:
        (problem,) = gallery.check().problems
        assert "gallery.db.rollback: older than the last removal; delete it" in problem
        assert not (folder / "people.cache.draft").exists()
    (folder / "gallery.db.rollback").write_bytes(b"no database")
    with opened(folder) as gallery:
        (problem,) = gallery.check().problems
        assert "gallery.db.rollback" in problem


def test_free_pages_that_hold_something_are_found(tmp_path: Path) -> None:
    """As a program without secure_delete leaves them."""
    folder = tmp_path / "gallery"
    fill(folder)
    content = (folder / "gallery.db").read_bytes()
    assert full_free_pages(content) == 0
    wide = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 30)"
    make = ("CREATE TABLE t (x)", f"INSERT INTO t {wide} SELECT randomblob(3000) FROM n")
    sql(folder, "PRAGMA secure_delete = OFF", *make, "DROP TABLE t", "PRAGMA wal_checkpoint(TRUNCATE)")
    assert full_free_pages((folder / "gallery.db").read_bytes()) >= 30
    with opened(folder) as gallery:
        (problem,) = gallery.check().problems
        assert "free pages still hold something; run `facerec gallery rebuild`" in problem
        rebuild(gallery.store)
        assert gallery.check().problems == ()
    sql(folder, "PRAGMA secure_delete = ON", *make, "DROP TABLE t")
    with opened(folder) as gallery:
        assert gallery.check().problems == (), "free, and empty"


def remove(folder: Path) -> None:
    with Gallery.open(folder) as gallery:
        gallery.remove("Ann Zebra")


def merge(folder: Path) -> None:
    with Gallery.open(folder) as gallery:
        gallery.merge("Ann Zebra", "Bob Ray")


def require_whole(folder: Path, states: list[dict[str, int]]) -> dict[str, list[int]]:
    """The gallery opens, is sound, and in one of the states; whoever is gone from it is gone from every file."""
    with opened(folder) as gallery:
        assert gallery.check().problems == ()
        assert {name: len(photos) for name, photos in photos_in(gallery).items()} in states
        found = photos_in(gallery)
        gallery.search(vector(0)[None], 1)
    if not any("Ann" in name or len(photos) > 20 for name, photos in found.items()):
        assert ann_in(everything_in(folder)) == []
    return found


EVERY = 3
BEFORE = {"Ann Zebra": 20, "Bob Ray": 20}


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize(("work", "after"), [(remove, {"Bob Ray": 20}), (merge, {"Bob Ray": 40})])
def test_killed_before_any_step(tmp_path: Path, work, after: dict[str, int]) -> None:
    """Before every third statement or change of a file, one after the other; with EVERY = 1 before each of them."""
    fill(tmp_path / "whole")
    seen, step, killed = [], 1 - EVERY, True
    while killed:
        step += EVERY
        folder = tmp_path / str(step)
        folder.mkdir()
        for path in (tmp_path / "whole").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        killed = killed_before(step, lambda folder=folder: work(folder))
        found = require_whole(folder, [BEFORE, after])
        seen.append({name: len(photos) for name, photos in found.items()})
    assert step > 90
    assert seen == sorted(seen, key=[BEFORE, after].index), "once it has happened it stays so"
    assert seen[0] == BEFORE
    assert seen[-1] == after
