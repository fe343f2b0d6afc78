"""Removals that are proved, where files are left or encrypted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from toy_gallery import opened, template, vector

from facerec.gallery.gallery import Gallery
from facerec.gallery.maintenance import keep_crops
from facerec.gallery.proof import remove_and_prove


def fill(gallery: Gallery) -> None:
    keep_crops(gallery.store, True)
    for number in range(6):
        name = "Ann Zebra" if number % 2 else "Bob Ray"
        crop = np.random.default_rng(number).integers(0, 256, (112, 112, 3), np.uint8)  # larger than a page of SQLite
        gallery.add(name, replace(template(number), source=f"{name}/{number}.jpg", crop=crop))
    gallery.set_consent("Ann Zebra", "signed on paper")
    gallery.search(vector(0)[None], 1)


def test_what_is_left_is_told(tmp_path: Path) -> None:
    """For example in a file that somebody else put there."""
    with opened(tmp_path) as gallery:
        fill(gallery)
        (tmp_path / "copy.db").write_bytes((tmp_path / "gallery.db-wal").read_bytes())
        proof = remove_and_prove(gallery.store, "Ann Zebra")
        assert not proof.nothing_left
        assert {trace.kind for trace in proof.traces if trace.after} >= {"vectors", "name"}


def test_an_encrypted_gallery_shows_nothing_before_either(tmp_path: Path, encrypted: str) -> None:
    with opened(tmp_path / "gallery") as gallery:
        fill(gallery)
        proof = remove_and_prove(gallery.store, "Ann Zebra")
        assert {(trace.before, trace.after) for trace in proof.traces} == {(0, 0)}
        assert (proof.encrypted, proof.nothing_left, proof.problems) == (True, True, ())
