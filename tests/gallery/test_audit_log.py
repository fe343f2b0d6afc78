"""The audit log: what is in it, what is not, and that nobody changes it unseen."""

import hashlib
import importlib.metadata
import json
import re
import sqlite3
from pathlib import Path

import psycopg
import pytest
from running import json_lines, run
from toy_gallery import MODEL, opened, rows, sql, template

from facerec.errors import GalleryError
from facerec.gallery.gallery import Gallery


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gallery with a history of every kind of change."""
    folder = tmp_path / "gallery"
    with opened(folder) as gallery:
        for number, name in enumerate(("Ann Lee", "Bob Ray", "Bob Ray", "Cy", "Dee")):
            gallery.add(name, template(number))
        gallery.rename("Ann Lee", "Ann Ray")
        gallery.merge("Cy", "Bob Ray")
        gallery.set_consent("Dee", "said yes on paper", "2020-01-31")
        gallery.set_calibration(0.02)
        gallery.expire()
        gallery.remove("Bob Ray")
        gallery.add("Eve", template(9))
    return folder


def raw(folder: Path) -> list[tuple[int, str, str]]:
    return rows(folder, "SELECT number, entry, hash FROM log ORDER BY number")


def test_every_change_is_in_it_with_its_person_and_counts(folder: Path) -> None:
    with Gallery.open(folder) as gallery:
        entries, head = gallery.log()
    assert [(e.action, e.person, e.name, e.facts) for e in entries] == [
        ("created", None, None, {}),
        ("model bound", None, None, {"model": MODEL[0], "dimension": 16, "cohort": 0}),
        ("enrolled", 1, "Ann Ray", {"templates": 1}),
        ("enrolled", 2, None, {"templates": 1}),
        ("enrolled", 2, None, {"templates": 1}),
        ("enrolled", 3, None, {"templates": 1}),
        ("enrolled", 4, None, {"templates": 1}),
        ("renamed", 1, "Ann Ray", {}),
        ("merged", 2, None, {"merged": 3, "templates": 1}),
        ("consent set", 4, None, {}),
        ("target set", None, None, {"fpir": 0.02}),
        ("expired", 4, None, {"templates": 1}),
        ("removed", 2, None, {"templates": 3}),
        ("enrolled", 5, "Eve", {"templates": 1}),  # 5: the numbers of the removed are not given again
    ]
    assert [e.number for e in entries] == list(range(1, 15))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", e.time) for e in entries)
    assert {e.facerec for e in entries} == {importlib.metadata.version("facerec")}
    assert head == entries[-1].hash


def test_the_chain_by_hand(folder: Path) -> None:
    previous = "0" * 64
    for number, text, hashed in raw(folder):
        entry = json.loads(text)
        assert entry["number"] == number
        assert text == json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        previous = hashlib.sha256(previous.encode() + text.encode()).hexdigest()
        assert hashed == previous


def test_it_holds_neither_names_nor_photos(folder: Path) -> None:
    whole = "".join(text for _, text, _ in raw(folder))
    for word in ("Ann", "Bob", "Cy", "Dee", "Eve", "Ray", "paper", "photos/", template(0).photo_hash, "2020"):
        assert word not in whole


def test_what_did_not_happen_is_not_in_it(folder: Path) -> None:
    before = raw(folder)
    with opened(folder) as gallery:
        assert not gallery.add("Eve", template(9))
        for change in (
            lambda: gallery.add("Bob", template(9)),
            lambda: gallery.remove("Xaver"),
            lambda: gallery.rename("Eve", "Ann Ray"),
            lambda: gallery.merge("Eve", "Eve"),
            lambda: gallery.set_consent("Eve", until="tomorrow"),
        ):
            with pytest.raises(GalleryError):
                change()
    assert raw(folder) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log SET entry = '{}' WHERE number = 3",
        "DELETE FROM log",
        "DELETE FROM log WHERE number = 14",
        "INSERT INTO log (number, entry, hash) VALUES (3, '{}', '') ON CONFLICT (number) DO UPDATE SET entry = '{}'",
        "INSERT INTO log (number, entry, hash) VALUES (99, '{}', '')",
    ],
)
def test_the_database_refuses_to_change_it(folder: Path, statement: str) -> None:
    with pytest.raises((sqlite3.IntegrityError, psycopg.Error), match="only added to"):
        sql(folder, statement)


FREE = [f"DROP TRIGGER log_{name}" for name in ("kept", "unchanged", "in_order")]


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["UPDATE log SET entry = replace(entry, 'removed', 'renamed')"], "entry 13 is not what was written"),
        (["UPDATE log SET hash = upper(hash) WHERE number = 4"], "entry 4 is not what was written"),
        (["UPDATE log SET entry = '[]' WHERE number = 2"], "entry 2 is not what was written"),
        (["DELETE FROM log WHERE number = 7"], "entry 7 is missing"),
        (["DELETE FROM log WHERE number = 1"], "entry 1 is missing"),
        (["DELETE FROM log WHERE number > 12"], "it ends at entry 12 of 14"),
        (["DELETE FROM log"], "it ends at entry 0 of 14"),
        (["UPDATE log SET number = -1 WHERE number = 5", "UPDATE log SET number = 5 WHERE number = 6",
          "UPDATE log SET number = 6 WHERE number = -1"], "entry 5 is not what was written"),
        (["INSERT INTO log VALUES (15, '{\"number\":15,\"action\":\"created\"}', 'x')"], "entry 15 is not what was"),
    ],
)  # fmt: skip
def test_tampering_is_found(folder: Path, statements: list[str], said: str) -> None:
    sql(folder, *FREE, *statements)
    with Gallery.open(folder) as gallery:
        (problem,) = gallery.check().problems
        gallery.log()
    assert said in problem
    assert "kept elsewhere" in problem
    result = run("gallery", "check", gallery=folder)
    assert result.exit_code == 1
    assert said in result.stderr


@pytest.mark.parametrize("change", ["seq = seq - 1", "seq = 'x'", "seq = NULL", "name = 'qeople'"])
def test_a_number_that_would_be_given_again_is_found(change: str, folder: Path) -> None:
    """No index has SQLite's own table of them. Without it, the log would call who is enrolled next by Eve's number."""
    with Gallery.open(folder) as gallery:
        gallery.remove("Eve")
        assert gallery.check().problems == ()
    with Gallery.open(folder) as gallery:
        eve = gallery.log()[0][-1].person
    assert eve is not None
    sql(folder, f"UPDATE sqlite_sequence SET {change} WHERE name = 'people'")
    with Gallery.open(folder) as gallery:
        (problem,) = gallery.check().problems
    assert f"the numbers of people: {eve} is in the log and would be given to another person" in problem
    assert run("gallery", "restore", "--from", "backup", gallery=folder).exit_code == 0
    with opened(folder) as gallery:
        assert gallery.check().problems == ()
        gallery.add("Fay", template(10))
        assert gallery.log()[0][-1].person == eve + 1


def test_a_rewritten_log_has_another_head(folder: Path) -> None:
    """Whoever may write the file can make up a whole log, but not one with the hash somebody noted."""
    with Gallery.open(folder) as gallery:
        _, head = gallery.log()
    forged, previous = [], "0" * 64
    for number, text, _ in raw(folder):
        text = text.replace('"removed"', '"renamed"')
        previous = hashlib.sha256(f"{previous}{text}".encode()).hexdigest()
        forged.append(f"UPDATE log SET entry = '{text}', hash = '{previous}' WHERE number = {number}")
    sql(folder, *FREE, *forged)
    with Gallery.open(folder) as gallery:
        assert gallery.check().problems == ()
        assert head not in {entry.hash for entry in gallery.log()[0]}


def test_the_command(folder: Path) -> None:
    *entries, last = json_lines(run("gallery", "log", "--json", gallery=folder))
    assert list(entries[0]) == ["number", "time", "facerec", "action", "person", "name", "facts", "hash"]
    assert last == {"head": entries[-1]["hash"], "entries": 14}
    lines = run("gallery", "log", gallery=folder).stdout.splitlines()
    assert lines[-1] == f"Head: {last['head']}"
    assert re.fullmatch(r"8 \S+Z renamed person 1 \(Ann Ray\)", lines[7])
    assert re.fullmatch(r"13 \S+Z removed person 2: templates 3", lines[12])
