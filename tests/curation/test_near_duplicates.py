"""duplicates.py: which pictures come from one photo: made-up ones, and against comparing each with each."""

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from photo_copies import jpeg, scene
from PIL.Image import Resampling

from facerec.curation.near_duplicates import ALIKE, RADIUS, SIDE, Pictures, correlate, one_photo, picture
from facerec.types import Image


def resized(image: Image, side: int) -> Image:
    return np.asarray(PIL.Image.fromarray(image).resize((side, side), Resampling.BICUBIC))


CHANGES = {
    "saved as JPEG": jpeg,
    "scaled to 80 %": lambda image: resized(resized(image, 102), 128),
    "lighter": lambda image: np.clip(image * 1.2, 0, 255).astype(np.uint8),
    "darker": lambda image: (image * 0.8).astype(np.uint8),
    "cut by 2 %": lambda image: resized(image[3:-3, 3:-3], 128),
    "shifted by 2 px": lambda image: np.roll(image, (2, -2), (0, 1)),
}


def all_agree(a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.bool_]:
    return np.ones(len(a), bool)


def pictures(*images: Image) -> Pictures:
    return Pictures.join([picture(image) for image in images])


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_one_photo_and_another_scene_is_not(change: str) -> None:
    scenes = [scene(seed) for seed in range(8)]
    pairs = one_photo(all_agree, pictures(*scenes), pictures(*map(CHANGES[change], scenes)))
    assert pairs.a.tolist() == pairs.b.tolist() == list(range(8))
    assert (pairs.correlation >= ALIKE).all()


def test_among_themselves_each_pair_comes_once() -> None:
    some = pictures(scene(0), scene(1), jpeg(scene(0)), scene(2), jpeg(scene(1)), scene(0))
    pairs = one_photo(all_agree, some)
    assert sorted(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)) == [(0, 2), (0, 5), (1, 4), (2, 5)]


def test_only_pairs_that_are_agreed_on_are_compared() -> None:
    some = pictures(scene(0), scene(0), scene(0))
    pairs = one_photo(lambda a, b: b == 2, some)
    assert sorted(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)) == [(0, 2), (1, 2)]


def test_many_hashes_against_every_pair() -> None:
    """One small picture for all, so that the hashes alone decide, in more than one batch of queries."""
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 2, (40, 64))
    bits = (centres[rng.integers(0, 40, 700)] + (rng.random((700, 64)) < 0.1)) % 2
    small = picture(scene(0)).small.repeat(700, 0)
    pairs = one_photo(all_agree, Pictures(np.packbits(bits.astype(np.uint8), axis=1), small))
    apart = (bits[:, None] != bits[None]).sum(2)
    expected = {(i, j) for i, j in np.argwhere(apart <= RADIUS).tolist() if i < j}
    assert set(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)) == expected
    assert len(pairs.a) == len(expected) > 1000
    assert (apart == RADIUS).any()


def test_correlation_is_that_of_least_squares() -> None:
    """Against numpy's own solver, one pair at a time."""
    a, b = pictures(*map(scene, range(5))).small, pictures(*map(scene, range(3, 8))).small
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    for found, left, right in zip(correlate(a, b), a, b, strict=True):
        left, right = ((p - p.mean()) / p.std() for p in (left.astype(float), right.astype(float)))
        down, across = np.gradient((left + right) / 2)
        moves = (right, across, down, x * across + y * down, x * down - y * across, np.ones_like(right))
        columns = np.stack([move.ravel() for move in moves], 1)
        fitted = columns @ np.linalg.lstsq(columns, left.ravel(), rcond=None)[0]
        assert found == pytest.approx(np.corrcoef(fitted, left.ravel())[0, 1], abs=2e-3)


def test_a_blank_picture_is_like_nothing() -> None:
    blank = np.full((2, SIDE, SIDE), 7, np.uint8)
    other = picture(scene(0)).small.repeat(2, 0)
    for a, b in ((blank, blank), (blank, other), (other, blank)):
        assert correlate(a, b).max() < 0.9
    assert correlate(blank[:0], other[:0]).shape == (0,)


def test_no_faces_no_pairs() -> None:
    nothing = pictures()
    assert len(nothing) == 0
    assert len(one_photo(all_agree, nothing).a) == len(one_photo(all_agree, pictures(scene(0)), nothing).a) == 0
    assert len(one_photo(all_agree, nothing, pictures(scene(0))).a) == 0
