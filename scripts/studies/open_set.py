"""Open-set identification of several models on the same random draws of people, with paired intervals.

    .venv/bin/python -m scripts.studies open_set ../shared/data/faces --people ../shared/data/splits/test.txt \
        default sface.onnx [--draws 20] [--enrolled 4]

FOLDER holds identity folders of aligned crops; LIST names the people (`faces/NAME`, a line each). In every draw half of
them, at random, are enrolled with 4 random crops each; their other crops are the mated searches, all crops of the other
half the non-mated ones. What `facerec evaluate identification --aligned` reports for such a pair of folders is averaged
over the draws, beside the ratio of every FNIR to the first model's. 95 % intervals: a bootstrap over people, who
are the same for all models and draws (thresholds chosen anew, draws not resampled).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facerec.evaluation.identification import Searches, fnir_at_fpir, run_searches
from facerec.types import Floats
from scripts.studies.people import SEED, draw, embed_people
from scripts.studies.tables import shown

FPIRS = (0.1, 0.01)
REPLICATES = 1000


def fnirs(
    draws: list[Searches], people: list[str], fpirs: Sequence[float] = FPIRS, replicates: int = REPLICATES
) -> Floats:
    """(1 + replicates, fpirs): FNIR averaged over the draws, as measured, then under each resample of the people."""
    rng = np.random.default_rng(SEED)
    drawn = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), replicates)
    weights = np.concatenate([np.ones((1, len(people))), drawn.astype(np.float64)])  # (1 + B, P)
    place = {person: i for i, person in enumerate(people)}
    sums = np.zeros((len(weights), len(fpirs)))
    for searches in draws:
        own = weights[:, [place[person] for person in searches.searcher]]  # (1 + B, N)
        sums += np.stack([fnir_at_fpir(searches, fpir, own) for fpir in fpirs], axis=1)
    return sums / len(draws)


def main() -> None:
    """Parse, embed, draw, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--people", type=Path, required=True, metavar="LIST")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--enrolled", type=int, default=4)
    options = parser.parse_args()
    listed = [line.split("/") for line in options.people.read_text("utf-8").split()]
    people = sorted(name for source, name in listed if source == options.folder.name)
    print(f"{len(people)} people, {options.draws} draws; percent, 95 % intervals over people\n")
    print(
        "| model | rank 1 | FNIR at FPIR 10 % | FNIR at FPIR 1 % | at 1 %: times the first's |\n|---|---|---|---|---|"
    )
    first: Floats | None = None
    for model in options.models:
        rows = embed_people(options.folder, people, model)
        draws = [run_searches(*draw(rows, options.enrolled, seed)) for seed in range(options.draws)]
        values = fnirs(draws, people)
        first = values if first is None else first
        rank1 = np.mean([searches.hit[searches.mated].mean() for searches in draws])
        with np.errstate(invalid="ignore", divide="ignore"):  # no errors of the first model's: no ratio
            ratio = shown(values[:, 1] / first[:, 1], 1, 2)
        cells = [f"{100 * rank1:.2f}", *(shown(column, 100, 2) for column in values.T), ratio]
        print(f"| {' | '.join([Path(model).name, *cells])} |", flush=True)


if __name__ == "__main__":
    main()
