"""What every study shares: its parser, its table (printed, and kept as CSV), its figures with intervals or errors."""

import argparse
import csv
import sys
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from facerec import metrics
from facerec.files import cache_folder
from facerec.metrics.intervals import Tally, bounded
from facerec.types import Floats

DATA = Path("../shared/data")  # from the top folder of a checkout


def study_parser(description: str | None, *, data: bool = False) -> argparse.ArgumentParser:
    """A parser that shows the study's docstring as help and takes `--csv`; and `--data` for a study that needs them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    several = "a study of several tables writes FILE-PART.csv for each"
    parser.add_argument("--csv", type=Path, metavar="FILE.csv", help=f"write the table there as well; {several}")
    if data:
        parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="the research data (%(default)s)")
    return parser


def add_runs(parser: argparse.ArgumentParser, name: str) -> None:
    """Let the study `name` take RUNS, the folder that keeps its trainings; `open_runs` makes it."""
    usual = cache_folder("studies") / name
    words = f"keeps what is done  [default: {usual}]".replace("%", "%%")
    parser.add_argument("runs", nargs="?", type=Path, default=usual, metavar="RUNS", help=words)


def open_runs(runs: Path) -> None:
    """Make RUNS, and say on stderr where it is: nobody may have named it."""
    runs.mkdir(parents=True, exist_ok=True)
    print(f"trainings are kept in {runs}", file=sys.stderr)


class Table:
    """A table whose rows are printed as Markdown as soon as they are known, and appended to a CSV file if one is named.

    file: what `--csv` gave. part: names this table where the study makes several: FILE-PART.csv.
    """

    def __init__(self, head: Sequence[str], file: Path | None = None, part: str = "") -> None:
        self.file = file.with_stem(f"{file.stem}-{part}") if file and part else file
        if self.file:
            self.file.write_text("", "utf-8")
        self.add(*head)
        print(f"|{'---|' * len(head)}", flush=True)

    def add(self, *cells: object) -> None:
        """One more row."""
        words = [str(cell) for cell in cells]
        print(markdown_row(words), flush=True)
        if self.file:
            with self.file.open("a", newline="", encoding="utf-8") as opened:
                csv.writer(opened, lineterminator="\n").writerow(words)


def markdown_row(cells: Sequence[str]) -> str:
    """The cells as one line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


class Counted(NamedTuple):
    """What a rate counts: the tally of N comparisons, and (N,) who is on either photo."""

    tally: Tally
    person_a: ArrayLike
    person_b: ArrayLike


def pooled(draws: Sequence[tuple[Tally, Sequence[Hashable]]]) -> Counted:
    """What the mean of the draws' rates counts, person by person. draws: of each, the tally and whose the searches are.

    Every draw weighs the same: a search weighs 1 / (searches that its draw's rate is a share of).
    """
    names = dict.fromkeys(person for _, owners in draws for person in owners)
    place = {person: i for i, person in enumerate(names)}
    errors, rest = np.zeros(len(place)), np.zeros(len(place))
    for found, owners in draws:
        own = np.array([place[person] for person in owners], np.intp)
        whole = float((found.errors + found.rest).sum()) or 1.0  # 0 in a draw without such searches
        errors += np.bincount(own, found.errors / whole, len(place))
        rest += np.bincount(own, found.rest / whole, len(place))
    people = np.arange(len(place))
    return Counted(Tally(errors + rest > 0, errors, rest), people, people)


def shown(values: Floats, scale: float, digits: int, of: Counted | None = None) -> str:
    """The first value with the 95 % interval of the others; resamples that lack a kind of search (nan) do not count.

    of: of a rate, what it counts; its interval then follows the rule for few errors (`facerec.metrics.intervals`).
    """
    if np.isnan(values[0]):
        return "-"
    ends = list(metrics.percentile_interval(values[1:][~np.isnan(values[1:])]))
    if of is not None:
        ends = bounded(ends, *of) or ends
    return spanned(values[0], ends, scale, digits)


def spanned(value: float, ends: Sequence[float], scale: float, digits: int) -> str:
    """A figure and the two ends of its interval, all times `scale`."""
    low, high = ends
    return f"{scale * value:.{digits}f} ({scale * low:.{digits}f} to {scale * high:.{digits}f})"


def mean_and_error(values: ArrayLike, scale: float = 1, signed: bool = False) -> str:
    """Mean ± standard error of the runs, both times `scale`; of a single run its value."""
    runs = scale * np.asarray(values, np.float64)
    error = f" ± {metrics.standard_error(runs):.2f}" if len(runs) > 1 else ""
    return f"{np.mean(runs):{'+' if signed else ''}.2f}{error}"
