"""Quality of faces: each measure by photos made to have it, and the words by the numbers they are about."""

import dataclasses
import json
import math

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest
import toy_model
from hypothesis import given
from hypothesis import strategies as st

from facerec.faces.alignment import template
from facerec.faces.detector import AlignedDetector
from facerec.faces.quality import LIMITS, Limit, Quality, measure, sharpness
from facerec.photos.reading import read_image
from facerec.types import Face, Image

GOOD = Quality(60, 0.7, 0, 0, 0, 1)


def face(landmarks: np.ndarray, confidence: float = 1.0) -> Face:
    return Face(toy_model.crop(0, 0), (0, 0, 9, 9), landmarks.astype(np.float32), confidence)


def moved(scale: float = 1, degrees: float = 0) -> np.ndarray:
    """The landmarks of a frontal face, enlarged and turned clockwise as seen, somewhere in a photo."""
    turn = np.exp(1j * math.radians(degrees)) * scale
    points = (template(112).astype(np.float64) @ (1, 1j)) * turn + (300 + 200j)
    return np.stack([points.real, points.imag], axis=1)


def portrait(samples) -> Image:
    """Real texture to blur: the middle of a photo, 112 px."""
    image = PIL.Image.fromarray(read_image(next(iter(sorted(samples.glob("people/*/*.jpg"))))))
    return np.asarray(image.crop((0, 0, 500, 500)).resize((112, 112), PIL.Image.Resampling.BICUBIC))


# ---------------------------------------------------------------------------------------------------- the measures


@pytest.mark.parametrize("scale", [0.2, 1, 9.5])
@pytest.mark.parametrize("degrees", [-90, -20, 0, 35, 170])
def test_a_frontal_face_of_any_size_and_roll(scale: float, degrees: float) -> None:
    quality = measure(face(moved(scale, degrees), 0.97))
    assert quality.eye_distance == pytest.approx(35.24 * scale, rel=0.01)
    assert quality.roll == pytest.approx(degrees, abs=0.5)
    assert quality.yaw == pytest.approx(0, abs=0.01)
    assert quality.pitch == pytest.approx(0, abs=0.01)
    assert quality.confidence == 0.97


def test_turning_the_head_moves_the_nose_and_not_the_size() -> None:
    """A head turned to the image's right: the eyes come together, the nose goes to the right."""
    points = moved(2)
    middle = points[:2].mean(axis=0)
    points[:2, 0] = middle[0] + 0.5 * (points[:2, 0] - middle[0])
    points[2, 0] += 0.3 * (points[1, 0] - points[0, 0])
    right = measure(face(points))
    assert right.yaw == pytest.approx(0.3, abs=0.01)
    assert right.eye_distance == pytest.approx(70.5, rel=0.01)
    points[2, 0] -= 0.6 * (points[1, 0] - points[0, 0])
    assert measure(face(points)).yaw == pytest.approx(-0.3, abs=0.01)


@pytest.mark.parametrize("degrees", [0, 30])
def test_nodding_moves_the_nose_up_and_down(degrees: float) -> None:
    for part in (-0.2, 0.2):
        points = moved(1, degrees)
        points[2] += part * (points[3:].mean(axis=0) - points[:2].mean(axis=0))
        assert measure(face(points)).pitch == pytest.approx(part, abs=0.01)
        assert measure(face(points)).yaw == pytest.approx(0, abs=0.01)


def test_landmarks_on_one_point_are_a_face_of_no_size() -> None:
    quality = measure(face(np.ones((5, 2))))
    assert (quality.eye_distance, quality.yaw) == (0, 0)
    assert quality.faults


def test_blur_and_enlarging_take_sharpness_away(samples) -> None:
    crop = portrait(samples)
    picture = PIL.Image.fromarray(crop)
    blurred = [sharpness(np.asarray(picture.filter(PIL.ImageFilter.GaussianBlur(s)))) for s in (0, 1, 2, 3, 5)]
    enlarged = [sharpness(np.asarray(picture.resize((s, s)).resize((112, 112)))) for s in (112, 56, 28, 14)]
    for values in (blurred, enlarged):
        assert values == sorted(values, reverse=True)
        assert values[0] > 2 * values[-1]
        assert 0 <= min(values) <= max(values) <= 1


def test_sharpness_depends_neither_on_contrast_nor_on_light(samples) -> None:
    crop = portrait(samples).astype(np.float64)
    usual = sharpness(crop.astype(np.uint8))
    for dim in (0.3 * crop, 0.3 * crop + 150):
        assert sharpness(dim.astype(np.uint8)) == pytest.approx(usual, abs=0.08)


def test_blur_in_one_direction_is_blur() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (112, 112), np.uint8)
    streaks = np.repeat(noise[:, :7], 16, axis=1)
    across, along = (sharpness(np.stack([picture] * 3, axis=-1)) for picture in (noise, streaks))
    assert across > 0.8
    smooth = np.asarray(PIL.Image.fromarray(noise).resize((7, 112)).resize((112, 112), PIL.Image.Resampling.BICUBIC))
    assert sharpness(np.stack([smooth] * 3, axis=-1)) < 0.5 < along


def test_sharpness_by_loops() -> None:
    """Crete's measure pixel by pixel, on the middle of a noisy crop."""
    crop = np.random.default_rng(1).integers(0, 256, (112, 112, 3), np.uint8)
    grey = np.asarray(PIL.Image.fromarray(crop).convert("L"), np.float64)[36:108, 20:92]
    results = []
    for picture in (grey, grey.T):  # differences along the rows of each
        kept = total = 0.0
        for row in picture:
            window = [[row[min(max(x + k, 0), 71)] for k in range(-5, 6)] for x in range(72)]
            soft = [sum(values) / 11 for values in window]
            for x in range(71):
                sharp = abs(row[x + 1] - row[x])
                total += sharp
                kept += max(sharp - abs(soft[x + 1] - soft[x]), 0)
        results.append(kept / total)
    assert sharpness(crop) == pytest.approx(min(results))


def test_a_crop_of_any_size_is_seen_alike_and_one_of_one_colour_is_not_sharp(samples) -> None:
    crop = portrait(samples)
    framed = np.pad(crop, ((8, 8), (8, 8), (0, 0)))
    assert sharpness(framed) == sharpness(crop), "training's crops have a margin"
    large = np.asarray(PIL.Image.fromarray(crop).resize((224, 224), PIL.Image.Resampling.BICUBIC))
    assert sharpness(large) == pytest.approx(sharpness(crop), abs=0.1)
    assert sharpness(np.full((112, 112, 3), 90, np.uint8)) == 0


@pytest.mark.parametrize("side", [80, 112, 128, 256])
def test_an_aligned_crop_has_its_own_size(side: int) -> None:
    image = np.asarray(PIL.Image.fromarray(toy_model.crop(0, 0)).resize((side, side)))
    ((found,),) = AlignedDetector().detect([image])
    quality = measure(found)
    assert quality.eye_distance == pytest.approx(35.24 * side / (112 if side == 112 else 128), rel=0.01)
    assert (abs(quality.yaw) < 0.01, abs(quality.pitch) < 0.01, quality.confidence) == (True, True, 1)


# ---------------------------------------------------------------------------------------------------- the words


def test_a_good_face_has_nothing_wrong_with_it() -> None:
    assert (GOOD.problems, GOOD.faults) == ((), ())


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.measure)
def test_each_limit_warns_then_refuses(limit: Limit) -> None:
    worse = math.inf if limit.most else -math.inf
    assert limit.least > limit.good if limit.most else limit.least < limit.good

    def at(value: float) -> Quality:
        return dataclasses.replace(GOOD, **{limit.measure: value})

    assert at(limit.good).problems == ()
    doubtful, poor = at(math.nextafter(limit.good, worse)), at(math.nextafter(limit.least, worse))
    assert len(doubtful.problems) == 1
    assert doubtful.faults == at(limit.least).faults == ()
    assert len(poor.faults) == len(poor.problems) == 1
    assert at(math.nan).faults, "what is no number is not good"
    if limit.most:
        assert at(-limit.least).faults == ()
        assert at(-poor.yaw).faults == poor.faults


@given(st.floats(0, 200))
def test_words_never_contradict_the_limit(value: float) -> None:
    for limit in LIMITS:
        if not limit.holds(value, limit.good):
            said = [
                float(word.rstrip(";")) for word in limit.complaint(value).replace(",", "").split() if word[0].isdigit()
            ]
            assert len(said) == 2
            assert said[1] == limit.good
            assert (said[0] > said[1]) if limit.most else (said[0] < said[1])


def test_quality_as_json() -> None:
    poor = dataclasses.replace(GOOD, eye_distance=3.14159)
    line = json.loads(json.dumps(poor.to_json()))
    assert list(line) == ["eye_distance", "sharpness", "yaw", "pitch", "roll", "confidence", "problems"]
    assert line["eye_distance"] == 3.1416
    assert line["problems"] == list(poor.problems)
    assert line["problems"][0].startswith("the face is small, 3 pixels between the eyes; use a photo with")
