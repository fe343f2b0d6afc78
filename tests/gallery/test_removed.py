"""Photos of removed people are remembered by keyed marks, which hold nothing of the photo."""

import hashlib
import hmac
from pathlib import Path

import toy_fixtures
from killing import everything_in
from toy_gallery import opened, rows, template

from facerec.gallery.audit_log import utc_now
from facerec.gallery.gallery import Gallery
from facerec.gallery.removed import forget_removed, note_removed, removed_for, was_removed
from facerec.text import name_key

folder = toy_fixtures.few_people
PHOTOS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]


def days_of(gallery: Gallery) -> list[str | None]:
    with gallery.store.read() as db:
        return [was_removed(db, photo) for photo in PHOTOS]


def test_photos_are_noted_and_forgotten(folder: Path) -> None:
    with Gallery.open(folder) as gallery:
        assert days_of(gallery) == [None] * 3
        for _ in range(2):
            with gallery.store.write() as db:
                note_removed(db, PHOTOS[:2])
        assert days_of(gallery) == [utc_now()[:10], utc_now()[:10], None]
        with gallery.store.write() as db:
            forget_removed(db, [PHOTOS[0], PHOTOS[2]])
        assert days_of(gallery) == [None, utc_now()[:10], None]
        assert gallery.check().problems == ()


def test_a_mark_is_made_with_the_gallerys_own_key(folder: Path, tmp_path: Path) -> None:
    with Gallery.open(folder) as gallery, gallery.store.write() as db:
        note_removed(db, PHOTOS)
    marks = {mark for (mark,) in rows(folder, "SELECT mark FROM removed")}
    ((key,),) = rows(folder, "SELECT key FROM removed_key")
    assert marks == {hmac.new(key, photo.encode(), hashlib.sha256).digest() for photo in PHOTOS}
    opened(tmp_path / "other").close()
    assert rows(tmp_path / "other", "SELECT length(key), key FROM removed_key")[0] not in [(32, key), (0, b"")]
    content = everything_in(folder)
    for photo in PHOTOS:
        assert photo.encode() not in content
        assert bytes.fromhex(photo) not in content


NAMES = ["Arnold Lee", "lee_arnold", "ArnoldLee", "Ronald Lee", "Colin"]


def held_for(gallery: Gallery) -> list[str]:
    """Return the names as which the photo is not enrolled unasked."""
    with gallery.store.read() as db:
        return [name for name in NAMES if removed_for(db, template(0).photo_hash, name)]


def test_a_photo_taken_out_of_one_person_may_be_of_another_with_the_same_letters(tmp_path: Path) -> None:
    for name in NAMES[:3]:
        with opened(tmp_path / name) as gallery:
            gallery.add(name, template(0))
            gallery.add(name, template(1))
            gallery.remove(name, Path("photos/0.jpg"))
            assert held_for(gallery) == NAMES[:3], "another spelling is the same name"
            assert gallery.add(name, template(0))
            assert held_for(gallery) == []


def test_marks_of_older_galleries_count(tmp_path: Path) -> None:
    """They were of the letters of a name, so that they hold back every name that has these letters."""
    with opened(tmp_path) as gallery:
        with gallery.store.write() as db:
            note_removed(db, [f"{template(0).photo_hash} {name_key('Arnold Lee')}"])
        assert held_for(gallery) == NAMES[:4]
        gallery.add("Ronald Lee", template(0))
        assert held_for(gallery) == []


def test_marks_of_older_galleries_hold_back_no_anagram_of_somebody_who_is_enrolled(tmp_path: Path) -> None:
    with opened(tmp_path) as gallery:
        gallery.add("Arnold Lee", template(1))
        ((number,),) = rows(tmp_path, "SELECT id FROM people")
        hashed = template(0).photo_hash
        with gallery.store.write() as db:
            note_removed(db, [f"{hashed} {name_key('Arnold Lee')}", f"{hashed} #{number}"])
        assert held_for(gallery) == NAMES[:3]
        gallery.remove("Arnold Lee")
        assert held_for(gallery) == NAMES[:4], "nobody knows any more which of the names it was"
