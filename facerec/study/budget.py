"""The budget of a cell: so many crops or minutes, the same for all, as epochs and batches."""

import re
from dataclasses import dataclass

from facerec.errors import ConfigError

MANY = 10_000  # epochs that a limit in minutes always ends


@dataclass(frozen=True, slots=True)
class Budget:
    """Crops to train on, or minutes of training; the other is 0."""

    crops: int
    minutes: float


MOST = Budget(crops=10**12, minutes=1e6)  # nobody has the time for more


def read_budget(text: str) -> Budget:
    """The budget that a text such as "20000" (crops) or "30m" (minutes) asks for; raises ConfigError for another."""
    found = re.fullmatch(r"([0-9]+)|([0-9.]+)m", text.strip())
    try:
        budget = Budget(int(found[1] or 0), float(found[2] or 0)) if found else Budget(0, 0)
    except ValueError:  # as of 1.2.3m
        budget = Budget(0, 0)
    if not (budget.crops or budget.minutes):
        raise ConfigError(f"`budget` is a number of crops, as in 20000, or of minutes, as in 30m, not {text!a:.40}")
    if budget.crops > MOST.crops or budget.minutes > MOST.minutes:
        raise ConfigError(f"`budget` must be at most {MOST.crops} crops or {MOST.minutes:.0f}m, not {text!a:.40}")
    return budget


def spend(budget: Budget, batches: int, photos: int, epochs: int) -> tuple[dict[str, int | float], int]:
    """The training settings that spend a budget, and the crops that they show (0 for a limit in minutes).

    batches: of a pass over the photos, each of `photos`. epochs: how many there are to be; a large budget makes more of
    them and not longer ones, a small one shorter ones.
    """
    if budget.minutes:
        return {"epochs": MANY, "minutes": budget.minutes}, 0
    wanted = max(1, round(budget.crops / photos))  # batches in all
    if wanted >= epochs * batches:
        epochs, each = round(wanted / batches), batches
    else:
        epochs = min(epochs, wanted)
        each = round(wanted / epochs)
    return {"epochs": epochs, "epoch_batches": each}, epochs * each * photos
