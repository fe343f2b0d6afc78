"""Marks of removed photos in older formats."""

import hashlib
from pathlib import Path

import toy_fixtures
from toy_gallery import make_format_6, rows

from facerec.gallery.audit_log import utc_now
from facerec.gallery.gallery import Gallery
from facerec.gallery.removed import note_removed, was_removed

folder = toy_fixtures.few_people
PHOTOS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]


def days_of(gallery: Gallery) -> list[str | None]:
    with gallery.store.read() as db:
        return [was_removed(db, photo) for photo in PHOTOS]


def test_an_older_gallery_has_none_and_gets_a_key(folder: Path) -> None:
    make_format_6(folder)
    with Gallery.open(folder) as gallery:
        with gallery.store.write() as db:
            note_removed(db, PHOTOS[:1])
        assert days_of(gallery) == [utc_now()[:10], None, None]
    assert rows(folder, "SELECT length(key) FROM removed_key") == [(32,)]
