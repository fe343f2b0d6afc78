"""images.py: walking folders of photos, through links and past what may not be read."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_images import error_of

from facerec.errors import DataError, ImageError
from facerec.photos.folders import find_photos, identity_folders, photo_hash, without_copies
from facerec.photos.memory import count_copies


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder that everybody may read; until the test is over this process is nobody, to whom permissions apply."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        before = os.geteuid()
        if before == 0:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            os.seteuid(before)


def test_a_closed_folder_hides_nothing_beside_it(nobody: Path) -> None:
    _album(nobody, ["Ann Lee/1.jpg", "Bob/2.jpg", "Bob/deep/3.jpg", "Cy/4.jpg"])
    closed = [nobody / "Bob" / "deep", nobody / "Cy"]
    for folder in closed:
        folder.chmod(0)
    try:
        assert find_photos(nobody) == sorted([nobody / "Ann Lee" / "1.jpg", nobody / "Bob" / "2.jpg", *closed])
        assert identity_folders(nobody)["Cy"] == [nobody / "Cy"]
        for folder in closed:
            assert "cannot be read (Permission denied)" in error_of(folder)
            with pytest.raises(ImageError, match="Permission denied"):
                photo_hash(folder)
            with pytest.raises(DataError, match="Permission denied"):
                find_photos(folder)
    finally:
        for folder in closed:
            folder.chmod(0o700)


def _album(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_find_photos(tmp_path: Path) -> None:
    _album(tmp_path, ["b.JPG", "a.png", "sub/c.heic", ".hidden.jpg", ".cache/d.jpg", "notes.txt", "sub/e", "jpg"])
    (tmp_path / "z.jpg").mkdir()
    assert [p.relative_to(tmp_path).as_posix() for p in find_photos(tmp_path)] == ["a.png", "b.JPG", "sub/c.heic"]


def test_identity_folders(tmp_path: Path) -> None:
    _album(tmp_path, ["Bo/2.jpg", "Bo/1.jpg", "Ann Lee/deep/x.jpg", "Nobody/readme.txt", ".git/a.jpg", "loose.jpg"])
    people = identity_folders(tmp_path)
    assert list(people) == ["Ann Lee", "Bo", "Nobody"]
    assert [p.name for p in people["Bo"]] == ["1.jpg", "2.jpg"]
    assert [p.name for p in people["Ann Lee"]] == ["x.jpg"]
    assert people["Nobody"] == []


def test_links_to_photos_and_folders_are_followed_by_every_walk(tmp_path: Path) -> None:
    _album(tmp_path, ["far/Ann/1.jpg", "far/Ann/deep/2.jpg", "far/3.jpg", "far/4.jpg", "people/Bob/5.jpg"])
    people = tmp_path / "people"
    (people / "Ann").symlink_to("../far/Ann")
    (people / "Bob" / "more").symlink_to("../../far/Ann/deep")
    (people / "Bob" / "3.jpg").symlink_to(tmp_path / "far" / "3.jpg")
    (people / "4.jpg").symlink_to("../far/4.jpg")
    (people / "gone.jpg").symlink_to("nowhere")
    (people / ".hidden").symlink_to("../far")
    (tmp_path / "way in").symlink_to("people")
    for root in (people, tmp_path / "way in"):
        ann, bob = ["1.jpg", "deep/2.jpg"], ["3.jpg", "5.jpg", "more/2.jpg"]
        expected = {"Ann": [root / "Ann" / name for name in ann], "Bob": [root / "Bob" / name for name in bob]}
        assert identity_folders(root) == expected
        loose = [root / "4.jpg", root / "gone.jpg"]
        assert find_photos(root) == sorted([*loose, *expected["Ann"], *expected["Bob"]])
    assert "no such file" in error_of(people / "gone.jpg")


def test_links_that_lead_back_end_every_walk(tmp_path: Path) -> None:
    """Nobody gets the photos of the others; and the way back may lead through a link."""
    _album(tmp_path, ["people/Ann/1.jpg", "people/Bob/2.jpg", "far/Cy/3.jpg", "far/Dan/4.jpg"])
    people = tmp_path / "people"
    (people / "Cy").symlink_to("../far/Cy")
    for place in ("people/all", "people/Ann/up", "far/Cy/up"):
        (tmp_path / place).symlink_to("..")
    (people / "Ann" / "self").symlink_to(".")
    (people / "Ann" / "top").symlink_to("/")
    (people / "knot").symlink_to("knot")
    (people / "knot.jpg").symlink_to("knot.jpg")
    own = {"Ann": [people / "Ann" / "1.jpg"], "Bob": [people / "Bob" / "2.jpg"], "Cy": [people / "Cy" / "3.jpg"]}
    assert identity_folders(people) == {**own, "all": []}
    assert find_photos(people) == sorted([*own["Ann"], *own["Bob"], *own["Cy"], people / "knot.jpg"])
    assert "cannot be read" in error_of(people / "knot.jpg")


def test_folders_that_all_lead_to_each_other_are_walked_once(tmp_path: Path) -> None:
    """Paths without a repetition there are 12! and more of them."""
    names = [f"20{i:02}" for i in range(12)]  # several folders of one person are called by dates
    _album(tmp_path, [f"{name}/x/1.jpg" for name in names])
    for name in names:
        for other in names:
            (tmp_path / name / "x" / other).symlink_to(tmp_path / other / "x")
    people = identity_folders(tmp_path)
    assert {name: len(photos) for name, photos in people.items()} == dict.fromkeys(names, 12)
    assert len(find_photos(tmp_path)) == 12 * 12


def test_a_link_to_where_one_may_not_look_is_named(nobody: Path) -> None:
    _album(nobody, ["closed/Ann/1.jpg", "people/Bob/2.jpg"])
    (nobody / "people" / "Ann").symlink_to(nobody / "closed" / "Ann")
    (nobody / "closed").chmod(0)
    try:
        bob = nobody / "people" / "Bob" / "2.jpg"
        assert find_photos(nobody / "people") == [nobody / "people" / "Ann", bob]
        assert identity_folders(nobody / "people") == {"Ann": [nobody / "people" / "Ann"], "Bob": [bob]}
        assert "Permission denied" in error_of(nobody / "people" / "Ann")
    finally:
        (nobody / "closed").chmod(0o700)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    _album(tmp_path, ["a.jpg", "texts/a.txt"])
    with pytest.raises(DataError, match=r"no folders with photos.*Ann Lee"):
        identity_folders(tmp_path)
    for walk in (find_photos, identity_folders):
        for name in ("missing", "a.jpg"):
            with pytest.raises(DataError, match="give a readable folder of photos"):
                walk(tmp_path / name)


def test_copies_are_known_by_their_bytes(tmp_path: Path) -> None:
    for name, content in (
        ("a/1.jpg", "x"),
        ("a/2.jpg", "y"),
        ("b/other.jpg", "x"),
        ("b/same.jpg", "x"),
        ("b/3.jpg", "z"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    first, second = ([*find_photos(tmp_path / folder), tmp_path / "gone.jpg"] for folder in "ab")
    assert count_copies(second, first) == 2
    assert count_copies(first, second) == 1
    assert without_copies([*first, *second]) == [*first, tmp_path / "b" / "3.jpg"]
    assert count_copies([], first) == count_copies(first, []) == 0
