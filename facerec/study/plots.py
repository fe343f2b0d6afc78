"""The plots of a study's page: quality by strategy, quality against time, and the curves of every epoch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from facerec.evaluation.report.plots import BLUE, GREY, INK, RED, new_figure
from facerec.study.results import CellResult, EpochResult
from facerec.study.table import Measured, Row
from facerec.types import Floats

if TYPE_CHECKING:  # slow to import
    from matplotlib.figure import Figure

COLOURS = ("#3182ce", "#dd6b20", "#38a169", "#d53f8c", "#805ad5", "#718096")  # seen on white and on black
MARKERS = "osD^vP*X"
WIDTH, ROW, PANEL = 5.2, 0.24, (3.4, 4.0)  # inches
DIVERGED = 3
"""A loss above so many times the largest first one is not drawn: it would flatten all other curves."""

Curve = Callable[[EpochResult], float]


@dataclass(frozen=True, slots=True)
class Scale:
    """The axes that the panels of a backbone share. epochs: the last one. loss, quality: lowest and highest, drawn."""

    epochs: int
    loss: tuple[float, float]
    quality: tuple[float, float]


def quality_figure(rows: Sequence[Row]) -> "Figure":
    """Plot the mean quality of every strategy with its interval, the backbones below each other."""
    known = [row for row in rows if row.quality]
    groups = [(backbone, list(own)) for backbone, own in groupby(known, lambda row: row.backbone)]
    lines = len(known) + len(groups)
    figure, axes = new_figure("", f"{known[0].quality[0].label}, %", "", (WIDTH, 0.9 + ROW * lines))
    place, names = 0, {}
    for backbone, own in groups:
        names[place] = backbone
        for row in own:
            place += 1
            _interval_at(axes, row.quality[0], place)
            names[place] = row.strategy
        place += 1
    axes.set_yticks(list(names), list(names.values()))
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() in dict(groups) else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(place - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    return figure


def _interval_at(axes: Any, quality: Measured, place: int) -> None:
    low, high = quality.ci95 or (quality.mean, quality.mean)
    axes.plot([100 * low, 100 * high], [place, place], color=BLUE, linewidth=2, alpha=0.6)
    axes.plot([100 * quality.mean], [place], "o", color=BLUE)


def cost_figure(rows: Sequence[Row]) -> "Figure":
    """Plot quality over training time: a colour for each strategy, a mark for each backbone."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogLocator

    known = [row for row in rows if row.quality and row.seconds is not None]
    colours = dict(zip(dict.fromkeys(row.strategy for row in known), cycle(COLOURS), strict=False))
    marks = dict(zip(dict.fromkeys(row.backbone for row in known), cycle(MARKERS), strict=False))
    height = 4.2 + ROW * (len(colours) + len(marks)) / 3
    figure, axes = new_figure("", "seconds of training", f"{known[0].quality[0].label}, %", (WIDTH, height))
    for row in known:
        _point(axes, row, colours[row.strategy], marks[row.backbone])
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    keys = [Line2D([], [], color=colour, linewidth=5, label=name) for name, colour in colours.items()]
    keys += [Line2D([], [], color=INK, marker=mark, linestyle="", label=name) for name, mark in marks.items()]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure


def _point(axes: Any, row: Row, colour: str, mark: str) -> None:
    mean = row.quality[0].mean
    low, high = row.quality[0].ci95 or (mean, mean)
    axes.plot([row.seconds] * 2, [100 * low, 100 * high], color=colour, alpha=0.5)
    axes.plot([row.seconds], [100 * mean], mark, color=colour, markersize=8)


# -------------------------------------------------------------------------------------------------------------- curves


def scale_of(cells: Iterable[CellResult]) -> Scale:
    """The axes on which the curves of some cells can be compared."""
    several = [cell.epochs for cell in cells if cell.epochs]
    epochs = [epoch for own in several for epoch in own]
    first = _finite(loss for own in several for loss in (own[0].train_loss, own[0].validation_loss))
    losses = _finite(loss for each in epochs for loss in (each.train_loss, each.validation_loss))
    qualities = _finite(one for each in epochs for one in (each.train_quality, each.validation_quality))
    top = min(losses.max(initial=0), DIVERGED * first.max(initial=0))
    low, high = 100 * qualities.min(initial=1), 100 * qualities.max(initial=0)
    margin = 0.05 * max(high - low, 1)
    last = max((each.epoch for each in epochs), default=1)
    return Scale(last, (0, 1.05 * top or 1), (min(low, high) - margin, high + margin))


def _finite(values: Iterable[float]) -> Floats:
    given = np.array(list(values), np.float64)
    return given[np.isfinite(given)]


def curves_figure(row: Row, cells: Sequence[CellResult], scale: Scale) -> "Figure":
    """Plot loss and quality of a strategy by epoch, of every seed (thin) and their mean (thick), on shared axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=PANEL)
    places = {"left": 0.17, "right": 0.97, "top": 0.93, "bottom": 0.19, "hspace": 0.1}  # all alike, without a search
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw=places)
    _draw(upper, cells, lambda epoch: epoch.train_loss, lambda epoch: epoch.validation_loss)
    _draw(lower, cells, lambda epoch: 100 * epoch.train_quality, lambda epoch: 100 * epoch.validation_quality)
    upper.set(title=row.strategy, ylabel="loss", ylim=scale.loss)
    lower.set(xlabel="epoch", ylabel=f"{row.quality[0].label}, %", ylim=scale.quality, xlim=(0.5, scale.epochs + 0.5))
    lower.xaxis.get_major_locator().set_params(integer=True)
    for cell in cells:
        best = next((epoch for epoch in cell.epochs if epoch.epoch == cell.best_epoch), None)
        if best is not None:
            lower.plot([best.epoch], [100 * best.validation_quality], "o", color=RED, markersize=5)
    if row.gap_opens is not None:
        lower.axvline(row.gap_opens, color=GREY, linestyle=":")
        side = "right" if row.gap_opens > scale.epochs / 2 else "left"
        lower.text(row.gap_opens, 0.03, " gap opens ", ha=side, fontsize=8, transform=lower.get_xaxis_transform())
    figure.legend(*upper.get_legend_handles_labels(), loc="lower center", ncols=2, fontsize=9, frameon=False)
    return figure


def _draw(axes: Any, cells: Sequence[CellResult], train: Curve, validation: Curve) -> None:
    axes.grid(alpha=0.3)
    for kind, colour, style, name in ((train, BLUE, "--", "training"), (validation, RED, "-", "validation")):
        for cell in cells:
            epochs, values = [each.epoch for each in cell.epochs], list(map(kind, cell.epochs))
            axes.plot(epochs, values, style, color=colour, linewidth=0.8, alpha=0.4)
        means = list(_means(cells, kind))
        axes.plot(
            [epoch for epoch, _ in means], [mean for _, mean in means], style, color=colour, linewidth=2, label=name
        )


def _means(cells: Sequence[CellResult], kind: Curve) -> Iterator[tuple[int, float]]:
    """Yield the mean over the cells for every epoch that all of them have."""
    for several in zip(*(cell.epochs for cell in cells), strict=False):
        yield several[0].epoch, float(np.mean([kind(epoch) for epoch in several]))
