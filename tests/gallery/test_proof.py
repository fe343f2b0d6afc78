"""A removal shows what it searched the files for, and that it found nothing any more."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_gallery import opened, template, vector

from facerec.errors import UnknownPersonError
from facerec.gallery import layout
from facerec.gallery import proof as proofs
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


def test_what_was_there_is_counted_and_then_gone(tmp_path: Path, held_by: str) -> None:
    with opened(tmp_path) as gallery:
        fill(gallery)
        proof = remove_and_prove(gallery.store, "Ann Zebra")
        found = {trace.kind: (trace.pieces, trace.before > 0, trace.after) for trace in proof.traces}
        three = dict.fromkeys(("vectors", "crops", "hashes", "sources"), (3, True, 0))
        assert found == three | {"name": (1, True, 0), "note": (1, True, 0)}
        assert proof.nothing_left
        assert (proof.problems, proof.encrypted, proof.person) == ((), False, 2)
        assert (proof.removal.person, len(proof.removal.photos)) == ("Ann Zebra", 3)
        assert held_by != "sqlite" or proof.size == sum(path.stat().st_size for path in tmp_path.iterdir())
        assert (proof.entry, proof.hash) == (gallery.log()[0][-1].number, gallery.log()[1])
        with pytest.raises(UnknownPersonError):
            remove_and_prove(gallery.store, "Ann Zebra")


def test_a_name_that_is_part_of_another_or_short_is_said_to_be_no_sign(tmp_path: Path) -> None:
    with opened(tmp_path) as gallery:
        fill(gallery)
        gallery.add("Bob Raymond", template(10))
        gallery.add("Cy", replace(template(11), source="Cy.jpg"))
        proof = remove_and_prove(gallery.store, "Bob Ray")
        (name,) = (trace for trace in proof.traces if trace.kind == "name")
        assert name.shared
        assert name.after > 0
        assert proof.nothing_left
        assert [each.shared for each in remove_and_prove(gallery.store, "Cy").traces if each.kind == "name"] == [True]


@pytest.mark.parametrize("block", [1, 7, 100, 5000])
def test_files_are_searched_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """A sample that lies across the blocks' borders is found, and none is counted twice."""
    rng = np.random.default_rng(0)
    content = rng.integers(0, 256, 2000, np.uint8).tobytes()
    samples = [content[at : at + size] for at, size in ((0, 3), (5, 300), (97, 6), (640, 64), (1995, 5))]
    (tmp_path / "file").write_bytes(content + content)
    monkeypatch.setattr(layout, "BLOCK", block)
    counts, size = proofs._counted(layout.blocks_of(tmp_path / "file"), [*samples, b"not there"])
    assert counts == dict.fromkeys(samples, 2) | {b"not there": 0}
    assert size == 4000
