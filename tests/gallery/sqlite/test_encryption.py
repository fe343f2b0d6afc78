"""Galleries under a passphrase: nothing is legible without it, and encrypting is whole or not done."""

import hashlib
import shutil
import sqlite3
import stat
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import toy_fixtures
import toy_migration
from killing import everything_in, killed_before, photos_in
from remains_of_ann import ann_in
from running import json_lines, refused, run, run_process
from surroundings import as_a_user_who_may_only_read
from toy_gallery import MODEL, nearest, opened, sql, template, vector
from toy_migration import ByHand

from facerec.errors import DamagedGalleryError, GalleryError
from facerec.gallery import locking, sqlcipher
from facerec.gallery.backup import keep_copy, list_copies
from facerec.gallery.encryption import decrypt, encrypt, is_encrypted
from facerec.gallery.gallery import Gallery

MAGIC = b"SQLite format 3\0"
NAMES = ["gallery.db", "gallery.db.backup", "gallery.encrypted"]

folder = toy_fixtures.two_people


def in_clear(folder: Path, passphrase: str) -> bytes:
    """The bytes of all databases of a folder behind the encryption, page by page, as SQLCipher describes its format.

    A page of 4,096 bytes ends with 16 of an initialisation vector and 64 of a checksum; the first begins with the salt.
    """
    clear = b""
    for path in folder.glob("gallery.db*"):
        content = path.read_bytes()
        assert len(content) % 4096 == 0
        key = hashlib.pbkdf2_hmac("sha512", passphrase.encode(), content[:16], 256_000, 32)
        for place in range(0, len(content), 4096):
            page = content[place : place + 4096]
            command = ["openssl", "enc", "-d", "-aes-256-cbc", "-nopad", "-K", key.hex(), "-iv", page[-80:-64].hex()]
            cut = 0 if place else 16
            clear += subprocess.run(command, input=page[cut:-80], capture_output=True, check=True).stdout
    return clear


# ------------------------------------------------------------------------------------------------- what is in the files


def test_nothing_is_legible_and_the_files_are_the_owners_alone(folder: Path, encrypted: str) -> None:
    assert len(ann_in(everything_in(folder))) == 21
    encrypt(folder, encrypted)
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    with opened(folder) as gallery:
        assert nearest(gallery, 0) == "Ann Zebra"
        gallery.add("Cy Zebra", template(100))
        gallery.set_consent("Cy Zebra", "Zebra agreed")
        keep_copy(gallery.store.database, "rollback")
        names = {path.name for path in folder.iterdir()}
        assert names == {*NAMES, "gallery.db.rollback", "gallery.db-wal", "gallery.db-shm"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        content = everything_in(folder)
        assert ann_in(content) == []
        assert vector(100).tobytes() not in content
        for word in (b"SQLite", b"CREATE TABLE", b"people", b"enrolled", MODEL[0].encode()):
            assert word not in content
        assert gallery.check().problems == ()


def test_every_tool_that_knows_sqlcipher_opens_it_by_the_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passphrase = 'it\'s "quoted"; Çelik 王 \\ --'
    monkeypatch.setenv("FACEREC_PASSPHRASE", passphrase)
    with opened(tmp_path / "g") as gallery:
        gallery.add("Ann", template(0))
    for name in NAMES[:2]:
        with closing(sqlcipher.require_library().connect(str(tmp_path / "g" / name))) as db:
            db.execute(f"PRAGMA key = '{passphrase.replace(chr(39), 2 * chr(39))}'")
            assert db.execute("SELECT name FROM people").fetchall() == [("Ann",)]
            assert db.execute("PRAGMA cipher_integrity_check").fetchall() == []
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to decrypt the pages with")
def test_who_was_removed_is_gone_behind_the_encryption_too(folder: Path, encrypted: str) -> None:
    encrypt(folder, encrypted)
    assert len(ann_in(in_clear(folder, encrypted))) == 21
    assert run("gallery", "remove", "Ann Zebra", gallery=folder).exit_code == 0
    assert ann_in(in_clear(folder, encrypted)) == []
    assert vector(1).tobytes() in in_clear(folder, encrypted)


def test_check_leaves_no_free_pages_it_cannot_look_at(folder: Path, encrypted: str) -> None:
    encrypt(folder, encrypted)
    make = ("CREATE TABLE t (x)", "INSERT INTO t VALUES (randomblob(50000))", "DROP TABLE t")
    sql(folder, "PRAGMA secure_delete = OFF", *make)
    other = opened(folder)
    with other.store.database.read() as db:
        assert db.execute("PRAGMA freelist_count").fetchone()[0] > 10
    assert run("gallery", "check", gallery=folder).exit_code == 0
    with other.store.database.read() as db:
        assert db.execute("PRAGMA freelist_count").fetchone()[0] == 0
    other.close()
    with tempfile.TemporaryDirectory() as name:
        sql(folder, "PRAGMA secure_delete = OFF", *make)
        shutil.copytree(folder, name, dirs_exist_ok=True)
        with as_a_user_who_may_only_read(Path(name)), Gallery.open(Path(name)) as gallery:
            (problem,) = gallery.check().problems
            assert "free pages may hold something; run `facerec gallery rebuild`" in problem


def test_check_names_what_is_not_encrypted(folder: Path, encrypted: str) -> None:
    plain = {name: (folder / name).read_bytes() for name in ("gallery.db.backup", "people.cache")}
    encrypt(folder, encrypted)
    for name, content in plain.items():
        (folder / name).write_bytes(content)
    result = run("gallery", "check", gallery=folder)
    assert result.exit_code == 1
    assert "people.cache: not encrypted, as the gallery is; delete it" in result.stderr
    assert "gallery.db.backup: encrypted with another passphrase, or damaged" in result.stderr
    (folder / "gallery.db").unlink()
    assert run("gallery", "restore", gallery=folder).exit_code == 2, "a plain copy takes no encrypted one's place"
    assert not (folder / "gallery.db").exists()


# ------------------------------------------------------------------------------------------------------------ the ways


def test_decrypting(folder: Path, encrypted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encrypt(folder, encrypted)
    with opened(folder) as gallery:
        head = gallery.log()[1]
    result = run("gallery", "decrypt", gallery=folder)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{folder}: no longer encrypted; whoever may read its files can read all of it.\n"
    monkeypatch.delenv("FACEREC_PASSPHRASE")
    assert sorted(path.name for path in folder.iterdir()) == NAMES[:2]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    with opened(folder) as gallery:
        assert nearest(gallery, 1) == "Bob Ray"
        assert gallery.check().problems == ()
        entries, _ = gallery.log()
        assert [entry.action for entry in entries[-2:]] == ["encrypted", "decrypted"]
        assert entries[-2].hash == head
        gallery.add("Cy", template(100))
    with closing(sqlite3.connect(folder / "gallery.db")) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    refused(folder, "gallery", "decrypt", words="not encrypted; nothing to do")


def test_every_row_comes_along(folder: Path, encrypted: str) -> None:
    with opened(folder) as gallery:
        gallery.add("Cy", template(100))
        gallery.remove("Cy")  # whose number nobody else is given, afterwards either
        gallery.set_calibration(strangers=vector(7)[None], source="strangers/")
        gallery.set_calibration(0.001)

    def rows() -> dict[str, list[tuple[object, ...]]]:
        with opened(folder) as gallery, gallery.store.database.read() as db:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            found = {name: db.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in tables}
            made = db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
        found["log"] = found["log"][:logged]
        found["sqlite_sequence"] = [row for row in found["sqlite_sequence"] if row[0] != "log"]
        return {**found, "made": made}

    logged = 45
    before = rows()
    assert len(before["log"]) == logged, "the ways below only add to it"
    assert ("people", 3) in before["sqlite_sequence"]
    ways: list[Callable[[], None]] = [lambda: encrypt(folder, encrypted)] * 2 + [lambda: decrypt(folder)]
    for way in ways:
        way()
        assert rows() == before


def test_enrolling_and_identifying(crops: Path, toy: Path, tmp_path: Path, encrypted: str) -> None:
    folder, photo = tmp_path / "g", (crops / "ann.png", "--aligned", "--json", "--model", toy)
    assert run("gallery", "encrypt", gallery=folder).exit_code == 0
    assert run("enroll", crops / "people", "--aligned", "--model", toy, gallery=folder).exit_code == 0
    found = json_lines(run("identify", *photo, gallery=folder))
    plain = tmp_path / "plain"
    assert run("enroll", crops / "people", "--aligned", "--model", toy, gallery=plain).exit_code == 0
    assert found == json_lines(run("identify", *photo, gallery=plain))
    assert found[0]["person"] == "Ann Lee"
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    assert "sound, encrypted" in run("doctor", "--model", toy, gallery=folder).stdout


def test_another_model_and_back(tmp_path: Path, old: ByHand, new: ByHand, encrypted: str) -> None:
    folder, photos = toy_migration.fill(tmp_path / "g", tmp_path / "photos", old, crops=True), tmp_path / "photos"
    encrypt(folder, encrypted)
    toy_migration.run_all(folder, new)
    toy_migration.require_of(new, folder, photos)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*NAMES, "gallery.db.rollback"])
    assert toy_migration.ann_in(everything_in(folder), old, new) == []
    assert run("gallery", "restore", "--from", "rollback", gallery=folder).exit_code == 0
    toy_migration.require_of(old, folder, photos)
    decrypt(folder)
    toy_migration.require_of(old, folder, photos)
    assert len(toy_migration.ann_in(everything_in(folder), old)) == 7


@pytest.mark.usefixtures("quick")
def test_exports_go_to_and_fro_and_are_not_encrypted(folder: Path, encrypted: str, tmp_path: Path) -> None:
    encrypt(folder, encrypted)
    file = tmp_path / "out.npz"
    result = run("gallery", "export", file, gallery=folder)
    assert result.stdout == f"{file} holds 40 photos of 2 people; it is not encrypted. Removal does not reach it.\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(ann_in(file.read_bytes())) >= 20
    for name in ("encrypted", "plain"):
        if name == "encrypted":
            encrypt(tmp_path / name, encrypted)
        assert run("gallery", "import", file, gallery=tmp_path / name).exit_code == 0
        with opened(tmp_path / name) as gallery:
            assert photos_in(gallery) == {"Ann Zebra": [*range(0, 40, 2)], "Bob Ray": [*range(1, 40, 2)]}


def test_a_gallery_that_may_only_be_read(encrypted: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        with opened(Path(name)) as gallery:
            gallery.add("Ann", template(0))
        with as_a_user_who_may_only_read(Path(name)):
            with Gallery.open(Path(name)) as gallery:
                gallery.bind_model(*MODEL)
                assert nearest(gallery, 0) == "Ann"
                assert gallery.check().problems == ()
            for change in (lambda: encrypt(Path(name), "other"), lambda: decrypt(Path(name))):
                with pytest.raises(GalleryError, match="make the gallery's folder writable"):
                    change()


# ----------------------------------------------------------------------------------------------------------- accidents


def encrypting(folder: Path) -> None:
    encrypt(folder, "correct horse")


def changing(folder: Path) -> None:
    encrypt(folder, "battery staple")


WAYS = {"encrypted": encrypting, "decrypted": decrypt, "passphrase changed": changing}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("way", WAYS)
def test_killed_before_any_step(folder: Path, encrypted: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before every third statement or change of a file, one after the other: as before, or as it was to be."""
    if way != "encrypted":
        encrypt(folder, encrypted)
    seen, step, killed = [], -1, True
    while killed:
        step += 3
        copy = folder.parent / str(step)
        shutil.copytree(folder, copy)
        monkeypatch.setenv("FACEREC_PASSPHRASE", encrypted)
        killed = killed_before(step, lambda copy=copy: WAYS[way](copy))
        for passphrase in ("correct horse", "battery staple"):
            monkeypatch.setenv("FACEREC_PASSPHRASE", passphrase)
            try:
                opened(copy).close()
                break
            except DamagedGalleryError:
                assert way == "passphrase changed"
        with opened(copy) as gallery:
            assert {name: len(photos) for name, photos in photos_in(gallery).items()} == {
                "Ann Zebra": 20,
                "Bob Ray": 20,
            }
            assert gallery.check().problems == ()
            assert nearest(gallery, 0) == "Ann Zebra"
            seen.append(gallery.log()[0][-1].action == way)
        assert [copy.problem for copy in list_copies(copy)] in ([None], [None, None])
        assert not [path.name for path in copy.iterdir() if "draft" in path.name or "restoring" in path.name]
        if is_encrypted(copy):
            assert ann_in(everything_in(copy)) == []
            assert MAGIC not in everything_in(copy)
            assert not (copy / "people.cache").exists()
        else:
            assert (copy / "gallery.db").read_bytes().startswith(MAGIC)
    assert step > 90
    assert seen == sorted(seen), "once it has happened it stays so"
    assert (seen[0], seen[-1]) == (False, True)


@pytest.mark.parametrize("change", [encrypting, decrypt, changing])
def test_not_while_somebody_has_it_open(
    tmp_path: Path, encrypted: str, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "PATIENCE", 0.05)
    with opened(tmp_path / "g") as gallery:
        with pytest.raises(GalleryError, match="in use by another process"):
            change(tmp_path / "g")
        assert gallery.add("Ann", template(0))
    change(tmp_path / "g")


@pytest.mark.parametrize("limit", [20_000, 70_000])
def test_a_full_disk(folder: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file may grow beyond so much."""
    resource = pytest.importorskip("resource", reason="no limits on file sizes here")
    monkeypatch.setenv("FACEREC_PASSPHRASE", "correct horse")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = run_process(
        "gallery", "encrypt", "--gallery", folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "space" in result.stderr
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert {path.name for path in folder.iterdir()} <= {*before, "gallery.db-wal", "gallery.db-shm"}, "no draft"
    encrypt(folder, "correct horse")


def test_a_damaged_gallery_is_left_as_it_is(folder: Path, encrypted: str) -> None:
    sql(folder, "UPDATE templates SET vector = randomblob(64) WHERE id = 2", "PRAGMA wal_checkpoint(TRUNCATE)")
    refused(folder, "gallery", "encrypt", words="damaged (the vector of photos/1.jpg")
    assert not is_encrypted(folder)
