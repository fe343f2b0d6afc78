"""The table of a study: one row for each backbone and strategy, over its seeds, as CSV, Markdown and JSON."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from facerec import metrics
from facerec.files import write_text
from facerec.study.results import DONE, FAILED, LEFT_OUT, CellResult, StudyPlan

CSV, MARKDOWN, JSON = "study.csv", "study.md", "table.json"


@dataclass(frozen=True, slots=True)
class Measured:
    """A quality over the seeds: the mean of `seeds` runs and its 95 % interval, None for a single run."""

    measure: str
    label: str
    mean: float
    ci95: tuple[float, float] | None
    seeds: int


@dataclass(frozen=True, slots=True)
class Row:
    """One backbone under one strategy. Times, memory and epochs are medians over the seeds, quality is a mean.

    done, failed, waiting: how many of its cells. reason: of the first that failed or was left out. gap: between
    training and validation at the best epoch. gap_opens: the epoch from which it stays open; None if it stays closed in
    most seeds. predicted_by: who predicted this strategy.
    """

    backbone: str
    strategy: str
    weights: str
    done: int
    failed: int
    waiting: int
    reason: str
    remark: str
    quality: tuple[Measured, ...]
    seconds: float | None
    peak_mib: float | None
    parameters: int
    trained_parameters: int
    crops: int
    best_epoch: float | None
    gap: float | None
    gap_opens: float | None
    predicted_by: tuple[str, ...]


def build_rows(plan: StudyPlan, results: Iterable[CellResult]) -> list[Row]:
    """The rows of a study, in the plan's order, from the cells that have ended."""
    ended: dict[tuple[str, str], list[CellResult]] = {}
    for result in results:
        ended.setdefault((result.backbone, result.strategy), []).append(result)
    return [
        _row(plan, backbone, strategy, ended.get((backbone, strategy), []))
        for backbone in plan.backbones
        for strategy in plan.strategies
    ]


def _row(plan: StudyPlan, backbone: str, strategy: str, ended: Sequence[CellResult]) -> Row:
    done = [result for result in ended if result.status == DONE]
    others = [result for result in ended if result.status != DONE]
    first = done[0] if done else CellResult(backbone, strategy, 0, FAILED)
    return Row(
        backbone=backbone,
        strategy=strategy,
        weights=first.weights,
        done=len(done),
        failed=sum(result.status == FAILED for result in ended),
        waiting=0 if any(result.status == LEFT_OUT for result in ended) else plan.seeds - len(ended),
        reason=others[0].reason if others else "",
        remark=first.remark,
        quality=_measured(done),
        seconds=_median(result.seconds for result in done),
        peak_mib=_median(result.peak_mib for result in done),
        parameters=first.parameters,
        trained_parameters=first.trained_parameters,
        crops=first.crops,
        best_epoch=_median(result.best_epoch for result in done),
        gap=_mean(result.gap for result in done),
        gap_opens=_usual_opening(done),
        predicted_by=_predicted_by(plan, backbone, strategy),
    )


def _measured(done: Sequence[CellResult]) -> tuple[Measured, ...]:
    """Each quality over the runs; a quality that one of them lacks (an AUC of one class) is left out."""
    if not done:
        return ()
    found = []
    for first in done[0].quality:
        values = [each.value for run in done for each in run.quality if each.measure == first.measure]
        if len(values) == len(done):
            found.append(Measured(first.measure, first.label, fmean(values), _interval(values), len(values)))
    return tuple(found)


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The interval of the mean of rates, which stays within 0 and 1."""
    if len(values) < 2:
        return None
    low, high = metrics.mean_interval(values)
    return max(low, 0.0), min(high, 1.0)


def _usual_opening(done: Sequence[CellResult]) -> float | None:
    opened = [result.gap_opens for result in done if result.gap_opens is not None]
    return float(median(opened)) if 2 * len(opened) > len(done) else None


def _predicted_by(plan: StudyPlan, backbone: str, strategy: str) -> tuple[str, ...]:
    return tuple(
        each.source for each in plan.predictions if each.strategy == strategy and each.backbone in ("", backbone)
    )


def _median(values: Iterable[float]) -> float | None:
    known = list(values)
    return float(median(known)) if known else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


# ------------------------------------------------------------------------------------------------------------- forms


def write_tables(folder: Path, plan: StudyPlan, rows: Sequence[Row]) -> None:
    """Write study.csv, study.md and table.json into the study's folder. Raises OSError."""
    write_text(folder / CSV, as_csv(rows))
    write_text(folder / MARKDOWN, as_markdown(plan, rows))
    write_text(folder / JSON, json.dumps(as_json(rows), indent=2, ensure_ascii=False) + "\n")


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows as values that `json.dumps` takes."""
    return [asdict(row) for row in rows]


def as_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV with a head; a quality has columns for its mean, the ends of its interval and its seeds."""
    measures = list(dict.fromkeys(each.measure for row in rows for each in row.quality))
    flat = [_flat(row, measures) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flat[0]) if flat else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(row: Row, measures: Sequence[str]) -> dict[str, Any]:
    values = asdict(row)
    values["predicted_by"] = " ".join(row.predicted_by)
    known = {each.measure: each for each in row.quality}
    del values["quality"]
    for measure in measures:
        each = known.get(measure)
        low, high = (each.ci95 if each else None) or (None, None)
        values |= {measure: each.mean if each else None, f"{measure}_low": low, f"{measure}_high": high}
    return values


def as_markdown(plan: StudyPlan, rows: Sequence[Row]) -> str:
    """The rows as a Markdown table for people, and below it what they must know to read it."""
    head, *lines = as_cells(rows)
    return "\n".join([_line(head), f"|{'---|' * len(head)}", *map(_line, lines), "", *notes(plan, rows), ""])


def as_cells(rows: Sequence[Row]) -> list[list[str]]:
    """The head and the rows as texts for people."""
    labels = list(dict.fromkeys(each.label for row in rows for each in row.quality)) or ["quality"]
    head = [
        "backbone",
        "strategy",
        *labels,
        "training",
        "trained parameters",
        "memory",
        "best epoch",
        "gap",
        "opens at",
    ]
    return [[*head, "predicted by"], *(_cells(row, labels) for row in rows)]


def _cells(row: Row, labels: Sequence[str]) -> list[str]:
    named = f"{row.backbone} (random weights)" if row.weights == "random" else row.backbone
    if not row.done:
        state = f"failed: {row.reason}" if row.failed else f"left out: {row.reason}" if row.reason else "not yet run"
        return [named, row.strategy, state, *[""] * (len(labels) + 7 - 1)]
    known = {each.label: each for each in row.quality}
    return [
        named,
        row.strategy,
        *(_spanned(known.get(label)) for label in labels),
        f"{row.seconds:.0f} s",
        f"{row.trained_parameters:,}",
        f"{row.peak_mib:,.0f} MiB",
        f"{row.best_epoch:g}",
        "-" if row.gap is None else f"{100 * row.gap:+.1f}",
        "-" if row.gap_opens is None else f"{row.gap_opens:g}",
        ", ".join(row.predicted_by),
    ]


def _spanned(each: Measured | None) -> str:
    if each is None:
        return "-"
    if each.ci95 is None:
        return f"{100 * each.mean:.1f}"
    return f"{100 * each.mean:.1f} ({100 * each.ci95[0]:.1f} to {100 * each.ci95[1]:.1f})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def notes(plan: StudyPlan, rows: Sequence[Row]) -> list[str]:
    """What a reader of the table must know, a sentence or two a line."""
    photos = plan.photos
    lines = [
        f"Trained on {photos.train_photos:,} photos of {photos.train_names:,} {plan.names}, judged on "
        f"{photos.validation_photos:,} photos of {photos.validation_names:,} {plan.names}. {budget_words(plan)} "
        "Quality in per cent: the mean over the seeds and its 95 % interval (Student's t; none for one seed). It holds "
        "for these validation photos: others would give other figures.",
        "Training: the median of the seconds without validation. Memory: the largest resident memory of the process, "
        "libraries included. Gap: points by which the training photos are above the validation photos at the best "
        "epoch. Opens at: the epoch from which the gap stays above 5 points.",
    ]
    lines += [f"{row.backbone}, {row.strategy}: {row.remark}" for row in rows if row.remark]
    if unfinished := [row for row in rows if row.done and (row.failed or row.waiting)]:
        parts = (f"{row.backbone} {row.strategy} {row.done} of {plan.seeds}" for row in unfinished)
        lines.append(f"Seeds that are done: {', '.join(parts)}.")
    if plan.quick:
        lines.append("This is a quick trial: its figures say that everything works, not which strategy is best.")
    return lines


def budget_words(plan: StudyPlan) -> str:
    """The budget of a cell as a sentence."""
    if plan.crops:
        return f"Every cell was trained on {plan.crops:,} crops."
    if plan.minutes:
        return f"Every cell was trained for {plan.minutes:g} minutes."
    return "Every cell was trained for the epochs of the recipe."
