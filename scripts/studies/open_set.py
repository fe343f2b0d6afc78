"""How many searches for enrolled people miss at a fixed FPIR? Several models on the same random draws of people.

    .venv/bin/python -m scripts.studies open_set ../shared/data/faces --people ../shared/data/splits/test.txt \\
        default sface.onnx [--draws 20] [--enrolled 4]

FOLDER holds identity folders of aligned crops. LIST names the people, a line `faces/NAME` each. In every draw half of
them, at random, are enrolled with 4 random crops each. Their other crops are the mated searches; all crops of the
other half are the non-mated ones. What `facerec evaluate identification --aligned` reports for such a pair of folders
is averaged over the draws. The last column is the ratio of the FNIR to the first model's. 95 % intervals: people
resampled, the same for all models and draws; thresholds chosen anew, draws kept.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facerec.evaluation.identification import Searches, fnir_at_fpir, fnir_tally, run_searches
from facerec.types import Floats
from scripts.studies.people import SEED, draw, embed_people, listed_people, resamples
from scripts.studies.tables import Counted, Table, pooled, shown, study_parser

FPIRS = (0.1, 0.01)
REPLICATES = 1000


def fnirs(
    draws: list[Searches], people: list[str], fpirs: Sequence[float] = FPIRS, replicates: int = REPLICATES
) -> Floats:
    """(1 + replicates, fpirs): FNIR averaged over the draws, as measured, then under each resample of the people."""
    weights = resamples(len(people), replicates, SEED)  # (1 + B, P)
    place = {person: i for i, person in enumerate(people)}
    sums = np.zeros((len(weights), len(fpirs)))
    for searches in draws:
        own = weights[:, [place[person] for person in searches.searcher]]  # (1 + B, N)
        sums += np.stack([fnir_at_fpir(searches, fpir, own) for fpir in fpirs], axis=1)
    return sums / len(draws)


def missed(draws: list[Searches], fpir: float) -> Counted:
    """What the FNIR of `fnirs` counts."""
    return pooled([(fnir_tally(searches, fpir), searches.searcher) for searches in draws])


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    made.add_argument("folder", type=Path)
    made.add_argument("models", nargs="+", metavar="MODEL")
    made.add_argument("--people", type=Path, required=True, metavar="LIST")
    made.add_argument("--draws", type=int, default=20)
    made.add_argument("--enrolled", type=int, default=4)
    return made


def main() -> None:
    """Parse, embed, draw, print a Markdown table."""
    options = parser().parse_args()
    people = listed_people(options.people, options.folder)
    print(f"{len(people)} people, {options.draws} draws; percent, 95 % intervals over people\n")
    head = ("model", "rank 1, %", "FNIR at FPIR 10 %", "FNIR at FPIR 1 %", "FNIR at FPIR 1 %, times the first model's")
    table = Table(head, options.csv)
    first: Floats | None = None
    for model in options.models:
        rows = embed_people(options.folder, people, model)
        draws = [run_searches(*draw(rows, options.enrolled, seed)) for seed in range(options.draws)]
        values = fnirs(draws, people)
        first = values if first is None else first
        rank1 = np.mean([searches.hit[searches.mated].mean() for searches in draws])
        with np.errstate(invalid="ignore", divide="ignore"):  # no errors of the first model's: no ratio
            ratio = shown(values[:, 1] / first[:, 1], 1, 2)
        rates = [shown(column, 100, 2, missed(draws, fpir)) for column, fpir in zip(values.T, FPIRS, strict=True)]
        table.add(Path(model).name, f"{100 * rank1:.2f}", *rates, ratio)


if __name__ == "__main__":
    main()
