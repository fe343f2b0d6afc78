"""What is odd about a photo is said once, beside its answer, and stands in its JSON line; else nothing is said."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import toy_model
from running import json_lines, run

from facerec.errors import NoFaceError
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.inference.pipeline import embed_photos
from facerec.types import Face, Image

REMARK = "the file's end is missing, but no row is lost"
COMMANDS = {
    "enroll": ["enroll", "CUT", "--name", "Bob"],
    "identify": ["identify", "CUT", "--threshold", 1],
    "verify": ["verify", "CUT", "GOOD", "--threshold", 1],
    "search": ["search", "GOOD", "--in", "FOLDER", "--threshold", 1],
    "search for it": ["search", "CUT", "--in", "OTHERS", "--threshold", 1],
    "cluster": ["cluster", "FOLDER", "--threshold", 1],
}


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """A photo without its last 2 bytes."""
    path = tmp_path / "cut" / "cut.jpg"
    path.parent.mkdir()
    PIL.Image.fromarray(toy_model.crop(1, 0)).save(path, progressive=True)
    path.write_bytes(path.read_bytes()[:-2])
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_remark_is_said_once(command: str, cut: Path, crops: Path, toy: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    enrolled = run("enroll", crops / "ann.png", "--name", "Ann", "--aligned", "--model", toy, gallery=gallery)
    assert "missing" not in enrolled.output
    given = {"OTHERS": crops / "people", "CUT": cut, "FOLDER": cut.parent, "GOOD": crops / "stranger.png"}
    words = [given.get(str(word), word) for word in COMMANDS[command]]
    result = run(*words, "--aligned", "--model", toy, gallery=gallery)
    assert result.exit_code in (0, 1), result.output
    assert result.output.count(f"{cut}: {REMARK}") == 1
    assert result.output.count("missing") == 1


@pytest.mark.usefixtures("random_weights", "one_thread")
@pytest.mark.parametrize("model", ["face", "picture"])
def test_features_say_a_remark_once(model: str, cut: Path, tiny_model: Path, tmp_path: Path) -> None:
    of = ["--model", tiny_model, "--aligned"] if model == "face" else ["--model", "squeezenet1_1", "--input-size", 48]
    result = run("features", cut.parent, "--output", tmp_path / "x.npz", *of)
    assert result.exit_code == 0, result.output
    assert result.output.count(f"{cut}: {REMARK}") == 1


def test_json_has_remarks_only_where_there_are_any(cut: Path, crops: Path, toy: Path, tmp_path: Path) -> None:
    words = ["--aligned", "--model", toy, "--json"]
    enrolled, _ = json_lines(run("enroll", cut, "--name", "Ann", *words, gallery=tmp_path / "gallery"))
    odd, fine = json_lines(
        run("identify", cut, crops / "ann.png", "--threshold", 1, *words, gallery=tmp_path / "gallery")
    )
    (verified,) = json_lines(run("verify", crops / "ann.png", cut, "--threshold", 1, *words))
    assert enrolled["remarks"] == odd["remarks"] == [REMARK]
    assert verified["remarks"] == [f"{cut}: {REMARK}"]
    assert "remarks" not in fine


class _Nobody:
    """A detector that finds no faces."""

    def detect(self, images: list[Image]) -> list[list[Face]]:
        return [[] for _ in images]


def test_where_no_face_is_found_the_reason_has_the_remark(tmp_path: Path, embedder: OpenVINOEmbedder) -> None:
    frames = [PIL.Image.fromarray(np.roll(toy_model.crop(0, 0), 9 * shift, 1)) for shift in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    (photo,) = embed_photos([tmp_path / "a.gif"], _Nobody(), embedder)  # pyright: ignore[reportArgumentType]
    assert isinstance(photo.error, NoFaceError)
    assert "a.gif: no face found (frame 1 of 3 was read); use a photo" in str(photo.error)
