"""scripts/benchmarks/peers.py: all libraries get the same photos, one that fails says why, and rates are counted."""

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from running import ROOT

GALLERY = ROOT / "gallery"


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def peers() -> Any:
    return importlib.import_module("scripts.benchmarks.peers")


@pytest.fixture
def venvs() -> Any:
    return importlib.import_module("scripts.benchmarks._peer_venvs")


def options(data: Path, **changes: int) -> argparse.Namespace:
    sizes = {"people": 2, "enrolled": 2, "probes": 1, "strangers": 2, "pairs": 2}
    return argparse.Namespace(data=data, **{**sizes, **changes})


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Names of photos as LFW has them: four people with four photos, three with one."""
    for name, count in [*((f"Known {i}", 4) for i in range(4)), *((f"Stranger {i}", 1) for i in range(3))]:
        folder = tmp_path / "lfw" / name
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            (folder / f"{name}_{number:04}.jpg").touch()
    lines = ["2", "Known 0\t1\t2", "Known 1\t1\t2", "Known 0\t1\tKnown 1\t1", "Known 2\t1\tKnown 1\t2"]
    (tmp_path / "lfw_pairs.txt").write_text("\n".join(lines), "utf-8")
    return tmp_path


def test_the_photos_are_the_same_every_time_and_no_probe_is_enrolled(peers: Any, faces: Path) -> None:
    photos = peers.choose_photos(options(faces))
    assert photos == peers.choose_photos(options(faces))
    assert [len(own) for own in photos.enrolled.values()] == [2, 2]
    enrolled = {photo for own in photos.enrolled.values() for photo in own}
    assert enrolled.isdisjoint(photo for photo, _ in photos.probes)
    mated = [owner in photos.enrolled for _, owner in photos.probes]
    assert mated == [True, True, False, False]
    assert all(owner.startswith("Stranger") for _, owner in photos.probes[2:])
    assert all(Path(photo).parent.name == owner for photo, owner in photos.probes)
    assert [same for _, _, same in photos.pairs] == [True, False]


def test_open_set_rates_of_hand_placed_answers(peers: Any) -> None:
    """100 strangers allow one false positive at FPIR 1 %, so the threshold lies between the two nearest strangers."""
    photos = peers.Photos({"ann": [], "bob": []}, [], [])
    answers = [("ann", 0.2), ("bob", 0.3), None, ("bob", 0.1), ("bob", 0.8)]  # found, found, no face, another, too far
    probes = [("", "ann"), ("", "bob"), ("", "bob"), ("", "ann"), ("", "bob")]
    strangers = [("ann", 0.25), ("bob", 0.5), *[("ann", 1.0)] * 98]
    probes += [("", f"stranger {i}") for i in range(100)]
    found = peers.open_set([*answers, *strangers], photos._replace(probes=probes))
    assert (found["mated"], found["nonmated"]) == (5, 100)
    assert found["fnir"] == pytest.approx(3 / 5)
    assert found["rank1_rate"] == pytest.approx(3 / 5)
    assert found["faceless"] == pytest.approx(1 / 105)
    low, high = found["ci95"]["fnir"]
    assert low < 3 / 5 < high


def test_a_pair_without_a_face_is_refused(peers: Any) -> None:
    found = peers.pair_errors([True, None, False, True, None], [True, True, True, False, False])
    assert (found["refused"]["errors"], found["refused"]["pairs"]) == (2, 3)
    assert (found["accepted"]["errors"], found["accepted"]["pairs"]) == (1, 2)


@pytest.fixture
def broken(venvs: Any, tmp_path: Path) -> Any:
    """A library that was installed before; a stand-in for its environment's Python complains and fails."""
    peer = venvs.Peer("broken", "broken", ("broken",), note="from PyPI")
    folder = tmp_path / "venvs" / "broken"
    (folder / "bin").mkdir(parents=True)
    (folder / "installed.json").write_text(json.dumps([peer.requirements, peer.alone]), "utf-8")
    python = folder / "bin" / "python"
    python.write_text("#!/bin/sh\necho '(a remark)' >&2\necho 'OSError: no weights' >&2\nexit 3\n", "utf-8")
    python.chmod(0o755)
    return peer


def test_a_library_that_fails_has_a_row_that_says_why(peers: Any, broken: Any, tmp_path: Path) -> None:
    rows = {"broken": {"library": "broken", "note": "from PyPI", "version": "1.0", "installed_mb": 9}}
    photos = peers.Photos({"ann": ["a.jpg", "b.jpg"]}, [], [])

    def stage(name: str, job: dict[str, Any]) -> dict[str, Any]:
        return peers.run_one(broken, tmp_path / "venvs", tmp_path, name, job)

    peers.measure_all({"broken": stage}, rows, photos, 1)
    shown = peers.table({"peers": list(rows.values())})
    assert shown.splitlines()[-1] == "broken: from PyPI; fails: OSError: no weights"
    assert peers.costs_of(rows["broken"]) == ("broken", "1.0", "9", "-", "-", "-", "-", "-")
    assert set(peers.errors_of(rows["broken"])[1:]) == {"-"}


def test_a_library_that_cannot_be_installed_has_a_row_too(peers: Any, broken: Any, tmp_path: Path) -> None:
    assert peers.install_all([broken], tmp_path / "venvs") == {
        "broken": {"library": "broken", "note": "from PyPI", "error": "cannot be installed: OSError: no weights"}
    }


def test_facerec_does_what_the_libraries_are_asked_for() -> None:
    sides = importlib.import_module("scripts.benchmarks._peer_sides")
    people = {folder.name: sorted(map(str, folder.glob("*.jpg"))) for folder in (GALLERY / "people").iterdir()}
    (held_back,) = (GALLERY / "held_back").glob("barack_obama*")
    stranger = next((GALLERY / "strangers").iterdir())
    photos = [str(held_back), str(stranger)]
    side = sides.Facerec()
    found = sides.recognise(side, {"people": people, "probes": photos})
    assert found["added"] == sum(map(len, people.values()))
    (person, near), (_, far) = found["answers"]
    assert (person, near < far) == ("Barack Obama", True)
    obama = people["Barack Obama"][0]
    assert sides.verify(side, {"pairs": [[obama, photos[0]], [obama, photos[1]]]}) == {"same": [True, False]}
    assert sides.detect(side, {"photos": photos})["found"] == 2
    assert json.dumps(found)
