"""The passphrase of an encrypted gallery: where it comes from, and what is said where it is wrong or missing."""

import os
import pty
import re
import sys
from pathlib import Path

import pytest
import toy_fixtures
from killing import everything_in
from running import ROOT, json_lines, refused, run
from toy_gallery import nearest, opened, template

from facerec.errors import PassphraseError
from facerec.extras import install
from facerec.gallery.backup import list_copies
from facerec.gallery.encryption import encrypt
from facerec.gallery.gallery import Gallery
from facerec.gallery.passphrase import new_passphrase, present_passphrase

folder = toy_fixtures.two_people


COMMANDS = [
    ["list"], ["show", "Bob Ray"], ["rename", "Bob Ray", "Bo"], ["remove", "Bob Ray"], ["expire"], ["check"], ["log"],
    ["rebuild"], ["restore"], ["restore", "--from", "backup"], ["export", "/nonexistent/x"], ["encrypt"], ["decrypt"],
]  # fmt: skip


@pytest.mark.usefixtures("quick")
def test_a_wrong_or_missing_passphrase_changes_nothing(
    folder: Path, encrypted: str, crops: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encrypt(folder, encrypted)
    monkeypatch.setenv("FACEREC_NEW_PASSPHRASE", "other")
    photo = (crops / "ann.png", "--aligned", "--model", toy)
    commands = [["gallery", *command] for command in COMMANDS] + [
        ["identify", *photo],
        ["enroll", *photo, "--name", "A"],
    ]
    for given, words in (
        ("wrong", "encrypted with another passphrase, or damaged"),
        ("", "; set $FACEREC_PASSPHRASE, or"),
    ):
        monkeypatch.setenv("FACEREC_PASSPHRASE", given)
        for command in commands:
            refused(folder, *command, words=words)
    refused(folder, "gallery", "restore", "--list", words="; set $FACEREC_PASSPHRASE, or")
    monkeypatch.setenv("FACEREC_PASSPHRASE", "wrong")
    listed = run("gallery", "restore", "--list", gallery=folder)
    assert "gallery.db.backup: encrypted with another passphrase, or damaged\n" in listed.stderr


@pytest.mark.usefixtures("quick")
def test_a_passphrase_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, secret = tmp_path / "g", tmp_path / "secret"
    monkeypatch.delenv("FACEREC_PASSPHRASE", raising=False)
    monkeypatch.setenv("FACEREC_PASSPHRASE_FILE", str(secret))
    for content, words in (
        (None, "cannot be read (No such file"),
        (b"\n", "holds no pass"),
        (b"\xff", "not UTF-8 text"),
    ):
        if content is not None:
            secret.write_bytes(content)
        result = run("gallery", "encrypt", gallery=folder)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert words in result.stderr
        assert str(secret) in result.stderr
        assert not folder.exists()
    secret.write_bytes(b"\xef\xbb\xbf two words \r\nand a remark\n")
    assert run("gallery", "encrypt", gallery=folder).stdout == f"{folder}: encrypted.\n"
    monkeypatch.delenv("FACEREC_PASSPHRASE_FILE")
    assert run("gallery", "list", gallery=folder).exit_code == 2
    monkeypatch.setenv("FACEREC_PASSPHRASE", " two words ")
    assert run("gallery", "list", gallery=folder).exit_code == 0


@pytest.mark.parametrize(
    ("content", "passphrase"),
    [
        (b"correct horse", "correct horse"),
        (b"correct horse\n", "correct horse"),
        (b"correct horse\r\n", "correct horse"),
        (b"correct horse\r", "correct horse"),
        (b"correct horse\n\n\n", "correct horse"),
        (b"correct horse \n", "correct horse "),
        (b"\t correct horse\t\r\n", "\t correct horse\t"),
        (b" \n", " "),
        (b"\xef\xbb\xbfcorrect horse\n", "correct horse"),
        ("pässwörd 王\u2028\u00a0\n".encode(), "pässwörd 王\u2028\u00a0"),
    ],
)
def test_of_the_line_in_a_file_only_its_end_is_taken_away(
    content: bytes, passphrase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(content)
    monkeypatch.delenv("FACEREC_PASSPHRASE", raising=False)
    monkeypatch.setenv("FACEREC_PASSPHRASE_FILE", str(tmp_path / "secret"))
    assert present_passphrase(tmp_path / "gallery.db") == passphrase
    assert new_passphrase(tmp_path, replacing=False) == passphrase
    monkeypatch.setenv("FACEREC_NEW_PASSPHRASE_FILE", str(tmp_path / "secret"))
    assert new_passphrase(tmp_path, replacing=True) == passphrase
    monkeypatch.setenv("FACEREC_PASSPHRASE", " as it is\n")
    assert present_passphrase(tmp_path / "gallery.db") == " as it is\n"


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b"\xef\xbb\xbf\r\n", b"\nsecond line\n"])
def test_a_file_whose_first_line_is_empty_holds_none(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(content)
    monkeypatch.delenv("FACEREC_PASSPHRASE", raising=False)
    monkeypatch.setenv("FACEREC_PASSPHRASE_FILE", str(tmp_path / "secret"))
    with pytest.raises(PassphraseError, match="holds no passphrase on its first line"):
        present_passphrase(tmp_path / "gallery.db")


def test_an_empty_passphrase_is_none(tmp_path: Path) -> None:
    with pytest.raises(PassphraseError, match="an empty passphrase"):
        encrypt(tmp_path / "g", "")


def at_a_terminal(answers: list[str], *arguments: object) -> tuple[int, str]:
    """Run `facerec ARGUMENTS` at a terminal where somebody types these lines; exit code and what is shown."""
    child, terminal = pty.fork()
    if not child:
        os.environ.update(PYTHONPATH=str(ROOT))
        os.execv(sys.executable, [sys.executable, "-m", "facerec.cli.main", *map(str, arguments)])
    shown = b""
    for answer in answers:
        while not re.search(rb"(g|confirmation): $", shown):
            shown += os.read(terminal, 1)
        shown += b"|"
        os.write(terminal, f"{answer}\n".encode())
    try:
        while more := os.read(terminal, 1000):
            shown += more
    except OSError:  # how Linux says that the other side is closed
        pass
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode()


def test_asked_at_a_terminal_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEREC_PASSPHRASE", raising=False)
    folder = tmp_path / "g"
    code, shown = at_a_terminal(["first", "firts", "first", "first"], "gallery", "encrypt", "--gallery", folder)
    assert code == 0, shown
    assert shown.count(f"New passphrase of {folder}: |") == 2, "typed differently the second time"
    assert "first" not in shown
    with pytest.raises(PassphraseError):
        Gallery.open(folder)
    code, shown = at_a_terminal(["wrong"], "gallery", "list", "--gallery", folder)
    assert code == 2
    assert "encrypted with another passphrase, or damaged" in shown
    code, shown = at_a_terminal(["first", "second", "second"], "gallery", "encrypt", "--gallery", folder)
    assert (code, shown.count(": |")) == (0, 3), shown
    code, shown = at_a_terminal(["second"], "gallery", "restore", "--from", "backup", "--gallery", folder)
    assert (code, shown.count(": |")) == (0, 1), f"asked once, however many files it opens: {shown}"


def test_another_passphrase(folder: Path, encrypted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encrypt(folder, encrypted)
    refused(
        folder, "gallery", "encrypt", words="encrypted already, and no new passphrase is given; set $FACEREC_NEW_PASS"
    )
    salt = (folder / "gallery.db").read_bytes()[:16]
    monkeypatch.setenv("FACEREC_NEW_PASSPHRASE", "battery staple")
    result = run("gallery", "encrypt", "--json", gallery=folder)
    assert json_lines(result) == [{"gallery": str(folder), "encrypted": True}]
    refused(folder, "gallery", "list", words="encrypted with another passphrase")
    monkeypatch.setenv("FACEREC_PASSPHRASE", "battery staple")
    with opened(folder) as gallery:
        assert nearest(gallery, 0) == "Ann Zebra"
        assert gallery.check().problems == ()
        assert gallery.log()[0][-1].action == "passphrase changed"
    assert [copy.templates for copy in list_copies(folder)] == [40]
    assert salt not in everything_in(folder), "no file of the old key is left"


def test_without_the_library(folder: Path, encrypted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encrypt(folder, encrypted)
    monkeypatch.setitem(sys.modules, "sqlcipher3.dbapi2", None)
    assert run("gallery", "list", gallery=folder).stderr.endswith(f"{install('encryption')}\n")
    result = run("gallery", "encrypt", gallery=folder.parent / "new")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert not (folder.parent / "new").exists()
    monkeypatch.delenv("FACEREC_PASSPHRASE")
    with opened(folder.parent / "plain") as gallery:
        assert gallery.add("Ann", template(0)), "who encrypts nothing needs nothing"


@pytest.mark.parametrize("content", [None, b"", b"zz", b"00" * 15])
def test_the_mark_can_be_made_again(folder: Path, encrypted: str, content: bytes | None) -> None:
    encrypt(folder, encrypted)
    mark = folder / "gallery.encrypted"
    if content is None:
        mark.unlink()
        refused(folder, "gallery", "list", words="or an encrypted one without its gallery.encrypted")
        refused(folder, "gallery", "restore", words="their gallery.encrypted is lost: make it again in the folder")
    else:
        mark.write_bytes(content)
        refused(folder, "gallery", "list", words="it must hold the first 16 bytes of gallery.db, in hexadecimal")
    mark.write_text((folder / "gallery.db").read_bytes()[:16].hex(), "ascii")
    with opened(folder) as gallery:
        assert nearest(gallery, 0) == "Ann Zebra"
