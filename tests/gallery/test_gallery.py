"""The gallery as its users need it; accidents are in test_database."""

import os
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import toy_fixtures
from toy_gallery import DIMENSION, MODEL, nearest, opened, rows, sql, template, vector

from facerec.errors import DamagedGalleryError, ForeignModelError, GalleryError, UnknownPersonError
from facerec.gallery.gallery import Gallery
from facerec.gallery.maintenance import rebuild
from facerec.gallery.people_cache import save
from facerec.gallery.people_file import PeopleFile
from facerec.search.people import PeopleIndex
from facerec.types import Template, Threshold

folder = toy_fixtures.not_made_yet


@pytest.fixture
def gallery(folder: Path) -> Iterator[Gallery]:
    with opened(folder) as gallery:
        yield gallery


# ---------------------------------------------------------------------------------------------------- everyday use


def test_enrolled_people_are_found_listed_and_shown(gallery: Gallery) -> None:
    assert [
        gallery.add("Bob Ray", template(0)),
        gallery.add("Ann Lee", template(1)),
        gallery.add("Bob Ray", template(2)),
    ]
    found = gallery.search(np.stack([vector(2), vector(1)]), 5)
    assert [[c.person for c in row] for row in found] == [["Bob Ray", "Ann Lee"], ["Ann Lee", "Bob Ray"]]
    assert found[1][0].distance == pytest.approx(0, abs=4e-6)
    bob = (vector(0) + vector(2)) / np.linalg.norm(vector(0) + vector(2))
    assert found[0][0].distance == pytest.approx(((bob - vector(2)) ** 2).sum(), abs=4e-6)
    names, means = gallery.mean_templates()
    assert names == ("Bob Ray", "Ann Lee")
    np.testing.assert_allclose(means, [bob, vector(1)], atol=1e-6)
    assert [(p.name, p.templates) for p in gallery.people()] == [("Ann Lee", 1), ("Bob Ray", 2)]
    assert (len(gallery), gallery.templates) == (2, 3)
    shown = gallery.show("Bob Ray")
    assert [(s.photo_hash, s.source) for s in shown] == [(f"{n:064x}", f"photos/{n}.jpg") for n in (0, 2)]
    assert (shown[0].box, shown[0].quality) == ((1.5, 2, 30, 40), 0.99)
    assert abs(time.time() - time.mktime(time.strptime(shown[0].enrolled, "%Y-%m-%dT%H:%M:%SZ")) + time.timezone) < 60


def test_nobody_enrolled_finds_nobody(gallery: Gallery) -> None:
    assert gallery.search(np.stack([vector(0), vector(1)]), 5) == [[], []]
    assert gallery.search(np.empty((0, DIMENSION), np.float32), 5) == []
    assert (len(gallery), gallery.templates, gallery.people()) == (0, 0, [])


def test_the_same_photo_twice_is_skipped(gallery: Gallery) -> None:
    assert gallery.find_photo(template(0).photo_hash) is None
    assert gallery.add("Ann Lee", template(0))
    assert not gallery.add(" Ann Lee\t", template(0))
    assert gallery.find_photo(template(0).photo_hash) == "Ann Lee"
    with pytest.raises(GalleryError, match=r"photos/0\.jpg: already enrolled as 'Ann Lee', so not as 'Eve'"):
        gallery.add("Eve", template(0))
    assert [p.name for p in gallery.people()] == ["Ann Lee"]


def test_names_are_stripped_and_composed_and_keep_their_case(gallery: Gallery) -> None:
    composed = unicodedata.normalize("NFC", "Zoë Ångström")
    for number, name in enumerate(["  Zoë Ångström ", composed, unicodedata.normalize("NFD", composed)]):
        gallery.add(name, template(number))
    gallery.add("李小龙", template(3))
    gallery.add("o'Neil; DROP TABLE people --", template(4))
    gallery.add("ann", template(5))
    gallery.add("Ann", template(6))
    names = ["Ann", composed, "ann", "o'Neil; DROP TABLE people --", "李小龙"]
    assert sorted(p.name for p in gallery.people()) == sorted(names)
    assert len(gallery.show(unicodedata.normalize("NFD", composed))) == 3


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\0b", "a\x1b[31mb", "a\u2028b", "caf\udce9", "x" * 201])
def test_what_is_no_name_is_refused(gallery: Gallery, name: str) -> None:
    with pytest.raises(GalleryError, match="cannot be a person's name") as caught:
        gallery.add(name, template(0))
    assert str(caught.value).isprintable()
    assert gallery.people() == []


def test_a_source_that_is_not_utf8_is_kept_readable(gallery: Gallery) -> None:
    odd = template(0)
    gallery.add("Ann", Template(odd.photo_hash, os.fsdecode(b"caf\xe9.jpg"), odd.box, odd.quality, odd.vector))
    assert gallery.show("Ann")[0].source == "caf\\udce9.jpg"
    gallery.bind_model(MODEL[0], os.fsdecode(b"mod\xe8le"), DIMENSION, Threshold(1.0, os.fsdecode(b"of mod\xe8le")))
    assert gallery.store.model_name == "mod\\udce8le"
    assert gallery.threshold == Threshold(1.0, "of mod\\udce8le")
    gallery.set_calibration(strangers=vector(1)[None], source=os.fsdecode(b"visitors \xe9/"))
    assert gallery.check().problems == ()


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (vector(0) * 1.01, "not of length 1"),
        (np.zeros(DIMENSION, np.float32), "not of length 1"),
        (np.full(DIMENSION, np.nan, np.float32), "not finite"),
        (np.full(DIMENSION, np.inf, np.float32), "not finite"),
        (np.eye(8, dtype=np.float32)[0], "8 numbers instead of 16"),
    ],
)
def test_vectors_no_model_gives_are_refused(gallery: Gallery, bad: np.ndarray, fault: str) -> None:
    with pytest.raises(GalleryError, match=fault):
        gallery.add("Ann", Template("0" * 64, "a.jpg", (0, 0, 1, 1), 1.0, bad))
    with pytest.raises(GalleryError, match=fault):
        gallery.search(bad[None], 1)
    assert gallery.people() == []


def test_renaming(gallery: Gallery) -> None:
    gallery.add("Ann", template(0))
    gallery.add("Bob", template(1))
    assert nearest(gallery, 0) == "Ann"
    gallery.rename("Ann", " Ann Lee ")
    assert nearest(gallery, 0) == "Ann Lee"
    gallery.rename("Ann Lee", "Ann Lee")
    with pytest.raises(GalleryError, match=r"'Bob' is enrolled already .*; choose another name"):
        gallery.rename("Ann Lee", "Bob")
    with pytest.raises(GalleryError, match="cannot be a person's name"):
        gallery.rename("Ann Lee", " ")
    assert [p.name for p in gallery.people()] == ["Ann Lee", "Bob"]


def test_unknown_names_get_a_hint(gallery: Gallery) -> None:
    for number, name in enumerate(["Ann Lee", "BOB RAY"]):
        gallery.add(name, template(number))
    for call in (gallery.show, gallery.remove, lambda name: gallery.rename(name, "New")):
        with pytest.raises(UnknownPersonError, match="nobody called 'ann leigh' is enrolled; did you mean Ann Lee"):
            call("ann leigh")
        with pytest.raises(UnknownPersonError, match="did you mean BOB RAY"):
            call("bob ray")
        with pytest.raises(UnknownPersonError, match="`facerec gallery list` shows who is"):
            call("Xaver")


def test_a_removed_person_leaves_nothing_in_the_files(folder: Path) -> None:
    with opened(folder) as gallery, opened(folder) as other:
        for number in range(40):
            gallery.add("Ann Lee" if number % 2 else "Bob Ray", template(number))
        assert nearest(gallery, 1) == nearest(other, 1) == "Ann Lee"
        assert any(vector(1).tobytes() in path.read_bytes() for path in folder.iterdir())
        assert gallery.remove("Ann Lee") == 20
        for _ in range(2):
            content = b"".join(path.read_bytes() for path in folder.iterdir())
            assert vector(0).tobytes() in content
            for number in range(1, 40, 2):
                assert vector(number).tobytes() not in content
                assert f"photos/{number}.jpg".encode() not in content
            assert b"Ann Lee" not in content
            assert nearest(gallery, 1) is None
            assert nearest(other, 1) is None
        assert nearest(other, 0) == "Bob Ray"
        assert gallery.add("Cy", template(1))


# ------------------------------------------------------------------------------------------------------- the model


def test_the_gallery_keeps_its_model_and_the_cards_threshold(folder: Path) -> None:
    with Gallery.open(folder, create=True) as gallery:
        assert (gallery.store.model_name, gallery.threshold) == (None, None)
        gallery.bind_model(*MODEL)
        gallery.add("Ann", template(0))
    with Gallery.open(folder) as gallery:
        assert (gallery.store.model_name, gallery.threshold) == ("toy", MODEL[3])
        gallery.bind_model(*MODEL[:3], Threshold(1.2, "measured again"))
        assert gallery.threshold == Threshold(1.2, "measured again")
        gallery.bind_model(*MODEL[:3], None)
        assert gallery.threshold is None
        assert nearest(gallery, 0) == "Ann"


def test_another_model_is_refused(folder: Path) -> None:
    with opened(folder) as gallery:
        gallery.add("Ann", template(0))
    with Gallery.open(folder) as gallery:
        for fingerprint, dimension in (("e" * 64, DIMENSION), ("e" * 64, 8), (MODEL[0], 8)):
            with pytest.raises(ForeignModelError, match=r"model toy \(f{12}\), not with sface .*as `model`"):
                gallery.bind_model(fingerprint, "sface", dimension, None)
        for call in (lambda: gallery.add("Bob", template(1)), lambda: gallery.search(vector(0)[None], 1)):
            with pytest.raises(GalleryError, match="no model chosen"):
                call()
        assert (gallery.store.model_name, gallery.threshold) == ("toy", MODEL[3])


def test_an_empty_gallery_may_change_its_model_but_not_under_another_process(folder: Path) -> None:
    with opened(folder) as first, Gallery.open(folder) as second:
        assert first.search(vector(0)[None], 1) == [[]]
        second.bind_model("e" * 64, "sface", 8, None)
        assert second.search(np.eye(8, dtype=np.float32)[:1], 1) == [[]]
        for call in (lambda: first.add("Ann", template(0)), lambda: first.search(vector(0)[None], 1)):
            with pytest.raises(ForeignModelError, match="now of model sface"):
                call()
        first.bind_model("e" * 64, "sface", 8, None)
        assert first.search(np.eye(8, dtype=np.float32)[:1], 1) == [[]]
        assert second.people() == []


# ------------------------------------------------------------------------------------------------------- the index


def test_the_index_is_a_cache(folder: Path) -> None:
    cache = folder / "people.cache"
    with opened(folder) as gallery:
        for number in range(5):
            gallery.add("Ann", template(number))
        assert nearest(gallery, 3) == "Ann"
    sound = cache.read_bytes()
    for damaged in (b"", b"garbage", sound[:-1], sound[:200] + b"\xff" + sound[201:], None):
        cache.unlink() if damaged is None else cache.write_bytes(damaged)
        with opened(folder) as gallery:
            assert gallery.check().problems == ()
            assert nearest(gallery, 3) == "Ann"
        assert cache.read_bytes() == sound
    stamp = cache.stat().st_mtime_ns
    with opened(folder) as gallery:
        assert nearest(gallery, 3) == "Ann"
        assert cache.stat().st_mtime_ns == stamp
        assert rebuild(gallery.store) == 5
        assert cache.stat().st_mtime_ns > stamp


def test_the_index_of_another_gallery_or_another_day_is_not_believed(tmp_path: Path) -> None:
    for name, number in (("a", 0), ("b", 1)):
        with opened(tmp_path / name) as gallery:
            gallery.add("Ann", template(number))
            assert nearest(gallery, number) == "Ann"
    (tmp_path / "b" / "people.cache").write_bytes((tmp_path / "a" / "people.cache").read_bytes())
    yesterday = (tmp_path / "a" / "gallery.db").read_bytes()
    with opened(tmp_path / "a") as gallery:
        gallery.add("Bob", template(2))
        assert nearest(gallery, 2) == "Bob"
    (tmp_path / "a" / "gallery.db").write_bytes(yesterday)  # restored from a backup, then changed as often as before
    with opened(tmp_path / "a") as a, opened(tmp_path / "b") as b:
        a.add("Cy", template(3))
        assert [nearest(a, n) for n in range(4)] == ["Ann", None, None, "Cy"]
        assert [nearest(b, n) for n in range(4)] == [None, "Ann", None, None]


def test_a_slow_reader_does_not_write_removed_vectors_back(folder: Path) -> None:
    with opened(folder) as gallery, opened(folder) as slow:
        gallery.add("Ann", template(0))
        assert nearest(slow, 0) == "Ann"
        seen = slow._bound().ask(lambda people: people), slow._bound().generation
        gallery.remove("Ann")
        save(slow.store, *seen)
        assert vector(0).tobytes() not in (folder / "people.cache").read_bytes()


def test_every_change_even_by_hand_changes_the_generation(folder: Path) -> None:
    with opened(folder) as gallery:
        gallery.add("Ann", template(0))
        gallery.add("Bob", template(1))
        assert nearest(gallery, 0) == "Ann"
        sql(folder, "UPDATE people SET name = 'Anna' WHERE name = 'Ann'")
        assert nearest(gallery, 0) == "Anna"
        sql(folder, "UPDATE templates SET person = 2")
        assert nearest(gallery, 0) == "Bob"
        sql(folder, "DELETE FROM templates WHERE id = 1")
        assert nearest(gallery, 0) is None
        assert gallery.check().problems == ("'Anna' has no template; remove them",)


def test_many_photos_are_enrolled_at_once_all_or_none(folder: Path, tmp_path: Path) -> None:
    named = [(name, template(number)) for number, name in enumerate(["Ann", "Bob", "Ann", "Cy"])]
    with opened(folder) as gallery, opened(folder) as beside, opened(tmp_path / "one by one") as other:
        for each in named:
            other.add(*each)
        assert nearest(gallery, 0) is None
        assert gallery.add_all(named[:2]) == [True, True]
        assert nearest(gallery, 1) == "Bob"
        with pytest.raises(GalleryError, match="already enrolled as 'Bob'"):
            gallery.add_all([*named[2:], ("Dan", template(1))])
        assert gallery.templates == 2
        assert {*gallery.names(), *beside.names()} == {"Ann", "Bob"}
        assert gallery.add_all([*named, ("Cy", template(3))]) == [False, False, True, True, False]
        assert gallery.add_all([]) == []
        for each in (gallery, beside):
            assert each.names() == other.names()
            np.testing.assert_array_equal(each.mean_templates()[1], other.mean_templates()[1])
        assert [entry.action for entry in gallery.log()[0][-4:]] == ["enrolled"] * 4
        assert gallery.check().problems == ()


def test_check_names_what_is_wrong(folder: Path) -> None:
    with opened(folder) as gallery:
        for number in range(3):
            gallery.add("Ann", template(number))
        assert nearest(gallery, 0) == "Ann"
        report = gallery.check()
        assert (report.people, report.templates, report.problems) == (1, 3, ())
        ((generation,),) = rows(folder, "SELECT generation FROM gallery")
        ids, vectors = np.array([1, 2, 3], np.int64), np.stack([vector(n) for n in (0, 1, 2)])
        for owners, changed in ((["Ann"] * 3, vectors[[0, 1, 0]]), (["Ann", "Ann", "Bob"], vectors)):
            PeopleFile(folder / "people.cache").save(generation, PeopleIndex(ids, owners, changed))
            assert "not the people of the database; run `facerec gallery rebuild`" in gallery.check().problems[0]
        assert rebuild(gallery.store) == 3
        assert gallery.check().problems == ()
        sql(
            folder, "UPDATE templates SET vector = x'0000' WHERE id = 1", "UPDATE templates SET person = 7 WHERE id = 2"
        )
        problems = "\n".join(gallery.check().problems)
        assert "templates: row 2 refers to nobody" in problems
        assert "the vector of photos/0.jpg has 0 numbers instead of 16" in problems
        with pytest.raises(
            DamagedGalleryError, match="a vector is cut off or belongs to nobody; `facerec gallery check`"
        ):
            rebuild(gallery.store)
