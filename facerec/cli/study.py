"""`facerec study`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common, detector_options, path_types
from facerec.cli.offers import some
from facerec.cli.progress import show_progress
from facerec.models.names import NAMES
from facerec.settings import read_values, split_names
from facerec.training.settings import STRATEGIES

if TYPE_CHECKING:  # slow to import
    from facerec.study.grid import GridProgress
    from facerec.study.planning import Asked
    from facerec.study.results import CellResult, StudyPlan
    from facerec.study.table import Row


@common.command(needs="train")
@click.argument("folder", type=path_types.FOLDER)
@click.option("--output", required=True, type=path_types.PATH, metavar="DIR", help="The folder for the study.")
@click.option(
    "--mode",
    type=click.Choice(["metric", "classify"]),
    default="metric",
    show_default=True,
    help="Tell people apart, or the classes of a folder.",
)
@click.option(
    "--backbones",
    metavar="A,B",
    shell_complete=some(NAMES),
    help="The networks to compare; `facerec models` lists them  [default: resnet50,mobilenet_v2,squeezenet1_1]",
)
@click.option(
    "--strategies",
    metavar="S,T",
    shell_complete=some(STRATEGIES),
    help=f"What to train of them: {', '.join(STRATEGIES)}; partial3 freezes the first 3 stages  [default: all]",
)
@click.option(
    "--budget", metavar="N|Nm", help="What each training gets: so many crops, or so many minutes  [default: 20000]"
)
@click.option("--seeds", type=click.IntRange(1), metavar="N", help="Runs of each combination  [default: 3]")
@click.option("--quick", is_flag=True, help="A trial of a minute: one small network, two strategies, one seed.")
@click.option(
    "--recipe", type=click.Choice(["tutorial"]), help="Ants and bees as the first lecture does it; see the README."
)
@click.option("--config", type=path_types.FILE, metavar="FILE", help="A TOML file of settings of facerec train.")
@click.option(
    "--splits", type=path_types.FOLDER, metavar="DIR", help="A folder of lists of people; validation.txt validate."
)
@click.option(
    "--validation",
    type=path_types.FOLDER,
    metavar="DIR",
    help="Class folders to validate on  [default: a fifth of the photos]",
)
@click.option("--exclude", type=path_types.FILE, metavar="FILE", help="A list of photos of FOLDER to leave out.")
@click.option("--keep-models", is_flag=True, help="Keep the best model of each training, in DIR/runs.")
@detector_options.face_options
@common.json_option
def study(
    folder: Path,
    output: Path,
    mode: str,
    backbones: str | None,
    strategies: str | None,
    budget: str | None,
    seeds: int | None,
    quick: bool,
    recipe: str | None,
    config: Path | None,
    splits: Path | None,
    validation: Path | None,
    exclude: Path | None,
    keep_models: bool,
    aligned: bool,
    as_json: bool,
    **looks: Any,
) -> None:
    """Compare ways to train a network on your photos.

    Trains every backbone under every strategy, each on as many crops and several times, and puts quality, time and
    memory side by side. FOLDER holds one folder per person, or with --mode classify per class. The same command goes on
    with a study that was stopped.

    \b
    facerec study people/ --output studies/people
    facerec study crops/ --aligned --backbones squeezenet1_1 --strategies full,frozen --seeds 5 --output studies/crops
    facerec study insects/ --mode classify --quick --output studies/trial
    facerec study hymenoptera/ --recipe tutorial --output studies/tutorial
    """
    from facerec.study.grid import run_study
    from facerec.study.planning import Asked, resolve

    given = {"splits": splits, "validation": validation, "exclude": exclude}
    asked = resolve(
        Asked(
            mode=mode,
            backbones=split_names(backbones or ""),
            strategies=split_names(strategies or ""),
            budget=budget or "",
            seeds=seeds,
            quick=quick,
            recipe=recipe or "",
            settings=read_values(config) if config else {},
            data={name: path for name, path in given.items() if path is not None},
        )
    )
    with _Bar(as_json) as bar:
        plan, rows = run_study(
            folder,
            output,
            asked,
            detector=_detector(asked, aligned, looks),
            aligning=lambda photos, total: show_progress(photos, "Aligning", total),
            watch=bar,
            keep_models=keep_models,
        )
    _report(output, plan, rows, as_json)
    common.finish(sum(row.failed for row in rows), sum(row.done for row in rows))


def _detector(asked: "Asked", aligned: bool, looks: dict[str, Any]) -> Any:
    if aligned or asked.mode != "metric":
        return None
    return detector_options.make_detector(False, **looks, crop_size=128)


def _report(output: Path, plan: "StudyPlan", rows: "list[Row]", as_json: bool) -> None:
    """Print what to take, how many trainings ended how, and where the page is; with --json the table's rows, too."""
    from facerec.study.page import PAGE
    from facerec.study.recommendation import recommend
    from facerec.study.results import read_cells
    from facerec.study.table import as_json as as_rows

    advice = recommend(plan, list(read_cells(output, plan)))
    done, failed = sum(row.done for row in rows), sum(row.failed for row in rows)
    left_out = len(plan.cells()) - done - failed
    if as_json:
        counts = {"done": done, "failed": failed, "left_out": left_out}
        words = {"recommendation": [advice.lead, *advice.points]}
        common.emit({"summary": True, "output": str(output), **counts, **words, "table": as_rows(rows)})
        return
    click.echo(advice.lead)
    counts = {"done": done, "failed": failed, "left out": left_out}
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    common.summary(f"{len(plan.cells())} trainings: {said}; see {common.one_line(output / PAGE)}", as_json)


class _Bar:
    """Prints each training as it ends, and shows a bar over the whole grid if stderr is a terminal."""

    def __init__(self, as_json: bool) -> None:
        self._as_json, self._bar = as_json, None

    def __enter__(self) -> "_Bar":
        return self

    def __call__(self, p: "GridProgress") -> None:
        """Take the progress of the grid."""
        if p.ended is not None:
            self.close()
            self._tell(p.ended)
        elif not common.is_quiet() and sys.stderr.isatty():
            self._show(p)

    def _show(self, p: "GridProgress") -> None:
        if self._bar is None:
            from rich import progress
            from rich.console import Console

            columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TaskProgressColumn())
            self._bar = progress.Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("", total=p.cells)
            self._bar.start()
        left = "" if p.seconds_left is None else f", {_duration(p.seconds_left)} left"
        text = f"{p.done + 1}/{p.cells} {p.cell.backbone} {p.cell.strategy} seed {p.cell.seed}{left}"
        self._bar.update(self._task, completed=p.done + p.share, description=text)

    def _tell(self, result: "CellResult") -> None:
        place = f"{result.backbone} {result.strategy} seed {result.seed}"
        if result.status == "failed":
            common.warn(f"{place}: failed: {result.reason}")
        if self._as_json:
            qualities = {each.measure: each.value for each in result.quality}
            facts = {name: getattr(result, name) for name in result.__slots__ if name not in ("quality", "epochs")}
            common.emit(facts | qualities | {"gap": result.gap, "gap_opens": result.gap_opens})
        elif result.status == "left_out":
            common.remark(f"{place}: left out: {result.reason}")
        elif result.status == "done":
            measured = ", ".join(f"{each.label} {100 * each.value:.1f} %" for each in result.quality)
            click.echo(f"{place}: {measured}, in {_duration(result.seconds)}")

    def close(self) -> None:
        """Take the bar away, so that lines can be printed."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __exit__(self, *error: object) -> None:
        self.close()


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
