"""Galleries at an address on a server: what is said of them, what a removal reaches, and what survives kills."""

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from postgres_server import Server
from running import json_lines, run
from toy_gallery import nearest, opened, template, vector

from facerec.errors import ConfigError, GalleryError, PassphraseError
from facerec.gallery import audit_log
from facerec.gallery.address import ServerAddress, place_of, shown_address
from facerec.gallery.gallery import Gallery
from facerec.gallery.layout import is_there, require_gallery
from facerec.gallery.proof import remove_and_prove
from facerec.gallery.schema import VERSION

SECRET = "s3cr3t-w0rd"  # of nobody


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This machine's caches."""
    monkeypatch.setenv("FACEREC_CACHE", str(tmp_path / "caches"))
    return tmp_path / "caches"


@pytest.fixture
def url(server: Server, tmp_path: Path) -> str:
    """The address of a gallery that is not there yet, with a password; the server takes any."""
    plain = server.place_of(tmp_path).conninfo
    return plain.replace("postgres@", f"postgres:{SECRET}@")


@pytest.fixture
def place(url: str) -> ServerAddress:
    """The address of a gallery of Ann and Bob."""
    address = ServerAddress(url)
    with opened(address) as gallery:
        for number, name in enumerate(("Ann Zebra", "Bob Ray", "Ann Zebra")):
            gallery.add(name, template(7000 + number))
    return address


# ------------------------------------------------------------------------------------------------ what is said of it


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://ann@h/db", "postgresql://ann@h/db"),
        ("postgresql://ann:pw@h:5432/db?sslmode=require", "postgresql://ann:***@h:5432/db?sslmode=require"),
        ("postgres://ann:p@s/s?w:d@h/db", "postgres://ann:***@h/db"),
        ("postgresql:///db?host=h&password=pw&user=ann", "postgresql:///db?host=h&password=***&user=ann"),
        ("postgresql://h/db?p%61ssword=pw&SSLPASSWORD=pw", "postgresql://h/db?p%61ssword=***&SSLPASSWORD=***"),
        ("/home/ann/club", "/home/ann/club"),
    ],
)
def test_a_password_is_not_shown(address: str, shown: str) -> None:
    assert shown_address(address) == shown
    if "://" in address:
        assert {str(place_of(address)), repr(place_of(address)), f"{place_of(address)}"} == {shown}


def test_an_address_that_has_become_a_path_is_refused() -> None:
    with pytest.raises(ConfigError, match="as a text, postgresql://user@host/database") as error:
        place_of(Path(f"postgresql://ann:{SECRET}@h/db"))
    assert SECRET not in str(error.value)
    assert place_of("club") == Path("club")


def test_no_command_shows_the_password(
    url: str, place: ServerAddress, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    commands = [
        ("list",), ("list", "--json"), ("show", "Ann Zebra"), ("check", "--json"), ("log", "--json"), ("rebuild",),
        ("consent", "Ann Zebra", "--until", "2030-01-01"), ("export", tmp_path / "club.npz"), ("encrypt",),
        ("decrypt",), ("restore",), ("restore", "--list"), ("show", "Nobody"), ("rename", "Ann Zebra", "Bob Ray"),
        ("merge", "Ann Zebra", "Ann Zebra"), ("expire",), ("remove", "Ann Zebra", "--yes", "--json"), ("log",),
    ]  # fmt: skip
    said = []
    for gallery in (url, url.replace("/postgres?", "/nowhere?"), url.replace("host=", "host=/nowhere"), f"{url}&x=%"):
        for command in commands:
            result = run("gallery", *command, "--gallery", gallery)
            said += [result.stdout, result.stderr]
            assert result.stderr.count("Error") <= 1
    assert any("***" in text for text in said), "the address is shown"
    assert SECRET not in "".join([*said, caplog.text])
    with psycopg.connect(url) as db:
        assert SECRET not in str(db.execute("SELECT * FROM log").fetchall())


def test_what_cannot_be_opened_says_why_in_one_line(server: Server, tmp_path: Path) -> None:
    plain = server.place_of(tmp_path).conninfo
    with psycopg.connect(server.url(), autocommit=True) as db:
        db.execute("CREATE ROLE guest LOGIN")
        db.execute("CREATE DATABASE bare")
        db.execute("CREATE SCHEMA others")
        db.execute("CREATE TABLE others.t (x int)")
    said = {
        plain: "no gallery here; make one with `facerec enroll`",
        plain.replace("/postgres?", "/nowhere?"): "the server has no such database; make it with createdb",
        plain.replace("postgres@", "nobody@"): "the server refuses this user",
        plain.replace("host=", "host=/nowhere"): "no server answers there; check the host and the port",
        f"{plain}&nonsense=%": "not an address that PostgreSQL understands",
    }
    for address, words in said.items():
        with pytest.raises(GalleryError) as error:
            require_gallery(ServerAddress(address))
        assert words in str(error.value)
        assert "\n" not in str(error.value)
    bare = plain.replace("postgres@", "guest@").replace("/postgres?", "/bare?")
    for address, words in {bare: "has no extension vector", server.url("others"): "another program's schema"}.items():
        with pytest.raises(GalleryError, match=words):
            Gallery.open(ServerAddress(address), create=True)
    assert not is_there(ServerAddress(plain))


def test_a_gallery_of_a_newer_facerec_and_a_passphrase_are_refused(url: str, place: ServerAddress) -> None:
    with pytest.raises(PassphraseError, match="leave out `passphrase`"):
        Gallery.open(place, passphrase="secret")
    with psycopg.connect(url) as db:
        db.execute("UPDATE format SET version = version + 1")
    with pytest.raises(GalleryError, match=f"written by a newer facerec .format {VERSION + 1}"):
        Gallery.open(place)


def test_the_log_is_only_added_to(url: str, place: ServerAddress) -> None:
    for statement in ("UPDATE log SET hash = ''", "DELETE FROM log", "TRUNCATE log"):
        with psycopg.connect(url) as db, pytest.raises(psycopg.Error, match="only added to"):
            db.execute(statement)
    with Gallery.open(place) as gallery:
        assert gallery.check().problems == ()


# ------------------------------------------------------------------------------------------------ removed is removed


def files_of(server: Server) -> bytes:
    """All that the server keeps on the disk but its write-ahead log."""
    with psycopg.connect(server.url(), autocommit=True) as db:
        db.execute("CHECKPOINT")
    files = [path for path in server.data.rglob("*") if path.is_file() and "pg_wal" not in path.parts]
    return b"\0\0".join(path.read_bytes() for path in files)


def test_no_file_of_the_server_holds_who_was_removed(url: str, server: Server) -> None:
    """Nor does what the server notes about its tables for planning queries. No other test has these people."""
    place, photos = ServerAddress(url), (9100, 9102)
    with opened(place) as gallery:
        for number, name in enumerate(("Zelda Quince", "Bob Ray", "Zelda Quince")):
            gallery.add(name, template(9100 + number))
    gone = [*(vector(number).tobytes() for number in photos), b"Zelda", template(9102).photo_hash.encode()]
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("ANALYZE")
    content = files_of(server)
    assert all(piece in content for piece in gone)
    with opened(place) as gallery:
        proof = remove_and_prove(gallery.store, "Zelda Quince")
        assert {trace.kind for trace in proof.traces if trace.before} == {"vectors", "hashes", "sources", "name"}
        assert proof.nothing_left
        assert proof.problems == ()
    content = files_of(server)
    assert [piece for piece in gone if piece in content] == []
    assert vector(9101).tobytes() in content
    result = run("gallery", "remove", "Bob Ray", "--gallery", url)
    assert "write-ahead log, replicas, backups" in result.stderr


def test_a_machine_forgets_whom_another_removed(
    place: ServerAddress, caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next question of a program that runs, and when the gallery is next opened."""

    def elsewhere(work: Callable[[Gallery], object]) -> None:
        with monkeypatch.context() as patch:
            patch.setenv("FACEREC_CACHE", str(tmp_path / "other machine"))
            with opened(place) as gallery:
                work(gallery)

    def held() -> bytes:
        return b"".join(path.read_bytes() for path in caches.rglob("*") if path.is_file())

    with opened(place) as gallery:
        assert nearest(gallery, 7000) == "Ann Zebra"
        assert vector(7000).tobytes() in held()
        assert {path.stat().st_mode & 0o77 for path in caches.rglob("*") if "galleries" in str(path.parent)} == {0}
        elsewhere(lambda other: (other.add("Cy", template(7003)), other.remove("Ann Zebra")))
        assert nearest(gallery, 7000) is None
        assert nearest(gallery, 7003) == "Cy"
        assert vector(7000).tobytes() not in held()
    with opened(place) as gallery:
        assert nearest(gallery, 7003) == "Cy"
        assert vector(7003).tobytes() in held()
    elsewhere(lambda other: other.remove("Cy"))
    Gallery.open(place).close()
    assert vector(7003).tobytes() not in held()


# ------------------------------------------------------------------------------------------------ kills


def in_another_process(work: Callable[[], None]) -> int:
    """Run `work` in a process of its own; return the process."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    return child


def come_and_go(place: ServerAddress, mine: int, notes: Path, rounds: int) -> None:
    """Enroll photos, each of a new person, and remove every third person; note what is acknowledged, at once."""
    with opened(place) as gallery, notes.open("a") as told:
        for number in range(mine, mine + rounds):
            gallery.add(f"Person {number}", template(number))
            print("added", number, file=told, flush=True)
            if number % 3 == 0:
                print("removing", number, file=told, flush=True)
                gallery.remove(f"Person {number}")
                print("removed", number, file=told, flush=True)


def require_what_was_told(place: ServerAddress, notes: list[Path]) -> int:
    """Everything that was acknowledged is there, the rest whole or not at all; return how much was acknowledged."""
    lines = [line.split() for path in notes for line in path.read_text().splitlines()]
    told = {word: {int(number) for said, number in lines if said == word} for word in ("added", "removing", "removed")}
    with opened(place) as gallery:
        there = {int(person.name.split()[1]) for person in gallery.people()}
        assert there >= told["added"] - told["removing"]
        assert not there & told["removed"]
        assert gallery.check().problems == ()
        assert gallery.templates == len(there)
        actions = [entry.action for entry in gallery.log()[0]]
        assert actions.count("enrolled") - actions.count("removed") == len(there)
        numbers = [entry.person for entry in gallery.log()[0] if entry.action == "enrolled"]
        assert len(numbers) == len(set(numbers)), "no number is given twice"
    return len(told["added"])


def test_eight_processes_come_and_go_and_three_are_killed(url: str, tmp_path: Path) -> None:
    place, notes = ServerAddress(url), [tmp_path / f"{n}.txt" for n in range(8)]
    opened(place).close()
    for path in notes:
        path.touch()
    children = [
        in_another_process(lambda n=n: come_and_go(place, 1000 * (n + 1), notes[n], 8)) for n in range(len(notes))
    ]
    while sum(path.read_text().count("added") for path in notes) < 12:
        time.sleep(0.01)
    for child in children[:3]:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    assert require_what_was_told(place, notes) >= 5 * 8


def test_a_killed_server_loses_nothing_that_was_acknowledged(url: str, server: Server, tmp_path: Path) -> None:
    place, notes = ServerAddress(url), [tmp_path / f"{n}.txt" for n in range(3)]
    with opened(place) as gallery:
        children = [
            in_another_process(lambda n=n: come_and_go(place, 1000 * (n + 1), notes[n], 1000)) for n in range(3)
        ]
        while not all(path.exists() and "removed" in path.read_text() for path in notes):
            time.sleep(0.01)
        server.kill()
        for child in children:
            os.waitpid(child, 0)
        with pytest.raises(GalleryError, match="no server answers there"):
            gallery.people()
        server.start()
        assert len(gallery.people()) > 0, "a program that runs goes on"
    assert require_what_was_told(place, notes) > 3


def test_what_fails_half_way_is_not_done(place: ServerAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(place) as gallery:
        before = gallery.people(), gallery.log()
        monkeypatch.setattr(audit_log, "_hash", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            gallery.remove("Ann Zebra")
        monkeypatch.undo()
        assert (gallery.people(), gallery.log()) == before
        assert nearest(gallery, 7000) == "Ann Zebra"


# ------------------------------------------------------------------------------------------------ as SQLite


def test_an_exported_gallery_decides_the_same_on_a_server(url: str, tmp_path: Path) -> None:
    """Byte by byte: the JSON of `identify`, of people and strangers."""
    sample, file = Path(__file__).parents[2] / "gallery", tmp_path / "club.npz"
    with pytest.MonkeyPatch.context() as patch:  # this one is in a folder
        from facerec.gallery import opening, store

        patch.setattr(store, "open_database", opening.open_database)
        folder = tmp_path / "club"
        assert run("enroll", sample / "people", "--gallery", folder).exit_code == 0
        assert run("gallery", "export", file, "--gallery", folder).exit_code == 0
        photos = [*sorted((sample / "people").rglob("*.jpg")), *sorted((sample / "strangers").glob("*.jpg"))[:2]]
        said = run("identify", *photos, "--json", "--gallery", folder).stdout
    assert run("gallery", "import", file, "--gallery", url).exit_code == 0
    assert run("identify", *photos, "--json", "--gallery", url).stdout == said
    assert len(json_lines(run("gallery", "list", "--json", "--gallery", url))) == 3
