"""What each rate of strangers costs in missed members: the thresholds a gallery could have, and its errors at them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec.decision.calibration import Calibration, Evidence, calibrate_by
from facerec.decision.population import evidence_of
from facerec.evaluation.self_search import Rate, rate_of
from facerec.search.leave_one_out import leave_one_out
from facerec.search.people import EnrolledPeople, PeopleIndex


@dataclass(frozen=True, eq=False, slots=True)
class Point:
    """A rate of strangers, FPIR, with its threshold, and the share of members' photos that are missed there, FNIR.

    missed: None if nobody has two photos.
    """

    fpir: float
    calibration: Calibration
    missed: Rate | None


@dataclass(frozen=True, eq=False, slots=True)
class Distances:
    """The distances behind the points.

    strangers: (N,) from strangers to the nearest person, as they set the threshold. weights: (N,) of each. members:
    (M,) from each photo of people with several to their other photos.
    """

    strangers: NDArray[np.float32]
    weights: NDArray[np.float64]
    members: NDArray[np.float32]


def operating_points(held: EnrolledPeople, rates: Sequence[float]) -> tuple[Distances, tuple[Point, ...]]:
    """Search a gallery with its strangers and, left out in turn, its own photos; a point for each rate.

    Without strangers there are no points. At least one photo.
    """
    people = PeopleIndex(np.arange(len(held.vectors)), held.owners, held.vectors)
    evidence = evidence_of(people, held.strangers, held.given, apart=held.apart)
    found = leave_one_out(held.vectors, people.places, people.means)
    mated, owners = np.isfinite(found.own), np.array(held.owners)
    own, other, whose = found.own[mated], found.other[mated], owners[mated]
    made = [calibrate_by(evidence, rate, len(people.names)) for rate in rates]
    points = [
        Point(each.fpir, each, rate_of((own > each.distance) | (own > other), whose))
        for each in made
        if each is not None
    ]
    return _distances(evidence, own), tuple(points)


def _distances(evidence: Evidence, members: NDArray[np.float32]) -> Distances:
    return Distances(evidence.distances, evidence.weights, members)
