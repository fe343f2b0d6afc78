"""What enrollment refuses, holds back and remarks, and that nobody is in a photo twice, on made-up people."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest
import toy_model
from running import json_lines, run

from facerec.errors import ConfigError
from facerec.faces.detector import AlignedDetector
from facerec.gallery import gallery as gallery_module
from facerec.gallery.database import Database
from facerec.gallery.gallery import Gallery
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.photos.folders import photo_hash
from facerec.recognition.enroll import enroll
from facerec.recognition.identify import identify, open_gallery
from facerec.recognition.review import Review, review
from facerec.search.people import PeopleIndex
from facerec.types import Face, Image, Threshold

LIMIT = Threshold(0.5, "made up for tests")
ANN, BOB, CY = 0, 1, 2


class Crowd(AlignedDetector):
    """Finds in every photo the face that is there, and those of other made-up people beside it."""

    def __init__(self, *beside: tuple[int, int]) -> None:
        super().__init__()
        self.beside = beside

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        others = [self._face(toy_model.crop(*each)) for each in self.beside]
        return [[self._face(image), *others] for image in images]


def spoiled(path: Path, side: int = 112, sigma: float = 0) -> Path:
    """The same photo made small or blurred; the toy network does not mind."""
    with PIL.Image.open(path) as image:
        image.resize((side, side)).filter(PIL.ImageFilter.GaussianBlur(sigma)).save(path)
    return path


def templates(gallery: Gallery) -> dict[str, int]:
    return {person.name: person.templates for person in gallery.people()}


# ---------------------------------------------------------------------------------------------------- quality


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"side": 12}, "the face is small, 3 pixels between the eyes; use a photo with"),
        ({"sigma": 12}, "the face is blurred, sharpness 0."),
    ],
)
def test_a_poor_photo_is_refused_every_time_until_it_is_forced(
    how: dict, words: str, gallery: Gallery, enrolled, photo
) -> None:
    poor, good = spoiled(photo(ANN, 0), **how), photo(ANN, 1)
    for status in ("added", "skipped"):
        first, second = enrolled({"Ann": [poor, good]})
        assert (first.status, second.status) == ("failed", status)
        assert first.reason.startswith(f"{poor}: ")
        assert words in first.reason
        assert first.reason.endswith("; `force` enrolls it")
        assert first.quality is not None
        assert "; ".join(first.quality.faults) in first.reason
        assert first.vector is None
        assert templates(gallery) == {"Ann": 1}
    (forced,) = enrolled({"Ann": [poor]}, force=True)
    assert (forced.status, forced.quality) == ("added", first.quality)
    assert templates(gallery) == {"Ann": 2}
    assert [r.status for r in enrolled({"Ann": [poor, good]})] == ["skipped", "skipped"]


def test_a_person_of_poor_photos_only_is_not_enrolled(gallery: Gallery, enrolled, photo) -> None:
    assert [r.status for r in enrolled({"Ann": [spoiled(photo(ANN, 0), side=8)]})] == ["failed"]
    assert len(gallery) == 0


# ---------------------------------------------------------------------------------------------------- several faces


def test_the_main_one_of_several_faces_is_enrolled_and_the_others_are_told_of(enrolled, photo) -> None:
    one, two = (
        enrolled({"Ann": [photo(ANN, 0)]}, Crowd((CY, 0))),
        enrolled({"Bob": [photo(BOB, 0)]}, Crowd((CY, 0), (CY, 1))),
    )
    assert [(r.status, r.reason) for r in (*one, *two)] == [
        ("added", "the main one of 2 faces, 1 left out"),
        ("added", "the main one of 3 faces, 2 left out"),
    ]
    assert one[0].vector is not None
    np.testing.assert_allclose(one[0].vector, toy_model.vector(toy_model.crop(ANN, 0)), atol=1e-5)


@pytest.mark.parametrize("force", [False, True])
def test_several_faces_can_be_refused(force: bool, gallery: Gallery, enrolled, photo) -> None:
    (result,) = enrolled({"Ann": [photo(ANN, 0)]}, Crowd((CY, 0)), several="refuse", force=force)
    assert result.status == "failed"
    assert result.reason.endswith(
        "0-0.png: 2 faces in it; cut out the one that is meant, or have the main one enrolled (`several=main`)"
    )
    assert len(gallery) == 0
    assert [r.status for r in enrolled({"Ann": [photo(ANN, 0)]}, several="refuse")] == ["added"]


def test_no_other_word_for_several(enrolled, photo) -> None:
    with pytest.raises(ConfigError, match="main or refuse, not 'all'"):
        enrolled({"Ann": [photo(ANN, 0)]}, several="all")


# ---------------------------------------------------------------------------------------------------- whose photo


@pytest.mark.parametrize("together", [False, True])
def test_a_photo_nearer_to_somebody_else_is_held_back(together: bool, gallery: Gallery, enrolled, photo) -> None:
    """Enrolled before, or earlier in the same run."""
    ann, bob, wrong = [photo(ANN, 0), photo(ANN, 1)], [photo(BOB, 0)], photo(ANN, 2)
    if not together:
        enrolled({"Ann": ann, "Bob": bob})
    for _ in range(2):
        *_, last = enrolled({"Ann": ann, "Bob": [*bob, wrong]})
        assert last.status == "failed"
        assert last.reason.startswith(f"{wrong}: held back: nearer to Ann (0.")
        assert "than to Bob (" in last.reason
        assert "within the threshold 0.50 (made up for tests); `force` enrolls it" in last.reason
        assert gallery.find_photo(photo_hash(wrong)) is None
        assert templates(gallery) == {"Ann": 2, "Bob": 1}
    (forced,) = enrolled({"Bob": [wrong]}, force=True)
    assert (forced.status, forced.reason) == ("added", "")
    assert templates(gallery) == {"Ann": 2, "Bob": 2}


def test_a_photo_held_back_may_be_given_to_its_own_person(enrolled, photo) -> None:
    enrolled({"Ann": [photo(ANN, 0)], "Bob": [photo(BOB, 0), photo(ANN, 2)]})
    assert [r.status for r in enrolled({"Ann": [photo(ANN, 2)]})] == ["added"]


def test_a_photo_unlike_anybody_is_enrolled(enrolled, photo) -> None:
    """Nobody else matches it: that it is far from its own person may be its fault or theirs."""
    assert [(r.status, r.reason) for r in enrolled({"Ann": [photo(ANN, 0)], "Bob": [photo(BOB, 0), photo(CY, 0)]})] == [
        ("added", "")
    ] * 3


def test_nothing_is_held_back_without_a_threshold(tmp_path: Path, photo) -> None:
    bare = OpenVINOEmbedder(toy_model.write_model(tmp_path, "bare", threshold={}))
    people = {"Ann": [photo(ANN, 0)], "Bob": [photo(BOB, 0), photo(ANN, 1)], "Eve": [photo(ANN, 2)]}
    with open_gallery(tmp_path / "g", bare, create=True) as gallery:
        results = list(enroll(gallery, people, AlignedDetector(), bare))
        assert {(r.status, r.reason) for r in results} == {("added", "")}
        assert review(gallery, results) == Review((), ())


def test_a_new_name_for_somebody_enrolled(enrolled, photo) -> None:
    people = {"Ann": [photo(ANN, 0), photo(ANN, 1)], "Bob": [photo(BOB, 0)], "Anna": [photo(ANN, 2), photo(ANN, 3)]}
    results = enrolled(people)
    assert {r.status for r in results[:4]} == {"added"}
    assert results[4].status in {"added", "failed"}, "by then it is a matter of who of the two is nearer"
    assert results[3].reason.startswith("Anna looks like Ann, at 0.0")
    assert [r.reason for r in results[:3]] == [""] * 3


def test_review_names_people_who_may_be_one(gallery: Gallery, enrolled, photo) -> None:
    people = {"Zed": [photo(ANN, 2)], "Ann": [photo(ANN, 0), photo(ANN, 1)], "Bob": [photo(BOB, 0)]}
    results = enrolled(people, force=True)
    found = review(gallery, results)
    means = [sum(toy_model.vector(toy_model.crop(ANN, n)) for n in numbers) for numbers in ((2,), (0, 1))]
    zed, ann = (mean / np.linalg.norm(mean) for mean in means)
    (pair,) = found.alike
    assert (pair.person, pair.other) == ("Zed", "Ann"), "who has fewer photos first"
    assert pair.distance == pytest.approx(((zed - ann) ** 2).sum(), abs=1e-5)
    again = enrolled(people)
    assert {result.status for result in again} == {"skipped"}
    assert review(gallery, again) == Review((), ()), "nobody is said to be alike at every run"
    for person, pairs in (("Zed", found.alike), ("Ann", found.alike), ("Bob", ())):
        assert review(gallery, [r for r in results if r.person == person]).alike == pairs, "either of the two will do"
    assert review(gallery, []).alike == (), "nobody else is looked for"


def test_review_finds_what_was_enrolled_before_its_own_person(gallery: Gallery, enrolled, photo) -> None:
    """Bob's photo among Ann's is none of hers, which shows once Bob is enrolled."""
    people = {"Ann": [photo(ANN, 0), photo(ANN, 1), photo(BOB, 5)], "Bob": [photo(BOB, 0), photo(BOB, 1)]}
    results = enrolled(people)
    assert {r.status for r in results} == {"added"}
    ((path, reason),) = review(gallery, results).misplaced
    assert path == photo(BOB, 5)
    assert reason.startswith("nearer to Bob (0.0")
    assert "than to Ann (" in reason


@pytest.mark.parametrize("others", [0, 1])
def test_review_finds_the_photo_of_somebody_who_is_not_enrolled(others: int, gallery: Gallery, enrolled, photo) -> None:
    """A folder one level too high, or photos of two people under one new name."""
    stray = photo(BOB, 0)
    results = enrolled({"Cy": [photo(CY, 0)] * others, "Al": [*(photo(ANN, n) for n in range(6)), stray]})
    assert {result.status for result in results} == {"added"}
    ((path, reason),) = review(gallery, results).misplaced
    assert path == stray
    distance, said = reason.split(" ", 1)
    assert float(distance) > 1
    remedy = f"if so, `facerec gallery remove Al --photo {stray}`"
    assert said == f"from the other photos of Al, above the threshold {LIMIT.distance:.2f}; {remedy}"
    later = enrolled({"Al": [stray, photo(ANN, 7)]})
    assert [result.status for result in later] == ["skipped", "added"]
    assert review(gallery, later).misplaced == (), "only photos that were just added"


def test_several_photos_of_somebody_else_do_not_vouch_for_each_other(gallery: Gallery, enrolled, photo) -> None:
    """A mistyped name, or two children of one name in two classes."""
    enrolled({"Ann": [photo(ANN, n) for n in range(3)]})
    wrong = [photo(BOB, n) for n in range(3)]
    assert [path for path, _ in review(gallery, enrolled({"Ann": wrong})).misplaced] == wrong


def test_a_photo_is_far_from_its_person_only_above_the_threshold_of_two_photos(
    gallery: Gallery, enrolled, photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = enrolled({"Al": [photo(ANN, 0), photo(ANN, 1), photo(BOB, 0)]})
    monkeypatch.setattr(Gallery, "threshold", LIMIT)
    assert len(review(gallery, results).misplaced) == 1
    monkeypatch.setattr(Gallery, "model_threshold", Threshold(3.9, "lenient"))
    assert review(gallery, results).misplaced == ()


def test_a_review_never_has_all_photos_of_a_person_removed(gallery: Gallery, enrolled, photo) -> None:
    results = enrolled({"Al": [photo(ANN, 0), photo(BOB, 0)], "Mixed": [photo(n, 0) for n in (CY, 7, 8)]})
    assert [path for path, _ in review(gallery, results).misplaced] == [photo(BOB, 0), photo(7, 0), photo(8, 0)]


def test_mean_templates_by_hand(gallery: Gallery, enrolled, photo) -> None:
    enrolled({"Cy": [photo(CY, 0)], "Ann": [photo(ANN, n) for n in range(3)], "Bob": [photo(BOB, 0), photo(BOB, 1)]})
    names, means = gallery.mean_templates()
    assert names == ("Cy", "Ann", "Bob")  # in the order of enrollment
    for mean, (person, count) in zip(means, ((CY, 1), (ANN, 3), (BOB, 2)), strict=True):
        total = sum(toy_model.vector(toy_model.crop(person, n)) for n in range(count))
        np.testing.assert_allclose(mean, total / np.linalg.norm(total), atol=1e-5)


# ---------------------------------------------------------------------------------------------------- what it costs


def test_one_photo_more_reads_no_table_as_a_whole(gallery: Gallery, embedder: OpenVINOEmbedder, photo) -> None:
    people = {"Ann": [photo(ANN, 0), photo(ANN, 1)], "Bob": [photo(BOB, 0)], "Cy": [photo(CY, 0)]}
    assert isinstance(gallery.store.database, Database)
    enrolling, db, asked = enroll(gallery, people, AlignedDetector(), embedder), gallery.store.database._db, []
    first, searched = next(enrolling), gallery._bound().ask(lambda people: people)
    db.set_trace_callback(asked.append)
    rest = list(enrolling)
    db.set_trace_callback(None)
    assert [result.status for result in (first, *rest)] == ["added"] * 4
    assert gallery._bound().ask(lambda people: people) is searched, "brought up to date in place"
    assert searched.names == ["Ann", "Bob", "Cy"]
    queries = [sql for sql in asked if sql.lstrip().startswith("SELECT")]
    plans = [step for sql in queries for *_, step in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert any(step.startswith("SEARCH templates") for step in plans)
    scanned = Counter(step.split()[1] for step in plans if step.startswith("SCAN"))
    assert scanned["templates"] == scanned["t"] == 0
    assert scanned["people"] <= 2, "counted where the threshold is made anew"


def test_the_threshold_is_made_anew_when_the_gallery_has_doubled(
    gallery: Gallery, enrolled, photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_at: list[int] = []
    real = gallery_module.calibrate_people

    def noting(people: PeopleIndex, *strangers):
        made_at.append(len(people.names))
        return real(people, *strangers)

    monkeypatch.setattr(gallery_module, "calibrate_people", noting)
    strangers = np.stack([toy_model.vector(toy_model.crop(n, 0)) for n in range(40, 60)]).astype(np.float32)
    gallery.set_calibration(strangers=strangers, source="visitors/")
    results = enrolled({f"Person {n}": [photo(n, 0)] for n in range(20)}, force=True)
    assert made_at == [1, 2, 4, 8, 16]
    review(gallery, results)
    assert gallery.threshold is not None
    assert made_at == [1, 2, 4, 8, 16, 20], "once at the end"


# ---------------------------------------------------------------------------------------------------- identify


def test_nobody_is_two_faces_of_one_photo(gallery: Gallery, embedder: OpenVINOEmbedder, enrolled, photo) -> None:
    enrolled({"Ann": [photo(ANN, 0)], "Bob": [photo(BOB, 0)]})
    picture = photo(ANN, 1)
    results = list(identify(gallery, [picture], Crowd((ANN, 0), (BOB, 1), (BOB, 2)), embedder, LIMIT, top=1))
    assert [r.position for r in results] == [0, 1, 2, 3]
    decisions = [r.decision for r in results if r.decision is not None]
    nearer = min((2, 3), key=lambda n: decisions[n].candidates[0].distance)
    assert [d.person for d in decisions] == [None, "Ann", *(("Bob", None) if nearer == 2 else (None, "Bob"))]
    assert decisions[0].reason.startswith("best match Bob at ")
    assert decisions[0].reason.endswith(
        f"Ann (at {decisions[0].candidates[0].distance:.2f}) is another face of this photo"
    )
    assert all((d.person is None) == (d.distance is None or d.distance > 0.5) for d in decisions)
    (again,) = identify(gallery, [picture], AlignedDetector(), embedder, LIMIT)
    assert again.decision is not None
    assert again.decision.person == "Ann", "in another photo they are free again"
    assert again.quality is not None
    assert again.quality.problems == ()


# ---------------------------------------------------------------------------------------------------- the commands


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Ann and Bob with a photo of Ann's among Bob's, Ann again as Anna, and Cy, whose one photo is blurred."""
    folder = tmp_path / "people"
    for name, photos in {"Ann": [(ANN, 0), (ANN, 1)], "Bob": [(BOB, 0), (ANN, 2)], "Anna": [(ANN, 3)]}.items():
        for place, (person, number) in enumerate(photos):
            toy_model.save_crop(folder / name / f"{place}.png", person, number)
    spoiled(toy_model.save_crop(folder / "Cy" / "blurred.png", CY, 0), sigma=12)
    return folder


def test_enroll_in_json_says_why_and_of_what_quality(people: Path, toy: Path, tmp_path: Path) -> None:
    result = run("enroll", people, "--aligned", "--json", "--model", toy, gallery=tmp_path / "g")
    *photos, summary = json_lines(result)
    assert result.exit_code == 1
    by_name = {Path(line["image"]).relative_to(people).as_posix(): line for line in photos}
    assert {name: line["status"] for name, line in by_name.items()} == {
        "Ann/0.png": "added", "Ann/1.png": "added", "Anna/0.png": "added",
        "Bob/0.png": "added", "Bob/1.png": "failed", "Cy/blurred.png": "failed",
    }  # fmt: skip
    assert all(line["quality"]["confidence"] == 1 for line in photos)
    assert by_name["Cy/blurred.png"]["quality"]["problems"][0].startswith("the face is blurred, sharpness 0.")
    assert (summary["people"], summary["templates"], summary["added"], summary["failed"]) == (3, 4, 4, 2)
    assert summary["misplaced"] == []
    assert [pair["people"] for pair in summary["alike"]] == [["Anna", "Ann"]]
    assert 0 < summary["alike"][0]["distance"] < 0.5
    assert sorted(result.stderr.splitlines()) == sorted(line["reason"] for line in photos if line["status"] == "failed")


def test_enroll_for_people_suggests_to_merge(people: Path, toy: Path, tmp_path: Path) -> None:
    result = run("enroll", people, "--aligned", "--model", toy, gallery=tmp_path / "g")
    lines = result.stdout.splitlines()
    assert lines[0] == "Ann: 2 added, 0 skipped, 0 failed"
    assert lines[1] == "Anna: 1 added, 0 skipped, 0 failed"
    assert lines[2].startswith(f"    {people / 'Anna' / '0.png'}: Anna looks like Ann, at 0.0")
    assert lines[3:5] == ["Bob: 1 added, 0 skipped, 1 failed", "Cy: 0 added, 0 skipped, 1 failed"]
    assert lines[-1].startswith("Anna and Ann look like one person, 0.0")
    remedy = "`facerec gallery merge Anna Ann`, or if they are two `facerec gallery not-same --people Anna Ann`"
    assert lines[-1].endswith(f" apart: {remedy}")
    assert (
        "look like one person" not in run("enroll", people, "--aligned", "--model", toy, gallery=tmp_path / "g").stdout
    ), "not again at every run"
    forced = run("enroll", people, "--aligned", "--force", "--json", "--model", toy, gallery=tmp_path / "g")
    *_, summary = json_lines(forced)
    assert (forced.exit_code, forced.stderr) == (0, "")
    assert (summary["added"], summary["skipped"], summary["templates"]) == (2, 4, 6)


def test_enroll_looks_back_at_what_it_enrolled(toy: Path, tmp_path: Path) -> None:
    """A photo of Bob's among Ann's, who are enrolled before him."""
    photos = {"Ann": [(ANN, 0), (ANN, 1), (BOB, 2)], "Bob": [(BOB, 0), (BOB, 1)]}
    for name, own in photos.items():
        for place, (person, number) in enumerate(own):
            toy_model.save_crop(tmp_path / "people" / name / f"{place}.png", person, number)
    arguments = ["enroll", tmp_path / "people", "--aligned", "--model", toy]
    *_, summary = json_lines(run(*arguments, "--json", gallery=tmp_path / "a"))
    (wrong,) = summary["misplaced"]
    assert wrong["image"] == str(tmp_path / "people" / "Ann" / "2.png")
    assert wrong["reason"].startswith("nearer to Bob (0.0")
    result = run(*arguments, gallery=tmp_path / "b")
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"{wrong['image']} may be of somebody else: {wrong['reason']}" in result.stdout.splitlines()


def test_names_in_a_suggestion_can_be_copied_into_a_shell(toy: Path, tmp_path: Path) -> None:
    for name, number in (("Ann Lee", 0), ("O'Ann; rm", 1)):
        toy_model.save_crop(tmp_path / "people" / name / f"{number}.png", ANN, number)
    result = run("enroll", tmp_path / "people", "--aligned", "--model", toy, gallery=tmp_path / "g")
    assert """`facerec gallery merge 'Ann Lee' 'O'"'"'Ann; rm'`""" in result.stdout


def test_identify_mentions_quality_where_it_is_low(people: Path, toy: Path, tmp_path: Path) -> None:
    run("enroll", people / "Ann", "--name", "Ann", "--aligned", "--model", toy, gallery=tmp_path / "g")
    photos = [people / "Ann" / "0.png", people / "Cy" / "blurred.png"]
    options = ["--aligned", "--model", toy]
    lines = run("identify", *photos, *options, "--explain", "--quiet", gallery=tmp_path / "g").stdout.splitlines()
    assert lines[-1].startswith("    poor photo: the face is blurred, sharpness 0.")
    good, poor = json_lines(run("identify", *photos, *options, "--json", gallery=tmp_path / "g"))
    assert good["quality"]["problems"] == []
    assert lines[-1] == f"    poor photo: {poor['quality']['problems'][0]}"
