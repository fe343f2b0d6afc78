"""Removal means removal: not a byte of a person in any file of the gallery, also when the process is killed."""

import dataclasses
import random
import re
from pathlib import Path

import numpy as np
import pytest
from killing import everything_in, killed_after, photos_in
from remains_of_ann import ANN, ann_in
from running import json_lines, run
from toy_gallery import opened, reading, sql, template, vector

from facerec.cli import common
from facerec.errors import GalleryError
from facerec.gallery import database, server_database
from facerec.gallery.backup import keep_copy
from facerec.gallery.erasure import data_may_remain, expired
from facerec.gallery.gallery import Gallery
from facerec.gallery.strangers import near_photos
from facerec.photos.folders import photo_hash
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


@pytest.mark.parametrize(
    "how", ["remove", "photo by photo", "expire", "after a rename", "after a merge", "beside another process"]
)
def test_nothing_of_them_is_left_in_any_file(tmp_path: Path, how: str, held_by: str) -> None:
    folder = tmp_path / "gallery"
    fill(folder)
    assert len(ann_in(everything_in(folder))) == 22  # the search for bytes finds them while they are there
    beside = {"gallery.db.backup", "gallery.db.rollback"} if held_by == "sqlite" else {"removal"}
    assert {p.name for p in folder.iterdir()} == {"gallery.db", "people.cache", *beside}
    for draft in ("people.cache.draft", "gallery.db.backup.draft", "gallery.db.restoring.draft-wal"):
        (folder / draft).write_bytes(vector(0).tobytes())
    other = opened(folder) if how == "beside another process" else None
    with opened(folder) as gallery:
        if how == "photo by photo":
            assert [gallery.remove("Ann Zebra", Path(f"Zebra/{number}.jpg")) for number in ANN] == [1] * 20
        elif how == "expire":
            assert [p.name for p in gallery.expire()] == ["Ann Zebra"]
        elif how == "after a merge":
            gallery.merge("Ann Zebra", "Bob Ray")
            gallery.rename("Bob Ray", "Everybody")
            assert gallery.remove("Everybody") == 40
        else:
            if how == "after a rename":
                gallery.rename("Ann Zebra", "Anna Zebra")
            assert gallery.remove("Anna Zebra" if how == "after a rename" else "Ann Zebra") == 20
        assert ann_in(everything_in(folder)) == []
        assert gallery.check().problems == ()
        assert not data_may_remain(gallery.store)
    if other is not None:
        assert other.search(vector(0)[None], 1)[0][0].person == "Bob Ray"
        other.close()
    assert (folder / "gallery.db.backup").exists() == (held_by == "sqlite"), "a new one"
    assert not (folder / "gallery.db.rollback").exists()
    assert ann_in(everything_in(folder)) == []
    if how != "after a merge":
        assert vector(1).tobytes() in everything_in(folder)


def test_one_wrong_photo_is_taken_out_of_every_file(tmp_path: Path) -> None:
    """Named by its content, by where it came from, or by its hash; the others stay, and are searched without it."""
    folder, wrong = tmp_path / "gallery", tmp_path / "wrong.jpg"
    fill(folder)
    wrong.write_bytes(b"a photo")
    with opened(folder) as gallery:
        before = gallery.people()
        gallery.add("Ann Zebra", dataclasses.replace(photo("Wolf", 100), photo_hash=photo_hash(wrong)))
        gallery.add("Ann Zebra", photo("Wolf", 101))
        gallery.add("Ann Zebra", photo("Wolf", 102))
        gallery.set_calibration(strangers=np.stack([vector(n) for n in (100, 1)]), source="visitors")
        gallery.search(vector(0)[None], 1)
        for chosen in (wrong, Path("Wolf/101.jpg"), Path(photo("Wolf", 102).photo_hash.upper())):
            assert gallery.remove("Ann Zebra", chosen) == 1
        gone = [vector(n).astype(kind).tobytes() for n in (100, 101, 102) for kind in (np.float32, np.float16)]
        gone += [b"Wolf", photo_hash(wrong).encode(), photo("Wolf", 101).photo_hash.encode()]
        assert not [each for each in gone if each in everything_in(folder)]
        assert gallery.people() == before
        assert gallery.search(vector(0)[None], 1)[0][0].person == "Ann Zebra"
        log = [(entry.action, entry.facts) for entry in gallery.log()[0][-4:]]
        assert log == [("strangers set", {"strangers": 1}), *[("photo removed", {"templates": 1})] * 3]
        assert gallery.check().problems == ()
    assert not [each for each in gone if each in everything_in(folder)]


def test_a_photo_that_replaced_a_wrong_one_under_its_name_is_not_taken_for_it(tmp_path: Path) -> None:
    folder, path = tmp_path / "gallery", tmp_path / "IMG_0001.jpg"
    fill(folder)
    with opened(folder) as gallery:
        for content, number in (("wrong", 100), ("right", 101)):
            path.write_text(content)
            stored = dataclasses.replace(photo("Wolf", number), photo_hash=photo_hash(path), source=str(path))
            gallery.add("Ann Zebra", stored)
        with pytest.raises(GalleryError, match="could be any of 2 photos of Ann Zebra; give one of the"):
            gallery.remove("Ann Zebra", path)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ("no.jpg", "no.jpg: is none of the photos of Ann; `facerec gallery show Ann` lists their photos and hashes"),
        ("photos/2.jpg", "this photo is enrolled as Bob Ray, not as Ann; `facerec gallery remove 'Bob Ray' --photo"),
        ("000000", "could be any of 2 photos of Ann; give one of the hashes 000000000000, 000000000000"),
        ("00000", "is none of the photos of Ann"),
    ],
)
def test_a_photo_that_is_not_theirs_is_refused(tmp_path: Path, chosen: str, words: str) -> None:
    with opened(tmp_path) as gallery:
        for number, name in enumerate(("Ann", "Ann", "Bob Ray")):
            gallery.add(name, template(number))
        with pytest.raises(GalleryError, match=re.escape(words)):
            gallery.remove("Ann", Path(chosen))
        assert gallery.templates == 3


def test_the_last_photo_takes_its_person_along(tmp_path: Path) -> None:
    with opened(tmp_path / "g") as gallery:
        for number in range(3):
            gallery.add("Ann", template(number))
        gallery.set_consent("Ann", "agreed")
    command = ("gallery", "remove", "Ann", "--photo")
    (line,) = json_lines(run(*command, "photos/0.jpg", "--dry-run", "--json", gallery=tmp_path / "g"))
    chosen = {"photo_hash": template(0).photo_hash, "source": "photos/0.jpg"}
    assert line == {
        "removed": "Ann",
        "templates": 1,
        "dry_run": True,
        "person_removed": False,
        "photos": [chosen],
        "vetoes": 0,
        "unknown_faces": 0,
    }
    (line,) = json_lines(run(*command, "photos/0.jpg", "--json", gallery=tmp_path / "g"))
    assert line == {"removed": "Ann", "templates": 1, "person_removed": False, "photo": "photos/0.jpg"} | {
        "photo_hash": template(0).photo_hash
    }
    assert run(*command, "photos/1.jpg", gallery=tmp_path / "g").stdout == "photos/1.jpg is removed from Ann.\n"
    said = run(*command, "photos/2.jpg", gallery=tmp_path / "g").stdout
    assert said == "photos/2.jpg is removed from Ann. It was the last of Ann, who is removed with it.\n"
    assert run("gallery", "list", gallery=tmp_path / "g").stdout == ""
    with opened(tmp_path / "g") as gallery:
        assert [entry.action for entry in gallery.log()[0][-2:]] == ["photo removed", "removed"]


def test_remove_asks_at_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*options: str, answer: str = "") -> tuple[int, str]:
        result = run("gallery", "remove", "Ann", *options, gallery=tmp_path, typed=answer)
        return result.exit_code, result.stderr

    with opened(tmp_path) as gallery:
        gallery.add("Ann", template(0))
        gallery.add("Ann", template(1))
    monkeypatch.setattr(common, "at_terminal", lambda: True)
    for answer in ("n\n", "\n", ""):  # the last one is Ctrl-D
        assert told(answer=answer) == (
            2,
            f"Remove Ann with 2 photos for good? [y/N]: {answer.strip()}\nnothing was removed\n",
        )
    with opened(tmp_path) as gallery:
        gallery.veto("Ann", template(5))
    shown = run("gallery", "remove", "Ann", "--dry-run", gallery=tmp_path).stdout.splitlines()
    assert shown == [
        "Would be removed: Ann with 2 photos.",
        "    photos/0.jpg: photo 000000000000",
        "    photos/1.jpg: photo 000000000000",
        "    1 face said not to be somebody",
        "The log keeps what was done, without names. The photo files stay where they are.",
    ]
    with opened(tmp_path) as gallery:
        assert gallery.templates == 2
    asked = "Remove the photo photos/0.jpg of Ann for good? [y/N]: y\n"
    assert told("--photo", "photos/0.jpg", answer="y\n") == (0, asked)
    assert told("--yes") == (0, "")
    assert run("gallery", "list", gallery=tmp_path).stdout == ""


@pytest.mark.parametrize("damage", [None, "strangers", "00", "0000c07f" * 16])
def test_their_photos_among_the_strangers_go_too(tmp_path: Path, damage: str | None) -> None:
    """A visitor's photo, given to set the threshold by, and enrolled later."""
    folder = tmp_path / "gallery"
    fill(folder)
    with opened(folder) as gallery:
        gallery.set_calibration(strangers=np.stack([vector(n) for n in (*ANN[:3], 1, 100, 101)]), source="visitors")
    assert "float16 0" in ann_in(everything_in(folder))
    if damage == "strangers":
        sql(folder, "UPDATE strangers SET checksum = checksum + 1")
    elif damage is not None:  # cut off, or not a number
        sql(folder, f"UPDATE templates SET vector = x'{damage}' WHERE id = 39")
    with opened(folder) as gallery:
        gallery.remove("Ann Zebra")
        assert ann_in(everything_in(folder)) == []
        assert gallery.check().problems == ()
        log = [(entry.action, entry.facts) for entry in gallery.log()[0][-2:]]
        assert log == [
            ("strangers set", {"strangers": 0 if damage == "strangers" else 3}),
            ("removed", {"templates": 20}),
        ]
    assert ann_in(everything_in(folder)) == []
    assert (vector(100).astype(np.float16).tobytes() in everything_in(folder)) == (damage != "strangers")


def test_which_rows_are_of_thenear_photos() -> None:
    """Against one distance after another; in more than one block, some of them near the limit, some no numbers."""
    rng, dimension = np.random.default_rng(0), 8
    vectors = rng.normal(size=(150, dimension)).astype(np.float32)
    rows = np.concatenate([vectors[::10] + 0.01, vectors[::7] + 0.0125, rng.normal(size=(9, dimension))])
    rows = rows.astype(np.float32)
    vectors[3], vectors[5] = np.nan, 3e38
    exact = vectors.astype(np.float64)
    wanted = [any(np.square(row - own).sum() <= 1e-3 for own in exact) for row in rows]
    assert 0 < sum(wanted) < len(rows)
    assert near_photos(rows, vectors).tolist() == wanted
    assert near_photos(rows, vectors[:0]).tolist() == [False] * len(rows)


def test_strangers_who_are_nobody_stay_as_they_were_given(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    fill(folder)
    with opened(folder) as gallery:
        gallery.set_calibration(strangers=np.stack([vector(n) for n in (1, 100, 101)]), source="visitors")
        gallery.remove("Ann Zebra")
        assert [entry.action for entry in gallery.log()[0][-2:]] == ["strangers set", "removed"]
        assert gallery.log()[0][-2].facts == {"strangers": 3}
        gallery.remove("Bob Ray")
        assert gallery.log()[0][-2].facts == {"strangers": 2}


def test_expire_names_them_and_goes_by_the_day(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    with opened(folder) as gallery:
        for number, (name, until) in enumerate((("Ann", "2026-02-28"), ("Bob", "2026-03-01"), ("Cy", ""))):
            gallery.add(name, template(number))
            gallery.set_consent(name, until=until)
        assert [p.name for p in expired(gallery.store, "2026-03-01")] == ["Ann"]
        assert [p.name for p in expired(gallery.store, "2026-03-02")] == ["Ann", "Bob"]
        assert gallery.expire("2026-02-28") == []
        assert [(p.name, p.templates, p.until) for p in gallery.expire("2026-03-01")] == [("Ann", 1, "2026-02-28")]
        assert [p.name for p in gallery.people()] == ["Bob", "Cy"]
        gallery.set_consent("Bob", until="2001-01-01")
    line = {"person": "Bob", "templates": 1, "until": "2001-01-01", "removed": False}
    assert json_lines(run("gallery", "expire", "--dry-run", "--json", gallery=folder)) == [line]
    assert "Bob: would be removed" in run("gallery", "expire", "--dry-run", gallery=folder).stdout
    assert json_lines(run("gallery", "expire", "--json", gallery=folder)) == [{**line, "removed": True}]
    assert run("gallery", "expire", gallery=folder).stdout == ""
    assert json_lines(run("gallery", "list", "--json", gallery=folder))[0]["person"] == "Cy"


def test_a_reader_that_keeps_data_alive_is_reported_and_the_next_wipes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "gallery"
    fill(folder)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(server_database, "BUSY_SECONDS", 0.05)
    with reading(folder):
        result = run("gallery", "remove", "Ann Zebra", gallery=folder)
        assert result.exit_code == 1
        assert "another process is reading it" in caplog.text
        checked = run("gallery", "check", gallery=folder)
        assert "data of removed people" in checked.stderr
        assert checked.stdout.endswith(": 1 problem.\n")
        assert not (folder / "gallery.db.backup").exists(), "no copy of what is not wiped"
    assert run("gallery", "list", gallery=folder).exit_code == 0
    assert ann_in(everything_in(folder)) == []
    assert run("gallery", "check", gallery=folder).exit_code == 0


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


BEFORE = {"Ann Zebra": 20, "Bob Ray": 20}


def test_killed_anywhere(tmp_path: Path) -> None:
    """By the clock, in the middle of whatever SQLite does."""
    folder, chance, gone = tmp_path / "gallery", random.Random(0), 0
    for _ in range(12):
        fill(folder)
        killed_after(chance.random() * 0.06, lambda: remove(folder))
        gone += "Ann Zebra" not in require_whole(folder, [BEFORE, {"Bob Ray": 20}])
