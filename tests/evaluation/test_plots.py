"""The plots of the reports."""

import base64
import html
import re

import numpy as np
import pytest

from facerec.evaluation.report import plots


def drawn(figure: object) -> list[tuple[list[float], list[float]]]:
    """The points of every line of a figure."""
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in figure.axes[0].get_lines()]  # type: ignore[attr-defined]


def test_det_is_drawn_on_log_axes_and_nought_at_half_of_one() -> None:
    figure = plots.det_figure([[0, 0.5, 1], [0.1, 0.25, 1.5], [1, 0, 2]], ("F", "M"), (10, 4), (0.1, 0.5, 1.2))
    curve, mark = drawn(figure)
    assert curve == ([0.05, 0.1, 1], [0.5, 0.25, 0.125])
    assert mark == ([0.1], [0.5])
    assert (figure.axes[0].get_xscale(), figure.axes[0].get_yscale()) == ("log", "log")
    plots.as_source(plots.det_figure([], ("F", "M"), (0, 4), None))


def test_curves_without_errors_are_seen() -> None:
    """They run inside the frame, at a tick that says 0."""
    genuine = np.arange(60) < 20
    distances = np.where(genuine, 0.5, 2).astype(np.float32)
    points = [[0, 0, 1.9], [0.5, 0, 1.95], [1, 0, 4]]
    det = plots.det_figure(points, ("F", "M"), (40, 20), (0, 0, 1)).axes[0]
    roc = plots.roc_figure(distances, genuine).axes[0]
    for axes, sides in ((det, "xy"), (roc, "x")):
        for side in sides:
            axis, (low, high) = getattr(axes, f"{side}axis"), getattr(axes, f"get_{side}lim")()
            ticks = dict(zip((label.get_text() for label in axis.get_ticklabels()), axis.get_ticklocs(), strict=True))
            values = np.concatenate([getattr(line, f"get_{side}data")() for line in axes.get_lines()])
            assert low < values.min() == ticks["0"] < high
            assert "10 %" in ticks
    assert roc.get_ylim()[0] < 1 < roc.get_ylim()[1]


def test_histogram_shows_shares_of_what_is_finite() -> None:
    kinds = {"near": np.array([0.1, 0.1, 0.3, np.inf], np.float32), "far": np.array([2, 2.51], np.float32)}
    axes = plots.histogram_figure(kinds, 1.5).axes[0]
    heights = [patch.get_height() for patch in axes.patches]  # type: ignore[attr-defined]
    assert sorted(height for height in heights if height) == pytest.approx([100 / 3, 50, 50, 200 / 3])
    plots.as_source(plots.histogram_figure({"a": kinds["near"][:0], "b": kinds["far"][:0]}, None))


def test_sizes_show_rates_with_their_intervals_and_what_was_asked_for() -> None:
    size = {"fnir_at_gallery_threshold": 0.1, "fpir_at_gallery_threshold": 0.02}
    ci = {"fnir_at_gallery_threshold": [0.05, 0.2], "fpir_at_gallery_threshold": None}
    sizes = [{"people": 10, **size, "ci95": ci}, {"people": 40, **dict.fromkeys(size), "ci95": dict.fromkeys(size)}]
    lines = drawn(plots.sizes_figure(sizes, 0.01))
    assert any(y == pytest.approx([10]) for _, y in lines)
    assert any(y == pytest.approx([1, 1]) for _, y in lines)


def test_many_classes_are_drawn_without_names() -> None:
    count = plots.MOST_NAMES + 1
    figure = plots.confusion_figure(np.eye(count, dtype=int).tolist(), ["long" * 20] * count)
    assert b"long" not in base64.b64decode(plots.as_source(figure).split(",")[1])


def test_plots_follow_the_preference_for_dark_pages_in_colours_not_in_words() -> None:
    name = f'style="{plots.BLUE}" {plots.INK};'
    svg = base64.b64decode(plots.as_source(plots.sizes_figure([], 0.01)).split(",")[1]).decode("utf-8")
    style, rest = re.findall("<style>.*?</style>", svg)[0], re.sub("<style>.*?</style>", "", svg)
    assert not [colour for colour in plots.AT_NIGHT if colour in rest], "all by variables"
    assert "prefers-color-scheme:dark" in style
    assert all(light in style and dark in style for light, dark in plots.AT_NIGHT.items())
    named = base64.b64decode(plots.as_source(plots.confusion_figure([[1]], [name])).split(",")[1]).decode("utf-8")
    assert name in html.unescape(named)
