"""Unknown faces in an encrypted gallery."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from killing import everything_in
from toy_gallery import opened, template, vector

from facerec.gallery.address import Place
from facerec.gallery.encryption import decrypt
from facerec.gallery.unknown_faces import keep
from facerec.photos.crops import encode_png
from facerec.types import Image, Template

PHOTO, TODAY, DAY = "ab" * 32, datetime.now(UTC).date().isoformat(), "2031-12-30"


def crop(number: int) -> Image:
    return np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)


def face(number: int, of: np.ndarray | None = None) -> Template:
    """An unknown face with a crop and a source of its own."""
    row = vector(number) if of is None else of
    return replace(template(number), source=f"visitor {number}.jpg", crop=crop(number), vector=row)


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


def test_they_are_encrypted_where_the_gallery_is(tmp_path: Path, encrypted: str) -> None:
    with opened(tmp_path / "gallery") as gallery:
        gallery.add("Ann", template(0))
        keep(gallery.store, PHOTO, [face(10)], DAY)
        assert left_of(gallery.folder, face(10)) == []
    assert left_of(tmp_path / "gallery", face(10)) == []
    decrypt(tmp_path / "gallery")
    assert len(left_of(tmp_path / "gallery", face(10))) == 4
