"""facerec.gallery.search_engine: a gallery that Milvus searches answers as one that searches by itself."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import toy_fixtures
from toy_gallery import opened, template, vector
from toy_postgresql import vector_server

from facerec.errors import ConfigError, EngineError, FacerecError
from facerec.gallery import erasure
from facerec.gallery.encryption import encrypt
from facerec.gallery.gallery import Gallery
from facerec.gallery.maintenance import rebuild
from facerec.gallery.search_engine import INDEX
from facerec.search.index import nearest_rows
from facerec.search.milvus import Milvus

folder = toy_fixtures.not_made_yet
PEOPLE = 25


@pytest.fixture
def milvus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of Milvus Lite, kept open, because opening takes a while."""
    place = tmp_path / "milvus"
    monkeypatch.setenv(INDEX, f"milvus:{place}")
    engine = Milvus.open(str(place), "kept_open")
    yield place
    engine.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many people each search of the engine was to give."""
    counts: list[int] = []
    nearest = Milvus.nearest
    monkeypatch.setattr(
        Milvus, "nearest", lambda self, vectors, count: counts.append(count) or nearest(self, vectors, count)
    )
    return counts


@pytest.fixture
def full(folder: Path, milvus: Path) -> Path:
    with opened(folder) as gallery:
        gallery.add_all([(f"Person {number}", template(number)) for number in range(PEOPLE)])
        require_right(gallery)
    return folder


def require_right(gallery: Gallery) -> None:
    """Everybody is found as by comparing with everybody."""
    queries = np.stack([vector(number) for number in range(PEOPLE + 5)])
    names, means = gallery.mean_templates()
    expected = [[names[place] for place in row] for row in nearest_rows(queries, means, 3)[1]]
    assert [[found.person for found in row] for row in gallery.search(queries, 3)] == expected


def holding(milvus: Path, number: int) -> list[str]:
    """The files of Milvus that hold a photo's vector."""
    paths = filter(Path.is_file, milvus.rglob("*"))
    return [path.name for path in paths if vector(number).tobytes() in path.read_bytes()]


def test_a_gallery_remembers_its_engine(full: Path, monkeypatch: pytest.MonkeyPatch, asked: list[int]) -> None:
    monkeypatch.delenv(INDEX)
    with opened(full) as gallery:
        require_right(gallery)
        assert len(asked) == 1
        gallery.add("New", template(100))
        gallery.add("Person 3", template(101))
        require_right(gallery)
        assert len(asked) == 2
    monkeypatch.setenv(INDEX, "none")
    with opened(full) as gallery:
        require_right(gallery)
    monkeypatch.delenv(INDEX)
    with opened(full) as gallery:
        require_right(gallery)
    assert len(asked) == 2
    assert not (full / "gallery.index").exists()


def test_what_is_removed_is_in_no_file_of_the_engine(full: Path, milvus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INDEX)
    assert holding(milvus, 7)
    with opened(full) as gallery:
        removal = erasure.remove(gallery.store, "Person 7")
        assert "milvus" in removal.index
        assert "the next search makes it again" in removal.index
        assert not holding(milvus, 7)
        require_right(gallery)
        assert holding(milvus, 8)
        assert not holding(milvus, 7)
        gallery.add("Person 8", template(102))
        require_right(gallery)
        erasure.remove(gallery.store, "Person 8", 9)  # one of two photos
        require_right(gallery)
        assert not holding(milvus, 102) or not holding(milvus, 8)


def test_nobody_is_removed_while_the_engine_cannot_be_reached(
    full: Path, milvus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(INDEX)

    def gone(*_: object) -> Milvus:
        raise EngineError("milvus: cannot be reached")

    monkeypatch.setattr(Milvus, "open", gone)
    with opened(full) as gallery:
        with pytest.raises(EngineError, match=r"cannot be reached\. Nobody was removed"):
            gallery.remove("Person 7")
        assert len(gallery) == PEOPLE
    monkeypatch.undo()
    assert holding(milvus, 7)


def test_another_process_that_changes_the_gallery_is_noticed(full: Path, asked: list[int]) -> None:
    with opened(full) as one, opened(full) as other:
        require_right(one)
        other.add("Person 3", template(103))
        other.remove("Person 4")
        require_right(other)
        require_right(one)
        other.remove("Person 5")  # and no search writes the collection again
        require_right(one)
        require_right(other)


def test_the_threshold_is_found_by_what_the_engine_returns(full: Path, asked: list[int]) -> None:
    with opened(full) as gallery:
        strangers = np.stack([vector(number) for number in range(1000, 1050)])
        gallery.set_calibration(0.1, strangers=strangers, source="toy")
        asked.clear()
        by_engine = gallery.calibration()
        assert asked
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(INDEX, "none")
        with opened(full) as gallery:
            assert gallery.calibration(0.1) == by_engine


def test_rebuild_makes_the_collection_again(full: Path, milvus: Path) -> None:
    with opened(full) as gallery:
        rebuild(gallery.store)
        assert not holding(milvus, 7)
        require_right(gallery)
        assert holding(milvus, 7)


def test_an_encrypted_gallery_leaves_nothing_in_an_engine(
    full: Path, milvus: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, asked: list[int]
) -> None:
    monkeypatch.setenv("FACEREC_PASSPHRASE", "secret")
    encrypt(full, "secret")
    assert not holding(milvus, 7)
    with opened(full) as gallery:
        require_right(gallery)
    assert not holding(milvus, 7)
    assert not asked
    assert [line for line in caplog.messages if "encrypted, so it is searched without milvus" in line]


@pytest.mark.parametrize(
    "place", ["milvus", "milvus:", "faiss", "milvus://root:secret@host", "mysql://root:secret@host"]
)
def test_an_unknown_index_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv(INDEX, place)
    with opened(folder) as gallery:
        gallery.add("Ann", template(1))
        with pytest.raises(ConfigError, match="milvus:FOLDER") as raised:
            gallery.search(vector(1)[None], 1)
    assert "secret" not in str(raised.value)


def test_pgvector_searches_a_gallery_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with vector_server() as server:
        monkeypatch.setenv(INDEX, server.address)
        with opened(folder) as gallery:
            gallery.add_all([(f"Person {number}", template(number)) for number in range(PEOPLE)])
            require_right(gallery)
            assert server.holding(vector(7))
            assert (
                "the table with the vector and its index was dropped" in erasure.remove(gallery.store, "Person 7").index
            )
            assert not server.holding(vector(7))
            require_right(gallery)
            gallery.add("Person 3", template(50))
            require_right(gallery)
            assert not server.holding(vector(7))
            assert server.holding(vector(8))
        monkeypatch.setenv(INDEX, "none")
        with opened(folder) as gallery:
            require_right(gallery)
        assert not server.holding(vector(8))


def test_a_password_in_the_address_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is noted nowhere."""
    with opened(folder) as gallery:
        gallery.add("Ann", template(1))
        for address, remedy in (
            ("postgresql://ann:secret@host/club", "PGPASSWORD"),
            ("postgresql://host/club?password=secret", "PGPASSWORD"),
            ("milvus:http://root:secret@host:19530", "MILVUS_TOKEN"),
        ):
            monkeypatch.setenv(INDEX, address)
            with pytest.raises(FacerecError, match=remedy) as raised:
                gallery.search(vector(1)[None], 1)
            assert "secret" not in str(raised.value)
    assert not (folder / "gallery.index").exists()
