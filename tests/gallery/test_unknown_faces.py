"""Faces of nobody are kept for some days, and then, or when they must, they leave every file of the gallery."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from killing import everything_in
from running import json_lines, run
from toy_gallery import opened, template, vector
from toy_vectors import near

from facerec.errors import ConfigError, GalleryError, NotKeptError, UnknownPersonError
from facerec.gallery.address import Place
from facerec.gallery.archive_file import read_archive
from facerec.gallery.erasure import expire, plan_removal, unknown_past
from facerec.gallery.gallery import Gallery
from facerec.gallery.maintenance import keep_crops
from facerec.gallery.unknown_faces import crop_of, forget, keep, kept_faces, last_day
from facerec.photos.crops import encode_png
from facerec.types import Image, Template

PHOTO, TODAY, DAY = "ab" * 32, datetime.now(UTC).date().isoformat(), "2031-12-30"


def crop(number: int) -> Image:
    return np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)


def face(number: int, of: np.ndarray | None = None) -> Template:
    """An unknown face with a crop and a source of its own."""
    row = vector(number) if of is None else of
    return replace(template(number), source=f"visitor {number}.jpg", crop=crop(number), vector=row)


def last_day_was(gallery: Gallery, number: int, day: str) -> None:
    """Let a face have been kept until this day."""
    with gallery.store.write() as db:
        db.execute("UPDATE unknown_faces SET until = ? WHERE photo_hash = ?", (day, face(number).photo_hash))


def left_of(folder: Place, *faces: Template) -> list[str]:
    """What is still in a file of the folder."""
    content, found = everything_in(folder), []
    for each in faces:
        assert each.crop is not None
        parts = {"vector": each.vector.tobytes(), "source": each.source.encode(), "crop": encode_png(each.crop)}
        found += [f"{each.source}: {name}" for name, part in parts.items() if part in content]
        found += [f"{each.source}: hash"] if each.photo_hash.encode() in content else []
    return found


@pytest.fixture
def gallery(tmp_path: Path):
    with opened(tmp_path / "gallery") as gallery:
        gallery.add("Ann", template(0))
        gallery.add("Bob", template(1))
        yield gallery


def test_what_is_kept_comes_back_newest_first(gallery: Gallery) -> None:
    assert keep(gallery.store, PHOTO, [face(10), face(11)], DAY) == 2
    assert keep(gallery.store, "cd" * 32, [face(11), face(12)], "2031-01-01", "ann".title()) == 1, "one is kept already"
    found = kept_faces(gallery.store)
    assert [each.photo_hash for each in found] == [face(n).photo_hash for n in (12, 11, 10)]
    assert [each.claimed for each in found] == ["Ann", None, None]
    assert [each.until for each in found] == ["2031-01-01", DAY, DAY]
    assert found[1].photo == PHOTO
    assert found[1].box == (1.5, 2, 30, 40)
    assert np.array_equal(found[1].vector, vector(11))
    assert np.array_equal(crop_of(gallery.store, found[1].number), crop(11))
    with pytest.raises(NotKeptError, match="not kept any more"):
        crop_of(gallery.store, 99)
    assert gallery.log()[0][-1].facts == {"faces": 1}
    assert gallery.check().problems == ()
    assert gallery.templates == 2


def test_nobody_is_kept_who_is_enrolled_or_was_removed(gallery: Gallery) -> None:
    gallery.add("Cy", face(20))
    gallery.remove("Cy")
    assert keep(gallery.store, PHOTO, [replace(face(0)), face(20)], DAY) == 0
    assert keep(gallery.store, face(20).photo_hash, [face(21)], DAY) == 0, "another face of the photo that was removed"
    with pytest.raises(UnknownPersonError):
        keep(gallery.store, PHOTO, [face(22)], DAY, "Nobody")
    with pytest.raises(GalleryError, match=r"visitor 23.jpg: the face's vector has 3 numbers instead of 16"):
        keep(gallery.store, PHOTO, [face(23, np.ones(3, np.float32))], DAY)
    assert kept_faces(gallery.store) == []


@pytest.mark.parametrize("how", ["all", "one by one", "expire", "crops", "crowded", "over"])
def test_forgotten_means_out_of_every_file(gallery: Gallery, how: str) -> None:
    folder, faces = gallery.folder, [face(number) for number in range(10, 14)]
    keep(gallery.store, PHOTO, faces, DAY if how == "crowded" else TODAY)
    gallery.close()
    with opened(folder) as gallery:
        assert len(left_of(folder, *faces)) == 16, "the search for bytes finds them while they are there"
        if how == "all":
            assert forget(gallery.store) == 4
        elif how == "one by one":
            assert [forget(gallery.store, [each.number]) for each in kept_faces(gallery.store)] == [1] * 4
        elif how == "expire":
            assert (unknown_past(gallery.store), unknown_past(gallery.store, "2999-01-01")) == (0, 4)
            assert expire(gallery.store, "2999-01-01") == []
        elif how == "crops":
            keep_crops(gallery.store, True)
            keep_crops(gallery.store, False)
        elif how == "over":
            for number in range(10, 14):
                last_day_was(gallery, number, "2020-01-01")
            assert keep(gallery.store, "cd" * 32, [face(30)], DAY) == 1
        else:
            assert keep(gallery.store, "cd" * 32, [face(number) for number in range(30, 34)], DAY, most=5) == 4
            assert len(kept_faces(gallery.store)) == 4, (
                "the oldest go, until there are no more than three quarters of 5"
            )
        assert left_of(folder, *faces) == []
        assert gallery.check().problems == ()
        assert gallery.templates == 2
    assert left_of(folder, *faces) == []


@pytest.mark.parametrize("how", ["remove", "expire"])
def test_a_person_takes_the_faces_along_that_are_like_theirs(gallery: Gallery, how: str) -> None:
    """A face that was enrolled is unknown no more; others of the same person are not left behind when they go."""
    mine = [face(10), face(11, near(vector(10), 0.5)), face(12, near(vector(10), 1.0))]
    others = [face(13, near(vector(10), 1.2)), face(14)]
    keep(gallery.store, PHOTO, [*mine, *others], DAY)
    gallery.add("Cy Young", mine[0])
    assert len(kept_faces(gallery.store)) == 4
    gallery.set_consent("Cy Young", until="2020-01-01")
    assert plan_removal(gallery.store, "Cy Young").unknown == 2
    shown = run("gallery", "remove", "Cy Young", "--dry-run", gallery=gallery.folder).stdout
    assert "    2 unknown faces like theirs\n" in shown
    assert gallery.remove("Cy Young") == 1 if how == "remove" else gallery.expire()[0].name == "Cy Young"
    assert left_of(gallery.folder, *mine) == []
    assert [each.photo_hash for each in kept_faces(gallery.store)] == [face(n).photo_hash for n in (14, 13)]


def test_a_photo_takes_along_only_the_face_that_is_in_it(gallery: Gallery) -> None:
    keep(gallery.store, PHOTO, [face(10, vector(0)), face(11, near(vector(0), 0.3))], DAY)
    gallery.add("Ann", template(5))
    gallery.remove("Ann", Path("photos/0.jpg"))
    assert [each.photo_hash for each in kept_faces(gallery.store)] == [face(11).photo_hash]


def test_a_face_that_was_held_back_goes_with_whom_it_was_to_be(gallery: Gallery) -> None:
    keep(gallery.store, PHOTO, [face(10)], DAY, "Ann")
    gallery.merge("Ann", "Bob")
    assert [each.claimed for each in kept_faces(gallery.store)] == ["Bob"]
    gallery.remove("Bob")
    assert left_of(gallery.folder, face(10)) == []


def test_expire_tells_of_them(gallery: Gallery) -> None:
    keep(gallery.store, PHOTO, [face(10), face(11)], DAY)
    last_day_was(gallery, 10, "2020-01-01")
    gallery.close()
    (line,) = json_lines(run("gallery", "expire", "--dry-run", "--json", gallery=gallery.folder))
    assert line == {"unknown_faces": 1, "removed": False}
    assert run("gallery", "expire", gallery=gallery.folder).stdout == "1 unknown face: forgotten.\n"
    with opened(gallery.folder) as again:
        assert [each.photo_hash for each in kept_faces(again.store)] == [face(11).photo_hash]


def test_they_do_not_travel(gallery: Gallery, tmp_path: Path) -> None:
    keep(gallery.store, PHOTO, [face(10)], DAY)
    gallery.export(tmp_path / "club.npz")
    assert left_of(tmp_path / "gallery", face(10)) != []
    assert face(10).vector.tobytes() not in (tmp_path / "club.npz").read_bytes()
    assert len(read_archive(tmp_path / "club.npz").people) == 2


def test_a_damaged_face_is_named_and_can_be_forgotten(gallery: Gallery) -> None:
    keep(gallery.store, PHOTO, [face(10), face(11)], DAY)
    with gallery.store.write() as db:
        db.execute("UPDATE unknown_faces SET checksum = checksum + 1 WHERE photo_hash = ?", (face(10).photo_hash,))
    said = "the unknown face of visitor 10.jpg is not what was stored; `facerec gallery restore` brings back a backup"
    with pytest.raises(GalleryError, match=said):
        kept_faces(gallery.store)
    assert gallery.check().problems[0].startswith(said)
    gallery.remove("Ann")
    assert left_of(gallery.folder, face(10)) == [], "nobody can tell whose it is, so it goes, too"
    assert len(kept_faces(gallery.store)) == 1


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_an_odd_number_of_days_is_refused(days: int) -> None:
    with pytest.raises(ConfigError, match=f"`keep_unknown` must be 1 to 3650 days, not {days}"):
        last_day(days)
