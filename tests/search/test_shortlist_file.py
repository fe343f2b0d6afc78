"""facerec.search.shortlist_file: what is read is right, whatever happened to the file; and nothing is written twice."""

import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_vectors import units

from facerec.errors import GalleryError
from facerec.files import draft_of
from facerec.search.shortlist import Codebook, KeptCodes
from facerec.search.shortlist_file import keep_only, load_codes, save_codes

BOOK = Codebook.learn(units(0, 40, 8))
RECORD = 8 + 8 + 32


def kept(*keys: int) -> KeptCodes:
    """Everybody's code follows from their key."""
    codes = [np.random.default_rng(key).integers(1, 256, 32, np.uint8) for key in keys]
    return KeptCodes(BOOK, np.array(keys, np.uint64), np.array(codes, np.uint8).reshape(-1, 32))


def read(path: Path) -> dict[int, bytes]:
    found = load_codes(path, "model")
    assert found is not None
    return dict(zip(found.keys.tolist(), map(bytes, found.codes), strict=True))


def codes(*keys: int) -> dict[int, bytes]:
    return dict(zip(keys, map(bytes, kept(*keys).codes), strict=True))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "codes"
    save_codes(path, "model", kept(*range(1, 11)))
    return path


def test_codes_come_back(file: Path) -> None:
    assert read(file) == codes(*range(1, 11))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = load_codes(file, "model")
    assert found is not None
    np.testing.assert_array_equal(found.codebook.encode(units(1, 20, 8)), BOOK.encode(units(1, 20, 8)))
    assert load_codes(file, "another") is None
    assert load_codes(file.with_name("missing"), "model") is None
    assert load_codes(file.parent, "model") is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_after_any_changes_the_file_holds_what_was_saved_last(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "codes"
    path.unlink(missing_ok=True)
    for _ in range(data.draw(st.integers(1, 6))):
        people = data.draw(st.sets(st.integers(1, 30)))
        if data.draw(st.booleans()):
            save_codes(path, "model", kept(*people))
            assert read(path) == codes(*people)
        elif path.exists():
            before = read(path)
            keep_only(path, np.array(sorted(people), np.uint64))
            assert read(path) == {key: code for key, code in before.items() if key in people}
        if path.exists():
            gone = set(range(1, 31)) - set(read(path))
            assert not [key for key in gone if codes(key)[key] in path.read_bytes()]


def test_one_person_more_or_less_leaves_the_bytes_of_the_rest(file: Path) -> None:
    before, inode = file.read_bytes(), file.stat().st_ino
    save_codes(file, "model", kept(*range(1, 12)))
    assert file.read_bytes()[: len(before)] == before
    assert len(file.read_bytes()) == len(before) + RECORD
    save_codes(file, "model", kept(1, 2, *range(4, 12)))
    start = len(before) - 10 * RECORD + 2 * RECORD
    assert file.read_bytes()[:start] + bytes(RECORD) + file.read_bytes()[start + RECORD :][:-RECORD] == (
        before[:start] + bytes(RECORD) + before[start + RECORD :]
    )
    save_codes(file, "model", kept(1, 2, *range(4, 13)))
    assert len(file.read_bytes()) == len(before) + RECORD, "the free place is used again"
    assert file.stat().st_ino == inode
    save_codes(file, "model", kept(1, 2))
    assert file.stat().st_ino != inode, "a file mostly free is made anew"
    assert len(file.read_bytes()) == len(before) - 8 * RECORD


def test_another_model_or_codebook_replaces_the_file(file: Path) -> None:
    save_codes(file, "another", kept(1))
    assert load_codes(file, "model") is None
    save_codes(file, "model", KeptCodes(Codebook.learn(units(5, 40, 8)), *(kept(2, 3).keys, kept(2, 3).codes)))
    assert read(file) == codes(2, 3)


def test_what_is_read_from_a_damaged_file_is_right(file: Path) -> None:
    whole = file.read_bytes()
    start = len(whole) - 10 * RECORD
    for place in [*range(0, start, 97), *range(start, len(whole))]:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        if place < start:
            assert load_codes(file, "model") is None
            continue
        damaged = (place - start) // RECORD + 1
        assert read(file) == codes(*(key for key in range(1, 11) if key != damaged))
        save_codes(file, "model", kept(*range(1, 11)))
        assert file.read_bytes() == whole
    for end in [*range(0, start, 97), *range(start, len(whole), 7)]:
        file.write_bytes(whole[:end])
        if end >= start:
            assert read(file) == codes(*range(1, (end - start) // RECORD + 1))
        keep_only(file, kept(1, 2).keys)
        assert not file.exists() if end < start else set(read(file)) <= {1, 2}
        assert not file.exists() or not (file.stat().st_size - start) % RECORD, "a record cut off is wiped, too"


def test_a_file_that_cannot_be_written_leaves_the_old_one(file: Path) -> None:
    draft_of(file).mkdir()
    with pytest.raises(GalleryError, match="codes: cannot be written"):
        save_codes(file, "another", kept(1))
    assert read(file) == codes(*range(1, 11))
    keep_only(file.with_name("missing"), kept(1).keys)
