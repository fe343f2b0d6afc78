"""Which way of training to take, in words that follow from the numbers of `comparison`; whether predictions held."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from facerec.study.comparison import FEWEST, Difference, Ranked, Way, cheapest, compare, rank, ways_of
from facerec.study.results import CellResult, Prediction, StudyPlan
from facerec.text import how_many

MINUTE, HOUR = 60, 3600
RISK = 0.05
"""A choice by cost that may lose more of the quality is warned of."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to take (`lead`), and what else the ranking says, a sentence or two a point. `x` is a name of a strategy."""

    lead: str
    points: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a prediction said of a backbone, and what came out."""

    prediction: Prediction
    backbone: str
    came_out: str


def recommend(plan: StudyPlan, results: Iterable[CellResult]) -> Recommendation:
    """Recommend one way of the whole grid, and say of every backbone how its strategies rank."""
    ways = ways_of(results)
    ranked = rank(ways)
    several = len(plan.backbones) > 1
    points = [_strategies(backbone, rank(_of(ways, backbone))) for backbone in plan.backbones]
    points += _unranked(plan, ways) if len(ranked) > 1 else []
    return Recommendation(_lead(plan, ranked, several), (*filter(None, points), *_limits(ranked)))


def verdicts(plan: StudyPlan, results: Iterable[CellResult]) -> list[Verdict]:
    """What came out of every prediction, for each backbone that it is about."""
    ways = ways_of(results)
    return [
        Verdict(prediction, backbone, _came_out(plan, prediction, _of(ways, backbone)))
        for backbone in plan.backbones
        for prediction in plan.predictions
        if prediction.backbone in ("", backbone)
    ]


# ----------------------------------------------------------------------------------------------------- the whole grid


def _lead(plan: StudyPlan, ranked: Sequence[Ranked], several: bool) -> str:
    if len(ranked) < 2:
        return (
            f"Nothing is ranked: that needs {FEWEST} seeds each of two strategies, because another seed may give "
            "another order. The figures of single runs are in the table."
        )
    alike = [each for each in ranked if each.among_the_best]
    best, chosen = ranked[0].way, cheapest(each.way for each in alike)
    trial = "A quick trial, whose budget is too small for advice. " if plan.quick else ""
    take = f"{trial}Take {_name(chosen, several)}: {_figures(chosen)}."
    if len(alike) == 1:
        following = f"{_name(ranked[1].way, several)}, is lower by {_points(ranked[1].below)}"
        return f"{take} It is above all others beyond chance: the next, {following}."
    cost = f"Cost decides: of the {len(alike)} that are not told apart from the highest mean, it trains fastest."
    if chosen is best:
        return f"{take} It has the highest mean. {cost}"
    below = next(each.below for each in alike if each.way is chosen)
    return (
        f"{take} The highest mean is {_percent(best.mean)}, of {_name(best, several)}; the difference of "
        f"{_points(below)} may be chance. {cost}{_risk(below)}"
    )


def _risk(below: Difference | None) -> str:
    if below is None or below.ci95[1] <= RISK:
        return ""
    return f" So it may be up to {100 * below.ci95[1]:.1f} points lower; more seeds would tell."


# -------------------------------------------------------------------------------------------------------- a backbone


def _strategies(backbone: str, ranked: Sequence[Ranked]) -> str:
    """How the strategies of a backbone rank; "" where nothing can be compared."""
    if len(ranked) < 2:
        return ""
    alike = [each.way for each in ranked if each.among_the_best]
    apart = [each for each in ranked if not each.among_the_best]
    best, *others = (f"{_name(way)} ({_percent(way.mean)})" for way in alike)
    seeds = how_many(min(len(way.qualities) for way in alike), "seed")
    if not others:
        said = [f"{backbone}: {best} is best."]
    elif any(compare(one, other).told_apart for one, other in combinations(alike, 2)):
        said = [f"{backbone}: {_listed(others)} are not told apart from {best} ({seeds}).", _cost(alike)]
    else:
        said = [f"{backbone}: {_listed([best, *others])} are not told apart ({seeds}).", _cost(alike)]
    if apart:
        below = [f"{_name(each.way)} by {_points(each.below)}" for each in apart]
        said.append(f"Below {_name(ranked[0].way)}: {_listed(below)}.")
    return " ".join(said)


def _cost(alike: Sequence[Way]) -> str:
    chosen = cheapest(alike)
    others = _listed([duration(way.seconds) for way in alike if way is not chosen])
    return f"Cost decides: {_name(chosen)} trained in {duration(chosen.seconds)}, against {others}."


def _unranked(plan: StudyPlan, ways: Sequence[Way]) -> list[str]:
    several = len(plan.backbones) > 1
    few = [f"{_name(way, several)} ({len(way.qualities)})" for way in ways if len(way.qualities) < FEWEST]
    return [f"Not ranked, with fewer than {FEWEST} seeds: {_listed(few)}."] if few else []


def _limits(ranked: Sequence[Ranked]) -> list[str]:
    """What a reader must know of the comparisons."""
    said = (
        "Two strategies are told apart if the 95 % interval of their difference over the seeds leaves out 0. Chance "
        "tells one in 20 equals apart. The best epoch of each run was chosen on the same validation photos, so all "
        "figures are a little too good."
    )
    return [said] if len(ranked) > 1 else []


# -------------------------------------------------------------------------------------------------------- predictions


def _came_out(plan: StudyPlan, prediction: Prediction, ways: Sequence[Way]) -> str:
    if prediction.strategy not in plan.strategies:
        return "is not in this study"
    ranked = rank(ways)
    own = next((each for each in ranked if each.way.strategy == prediction.strategy), None)
    if own is None or len(ranked) < 2:
        known = next((len(way.qualities) for way in ways if way.strategy == prediction.strategy), 0)
        return f"cannot be decided ({how_many(known, 'seed')})"
    alike = [_name(each.way) for each in ranked if each.among_the_best and each is not own]
    if own.below is None:
        return (
            f"highest mean, not told apart from {_listed(alike)}" if alike else "best, above all others beyond chance"
        )
    if own.among_the_best:
        return f"not told apart from the highest mean, {_name(ranked[0].way)} ({_points(own.below)})"
    return f"below {_name(ranked[0].way)} by {_points(own.below)}"


# -------------------------------------------------------------------------------------------------------------- words


def _of(ways: Iterable[Way], backbone: str) -> list[Way]:
    return [way for way in ways if way.backbone == backbone]


def _name(way: Way, with_backbone: bool = False) -> str:
    return f"`{way.strategy}` on {way.backbone}" if with_backbone else f"`{way.strategy}`"


def _figures(way: Way) -> str:
    seeds = how_many(len(way.qualities), "seed")
    return f"{way.label} {_percent(way.mean)} after {duration(way.seconds)} of training ({seeds})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(below: Difference | None) -> str:
    """A difference in points of per cent, with the ends of its interval."""
    if below is None:
        return "0.0 points"
    return f"{100 * below.mean:.1f} points ({100 * below.ci95[0]:.1f} to {100 * below.ci95[1]:.1f})"


def _listed(words: Sequence[str]) -> str:
    """Join words as a sentence does: "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def duration(seconds: float) -> str:
    """Return a time for people: "12 s", "3.4 min", "1.5 h"."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / MINUTE:.1f} min" if seconds < HOUR else f"{seconds / HOUR:.1f} h"
