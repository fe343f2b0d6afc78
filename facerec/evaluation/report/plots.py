"""Arrays -> plots, as matplotlib figures and as pictures a page can hold."""

import base64
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

BLUE, RED, GREY = "#2b6cb0", "#c05621", "#718096"
MOST_NAMES = 30  # classes whose names and counts can be read beside a matrix
NAME_LENGTH = 24  # characters of a class's name beside it
POINTS = 400  # of a curve

Line = Mapping[str, Any]


def _axes(title: str, x: str, y: str, size: tuple[float, float] = (5.2, 4.2)) -> tuple["Figure", Any]:
    from matplotlib.figure import Figure  # slow to import, and only needed here

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes


def roc_figure(distances: NDArray[np.float32], genuine: NDArray[np.bool_]) -> "Figure":
    """True accept rate against false match rate, FMR on a log axis."""
    figure, axes = _axes("ROC", "false match rate (FMR)", "true accept rate (1 - FNMR)")
    fmr, fnmr, _ = metrics.det_points(metrics.roc(distances, genuine), POINTS).T
    least = 0.5 / max((~genuine).sum(), 1)
    axes.plot(np.maximum(fmr, least), 1 - fnmr, drawstyle="steps-post", color=BLUE)
    axes.set_xscale("log")
    axes.set_xlim(least, 1)
    axes.set_ylim(max(0, 1 - 1.6 * max(fnmr[0], 0.05)) if len(fnmr) else 0, 1.005)
    return figure


def det_figure(
    points: Sequence[Sequence[float]], names: tuple[str, str], counts: tuple[int, int], marked: Sequence[float] | None
) -> "Figure":
    """Missed against false on log axes.

    points: [false rate, missed rate, threshold], the false rate ascending. marked: the same of one threshold, if any.
    names, counts: of either rate, and what it is a share of; nought is drawn at half of one.
    """
    figure, axes = _axes("DET", *names)
    false, missed, _ = np.asarray(points, np.float64).reshape(-1, 3).T
    least = [0.5 / max(count, 1) for count in counts]
    axes.plot(np.maximum(false, least[0]), np.maximum(missed, least[1]), drawstyle="steps-post", color=BLUE)
    if marked is not None:
        x, y, threshold = max(marked[0], least[0]), max(marked[1], least[1]), marked[2]
        axes.plot(x, y, "o", color=RED, label=f"at the threshold {threshold:.3f}")
        axes.legend()
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(least[0], 1)
    axes.set_ylim(least[1], min(1, 3 * max(missed.max(initial=0), least[1])))
    return figure


def histogram_figure(series: Mapping[str, NDArray[np.float32]], threshold: float | None) -> "Figure":
    """Finite distances of two kinds, each as its share in bins of 0.05, and the threshold between them."""
    figure, axes = _axes("Distances", "squared distance", "share of its kind, %")
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
    """FNIR and FPIR at the threshold each gallery sets itself, by its size, with intervals, beside the target FPIR."""
    figure, axes = _axes("By gallery size", "people in the gallery", "rate, %")
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
    axes.set_ylim(0, 1.4 * axes.get_ylim()[1])  # room for the legend
    axes.legend(loc="upper left")
    return figure


def reliability_figure(bins: Sequence[Sequence[float]]) -> "Figure":
    """What came true of the probabilities stated.

    bins: [mean stated, share that was right, share of the searches]; a point's area grows with the last.
    """
    figure, axes = _axes("Reliability", "probability stated that the nearest person is right, %", "was right, %")
    stated, true, searches = 100 * np.asarray(bins, np.float64).reshape(-1, 3).T
    axes.plot([0, 100], [0, 100], color=GREY, linestyle=":", label="as stated")
    axes.plot(stated, true, color=BLUE)
    axes.scatter(stated, true, 20 + 4 * searches, color=BLUE, alpha=0.7, label="searches, by their share")
    for x, y, part in zip(stated, true, searches, strict=True):
        if part >= 1:  # the least lie close together
            axes.annotate(f"{part:.2g} %", (x, y), (8, -12), textcoords="offset points", fontsize=8)
    axes.set_xlim(-3, 112)
    axes.set_ylim(-8, 105)
    axes.legend(loc="upper left")
    return figure


def confusion_figure(counts: Sequence[Sequence[int]], names: Sequence[str]) -> "Figure":
    """True classes down, answers across; a square's shade is its share of the row."""
    matrix = np.asarray(counts)
    side = min(3 + 0.35 * min(len(names), MOST_NAMES), 10)
    figure, axes = _axes("Confusion", "answer", "true class", (side + 0.8, side))
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
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontsize=8)
    return figure


def _short(name: str) -> str:
    name = printable(name)
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"


def as_source(figure: "Figure") -> str:
    """An SVG as the src of an <img>: nothing in it runs or loads. Text stays text, in the reader's fonts."""
    from matplotlib import rc_context

    svg = BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "facerec"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the reader's fonts may have it
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.getvalue()).decode()}"
