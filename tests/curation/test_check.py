"""hygiene.py: what is found in albums of vectors and pictures placed by hand."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from photo_copies import jpeg, scene

from facerec.curation.check import KINDS, Album, Finding, Report, check, gather, plain_name
from facerec.curation.near_duplicates import Pictures, picture
from facerec.datasets.photo_sets import read_exclusions
from facerec.errors import ImageError, NoFaceError
from facerec.types import Face, Photo, Threshold

THRESHOLD = Threshold(0.5, "made up")
Row = tuple[
    str, int | tuple[int, int], int
]  # person, direction or the middle between two, scene (negative: re-encoded)


def vector(direction: int | tuple[int, int]) -> np.ndarray:
    """(16,) unit float32."""
    sum_ = np.eye(16, dtype=np.float32)[list(np.atleast_1d(direction))].sum(0)
    return sum_ / np.linalg.norm(sum_)


def album(rows: Sequence[Row], root: str = "all") -> Album:
    """The photos root/PERSON/0, 1, ...; photos of one scene are one file."""
    people = tuple(sorted({person for person, *_ in rows}))
    labels = np.array([people.index(person) for person, *_ in rows], np.int64)
    seen = [sum(other == person for other, *_ in rows[:i]) for i, (person, *_) in enumerate(rows)]
    images = [scene(which) if which >= 0 else jpeg(scene(-which)) for *_, which in rows]
    return Album(
        keys=tuple(f"{root}/{row[0]}/{number}" for row, number in zip(rows, seen, strict=True)),
        people=people,
        labels=labels,
        digests=tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in images),
        vectors=np.stack([vector(direction) for _, direction, _ in rows]) if rows else np.zeros((0, 16), np.float32),
        pictures=Pictures.join([picture(image) for image in images]),
        faults=(),
    )


def found(report: Report, kind: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.kind == kind]


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}


CLEAN: list[Row] = [("ann", 0, 1), ("ann", 0, 2), ("ann", 0, 3), ("bob", 1, 4), ("bob", 1, 5), ("bob", 1, 6)]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    report = check(album(CLEAN), threshold=THRESHOLD)
    assert report.findings == ()
    assert (report.photos, report.people, report.suspects()) == (6, 2, {})


def test_a_photo_of_somebody_else_is_named_with_whom_it_looks_like() -> None:
    report = check(album([*CLEAN, ("bob", 0, 7)]), threshold=THRESHOLD)
    (wrong,) = report.findings
    assert (wrong.kind, wrong.people, wrong.photos) == ("wrong_label", ("bob", "ann"), ("all/bob/3",))
    assert wrong.suspects == wrong.photos
    assert wrong.distance == pytest.approx(2)


def test_a_photo_like_nobody_here_is_wrong_too() -> None:
    report = check(album([("ann", 0, 1), ("ann", 0, 2), ("ann", 0, 3), ("ann", 5, 4)]), threshold=THRESHOLD)
    (wrong,) = report.findings
    assert (wrong.kind, wrong.people, wrong.photos) == ("wrong_label", ("ann",), ("all/ann/3",))


def test_several_photos_of_one_stranger_are_all_named() -> None:
    rows = [*CLEAN, *(("ann", 0, scene) for scene in (7, 8)), *(("ann", 5, scene) for scene in (9, 10, 11))]
    wrong = found(check(album(rows), threshold=THRESHOLD), "wrong_label")
    assert [finding.photos for finding in wrong] == [("all/ann/5",), ("all/ann/6",), ("all/ann/7",)]


def test_a_photo_between_two_people_stays_while_it_is_as_usual() -> None:
    """Nearer to another, and within the limit: (0, 1) is 0.59 from both means, once a little nearer to bob's."""
    rows = [*CLEAN, ("ann", (0, 1), 7)]
    assert check(album(rows), threshold=Threshold(0.6, "")).findings == ()
    rows[2] = ("ann", (0, 5), 3)
    assert [f.photos for f in check(album(rows), threshold=Threshold(0.6, "")).findings] == [("all/ann/3",)]
    assert check(album(rows), threshold=Threshold(0.9, "")).findings == ()


def test_labels_are_not_judged_without_a_limit() -> None:
    report = check(album([*CLEAN, ("bob", 0, 7), ("eve", 1, 8)]))
    assert kinds(report) == {"single_photo"}
    assert report.limits.source.startswith("nothing")


def test_one_person_under_two_names_is_one_finding_and_no_wrong_label() -> None:
    """Without the merge every photo of either would be as near to the other as to its own."""
    rows = [*CLEAN, ("anna", 0, 7), ("anna", (0, 9), 8), ("cleo", 3, 9), ("cleo", 3, 10)]
    (same,) = check(album(rows), threshold=THRESHOLD).findings
    assert (same.kind, same.people) == ("same_person", ("ann", "anna"))
    assert same.suspects == ()


def test_wrong_labels_do_not_keep_two_names_of_one_person_apart() -> None:
    rows = [*CLEAN, ("ann", 5, 10), ("ann", 6, 11), ("anna", 0, 7), ("anna", 0, 8), ("cleo", 3, 9), ("cleo", 4, 12)]
    report = check(album(rows), threshold=Threshold(0.9, "made up"))
    assert [f.people for f in found(report, "same_person")] == [("ann", "anna")]
    wrong = [f.photos[0] for f in found(report, "wrong_label")]
    assert wrong == ["all/ann/3", "all/ann/4", "all/cleo/0", "all/cleo/1"]


def test_a_single_photo_can_be_a_second_name() -> None:
    report = check(album([*CLEAN, ("robert", 1, 7)]), threshold=THRESHOLD)
    assert [f.people for f in found(report, "same_person")] == [("bob", "robert")]
    assert [f.photos for f in found(report, "single_photo")] == [("all/robert/0",)]


def test_copies_within_a_person_are_told_and_not_suspect() -> None:
    report = check(album([*CLEAN, ("ann", 0, 3), ("bob", 1, -6)]), threshold=THRESHOLD)
    exact, near = report.findings
    assert (exact.kind, exact.photos, exact.people) == ("duplicate", ("all/ann/2", "all/ann/3"), ("ann",))
    assert (near.kind, near.photos, near.people) == ("near_duplicate", ("all/bob/2", "all/bob/3"), ("bob",))
    assert near.correlation is not None
    assert near.correlation > 0.97
    assert report.suspects() == {}


@pytest.mark.parametrize(("scene_of_copy", "kind"), [(3, "duplicate"), (-3, "near_duplicate")])
def test_of_copies_under_two_people_the_one_that_fits_worse_is_suspect(scene_of_copy: int, kind: str) -> None:
    report = check(album([*CLEAN, ("bob", 0, scene_of_copy)]), threshold=THRESHOLD)
    (copy,) = found(report, kind)
    assert copy.people == ("ann", "bob")
    assert copy.suspects == ("all/bob/3",)
    assert set(report.suspects()) == {"all/bob/3"}


def test_copies_of_one_photo_are_one_finding() -> None:
    rows = [*CLEAN, ("bob", 0, 3), ("cleo", 0, -3), ("cleo", 2, 9), ("cleo", 2, 10), ("cleo", 2, 11)]
    report = check(album(rows), threshold=THRESHOLD)
    (exact,), (near,) = found(report, "duplicate"), found(report, "near_duplicate")
    assert exact.photos == ("all/ann/2", "all/bob/3")
    assert near.photos == ("all/ann/2", "all/cleo/0")  # one of the same files stands for all
    assert set(report.suspects()) == {"all/bob/3", "all/cleo/0"}


def test_a_picture_alike_of_a_face_unlike_is_no_copy() -> None:
    report = check(album([*CLEAN, ("cleo", 2, -3), ("cleo", 2, 8)]), threshold=THRESHOLD)
    assert report.findings == ()


def test_what_two_folders_share() -> None:
    train = album([*CLEAN, ("José_Nuñez", 2, 7), ("José_Nuñez", 2, 8), ("cleo", 3, 9), ("cleo", 3, 10)], "train")
    test = album([("jose nunez", 8, 11), ("x", 0, 12), ("y", 9, 13), ("z", 1, 5), ("z", 1, -4)], "test")
    report = check(train, test, THRESHOLD)
    assert kinds(report) == {"shared_name", "shared_person", "shared_photo"}
    assert [(f.people, f.other_people) for f in found(report, "shared_name")] == [(("José_Nuñez",), ("jose nunez",))]
    pairs = [(f.people, f.other_people) for f in found(report, "shared_person")]
    assert pairs == [(("ann",), ("x",)), (("bob",), ("z",))]
    photos = [(f.photos, f.other_photos) for f in found(report, "shared_photo")]
    assert photos == [(("train/bob/0",), ("test/z/1",)), (("train/bob/1",), ("test/z/0",))]
    assert report.suspects() == {}


def test_one_name_and_one_face_are_one_finding() -> None:
    report = check(album(CLEAN, "a"), album([("ANN", 0, 9)], "b"), THRESHOLD)
    assert [(f.kind, f.other_people) for f in report.findings] == [("shared_name", ("ANN",))]


def test_empty_albums() -> None:
    nothing = album([])
    for a, b in ((nothing, None), (nothing, nothing), (nothing, album(CLEAN)), (album(CLEAN), nothing)):
        assert check(a, b, THRESHOLD).findings == ()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("José_Nuñez", "jose nunez"),
        ("  ANN-Marie  Lee", "ann marie lee"),
        ("王 伟", "王 伟"),
        ("Straße", "strasse"),
        ("?", "?"),
    ],
)
def test_plain_names(name: str, plain: str) -> None:
    assert plain_name(name) == plain


# ------------------------------------------------------------------------------------------------------------- gather


def photo(path: Path, direction: int, which: int) -> Photo:
    path.write_bytes(scene(which).tobytes())
    face = Face(scene(which), (0, 0, 1, 1), np.zeros((5, 2), np.float32), 1)
    return Photo(path, (face,), vector(direction)[None])


def test_gather_keeps_the_usable_and_names_the_others(tmp_path: Path) -> None:
    none = np.zeros((0, 16), np.float32)
    photos = [
        photo(tmp_path / "a", 0, 1),
        Photo(tmp_path / "b", (), none, ImageError("b: broken; mend it")),
        photo(tmp_path / "c", 1, 2),
        Photo(tmp_path / "d", (), none, NoFaceError("d: no face; use another")),
    ]
    taken = gather(["x/bob/a", "x/ann/b", "x/ann/c", "x/cleo/d"], ["bob", "ann", "ann", "cleo"], photos, 16)
    assert (taken.keys, taken.people, taken.labels.tolist()) == (("x/bob/a", "x/ann/c"), ("ann", "bob"), [1, 0])
    np.testing.assert_array_equal(taken.vectors, [vector(0), vector(1)])
    assert taken.digests[0] == hashlib.sha256(scene(1).tobytes()).hexdigest()
    np.testing.assert_array_equal(taken.pictures.small[1], picture(scene(2)).small[0])
    unreadable, no_face = taken.faults
    assert (unreadable.kind, unreadable.photos, unreadable.suspects) == ("unreadable", ("x/ann/b",), ("x/ann/b",))
    assert (no_face.kind, no_face.reason, no_face.suspects) == ("no_face", "d: no face; use another", ())


def test_faults_of_the_other_folder_are_not_this_ones_suspects(tmp_path: Path) -> None:
    broken = Photo(tmp_path / "b", (), np.zeros((0, 16), np.float32), ImageError("b: broken; mend it"))
    other = gather(["all/ann/b"], ["ann"], [broken], 16)
    report = check(album(CLEAN), other, THRESHOLD)
    (fault,) = report.findings
    assert (fault.kind, fault.photos, fault.other_photos) == ("unreadable", (), ("all/ann/b",))
    assert report.suspects() == {}
    assert set(check(other, None, THRESHOLD).suspects()) == {"all/ann/b"}


# ------------------------------------------------------------------------------------------------------------- report


def test_exclusions_are_read_back_as_the_suspects(tmp_path: Path) -> None:
    report = check(album([*CLEAN, ("bob", 0, 3)], "Çelik 王"), threshold=THRESHOLD)
    path = tmp_path / "suspects.txt"
    path.write_text(report.exclusions(), "utf-8")
    assert read_exclusions(path) == {"Çelik 王/bob/3"} == set(report.suspects())
    comments = [line for line in report.exclusions().splitlines() if line.startswith("#")]
    assert [line.split()[1] for line in comments[1:]] == ["duplicate:", "wrong_label:"]


def test_a_key_of_two_lines_is_only_told() -> None:
    finding = Finding("unreadable", ("a",), ("f/a\nb/1",), "f/a\nb/1: broken", ("f/a\nb/1",))
    text = Report(0, 0, (finding,), check(album([])).limits).exclusions()
    assert [line for line in text.splitlines() if not line.startswith("#")] == []
    assert "f/a\\nb/1" in text


def test_a_report_counts_every_kind_in_order() -> None:
    report = check(album([*CLEAN, ("bob", 0, 3), ("eve", 8, 9)]), threshold=THRESHOLD)
    assert tuple(report.counts()) == KINDS
    assert {kind: n for kind, n in report.counts().items() if n} == {
        "duplicate": 1,
        "single_photo": 1,
        "wrong_label": 1,
    }
    assert [f.kind for f in report.findings] == sorted(kinds(report), key=KINDS.index)
