"""Plots of arrays, as matplotlib figures, and figures as pictures for a page."""

import base64
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facerec import metrics
from facerec.text import printable

if TYPE_CHECKING:  # slow to import
    from matplotlib.figure import Figure

INK, PAPER, BLUE, RED, GREY = "#000000", "#ffffff", "#2b6cb0", "#c05621", "#718096"
AT_NIGHT = {INK: "#e2e8f0", PAPER: "#1a202c", BLUE: "#63b3ed", RED: "#f6ad55", GREY: "#a0aec0"}
"""What colours become where the reader prefers dark pages; others stay."""
ON_DARK, ON_LIGHT = "#f7fafc", "#1a202c"  # of counts in the cells of a matrix, which stay as they are
MOST_NAMES = 30  # a matrix of more classes has no names and counts: nobody could read them
NAME_LENGTH = 24  # characters shown of a class's name
POINTS = 400  # per curve

Line = Mapping[str, Any]


def new_figure(title: str, x: str, y: str, size: tuple[float, float] = (5.2, 4.2)) -> tuple["Figure", Any]:
    """Return an empty plot, and its axes. size: in inches of 96 pixels on a screen, less where there is no room."""
    from matplotlib.figure import Figure  # slow to import, and only needed here

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes


def roc_figure(distances: NDArray[np.float32], genuine: NDArray[np.bool_]) -> "Figure":
    """Plot the true accept rate over the false match rate, with a log axis for the FMR.

    distances: (N,) of pairs. genuine: (N,), whether a pair is of one person.
    """
    figure, axes = new_figure("ROC", "false match rate (FMR)", "true accept rate (1 - FNMR)")
    fmr, fnmr, _ = metrics.det_points(metrics.roc(distances, genuine), POINTS).T
    least = 0.5 / max((~genuine).sum(), 1)
    axes.plot(np.maximum(fmr, least), 1 - fnmr, drawstyle="steps-post", color=BLUE, linewidth=2)
    _rates(axes, "x", least, 1)
    bottom = max(0, 1 - 1.6 * max(fnmr[0], 0.05)) if len(fnmr) else 0
    axes.set_ylim(bottom, 1 + 0.05 * (1 - bottom))  # a curve without errors runs below the frame
    return figure


def _rates(axes: Any, side: str, least: float, most: float) -> None:
    """Make the x or y axis logarithmic, with 0 at its low end: `least` stands for rates of 0."""
    getattr(axes, f"set_{side}scale")("log")
    axis = getattr(axes, f"{side}axis")
    decades = [10.0**power for power in range(math.ceil(math.log10(1.5 * least)), 1)]
    shown = [rate for rate in decades if rate <= most]
    axis.set_ticks([least, *shown], ["0", *(f"{100 * rate:g} %" for rate in shown)])
    axis.set_minor_formatter("")
    getattr(axes, f"set_{side}lim")(least / 1.5, 1.1 * most)


def det_figure(
    points: Sequence[Sequence[float]], names: tuple[str, str], counts: tuple[int, int], marked: Sequence[float] | None
) -> "Figure":
    """Plot the rate of misses over the rate of false matches on log axes.

    points: [false rate, missed rate, threshold], in ascending order of the false rate. names: the labels of the two
    rates. counts: how many comparisons each rate is a share of; a rate of 0 is drawn at half a comparison. marked: the
    point of one threshold, if any.
    """
    figure, axes = new_figure("DET", *names)
    false, missed, _ = np.asarray(points, np.float64).reshape(-1, 3).T
    least = [0.5 / max(count, 1) for count in counts]
    axes.plot(
        np.maximum(false, least[0]), np.maximum(missed, least[1]), drawstyle="steps-post", color=BLUE, linewidth=2
    )
    if marked is not None:
        x, y, threshold = max(marked[0], least[0]), max(marked[1], least[1]), marked[2]
        axes.plot(x, y, "o", color=RED, label=f"at the threshold {threshold:.3f}")
        axes.legend()
    _rates(axes, "x", least[0], 1)
    _rates(axes, "y", least[1], min(1, max(3 * missed.max(initial=0), 20 * least[1])))
    if not len(false):
        axes.text(0.5, 0.5, "needs comparisons of both kinds", transform=axes.transAxes, ha="center")
    return figure


def histogram_figure(series: Mapping[str, NDArray[np.float32]], threshold: float | None) -> "Figure":
    """Plot how the finite distances of two kinds are spread, as per cent of each kind in bins of 0.05.

    threshold: drawn as a line, if any.
    """
    figure, axes = new_figure("Distances", "squared distance", "share of its kind, %")
    for (name, distances), colour in zip(series.items(), (BLUE, RED), strict=True):
        finite = distances[np.isfinite(distances)]
        weights = np.full(len(finite), 100 / max(len(finite), 1))
        bins = np.linspace(0, metrics.MAX_DISTANCE, 81).tolist()
        axes.hist(finite, bins, weights=weights, color=colour, alpha=0.6, label=f"{name} ({len(finite)})")
    if threshold is not None:
        axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.3f}")
    known = np.concatenate([distances[np.isfinite(distances)] for distances in series.values()])
    axes.set_xlim(0, min(metrics.MAX_DISTANCE, float(known.max(initial=2)) + 0.1))
    axes.set_ylim(top=1.35 * axes.get_ylim()[1])  # room for the legend
    axes.legend(loc="upper left")
    return figure


def sizes_figure(sizes: Sequence[Line], target: float) -> "Figure":
    """Plot FNIR and FPIR with intervals over the size of the gallery, at the threshold that each gallery sets itself.

    target: the FPIR asked for, drawn as a line.
    """
    figure, axes = new_figure("By gallery size", "people in the gallery", "rate, %")
    kinds = {"fnir_at_gallery_threshold": ("FNIR", BLUE, 0.985), "fpir_at_gallery_threshold": ("FPIR", RED, 1.015)}
    for name, (label, colour, beside) in kinds.items():
        known = [size for size in sizes if size[name] is not None]
        people, rates = [beside * size["people"] for size in known], np.array([size[name] for size in known])
        ends = np.array([size["ci95"][name] or [size[name]] * 2 for size in known]).reshape(-1, 2)
        errors = 100 * np.maximum(np.stack([rates - ends[:, 0], ends[:, 1] - rates]), 0)
        said = f"{label} at its own threshold"
        axes.errorbar(people, 100 * rates, errors, fmt="o-", color=colour, capsize=4, label=said)
    axes.axhline(100 * target, color=RED, linestyle=":", label=f"FPIR asked for, {100 * target:g} %")
    axes.set_xscale("log")
    axes.set_xticks([size["people"] for size in sizes], [str(size["people"]) for size in sizes])
    axes.minorticks_off()
    top = 1.4 * axes.get_ylim()[1]  # room for the legend
    axes.set_ylim(-0.03 * top, top)  # points at 0 are whole
    axes.legend(loc="upper left")
    return figure


def reliability_figure(bins: Sequence[Sequence[float]]) -> "Figure":
    """Plot how often the nearest person is right over the probability that was stated for it.

    bins: [mean stated probability, share that was right, share of the searches]. The area of a point grows with the
    share of the searches.
    """
    figure, axes = new_figure("Reliability", "probability stated that the nearest person is right, %", "was right, %")
    stated, true, searches = 100 * np.asarray(bins, np.float64).reshape(-1, 3).T
    axes.plot([0, 100], [0, 100], color=GREY, linestyle=":", label="as stated")
    axes.plot(stated, true, color=BLUE)
    axes.scatter(stated, true, 20 + 4 * searches, color=BLUE, alpha=0.7, label="searches, by their share")
    for x, y, part in zip(stated, true, searches, strict=True):
        if part >= 1:  # points with fewer searches lie close together
            axes.annotate(f"{part:.2g} %", (x, y), (8, -12), textcoords="offset points", fontsize=8)
    axes.set_xlim(-3, 112)
    axes.set_ylim(-8, 105)
    axes.legend(loc="upper left")
    return figure


def confusion_figure(counts: Sequence[Sequence[int]], names: Sequence[str]) -> "Figure":
    """Plot a confusion matrix: a row per true class, a column per answer. The shade is the share of the row."""
    matrix = np.asarray(counts)
    side = min(3 + 0.35 * min(len(names), MOST_NAMES), 10)
    figure, axes = new_figure("Confusion", "answer", "true class", (side + 0.8, side))
    axes.grid(visible=False)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(names) > MOST_NAMES:
        return figure
    labels = [_short(name) for name in names]
    places = range(len(names))
    axes.set_xticks(places, labels, rotation=90, parse_math=False)
    axes.set_yticks(places, labels, parse_math=False)
    for row, column in zip(*matrix.nonzero(), strict=True):
        colour = ON_DARK if shares[row, column] > 0.5 else ON_LIGHT
        axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontsize=8)
    return figure


def _short(name: str) -> str:
    name = printable(name)
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"


def as_source(figure: "Figure") -> str:
    """Return an SVG as the `src` of an <img>, where nothing can run or load. Text stays text, in the reader's fonts.

    Its colours follow the reader's preference for light or dark pages; on paper they are light.
    """
    from matplotlib import rc_context

    svg = BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "facerec"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the reader's fonts may have it
        figure.savefig(svg, format="svg", metadata={"Date": None})
    themed = _follow_preference(svg.getvalue().decode("utf-8"))
    return f"data:image/svg+xml;base64,{base64.b64encode(themed.encode('utf-8')).decode()}"


def _follow_preference(svg: str) -> str:
    """Name the colours of AT_NIGHT in an SVG by variables, which a style sheet of its own sets."""
    names = {light: f"--{light[1:]}" for light in AT_NIGHT}
    known = re.compile("|".join(names))
    tag = re.compile("<[^<>]+>")  # the words of a plot stay
    svg = tag.sub(lambda found: known.sub(lambda colour: f"var({names[colour[0]]})", found[0]), svg)
    day = "".join(f"{name}:{light};" for light, name in names.items())
    night = "".join(f"{name}:{AT_NIGHT[light]};" for light, name in names.items())
    rules = f":root{{{day}}}@media (prefers-color-scheme:dark){{:root{{{night}}}}}text{{fill:var({names[INK]})}}"
    return re.sub(r"<svg\b[^>]*>", rf"\g<0><style>{rules}</style>", svg, count=1)
