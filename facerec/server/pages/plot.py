"""The picture of the threshold: how far strangers and members are from the nearest person."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.evaluation.operating_points import Distances, Point

WIDE, HALF, FAR = 1000, 170, 2.6  # units: the width, the height above and below the axis; the distance at the right end
BINS = 65


@dataclass(frozen=True, slots=True)
class Plot:
    """Paths and places of the drawing. band: left end and width of the thresholds within the interval of the rate."""

    strangers: str
    members: str
    limit: float
    set: float
    band: tuple[float, float]
    ticks: tuple[tuple[float, str], ...]


def plot_of(distances: Distances, shown: Point, used: Point, ends: tuple[float, float]) -> Plot:
    """Draw the distances. shown, used: the point that is looked at, and the one in use. ends: distances of the band."""
    above = outline(histogram(distances.strangers, distances.weights), up=True)
    below = outline(histogram(distances.members, np.ones(len(distances.members))), up=False)
    left, right = map(place, ends)
    ticks = tuple((place(tick), f"{tick:g}") for tick in (0, 0.5, 1, 1.5, 2))
    limits = place(shown.calibration.distance), place(used.calibration.distance)
    return Plot(above, below, *limits, (left, round(right - left, 1)), ticks)


def place(distance: float) -> float:
    """Where a distance is from left to right."""
    return round(min(max(distance / FAR, 0.0), 1.0) * WIDE, 1)


def histogram(values: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(BINS,) shares of the weights, divided by the largest; zeros without values."""
    counts, _ = np.histogram(np.clip(values, 0, FAR), BINS, (0, FAR), weights=weights)
    return counts / counts.max() if counts.any() else counts.astype(np.float64)


def outline(heights: NDArray[np.float64], *, up: bool) -> str:
    """The path of a histogram that stands on the axis, or hangs from it."""
    step, sign = WIDE / BINS, -1 if up else 1
    points = [f"M0 {HALF}"]
    for number, height in enumerate(heights):
        y = round(HALF + sign * height * (HALF - 24), 1)
        points.append(f"L{number * step:.1f} {y}L{(number + 1) * step:.1f} {y}")
    return "".join([*points, f"L{WIDE} {HALF}Z"])
