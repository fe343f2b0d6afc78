"""The page of a study, study.html: what to take and why, on one page that loads nothing and runs nothing."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from facerec.evaluation.report.page import Page, Plot, Plots, Section, Text, made_now, render
from facerec.evaluation.report.tables import Table
from facerec.files import write_text
from facerec.study.comparison import Ranked, rank, ways_of
from facerec.study.plots import cost_figure, curves_figure, quality_figure, scale_of
from facerec.study.recommendation import duration, recommend, verdicts
from facerec.study.results import DONE, CellResult, StudyPlan, read_cells, read_plan
from facerec.study.table import Row, as_cells, budget_words, build_rows, notes
from facerec.study.terms import TERMS
from facerec.text import how_many, printable

PAGE = "study.html"


def write_page(folder: Path) -> Path:
    """Write study.html from the results in a study's folder, whole or not at all. Returns its path.

    Cells that have not ended are missing on it. Raises DataError if the folder holds no study, or a file of it is
    broken; OSError if the page cannot be written.
    """
    plan = read_plan(folder)
    write_text(folder / PAGE, render(build_page(plan, list(read_cells(folder, plan)))))
    return folder / PAGE


def build_page(plan: StudyPlan, cells: Sequence[CellResult]) -> Page:
    """The page of a plan and of its cells that have ended."""
    rows = build_rows(plan, cells)
    sections = [
        Text("", note=_question(plan)),
        Text("What to take", *_recommended(plan, cells)),
        *_overview(rows),
        _results(plan, rows),
        *_ranking(rank(ways_of(cells))),
        *_predictions(plan, cells),
        *_curves(rows, cells),
        *_missing(plan, cells),
        _conditions(plan),
    ]
    return Page(f"What to freeze: {printable('/'.join(Path(plan.folder).parts[-2:]))}", (), tuple(sections), TERMS)


def _question(plan: StudyPlan) -> str:
    """What was compared, on which photos, in one paragraph."""
    photos = plan.photos
    backbones = how_many(len(plan.backbones), "backbone")
    strategies = how_many(len(plan.strategies), "strategy", "strategies")
    return (
        f"{backbones}, each under {strategies}, with {how_many(plan.seeds, 'seed')} of each: "
        f"{how_many(len(plan.cells()), 'training')}. They learn from "
        f"{photos.train_photos:,} photos of {photos.train_names:,} {plan.names} and are judged on "
        f"{photos.validation_photos:,} validation photos of {photos.validation_names:,} {plan.names}. "
        f"{budget_words(plan)}"
    )


def _recommended(plan: StudyPlan, cells: Sequence[CellResult]) -> tuple[str, tuple[str, ...]]:
    found = recommend(plan, cells)
    return found.lead, found.points


def _overview(rows: Sequence[Row]) -> list[Section]:
    """Two plots of all rows; none where no cell is done."""
    if not any(row.quality for row in rows):
        return []
    names = ", ".join(dict.fromkeys(row.strategy for row in rows))
    quality = Plot(
        f"quality of each strategy: {names}",
        quality_figure(rows),
        "Quality of each strategy on the validation photos: the mean over the seeds, and its 95 % interval.",
    )
    cost = Plot(
        "quality against training time",
        cost_figure(rows),
        "Quality against the time that training took. Better is higher, cheaper is further left.",
    )
    return [Plots("Quality, and what it costs", (quality, cost))]


def _results(plan: StudyPlan, rows: Sequence[Row]) -> Table:
    head, *lines = (tuple(cells[:-1]) for cells in as_cells(rows))  # predictions have a table of their own
    return Table("Results", head, tuple(lines), " ".join(notes(plan, rows)))


def _ranking(ranked: Sequence[Ranked]) -> list[Section]:
    """The places that each way may have; nothing where there is nothing to rank."""
    if len(ranked) < 2:
        return []
    head = ("place", "backbone", "strategy", "mean", "below the highest, points", "training", "trained")
    lines = tuple(
        (
            " to ".join(map(str, sorted(set(each.places)))),
            each.way.backbone,
            each.way.strategy,
            f"{100 * each.way.mean:.1f}",
            _below(each),
            duration(each.way.seconds),
            f"{each.way.trained_parameters:,}",
        )
        for each in ranked
    )
    note = (
        "By quality alone. Place 2 to 4 of 6: the seeds show one way above it and two below it, and do not tell it "
        "apart from the others."
    )
    return [Table("Ranking", head, lines, note)]


def _below(each: Ranked) -> str:
    if each.below is None:
        return "-"
    low, high = each.below.ci95
    return f"{100 * each.below.mean:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _predictions(plan: StudyPlan, cells: Sequence[CellResult]) -> list[Section]:
    """What was predicted beside what came out."""
    lines = tuple(
        (
            each.prediction.source,
            each.backbone,
            f"{each.prediction.strategy}{_kept(each.prediction.kept_stages)}",
            each.prediction.reason,
            each.came_out.replace("`", ""),
        )
        for each in verdicts(plan, cells)
    )
    head = ("predicted by", "backbone", "strategy", "because", "what came out")
    return [Table("Predicted, and what came out", head, lines)] if lines else []


def _kept(stages: int) -> str:
    return f" (first {how_many(stages, 'stage')} only; here with all)" if stages else ""


def _curves(rows: Sequence[Row], cells: Sequence[CellResult]) -> list[Section]:
    """Small plots of every strategy's epochs, a group for each backbone."""
    sections: list[Section] = []
    for backbone, own in groupby((row for row in rows if row.quality), lambda row: row.backbone):
        done = [cell for cell in cells if cell.backbone == backbone and cell.status == DONE]
        scale = scale_of(done)
        plots = [
            Plot(
                f"{backbone}, {row.strategy}: loss and quality by epoch",
                curves_figure(row, [cell for cell in done if cell.strategy == row.strategy], scale),
            )
            for row in own
        ]
        sections.append(Plots(f"{backbone}, epoch by epoch", tuple(plots), "" if sections else CURVES))
    return sections


CURVES = (
    "Thin lines are single seeds, thick lines their mean; dots are the best epochs. All strategies of a backbone have "
    "the same axes, so that they can be compared. The dotted line is the epoch from which the gap between training and "
    "validation stays above 5 points in most seeds."
)


def _missing(plan: StudyPlan, cells: Sequence[CellResult]) -> list[Section]:
    """The cells that failed, were left out, or have not ended, with the reason: a row for all seeds that share it."""
    ended = {cell.cell: cell for cell in cells}
    seeds: dict[tuple[str, ...], list[int]] = {}
    for cell in plan.cells():
        if cell not in ended or ended[cell].status != DONE:
            seeds.setdefault((cell.backbone, cell.strategy, *_state(ended.get(cell))), []).append(cell.seed)
    lines = [(*why, ", ".join(map(str, own))) for why, own in seeds.items()]
    head = ("backbone", "strategy", "state", "reason", "seeds")
    return [Table("Not measured", head, tuple(lines))] if lines else []


def _state(result: CellResult | None) -> tuple[str, str]:
    return ("not yet run", "") if result is None else (result.status.replace("_", " "), result.reason)


def _conditions(plan: StudyPlan) -> Table:
    """Where and how it was measured: what the times hold for."""
    machine = plan.machine
    facts = [
        ("photos", f"{plan.folder} ({plan.photos.fingerprint})"),
        ("mode", f"{plan.mode}, recipe {plan.recipe}" if plan.recipe else plan.mode),
        *((name.replace("_", " "), str(value)) for name, value in (plan.data | plan.settings).items()),
        ("machine", f"{machine.processor}, {how_many(machine.cores, 'core')}, {machine.memory_gib:.1f} GiB of memory"),
        ("computed on", f"{machine.device}, in {how_many(machine.threads, 'thread')}, torch {machine.torch}"),
        *made_now(),
    ]
    return Table("How it was measured", ("what", "value"), tuple(facts))
