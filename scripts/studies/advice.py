"""What `facerec advise` says of three folders, beside what the measured strategies say.

    .venv/bin/python -m scripts.studies advice --data ../shared/data

DATA holds hymenoptera/train, cifar10/train, faces and splits. Of `faces` only the people to train on are looked at.
The measured figures are those of the studies `classification_tasks` and `strategies`; they are copied, not measured
again. The advice agrees if the advised strategy is the best one measured. If it is not, but its interval and the best
one's overlap, the two are not told apart. The faces' figures are means of two seeds; their intervals are 1.96
standard errors.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.datasets.splits import split_people
from facerec.models.network import MODES, Network
from facerec.training.advise import Advice, advise
from scripts.studies.tables import Table, spanned, study_parser

Interval = tuple[float, float, float]  # the figure, and the ends of its interval


@dataclass(frozen=True)
class Row:
    """A folder, the network it was measured with, and what came out, in percent."""

    name: str
    folder: str
    backbone: str
    input_size: int
    measure: str
    measured: dict[str, Interval]


def two_seeds(mean: float, error: float) -> Interval:
    """A mean and its standard error as an interval."""
    return mean, mean - 1.96 * error, mean + 1.96 * error


ROWS = (
    Row(
        "ants or bees", "hymenoptera/train", "mobilenet_v2", 224, "accuracy",
        {"frozen": (93.5, 88.3, 96.8), "full": (92.2, 86.7, 95.9)},
    ),
    Row(
        "a tenth of CIFAR-10", "cifar10/train", "squeezenet1_1", 96, "accuracy",
        {"frozen": (65.8, 62.8, 68.7), "partial": (74.2, 71.4, 76.9), "full": (76.1, 73.3, 78.7)},
    ),
    Row(
        "faces", "faces", "resnet50", 112, "TAR at FMR 1e-3",
        {
            "frozen": two_seeds(5.70, 0.26),
            "partial": two_seeds(8.58, 0.65),
            "discriminative": two_seeds(6.80, 0.05),
            "full": two_seeds(7.63, 0.10),
        },
    ),
)  # fmt: skip


def verdict(advised: str, measured: dict[str, Interval]) -> str:
    """Whether the measurements agree with the advice, in words."""
    best = max(measured, key=lambda strategy: measured[strategy][0])
    if advised not in measured:
        return f"not measured; best: `{best}`"
    if advised == best:
        others = [figures for strategy, figures in measured.items() if strategy != best]
        apart = all(high < measured[best][1] for _, _, high in others)
        return "yes" if apart else "yes, it was the best, but not told apart from the next"
    if measured[advised][2] >= measured[best][1]:
        return f"not told apart from the best, `{best}`"
    return f"no: `{best}` is better"


def read_row(row: Row, data: Path) -> PhotoSet:
    """The photos to train on."""
    photos = read_photos(data / row.folder)
    return split_people(photos, data / "splits", seed=0)[0] if row.folder == "faces" else photos


def advice_for(row: Row, photos: PhotoSet) -> Advice:
    """What `facerec advise` says of these photos."""
    faces = row.folder == "faces"
    mode = MODES[0] if faces else MODES[1]
    network = Network(row.backbone, 2, mode=mode, input_size=row.input_size, pretrained=True).eval()
    return advise(photos, network, faces=faces)[0]


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    return study_parser(__doc__, data=True)


def main() -> None:
    """Parse, look, print a Markdown table."""
    options = parser().parse_args()
    head = ("task, network", "photos, folders", "probe by stage, % (chance)", "similarity", "advice", "measured, %")
    table = Table((*head, "do they agree"), options.csv)
    for row in ROWS:
        a = advice_for(row, read_row(row, options.data))
        probes = ", ".join(f"{100 * depth.accuracy:.0f}" for depth in a.depths)
        kept = f", {a.kept_stages} stages" if a.kept_stages else ""
        measured = ", ".join(
            f"`{strategy}` {spanned(value, ends, 1, 1)}" for strategy, (value, *ends) in row.measured.items()
        )
        table.add(
            f"{row.name}, {row.backbone}",
            f"{a.photos:,}, {a.classes:,}",
            f"{probes} ({100 * a.chance:.0f})",
            f"{a.similarity:.2f}",
            f"`{a.strategy}`{kept}: {a.reason}",
            f"{row.measure}: {measured}",
            verdict(a.strategy, row.measured),
        )


if __name__ == "__main__":
    main()
