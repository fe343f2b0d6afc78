"""Galleries and the files of their exports. A test changes its own."""

from pathlib import Path

import pytest
from toy_gallery import opened, template


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    with opened(folder) as gallery:
        for number, name in enumerate(("Ann Lee", "Çelik 王", "Ann Lee")):
            gallery.add(name, template(number))
        gallery.set_consent("Ann Lee", "signed; see drawer 3", "2031-01-31")
    return folder


@pytest.fixture
def file(source: Path, tmp_path: Path) -> Path:
    with opened(source) as gallery:
        gallery.export(tmp_path / "club.npz")
    return tmp_path / "club.npz"


@pytest.fixture
def vetoed(source: Path, tmp_path: Path) -> Path:
    """The file of a gallery where photos 50 and 51 are not Ann Lee, and Ann Lee and Çelik are two people."""
    with opened(source) as gallery:
        for number in (50, 51):
            gallery.veto("Ann Lee", template(number))
        gallery.set_apart("Ann Lee", "Çelik 王")
        gallery.export(tmp_path / "vetoed.npz")
    return tmp_path / "vetoed.npz"
