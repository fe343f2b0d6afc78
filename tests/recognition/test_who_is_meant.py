"""Photos that were removed, folders that were renamed, and names that are spelled in several ways."""

import re
import shutil
from pathlib import Path

import pytest
import toy_model
from running import json_lines, run

from facerec.cli import common
from facerec.gallery.gallery import Gallery
from facerec.gallery.vetoes import apart
from facerec.recognition.review import for_one_reason
from facerec.text import gallery_command

ANN, BOB, CY = 0, 1, 2


def statuses(results) -> list[tuple[str, str]]:
    return [(result.person, result.status) for result in results]


def folder(root: Path, name: str, person: int, *numbers: int) -> Path:
    """Make people/NAME with photos of a made-up person; return `root`."""
    for number in numbers:
        toy_model.save_crop(root / name / f"{number}.png", person, number)
    return root


# --------------------------------------------------------------------------------------------------- removed photos


@pytest.mark.parametrize("how", ["remove", "expire", "remove after a merge"])
def test_who_was_removed_is_not_enrolled_from_the_same_photos(how: str, gallery: Gallery, enrolled, photo) -> None:
    people = {"Ann": [photo(ANN, 0), photo(ANN, 1)], "Bob": [photo(BOB, 0)]}
    enrolled(people)
    if how == "expire":
        gallery.set_consent("Ann", until="2001-01-01")
        gallery.expire()
    else:
        if how != "remove":
            gallery.add("Anna", gallery_template(gallery))
            gallery.merge("Ann", "Anna")
        gallery.remove("Anna" if how != "remove" else "Ann")
    for name in ("Ann", "Somebody"):
        results = enrolled({name: people["Ann"]}, force=True)
        assert statuses(results) == [(name, "failed")] * 2
        assert results[0].reason.startswith(f"{photo(ANN, 0)}: removed on 20")
        assert results[0].reason.endswith("; `again` enrolls what was removed")
        (one,) = for_one_reason(gallery, results)
        assert one.reason.startswith(f"{name}: all 2 photos were removed on 20")
    assert statuses(enrolled({"Ann": [photo(ANN, 2)]})) == [("Ann", "added")], "another photo of hers"
    assert statuses(enrolled({"Ann": people["Ann"]}, again=True)) == [("Ann", "added")] * 2
    gallery.remove("Bob")
    assert statuses(enrolled(people))[:2] == [("Ann", "skipped")] * 2, "what is enrolled again is not removed"


def gallery_template(gallery: Gallery):
    """A template of the same size as those in the gallery."""
    from facerec.types import Template

    vector = toy_model.vector(toy_model.crop(ANN, 9)).astype("float32")
    return Template("ab" * 32, "elsewhere.jpg", (0, 0, 9, 9), 1.0, vector)


def test_one_photo_that_was_removed_may_be_somebody_elses(gallery: Gallery, enrolled, photo) -> None:
    wrong = photo(ANN, 5)
    enrolled({"Ann": [photo(ANN, 0)], "Bob": [photo(BOB, 0), wrong]}, force=True)
    gallery.remove("Bob", wrong)
    for name in ("Bob", "bob"):
        assert statuses(enrolled({name: [wrong]})) == [(name, "failed")]
    gallery.rename("Bob", "Robert")
    assert statuses(enrolled({"Robert": [wrong]})) == [("Robert", "failed")], "he has another name now"
    assert statuses(enrolled({"Ann": [wrong]})) == [("Ann", "added")]
    gallery.remove("Ann", wrong)
    assert statuses(enrolled({"Ann": [wrong]})) == [("Ann", "failed")]
    assert statuses(enrolled({"Ann": [wrong]}, again=True)) == [("Ann", "added")]


def test_the_only_photo_filed_under_a_wrong_name_may_be_enrolled_under_the_right_one(
    gallery: Gallery, enrolled, photo
) -> None:
    enrolled({"Bob": [photo(ANN, 0)]})
    gallery.remove("Bob", photo(ANN, 0))
    assert [statuses(enrolled({name: [photo(ANN, 0)]}))[0][1] for name in ("Bob", "Ann")] == ["failed", "added"]


def test_again_on_the_command_line(toy: Path, tmp_path: Path) -> None:
    people = folder(folder(tmp_path / "people", "Ann Lee", ANN, 0, 1), "Bob", BOB, 0)
    command = ("enroll", people, "--aligned", "--model", toy)
    run(*command, gallery=tmp_path / "g")
    run("gallery", "remove", "Ann Lee", gallery=tmp_path / "g")
    result = run(*command, gallery=tmp_path / "g")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Ann Lee: all 2 photos were removed on 20")
    assert line.endswith("; --again enrolls what was removed")
    assert result.stdout.startswith("Ann Lee: 0 added, 0 skipped, 2 failed\n")
    *_, summary = json_lines(run(*command, "--again", "--json", gallery=tmp_path / "g"))
    assert (summary["added"], summary["skipped"], summary["failed"]) == (2, 1, 0)


def test_the_counts_of_photos_leave_out_folders_that_hold_none(toy: Path, tmp_path: Path) -> None:
    people = folder(folder(tmp_path / "people", "Ann", ANN, 0), "Bob", BOB, 0)
    (people / "Cy").mkdir()
    result = run("enroll", people, tmp_path / "nowhere.png", "--aligned", "--model", toy, gallery=tmp_path / "g")
    assert result.exit_code == 1
    assert "2 photos: 2 added, 0 skipped" in result.stdout + result.stderr
    assert "2 photos: 2 added, 0 skipped, " not in result.stdout + result.stderr


# -------------------------------------------------------------------------------------------------- renamed folders


def test_a_renamed_folder_is_one_line(toy: Path, tmp_path: Path) -> None:
    people = folder(folder(tmp_path / "people", "Ann Lee", ANN, 0, 1, 2), "Bob", BOB, 0, 1)
    command = ("enroll", people, "--aligned", "--model", toy)
    run(*command, gallery=tmp_path / "g")
    (people / "Ann Lee").rename(people / "Ann Ray")
    shutil.copy(people / "Ann Ray" / "0.png", people / "Bob" / "ann.png")
    result = run(*command, gallery=tmp_path / "g")
    assert result.exit_code == 1
    renamed, wrong = result.stderr.splitlines()
    remedy = "if they are one person, `facerec gallery rename 'Ann Lee' 'Ann Ray'` gives the new name"
    photo = people / "Ann Ray" / "0.png"
    first = f"if that is wrong, `facerec gallery remove 'Ann Lee' --photo '{photo}'` takes out the first"
    assert renamed == f"Ann Ray: all 3 photos are enrolled as Ann Lee; {remedy}; {first}, and so on"
    photo = people / "Bob" / "ann.png"
    remedy = f"if that is wrong, `facerec gallery remove 'Ann Lee' --photo {photo}`"
    assert wrong == f"{photo}: this photo is enrolled as Ann Lee; {remedy}"
    run("gallery", "rename", "Ann Lee", "Ann Ray", gallery=tmp_path / "g")
    assert run("gallery", "remove", "Ann Ray", "--photo", photo, gallery=tmp_path / "g").exit_code == 0
    shown = json_lines(run("gallery", "show", "Ann Ray", "--json", gallery=tmp_path / "g"))
    assert [Path(line["source"]).name for line in shown] == ["1.png", "2.png"]


def test_a_folder_of_somebody_elses_photos_beside_other_photos_is_to_be_merged(
    gallery: Gallery, enrolled, photo
) -> None:
    enrolled({"Ann": [photo(ANN, 0)], "Anna": [photo(ANN, 1)]})
    (one,) = for_one_reason(gallery, enrolled({"Anna": [photo(ANN, 0)]}))
    assert one.reason.startswith("Anna: the photo is enrolled as Ann; if they are one person, `facerec gallery merge")
    assert f"; if that is wrong, `facerec gallery remove Ann --photo {one.photos[0]}`" in one.reason
    assert for_one_reason(gallery, enrolled({"Anna": [photo(ANN, 0), photo(ANN, 1)]})) == (), "one is her own"


@pytest.mark.parametrize("new", [False, True])
def test_a_renamed_folder_with_a_stray_photo_is_one_line_and_the_strays(
    new: bool, gallery: Gallery, enrolled, photo
) -> None:
    """Whoever follows the lines keeps everybody's photos. new: the folder got another photo since."""
    own, stray = [photo(ANN, n) for n in range(6)], photo(BOB, 0)
    enrolled({"Al": [*own, photo(ANN, 6)], "Alan": [stray, photo(BOB, 1)]})
    results = enrolled({"Al Sharpton": [*own, stray, *([photo(ANN, 7)] if new else [])]})
    (one,) = for_one_reason(gallery, results)
    assert one.photos == tuple(own)
    remedy = "merge 'Al Sharpton' Al` makes one of the two" if new else "rename Al 'Al Sharpton'` gives the new name"
    said = f"6 of {8 if new else 7} photos are enrolled as Al; if they are one person, `facerec gallery {remedy}"
    first = f"if that is wrong, `facerec gallery remove Al --photo {own[0]}` takes out the first, and so on"
    assert one.reason == f"Al Sharpton: {said}; {first}"
    name = "Al" if new else "Al Sharpton"
    if new:
        gallery.merge("Al Sharpton", "Al")
    else:
        gallery.rename("Al", "Al Sharpton")
    again = enrolled({name: [*own, stray]})
    assert statuses(again) == [(name, "skipped")] * 6 + [(name, "failed")]
    assert again[-1].reason.endswith(f"if that is wrong, `facerec gallery remove Alan --photo {stray}`")


def _remedies(gallery: Gallery, results) -> dict[str, str]:
    """What is said after "enrolled as X; " of each person whose photos failed for one reason, if they are one."""
    found = {}
    for one in for_one_reason(gallery, results):
        start, said, wrong = re.split("; (?=(?:if they are|they were|if that))", one.reason)
        command = gallery_command("remove", start.split(" enrolled as ")[1], photo=str(one.photos[0]))
        assert wrong == f"if that is wrong, {command} takes out the first, and so on"
        found[one.person] = said
    return found


@pytest.mark.parametrize("more", ["Ann", "Anna", None])
def test_two_people_who_have_each_others_photos_are_merged_one_way(
    more: str | None, gallery: Gallery, enrolled, photo
) -> None:
    own = {"Ann": [photo(ANN, 0), photo(ANN, 1)], "Anna": [photo(ANN, 2), photo(ANN, 3)]}
    enrolled(own | ({more: [*own[more], photo(ANN, 4)]} if more else {}), force=True)
    both = enrolled({"Ann": own["Anna"], "Anna": own["Ann"]}, force=True)
    gone, kept = ("Anna", "Ann") if more == "Ann" else ("Ann", "Anna")
    remedy = f"if they are one person, `facerec gallery merge {gone} {kept}` makes one of the two"
    assert _remedies(gallery, both) == {"Ann": remedy, "Anna": remedy}
    gallery.set_apart("Ann", "Anna")
    remedy = "they were said to be two people: leave these photos out of one folder"
    assert _remedies(gallery, both) == {"Ann": remedy, "Anna": remedy}


def test_nobody_gets_two_new_names_in_one_run(gallery: Gallery, enrolled, photo) -> None:
    own = [photo(ANN, 0), photo(ANN, 1)]
    copies = [Path(shutil.copy(path, path.with_stem(f"{path.stem} copy"))) for path in own]
    enrolled(
        {"Ann": own, "Bea": [photo(BOB, n) for n in range(3)], "Bee": [photo(BOB, n) for n in range(3, 6)]}, force=True
    )
    assert _remedies(gallery, enrolled({"Anna": own, "Anne": copies})) == {
        "Anna": "if they are one person, `facerec gallery rename Ann Anna` gives the new name",
        "Anne": "if they are one person, enroll this folder again after that",
    }
    assert _remedies(gallery, enrolled({"Bea": own, "Bee": copies})) == {
        "Bea": "if they are one person, `facerec gallery merge Ann Bea` makes one of the two",
        "Bee": "if they are one person, enroll this folder again after that",
    }
    given = {"Ann": own, "Anna": copies}
    assert _remedies(gallery, enrolled(given)) == {"Anna": "if they are one person, give the two folders one name"}


def test_nobody_is_to_be_merged_into_two_others(toy: Path, tmp_path: Path) -> None:
    for name, numbers in {"Ann": (0,), "Anna": (1, 2), "Anne": (3, 4, 5)}.items():
        for number in numbers:
            toy_model.save_crop(tmp_path / "people" / name / f"{number}.png", ANN, number)
    arguments = ["enroll", tmp_path / "people", "--aligned", "--force", "--model", toy]
    lines = [line for line in run(*arguments, gallery=tmp_path / "g").stdout.splitlines() if "look like one" in line]
    merged = [line.split("gallery merge ")[1].split("`")[0].split() for line in lines if "gallery merge" in line]
    assert len(lines) == 3
    assert sorted(gone for gone, _ in merged) == ["Ann", "Anna"]
    assert ["Anna", "Anne"] in merged
    assert all("gallery not-same --people" in line for line in lines)


def test_the_stray_of_a_renamed_folder_has_a_line_on_the_command_line(toy: Path, tmp_path: Path) -> None:
    people = folder(folder(tmp_path / "people", "Al", ANN, 0, 1, 2), "Alan", BOB, 3, 4)
    command = ("enroll", people, "--aligned", "--model", toy)
    run(*command, gallery=tmp_path / "g")
    (people / "Al").rename(people / "Al Sharpton")
    stray = (people / "Alan" / "3.png").rename(people / "Al Sharpton" / "3.png")
    renamed, wrong = run(*command, gallery=tmp_path / "g").stderr.splitlines()
    assert renamed.startswith("Al Sharpton: 3 of 4 photos are enrolled as Al; ")
    assert wrong.startswith(f"{stray}: this photo is enrolled as Alan; ")


# ------------------------------------------------------------------------------------------------ several spellings


SPELLINGS = ["ann lee", "Ann_Lee", "Lee, Ann", "Ánn Lee", "ANN-LEE", "AnnLee"]


def test_a_new_spelling_of_a_name_with_the_same_face_is_held_back(gallery: Gallery, enrolled, photo) -> None:
    people = {"Ann Lee": [photo(ANN, 0)], "Bob": [photo(BOB, 0)]}
    people |= {name: [photo(ANN, n)] for n, name in enumerate(SPELLINGS, 1)}
    results = enrolled(people)
    assert [result.status for result in results] == ["added", "added", *["failed"] * len(SPELLINGS)]
    for name, result in zip(SPELLINGS, results[2:], strict=True):
        assert result.same_as == "Ann Lee"
        said = result.reason.removeprefix(f"{people[name][0]}: held back: name and face are like Ann Lee's (0.0")
        assert said.endswith(f"; give that name, or `force` enrolls {name} as somebody else")
    assert [person.name for person in gallery.people()] == ["Ann Lee", "Bob"]
    again = enrolled({"Ann Lee": [photo(ANN, 0)], "ann lee": [photo(ANN, 1), photo(ANN, 2)]})
    assert statuses(again) == [("Ann Lee", "skipped"), ("ann lee", "failed"), ("ann lee", "failed")]
    assert [one.person for one in for_one_reason(gallery, again)] == ["ann lee"]
    forced = enrolled({"ann lee": [photo(ANN, 1), photo(ANN, 2)]}, force=True)
    assert statuses(forced) == [("ann lee", "added")] * 2
    assert statuses(enrolled({"ann lee": [photo(ANN, 3)]}))[0][1] in {"added", "failed"}, "she is enrolled now"


def test_one_photo_that_is_like_them_is_enough(gallery: Gallery, enrolled, photo) -> None:
    """The first photo, of somebody else, does not let the others in."""
    enrolled({"Ann Lee": [photo(ANN, 0)]})
    results = enrolled({"ann lee": [photo(CY, 0), photo(ANN, 1)]})
    assert statuses(results) == [("ann lee", "failed")] * 2
    assert len(gallery) == 1


def test_alike_names_of_other_faces_and_alike_faces_of_other_names_are_enrolled(
    gallery: Gallery, enrolled, photo
) -> None:
    results = enrolled({"Ann Lee": [photo(ANN, 0)], "ann lee": [photo(BOB, 0)], "Zed": [photo(ANN, 1)]})
    assert [result.status for result in results] == ["added"] * 3


def test_at_a_terminal_it_is_asked_who_is_meant(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = folder(tmp_path / "people", "Ann Lee", ANN, 0, 1)
    folder(folder(people, "ann_lee", ANN, 2, 3), "lee ann", ANN, 4)
    command = ("enroll", people, "--aligned", "--model", toy)
    held_back = run(*command, gallery=tmp_path / "a")
    assert held_back.exit_code == 1
    assert [line.split(":")[0] for line in held_back.stderr.splitlines()] == ["ann_lee", "lee ann"]
    monkeypatch.setattr(common, "at_terminal", lambda: True)
    result = run(*command, gallery=tmp_path / "b", typed="y\nn\n")
    assert result.exit_code == 0
    asked = [
        re.compile(
            rf"'{name}' looks like 'Ann Lee', enrolled with 2 photos \(0\.0\d apart\): same person\? "
            rf"\[y/n, Enter: leave them out\]: {answer}"
        )
        for name, answer in (("ann_lee", "y"), ("lee ann", "n"))
    ]
    for pattern, line in zip(asked, result.stderr.splitlines(), strict=True):
        assert pattern.fullmatch(line)
    listed = json_lines(run("gallery", "list", "--json", gallery=tmp_path / "b"))
    assert {line["person"]: line["templates"] for line in listed} == {"Ann Lee": 4, "lee ann": 1}
    with Gallery.open(tmp_path / "b") as gallery:
        assert apart(gallery.store, "lee ann") == ["Ann Lee"], "nor are they listed as alike"
    assert "look like one person" not in result.stdout
    again = run(*command, gallery=tmp_path / "b")
    remedy = "if they are one person, give the two folders one name"
    (said,) = again.stderr.splitlines()
    assert again.exit_code == 1
    wrong = f"`facerec gallery remove 'Ann Lee' --photo {people / 'ann_lee' / '2.png'}` takes out the first, and so on"
    assert said == f"ann_lee: all 2 photos are enrolled as Ann Lee; {remedy}; if that is wrong, {wrong}"
    *_, summary = json_lines(run(*command, "--json", gallery=tmp_path / "c", typed="y\ny\n"))
    assert (summary["added"], summary["failed"]) == (2, 3), "with --json nobody is asked"


@pytest.mark.parametrize("typed", ["\n", "", "what?\n\n"])
def test_without_an_answer_the_photos_are_held_back_and_the_others_enrolled(
    typed: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Enter key, and Ctrl-D, are no answer: only who says "n" enrolls one face under two names."""
    people = folder(folder(folder(tmp_path / "people", "Ann Lee", ANN, 0, 1), "ann_lee", ANN, 2, 3), "Bob", BOB, 0)
    monkeypatch.setattr(common, "at_terminal", lambda: True)
    result = run("enroll", people, "--aligned", "--model", toy, gallery=tmp_path / "g", typed=typed)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("ann_lee: all 2 photos were held back: name and face are like Ann")
    assert "5 photos: 3 added, 0 skipped, 2 failed" in result.stdout
    listed = json_lines(run("gallery", "list", "--json", gallery=tmp_path / "g"))
    assert {line["person"]: line["templates"] for line in listed} == {"Ann Lee": 2, "Bob": 1}


def group(root: Path, toy: Path, person: int, *numbers: int) -> tuple[object, ...]:
    """Make an album of one person; return the command that enrolls its only group."""
    album = folder(root / f"album {person} {numbers}", ".", person, *numbers)
    return ("cluster", album, "--aligned", "--model", toy, "--enroll", "1", "--name")


def test_groups_of_an_album_go_by_the_same_rules(toy: Path, tmp_path: Path) -> None:
    people = folder(tmp_path / "people", "Ann Lee", ANN, 0)
    run("enroll", people, "--aligned", "--model", toy, gallery=tmp_path / "g")
    command = group(tmp_path, toy, ANN, 1, 2)
    held_back = run(*command, "ann_lee", gallery=tmp_path / "g")
    assert "ann_lee: all 2 photos were held back: name and face are like Ann Lee's" in held_back.stderr
    assert run(*command, "Ann Lee", gallery=tmp_path / "g").exit_code == 0
    owned = run(*command, "Cy", gallery=tmp_path / "g")
    assert owned.stderr.count("\n") == 1, "a line for all photos of one owner"
    assert "Cy: all 2 photos are enrolled as Ann Lee; if they are one person, `facerec gallery rename" in owned.stderr
    run("gallery", "remove", "Ann Lee", gallery=tmp_path / "g")
    removed = run(*command, "Ann Lee", gallery=tmp_path / "g")
    assert removed.stderr.count("; `facerec enroll --again` enrolls what was removed") == 1


def test_a_group_under_a_wrong_name_is_held_back_or_named(toy: Path, tmp_path: Path) -> None:
    """A mistyped number of a group gives somebody the face of another."""
    people = folder(folder(tmp_path / "people", "Ann", ANN, 0, 3), "Bob", BOB, 0, 3, 5, 6)
    run("enroll", people, "--aligned", "--model", toy, gallery=tmp_path / "g")
    wrong = run(*group(tmp_path, toy, BOB, 1, 2), "Ann", gallery=tmp_path / "g")
    assert (wrong.exit_code, wrong.stderr.count(": held back: nearer to Bob (")) == (1, 2)
    assert wrong.stderr.count("; `facerec enroll --force` enrolls it\n") == 2
    assert "Ann: 0 added, 0 skipped, 2 failed" in wrong.stdout
    twice = run(*group(tmp_path, toy, BOB, 1, 2), "Cy", gallery=tmp_path / "g")
    assert "Cy looks like Bob, at 0." in twice.stdout
    assert ": `facerec gallery merge Cy Bob`, or if they are two `facerec gallery not-same" in twice.stdout
    *_, summary = json_lines(run(*group(tmp_path, toy, BOB, 7, 8), "Dee", "--json", gallery=tmp_path / "g"))
    assert ["Dee", "Bob"] in [pair["people"] for pair in summary["alike"]]
