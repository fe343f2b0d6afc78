"""What may be a person's name, or a folder's: whatever they are called, and no line that lies about it."""

import os
from pathlib import Path

import numpy as np
import pytest
from toy_gallery import nearest, opened, template, vector

from facerec.errors import GalleryError
from facerec.gallery.backup import restore
from facerec.gallery.enrolled import name_of

UNFIT = {
    **dict.fromkeys(
        ["\u202eevil", "a\u2066b\u2069", "\u200b", "\ufeff\u200d", "\u00ad \u200b"], "cannot be a person's name"
    ),
    **dict.fromkeys(
        ["unknown", " Unknown", "UNKNOWN"], "is the answer for strangers, not a person's name; give another"
    ),
}  # what turns the writing or shows nothing, and what is answered of nobody
ODD = [
    "../x", "/etc/passwd", ".", "--help", "%s{0}", "'; DROP TABLE people; --", "\U0001f469\u200d\U0001f467",
    "\u0645\u0631\u064a\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "a\u0300" * 200, "x" * 200,
]  # fmt: skip


@pytest.mark.parametrize("name", UNFIT, ids=ascii)
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    with opened(tmp_path / "g") as gallery:
        with pytest.raises(GalleryError, match=UNFIT[name]):
            gallery.add(name, template(0))
        gallery.add("Unknown soldier", template(0))
        with pytest.raises(GalleryError, match=UNFIT[name]):
            gallery.rename("Unknown soldier", name)
        assert [person.name for person in gallery.people()] == ["Unknown soldier"]


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_name_is_nothing_but_a_name(tmp_path: Path, name: str) -> None:
    """No path, option or format; right-to-left scripts, joined letters and emoji are as good as any."""
    with opened(tmp_path / "g") as gallery:
        gallery.add(name, template(0))
        assert nearest(gallery, 0) == name_of(gallery.store, name)
        gallery.rename(name, "Ann")
        gallery.rename("Ann", name)
    files = {"g", "gallery.db", "gallery.db.backup", "people.cache", "removal"}
    assert {path.name for path in tmp_path.rglob("*")} <= files
    with opened(tmp_path / "g") as gallery:
        assert gallery.remove(name) == 1


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"%41?mode=ro#", b" "], ids=ascii)
def test_a_gallery_lies_in_a_folder_of_any_name(tmp_path: Path, name: bytes) -> None:
    """File names are bytes, of Latin-1 as well as of UTF-8."""
    folder = tmp_path / os.fsdecode(name)
    with opened(folder) as gallery:
        for number, person in enumerate(("Ann", "Bob")):
            gallery.add(person, template(number))
        gallery.set_calibration(strangers=np.stack([vector(n) for n in range(50, 70)]), source="visitors")
        calibration = gallery.calibration()
        assert calibration is not None
        assert calibration.strangers == 20
        gallery.remove("Bob")
        assert gallery.check().problems == ()
    (folder / "gallery.db").unlink()
    restore(folder)
    with opened(folder) as gallery:
        assert nearest(gallery, 0) == "Ann"
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
