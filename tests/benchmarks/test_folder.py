"""The benches `folder` and `peak`: which answers count as moved, and how a network's operations are counted."""

import numpy as np

from scripts.benchmarks.folder import TOLERANCE, is_moved
from scripts.benchmarks.peak import CASCADE, operations


def turned(by: float) -> np.ndarray:
    """A unit vector at this squared distance from (1, 0)."""
    cosine = 1 - by / 2
    return np.array([cosine, np.sqrt(1 - cosine**2)], np.float32)


def test_a_photo_has_moved_if_an_old_face_is_not_among_those_of_now() -> None:
    one, other, none = np.array([1, 0], np.float32), np.array([0, 1], np.float32), np.zeros((0, 2), np.float32)
    assert not is_moved(np.stack([other, turned(0.5 * TOLERANCE)]), one[None])
    assert is_moved(np.stack([other, turned(2 * TOLERANCE)]), one[None])
    assert is_moved(none, one[None])
    assert not is_moved(one[None], none)


def test_the_operations_of_a_network_are_those_of_its_layers() -> None:
    """MTCNN's second (Zhang et al. 2016): three convolutions of four channels, a layer of 128, six outputs."""
    layers = [(22**2, 28, 9 * 4), (9**2, 48, 9 * 28), (3**2, 64, 4 * 48), (1, 128, 3 * 3 * 64), (1, 6, 128)]
    expected = sum(2 * places * outputs * inputs for places, outputs, inputs in layers)
    assert operations(CASCADE / "rnet.xml", (1, 24, 24, 4)) == expected
