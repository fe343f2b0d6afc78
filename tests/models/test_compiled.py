"""Compiled networks are kept for the next process, and nothing wrong is ever read from what was kept."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_model

from facerec.models import compiled, kept_networks
from facerec.models.compiled import Requests, compile_network, import_openvino

PIXELS = np.random.default_rng(0).normal(size=(2, 3, 112, 112)).astype(np.float32)


@pytest.fixture
def toy(tmp_path: Path) -> bytes:
    """The content of a small ONNX file."""
    return toy_model.write_model(tmp_path).read_bytes()


@pytest.fixture
def networks(own_cache: Path) -> Path:
    """The folder for kept networks, of this test alone."""
    return own_cache / "networks"


def compiled_anew(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A list to which every network is added that is compiled and not read."""
    made = []
    keep = compiled.keep
    monkeypatch.setattr(compiled, "keep", lambda path, network: (made.append(path), keep(path, network)))
    return made


def answers(model: bytes, **how: Any) -> list[float]:
    return np.array(compile_network(model, **how)(PIXELS)[0]).ravel().tolist()


def test_the_second_process_reads_what_the_first_compiled(
    toy: bytes, networks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compiled_anew(monkeypatch)
    wanted = answers(toy)
    assert [path.name for path in networks.iterdir()] == [made[0].name]
    assert (networks.stat().st_mode & 0o777, made[0].stat().st_mode & 0o777) == (0o700, 0o600)
    assert answers(toy) == wanted
    assert len(made) == 1


def test_another_model_shape_precision_version_or_processor_is_another_network(
    toy: bytes, networks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compiled_anew(monkeypatch)
    compile_network(toy)
    compile_network(toy, shape=(2, 3, 112, 112))
    compile_network(toy, precision="bf16")
    compile_network(toy + b"\x5a\x00")  # an unknown field of no bytes: the same network in another file
    monkeypatch.setattr(kept_networks, "_processor", lambda: ("another",))
    compile_network(toy)
    assert len(set(made)) == len(made) == len([*networks.iterdir()]) == 5
    assert kept_networks.kept_at("2025.1", "a") != kept_networks.kept_at("2025.2", "a")


@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_file_is_made_again(seed: int, toy: bytes, networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = compiled_anew(monkeypatch)
    wanted, rng = answers(toy), np.random.default_rng(seed)
    (path,) = networks.iterdir()
    whole = path.read_bytes()
    for place in (*rng.integers(0, len(whole), 5), int(rng.integers(0, 4096))):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        for content in (bytes(flipped), whole[:place], whole + b"\0"):
            path.write_bytes(content)
            made.clear()
            assert answers(toy) == wanted
            assert len(made) == 1
            assert kept_networks.read_kept(path) is not None


def test_another_networks_file_is_not_taken(toy: bytes, networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = compiled_anew(monkeypatch)
    wanted = answers(toy)
    compile_network(toy, shape=(1, 3, 112, 112))
    made[0].write_bytes(made[1].read_bytes())
    assert answers(toy) == wanted
    assert made[2] == made[0]


def test_what_openvino_does_not_take_is_compiled(toy: bytes, networks: Path) -> None:
    wanted = answers(toy)
    (path,) = networks.iterdir()
    kept_networks.keep(path, b"whole, but no network")
    assert answers(toy) == wanted


def test_a_folder_that_others_may_write_to_is_not_used(
    toy: bytes, networks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compiled_anew(monkeypatch)
    answers(toy)
    for mode in (0o770, 0o702):
        networks.chmod(mode)
        answers(toy)
    assert len(made) == 3


def test_without_a_place_to_write_it_works(toy: bytes, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = answers(toy)
    (own_cache.parent / "file").touch()
    monkeypatch.setenv("FACEREC_CACHE", str(own_cache.parent / "file"))
    assert answers(toy) == wanted
    assert (own_cache.parent / "file").read_bytes() == b""


def test_what_is_not_needed_is_deleted(networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other versions kept, drafts of killed processes, and the longest unused above the limit."""
    monkeypatch.setattr(kept_networks, "MOST", 20_000)
    kept = [kept_networks.kept_at("2", number) for number in range(4)]
    for age, path in enumerate([kept_networks.kept_at("1"), networks / "facerec-12.draft", *kept[:3]]):
        kept_networks.keep(path, bytes(1000))
        os.utime(path, (1e9 + age, 1e9 + age))
    assert {path.name for path in networks.iterdir()} == {path.name for path in kept[:3]}
    assert kept_networks.read_kept(kept[0]) is not None  # it is the last used now
    kept_networks.keep(kept[3], bytes(1000))
    assert {*networks.iterdir()} == {kept[0], kept[2], kept[3]}


def test_openvino_is_imported_without_its_converter_and_tells_nobody(tmp_path: Path) -> None:
    code = (
        "import sys; from facerec.models.compiled import import_openvino\n"
        "assert import_openvino().Core and import_openvino() is sys.modules['openvino']\n"
        "print(*[name for name in sys.modules if 'telemetry' in name or 'ovc' in name])\n"
        "from openvino.tools.ovc import convert_model\n"
        "print(*[name for name, found in sys.modules.items() if 'openvino_telemetry' in name and found])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "openvino_telemetry\n\n"
    assert import_openvino().__name__ == "openvino"


def test_several_inputs_at_a_time_are_answered_in_their_order(toy: bytes, own_cache: Path) -> None:
    """In several threads at once, and after inputs that could not be answered."""
    requests = Requests(compile_network(toy, streams=2))
    inputs = [PIXELS * np.float32(scale) for scale in range(1, 20)]
    wanted = np.array([compile_network(toy)(pixels)[0] for pixels in inputs])

    def broken() -> Iterator[np.ndarray]:
        yield from inputs[:3]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        requests.run(broken())
    with pytest.raises(RuntimeError):
        requests.run([*inputs[:3], PIXELS[:, :1]])
    with ThreadPoolExecutor(3) as threads:
        for found in threads.map(requests.run, [inputs] * 6):
            np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert requests.run([]) == []
