"""Crops in galleries of older formats, and in copies of the database."""

import shutil
import tempfile
from pathlib import Path

import pytest
import toy_model
from running import run
from surroundings import as_a_user_who_may_only_read
from toy_gallery import make_format_4, sql
from toy_migration import (
    ByHand,
    fill,
    require_of,
    run_all,
)

from facerec.errors import GalleryError
from facerec.gallery.enrolled import crops as kept_crops
from facerec.gallery.erasure import data_may_remain
from facerec.gallery.gallery import Gallery
from facerec.gallery.maintenance import keep_crops
from facerec.recognition.identify import open_gallery

# -------------------------------------------------------------------------------------------------- kept crops


# -------------------------------------------------------------------------------------------------- removal


def test_the_old_models_vectors_are_in_the_rollback_copy_only(folder: Path, old: ByHand, new: ByHand) -> None:
    with open_gallery(folder, old) as gallery:
        gallery.search(old.embed(toy_model.crop(0, 0)[None]), 1)
    run_all(folder, new)
    row = old.embed(toy_model.crop(0, 0)[None]).tobytes()
    assert {path.name for path in folder.iterdir() if row in path.read_bytes()} == {"gallery.db.rollback"}


# -------------------------------------------------------------------------------------------------- the older format


def make_format_3(folder: Path) -> None:
    make_format_4(folder)
    drop = [f"DROP TABLE {table}" for table in ("keeping", "crops", "renewal")]
    sql(folder, *drop, "PRAGMA user_version = 3", "PRAGMA wal_checkpoint(TRUNCATE)")


def test_a_gallery_of_format_3_is_brought_up_to_date_and_keeps_its_copies(
    folder: Path, tmp_path: Path, old: ByHand, new: ByHand
) -> None:
    make_format_3(folder)
    shutil.copy(folder / "gallery.db", folder / "gallery.db.backup")
    shutil.copy(folder / "gallery.db", folder / "gallery.db.rollback")
    with open_gallery(folder, old) as gallery:
        assert (folder / "gallery.db.rollback").exists()
        (upgraded,) = [entry for entry in gallery.log()[0] if entry.action == "upgraded"]
        assert upgraded.facts == {"format": 3, "people": 3}
        assert not data_may_remain(gallery.store)
        assert gallery.check().problems == ()
    assert run("gallery", "restore", "--from", "rollback", gallery=folder).exit_code == 0
    require_of(old, folder, tmp_path / "photos")
    assert run_all(folder, new)[1].migrated


def test_a_gallery_of_format_3_that_may_only_be_read(tmp_path: Path, old: ByHand) -> None:
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name), tmp_path / "photos", old)
        make_format_3(Path(name))
        with as_a_user_who_may_only_read(Path(name)), Gallery.open(Path(name)) as gallery:
            assert kept_crops(gallery.store, "Bob Ray") == [None, None]
            assert gallery.check().problems == ()
            for change in (lambda: keep_crops(gallery.store, True), lambda: gallery.remove("Bob Ray")):
                with pytest.raises(GalleryError, match="make the gallery's folder writable"):
                    change()


# -------------------------------------------------------------------------------------------------- as pictures
