"""facerec.search.milvus and engine: what is written, who notices it, and what is left after a removal."""

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from toy_vectors import units

from facerec.errors import EngineError
from facerec.search import milvus
from facerec.search.engine import EngineChangedError, EngineIndex, Stamp, bring_up_to_date
from facerec.search.keys import Keys, keys_of
from facerec.search.milvus import HNSW, Milvus
from facerec.search.people import PeopleIndex
from facerec.types import Vectors


class Counted(Milvus):
    """Milvus that counts the records it is given."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.written: list[int] = []
        self.removed: list[int] = []
        self.listed = 0

    def put(self, keys: Keys, rows: Vectors) -> None:
        self.written.append(len(keys))
        super().put(keys, rows)

    def remove(self, keys: Keys) -> None:
        self.removed.append(len(keys))
        super().remove(keys)

    def keys(self) -> Keys:
        self.listed += 1
        return super().keys()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Counted]:
    engine = Counted.open(str(tmp_path / "milvus"), "toy")
    yield engine
    engine.close()


def people_of(count: int, seed: int = 0) -> PeopleIndex:
    return PeopleIndex(np.arange(1, count + 1), [str(number) for number in range(count)], units(seed, count))


def stamp_of(people: PeopleIndex, made_for: str = "model-gallery") -> Stamp:
    return Stamp.of(made_for, people.dimension, people.ids, keys_of(people.ids, people.places))


def give(engine: Milvus, people: PeopleIndex, made_for: str = "model-gallery") -> int:
    return bring_up_to_date(engine, stamp_of(people, made_for), people.ids, people.places, people.mean_rows)


def holds(engine: Milvus, people: PeopleIndex) -> bool:
    return set(engine.keys().tolist()) == set(keys_of(people.ids, people.places).tolist())


def test_only_what_changed_is_written(engine: Counted) -> None:
    people = people_of(30)
    assert give(engine, people) == 30
    assert give(engine, people) == 0
    people.add(np.array([31, 32]), ["new", "3"], units(9, 2))
    assert give(engine, people_of(30)) == 0, "as another process that has not read the change"
    assert give(engine, people) == 3  # two records are new, one is no longer right
    assert (engine.written, engine.removed, engine.listed) == ([30, 2], [0, 1], 0)
    people.remove(np.array([5]))
    assert give(engine, people) == 1
    assert (engine.written, engine.removed, engine.listed) == ([30, 2], [0, 1, 1], 1)
    assert holds(engine, people)


def test_a_change_by_another_process_is_noticed_by_a_search(engine: Counted) -> None:
    people = people_of(30)
    give(engine, people)
    index = EngineIndex(engine, keys_of(people.ids, people.places))
    assert index.nearest(units(0, 1), 1).tolist() == [[0]]
    changed = people_of(30)
    changed.add(np.array([31]), ["0"], units(0, 1))
    give(engine, changed)
    with pytest.raises(EngineChangedError, match="other people"):
        index.nearest(units(0, 1), 1)
    engine.erase(keys_of(people.ids, people.places), str(stamp_of(people)))
    with pytest.raises(EngineChangedError, match="gone"):
        index.nearest(units(0, 1), 1)


def test_records_of_another_gallery_or_model_are_made_again_and_it_says_so(
    engine: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    give(engine, people_of(5))
    assert not caplog.messages
    other = PeopleIndex(np.array([1, 2]), ["a", "b"], units(3, 2, 8))
    assert give(engine, other, "other-gallery") == 2
    assert [line for line in caplog.messages if "another gallery or model. It is made again" in line]
    assert holds(engine, other)


def test_a_damaged_collection_is_made_again_and_it_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    people = people_of(40)
    engine = Milvus.open(str(tmp_path / "milvus"), "toy", HNSW)
    give(engine, people)
    engine.close()
    for path in (tmp_path / "milvus").rglob("*"):
        if path.suffix in (".parquet", ".idx", ".json"):
            path.write_bytes(b"\0" * 50)
    engine = Milvus.open(str(tmp_path / "milvus"), "toy", HNSW)
    give(engine, people)
    assert [line[-18:] for line in caplog.messages] == [". It is made again"]
    assert holds(engine, people)
    index = EngineIndex(engine, keys_of(people.ids, people.places))
    assert index.nearest(people.means[:5], 1)[:, 0].tolist() == [0, 1, 2, 3, 4]
    engine.close()


def with_changes(people: PeopleIndex) -> PeopleIndex:
    people.remove(np.array([7]))
    people.add(np.array([31, 32]), ["new", "3"], units(9, 2))
    return people


@pytest.mark.parametrize("step", ["put", "remove", "settle"])
def test_whoever_stops_between_two_steps_leaves_what_the_next_puts_right(
    engine: Counted, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    give(engine, people_of(30))
    settle = engine.settle

    def stops(given: object, *_: object) -> None:
        if not isinstance(given, str) or given:  # the stamp is taken away before all steps
            raise KeyboardInterrupt
        settle(given)

    monkeypatch.setattr(engine, step, stops)
    with pytest.raises(KeyboardInterrupt):
        give(engine, with_changes(people_of(30)))
    monkeypatch.undo()
    people = with_changes(people_of(30))
    assert engine.stamp() == "", "nobody takes it for whole"
    give(engine, people)
    assert holds(engine, people)
    assert engine.stamp() == str(stamp_of(people))


KILLED = """
    import os, signal, sys
    sys.path[:0] = {path}
    from test_milvus import give, people_of, with_changes
    from facerec.search.milvus import Milvus

    engine = Milvus.open({folder!r}, "toy")
    give(engine, people_of(30))
    engine.remove = lambda keys: os.kill(os.getpid(), signal.SIGKILL)
    give(engine, with_changes(people_of(30)))
"""


def test_a_process_killed_between_two_flushes_loses_nothing_that_the_next_takes_for_whole(tmp_path: Path) -> None:
    folder = str(tmp_path / "milvus")
    script = textwrap.dedent(KILLED.format(path=[str(Path(__file__).parent), *sys.path], folder=folder))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    engine, people = Milvus.open(folder, "toy"), with_changes(people_of(30))
    assert engine.stamp() == ""
    assert give(engine, people) <= 5, "what it had written is there"
    assert holds(engine, people)
    engine.close()


def found_in(folder: Path, row: np.ndarray) -> list[str]:
    """The files that hold a row: as its bytes, or as what Arrow reads from them."""
    found = []
    for path in filter(Path.is_file, folder.rglob("*")):
        content = path.read_bytes()
        if row.astype("<f4").tobytes() in content or str(float(row[0])).encode() in content:
            found.append(path.name)
        for table in tables_of(path):
            if any(row.tolist() in column.to_pylist() for column in table.columns):
                found.append(f"{path.name}, as a table")
    return found


def tables_of(path: Path) -> list[pa.Table]:
    if path.suffix == ".parquet":
        return [pyarrow.parquet.read_table(path)]
    if path.suffix == ".arrow":
        with pa.ipc.open_stream(path) as stream:
            return [stream.read_all()]
    return []


@pytest.mark.parametrize("kind", [None, HNSW])
def test_of_whoever_is_erased_no_file_holds_the_vector(tmp_path: Path, kind: dict | None) -> None:
    folder, people = tmp_path / "milvus", people_of(30)
    engine = Milvus.open(str(folder), "toy", kind)
    give(engine, people)
    gone = people.means[7]
    assert found_in(folder, gone)
    people.remove(np.array([8]))
    engine.erase(keys_of(people.ids, people.places), str(stamp_of(people)))
    assert not found_in(folder, gone)
    give(engine, people)
    assert holds(engine, people)
    assert found_in(folder, people.means[3])
    assert not found_in(folder, gone)
    engine.close()
    assert not found_in(folder, gone)


def test_a_server_is_told_to_delete_flush_and_compact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Milvus Lite, reached by an address as a server is."""
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, base, port = start_server_in_thread(str(tmp_path / "server"))
    monkeypatch.setenv(milvus.TOKEN, "root:secret")
    engine, people = Milvus.open(f"http://127.0.0.1:{port}", "toy"), people_of(30)
    give(engine, people)
    people.remove(np.array([8]))
    told: list[str] = []
    monkeypatch.setattr(engine._client, "compact", lambda name, **_: told.append(name))
    engine.erase(keys_of(people.ids, people.places), str(stamp_of(people)))
    assert told == ["toy"]
    assert holds(engine, people)
    assert give(engine, people) == 0, "what is left has its stamp"
    assert "secret" not in engine.where
    engine.close()
    server.stop(grace=0).wait()
    base.close()


def test_what_cannot_be_reached_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "_SECONDS", 0.5)
    monkeypatch.setenv(milvus.TOKEN, "root:secret")
    with pytest.raises(EngineError, match=r"^milvus:http://127\.0\.0\.1:9: ") as raised:
        Milvus.open("http://127.0.0.1:9", "toy")
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)
    with pytest.raises(EngineError, match="MILVUS_TOKEN") as raised:
        Milvus.open("http://root:secret@127.0.0.1:9", "toy")
    assert "secret" not in str(raised.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"no folder, and none can be made \(File exists\); name another$"):
        Milvus.open(str(tmp_path / "file"), "toy")


def test_a_folder_of_somebody_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "photos" / "Ann").mkdir(parents=True)
    with pytest.raises(EngineError, match="photos: holds Ann and is no folder of Milvus Lite; name one that is new"):
        Milvus.open(str(tmp_path / "photos"), "toy")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["Ann"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".DS_Store").touch()
    (tmp_path / "empty" / "collections").mkdir()  # what a killed process may leave
    for _ in range(2):  # then Milvus Lite's own
        Milvus.open(str(tmp_path / "empty"), "toy").close()


def test_a_folder_is_open_in_one_process_which_shares_it(engine: Counted, tmp_path: Path) -> None:
    same = Milvus.open(str(tmp_path / "milvus"), "toy")
    assert same.stamp() is None
    same.close()
    assert engine.stamp() is None
    (tmp_path / "other").mkdir()
    with (tmp_path / "other" / "LOCK").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as another process
        with pytest.raises(EngineError, match="another process has it open; wait for it, or use a Milvus server"):
            Milvus.open(str(tmp_path / "other"), "toy")
