"""`facerec gallery not-same`: what is said on screen, in JSON and by exit codes."""

import shutil
from pathlib import Path

import pytest
import toy_fixtures
import toy_model
from look_alike import save_look_alike
from running import json_lines, run

from facerec.faces.detector import AlignedDetector
from facerec.photos.folders import photo_hash

gallery = toy_fixtures.three_people
KEPT = "The face is of nobody enrolled. The gallery keeps it only for this. It leaves with Ann Lee, also when "
KEPT += "`facerec gallery expire` removes them ({}), or by `facerec gallery not-same --forget {}`.\n"


@pytest.fixture
def party(tmp_path: Path) -> Path:
    return save_look_alike(tmp_path / "party.png", 0)


def not_same(gallery: Path, toy: Path, *arguments: object):
    return run("gallery", "not-same", *arguments, "--aligned", "--model", toy, gallery=gallery)


def test_a_face_is_not_somebody(gallery: Path, toy: Path, party: Path) -> None:
    result = not_same(gallery, toy, party, "Ann Lee")
    assert (result.exit_code, result.stdout) == (0, f"{party}: not Ann Lee, but unknown.\n")
    assert result.stderr == KEPT.format("Ann Lee has no last day", party)
    run("gallery", "consent", "Ann Lee", "--until", "2031-01-31", gallery=gallery)
    again = not_same(gallery, toy, party, "Ann Lee")
    assert again.stdout == f"{party}: not Ann Lee, but unknown. That was known.\n"
    assert again.stderr == KEPT.format("the last day of Ann Lee is 2031-01-31", party)
    (line,) = json_lines(not_same(gallery, toy, party, "Ann Lee", "--json"))
    reason = line.pop("reason")
    assert line == {
        "image": str(party), "face": 0, "box": [0, 0, 112, 112], "not": "Ann Lee", "added": False,
        "decision": "unknown", "person": None, "until": "2031-01-31",
    }  # fmt: skip
    assert "nearer to a face said not to be Ann Lee (0.00)" in reason
    (found,) = json_lines(run("identify", party, "--aligned", "--json", "--model", toy, gallery=gallery))
    assert (found["decision"], found["reason"]) == ("unknown", reason)


def test_a_face_of_somebody_else_who_is_enrolled(gallery: Path, toy: Path, crops: Path) -> None:
    photo = crops / "ann.png"
    result = not_same(gallery, toy, photo, "Bob O'Ray")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{photo}: not Bob O'Ray, but Ann Lee.\n", "")


def test_a_group_in_which_nobody_is_taken_for_somebody(
    gallery: Path, toy: Path, party: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AlignedDetector, "detect", lambda self, images: [[self._face(each)] * 5 for each in images])
    result = not_same(gallery, toy, party, "Bob O'Ray")
    said = f"{party}: none of its 5 faces is taken for Bob O'Ray; cut out the face that is meant"
    assert (result.exit_code, result.stdout, said in result.stderr) == (2, "", True)
    assert len(json_lines(run("gallery", "show", "Bob O'Ray", "--json", gallery=gallery))) == 2, "nothing is stored"


def test_what_was_said_is_shown_and_forgotten(gallery: Path, toy: Path, party: Path) -> None:
    not_same(gallery, toy, party, "Ann Lee")
    not_same(gallery, toy, "--people", "Çelik 王", "Ann Lee")
    *_, veto, pair = run("gallery", "show", "Ann Lee", gallery=gallery).stdout.splitlines()
    assert veto.startswith(f"not Ann Lee: {party}, since 2")
    assert veto.endswith(f", photo {photo_hash(party)[:12]}")
    assert pair == "Ann Lee and Çelik 王 are two people"
    *photos, veto, pair = json_lines(run("gallery", "show", "Ann Lee", "--json", gallery=gallery))
    assert [line["person"] for line in photos] == ["Ann Lee"] * 2
    assert (veto["not"], veto["source"], veto["photo_hash"]) == ("Ann Lee", str(party), photo_hash(party))
    assert pair == {"people": ["Ann Lee", "Çelik 王"]}
    party.unlink()
    other = run("gallery", "not-same", "--forget", party, "Bob O'Ray", gallery=gallery)
    assert (other.exit_code, other.stdout) == (2, "")
    assert f"{party}: no face of this photo was said not to be Bob O'Ray" in other.stderr
    result = run("gallery", "not-same", "--forget", party, gallery=gallery)
    assert (result.exit_code, result.stdout) == (0, f"1 vetoed face of {party} is forgotten.\n")
    assert len(json_lines(run("gallery", "show", "Ann Lee", "--json", gallery=gallery))) == 3


def test_a_stranger_who_was_said_not_to_be_enrolled_is_not_remarked_on(
    gallery: Path, toy: Path, party: Path, tmp_path: Path
) -> None:
    for number in range(1, 20):
        toy_model.save_crop(tmp_path / "strangers" / f"{number}.png", 50 + number, 0)
    shutil.copy(party, tmp_path / "strangers" / "0.png")
    calibrate = ("calibrate", "--strangers", tmp_path / "strangers", "--aligned", "--model", toy)
    assert "1 face of 20 given as strangers may be of somebody enrolled" in run(*calibrate, gallery=gallery).stderr
    not_same(gallery, toy, party, "Ann Lee")
    assert "may be of somebody enrolled" not in run(*calibrate, gallery=gallery).stderr


def test_two_people(gallery: Path) -> None:
    def people(*arguments: str):
        return run("gallery", "not-same", "--people", *arguments, gallery=gallery)

    said = "Ann Lee and Bob O'Ray are two people. They are never again listed as alike."
    assert people("Ann Lee", "Bob O'Ray").stdout == f"{said}\n"
    assert people("Ann Lee", "Bob O'Ray").stdout == f"{said} That was known.\n"
    merged = run("gallery", "merge", "Bob O'Ray", "Ann Lee", gallery=gallery)
    assert merged.exit_code == 2
    remedy = """`facerec gallery not-same --forget --people 'Ann Lee' 'Bob O'"'"'Ray'` takes it back"""
    assert f"were said to be two people; {remedy}" in merged.stderr
    assert json_lines(people("--forget", "--json", "Bob O'Ray", "Ann Lee")) == [
        {"people": ["Bob O'Ray", "Ann Lee"], "forgotten": True}
    ]
    again = people("--forget", "Ann Lee", "Bob O'Ray")
    assert (again.exit_code, again.stdout) == (2, "That Ann Lee and Bob O'Ray are two people was not said.\n")
    assert run("gallery", "merge", "Bob O'Ray", "Ann Lee", gallery=gallery).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a photo and the name of the person whom it does not show"),
        (["party.png"], "give a photo and the name"),
        (["--people", "Ann Lee"], "--people takes the names of two people"),
        (["--people", "Ann Lee", "Ann Lee"], "both are the same person, 'Ann Lee'; give two people"),
        (["--forget"], "--forget takes a photo"),
        (["party.png", "Nobody"], "nobody called 'Nobody' is enrolled"),
        (["none.png", "Ann Lee"], "none.png: no such file"),
    ],
)
def test_bad_usage_is_one_line(
    gallery: Path, arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is told before the model is loaded: there is none in this folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "party.png").touch()
    result = run("gallery", "not-same", *arguments, "--model", tmp_path, gallery=gallery)
    assert (result.exit_code, said in result.stderr, "Traceback" in result.output) == (2, True, False)
