"""main_face.py: the order of hand-placed faces."""

from itertools import permutations

import numpy as np
import pytest

from facerec.faces.main_face import main_first
from facerec.types import Box, Face

PHOTO = (250, 250, 3)


def face(box: Box, confidence: float = 0.9999) -> Face:
    return Face(np.zeros((112, 112, 3), np.uint8), box, np.zeros((5, 2), np.float32), confidence)


def middle(side: float, x: float = 125, y: float = 125) -> Box:
    return (x - side / 2, y - side / 2, x + side / 2, y + side / 2)


IN_ORDER = {
    "the larger one": [face(middle(100)), face(middle(90))],
    "the one near the middle": [face(middle(80)), face(middle(100, x=200))],
    "a large one before a small one nearer the middle": [face(middle(120, x=150)), face(middle(30))],
    "the surer one of two alike": [face(middle(90, x=90), 0.999), face(middle(90, x=160), 0.98)],
    "a man before what is half he and half his neighbour": [face((65, 56, 164, 198)), face((101, 41, 217, 195), 0.951)],
    "a face at the top before a large belly": [face((85, 10, 165, 90)), face((65, 100, 185, 220), 0.92)],
    "a face at the border before a doubtful speck in the middle": [face(middle(60, x=215)), face(middle(33), 0.91)],
    "a large one in slight doubt before a sure one behind": [face(middle(110), 0.985), face(middle(35, x=180))],
    "where faces are small, the middle": [face(middle(30), 0.99), face(middle(33, x=170)), face(middle(36, y=220))],
}


@pytest.mark.parametrize("faces", IN_ORDER.values(), ids=IN_ORDER)
def test_order(faces: list[Face]) -> None:
    for mixed in permutations(faces):
        assert all(a is b for a, b in zip(main_first(mixed, PHOTO), faces, strict=True))


def test_doubt_takes_something_away_wherever_a_face_lies() -> None:
    rng = np.random.default_rng(0)
    for x, y, side in rng.uniform((0, 0, 10), (250, 250, 200), (200, 3)):
        sure, unsure = face(middle(side, x, y), 0.99), face(middle(side, x, y), 0.95)
        assert main_first([unsure, sure], PHOTO)[0] is sure


def test_the_shape_of_the_photo_counts() -> None:
    """The middle of a wide photo is not that of a square one; its size does not matter by itself."""
    left, right = face(middle(60)), face(middle(60, x=375))
    assert main_first([right, left], (250, 300))[0] is left
    assert main_first([left, right], (250, 700))[0] is right
    assert main_first([], PHOTO) == []
