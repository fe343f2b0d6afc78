"""What to expect of a gallery before there is one: memory, disk, search time, threshold, FNIR, photos a day.

Everything is extrapolated from measured figures, `plan.json`, which scripts/studies/plan.py writes.

The threshold among N people follows from the least of N distances. Near 0, the share of pairs of strangers within a
distance d is a power of d: share (d / u)^power. Distances are bounded by 0, so their minimum is in the domain of
Weibull's distribution (Fisher and Tippett 1928), and the pairs within u have a generalised Pareto tail that ends at 0
(Pickands 1975, Annals of Statistics 3). The power is half of the local intrinsic dimension; its estimate is Hill's
(Levina and Bickel 2004, NIPS 17; Amsaleg et al. 2015, KDD). A stranger is then named with probability

    FPIR(d) = 1 - (1 - share (d / u)^power)^N

This takes the N distances of a stranger for independent. They are not: some strangers are nearer to everybody. So the
formula is a model, and the study shows its errors where they can be seen.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facerec.decision.calibration import DEFAULT_FPIR
from facerec.errors import ConfigError
from facerec.search.shortlist import LEAST
from facerec.settings import require_whole
from facerec.types import Floats

FIGURES = Path(__file__).with_suffix(".json")
MOST = {"people": 10**10, "photos_per_person": 10**4, "photos_per_day": 10**12, "cores": 10**6}
"""The largest arguments of `plan`: there are fewer people on Earth."""
FROM_ENGINE = 20_000_000
"""From so many people on, an engine beside facerec is advised: one process would need tens of gigabytes."""
DAY = 86_400  # seconds


@dataclass(frozen=True, eq=False, slots=True)
class Tail:
    """How near strangers come: the share of pairs within a distance d is share (d / distance)^power, at most 1.

    replicates: (B, 2), share and power for resampled people.
    """

    distance: float
    share: float
    power: float
    replicates: Floats

    def fpir(self, distance: float | Floats, people: int) -> Floats:
        """The share of strangers whose nearest of so many people is within the distance."""
        pairs = np.minimum(self.share * (np.asarray(distance) / self.distance) ** self.power, 1)
        with np.errstate(divide="ignore"):  # log(1 - 1)
            return -np.expm1(people * np.log1p(-pairs))

    def threshold(self, people: int, fpir: float) -> tuple[float, float, float]:
        """The distance at which `fpir` is reached among so many people, and its 95 % interval over resampled people."""
        pairs = -np.expm1(np.log1p(-fpir) / people)
        found = self.distance * (pairs / self.replicates[:, 0]) ** (1 / self.replicates[:, 1])
        low, high = np.quantile(found, (0.025, 0.975))
        return self.distance * (pairs / self.share) ** (1 / self.power), float(low), float(high)


@dataclass(frozen=True, eq=False, slots=True)
class Own:
    """How far people are from their own photos: the share of photos beyond each distance, and its 95 % interval.

    distances: (G,) ascending. beyond, low, high: (G,).
    """

    distances: Floats
    beyond: Floats
    low: Floats
    high: Floats

    def at(self, distance: float) -> tuple[float, float, float]:
        """The share of photos beyond a distance, and its interval."""
        low, value, high = (
            float(np.interp(distance, self.distances, share)) for share in (self.low, self.beyond, self.high)
        )
        return value, low, high

    def taken_for_others(self, tail: Tail, distance: float, people: int) -> float:
        """The share of photos within the distance that are nearer to one of the other people than to their own."""
        ends = np.array([0.0, *self.distances[self.distances < distance], distance])
        share = -np.diff(np.interp(ends, self.distances, self.beyond))  # of the photos between two ends
        return float(share @ tail.fpir((ends[1:] + ends[:-1]) / 2, people - 1))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to expect of a gallery.

    error_photos: the photos of each person that threshold and FNIR were measured with, at most `photos_per_person`.
    fpir: the rate of the threshold.
    index: "exact", "shortlist", or "engine", that is one beside facerec, such as Milvus; the other figures are those of
    one process all the same. search_ms: one core's, for a face. search_measured: whether it lies between measured
    sizes. memory_gb, disk_gb: of the whole gallery. threshold: squared distance. fnir: the share of photos of enrolled
    people that do not name them. photos_a_day: what `cores` can do, None without them. load: the share of it that
    `photos_per_day` are. ci95: [low, high] of the threshold and the FNIR over resampled people; the error of the model
    comes on top. checked: what was found in the largest made-up gallery. figures: where each comes from.
    """

    people: int
    photos_per_person: int
    error_photos: int
    fpir: float
    index: str
    search_ms: float
    search_measured: bool
    memory_gb: float
    disk_gb: float
    threshold: float
    fnir: float
    photos_per_day: int | None
    cores: int | None
    photos_a_day: int | None
    load: float | None
    ci95: dict[str, tuple[float, float]]
    checked: dict[str, Any]
    figures: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict that `json.dumps` takes."""
        return asdict(self)


def plan(people: int, photos_per_person: int = 1, photos_per_day: int | None = None, cores: int | None = None) -> Plan:
    """Return what to expect of a gallery of so many people, each enrolled with so many photos.

    Raises ConfigError for an argument that is no whole number from 1 to its largest (MOST).
    """
    _require(people=people, photos_per_person=photos_per_person)
    _require(**{name: n for name, n in (("photos_per_day", photos_per_day), ("cores", cores)) if n is not None})
    known = figures()
    used = max(int(number) for number in known["own"]["photos"] if int(number) <= photos_per_person)
    tail, own = strangers(known, used), own_photos(known, used)
    distance, *ends = tail.threshold(people, DEFAULT_FPIR)
    (missed, *missed_ends), others = own.at(distance), own.taken_for_others(tail, distance, people)
    taken, measured = search_ms(known["search"]["sizes"], people)
    seconds = known["embedding"]["core_seconds"] + taken / 1000  # of one core, for a photo
    can = None if cores is None else int(cores * DAY / seconds)
    return Plan(
        people=people,
        photos_per_person=photos_per_person,
        error_photos=used,
        fpir=DEFAULT_FPIR,
        index="exact" if people < LEAST else "shortlist" if people < FROM_ENGINE else "engine",
        search_ms=taken,
        search_measured=measured,
        memory_gb=_bytes(known["memory"], people, photos_per_person) / 1e9,
        disk_gb=_bytes(known["disk"], people, photos_per_person) / 1e9,
        threshold=distance,
        fnir=min(missed + others, 1.0),
        photos_per_day=photos_per_day,
        cores=cores,
        photos_a_day=can,
        load=photos_per_day / can if can and photos_per_day else None,
        ci95={"threshold": (ends[0], ends[1]), "fnir": tuple(min(end + others, 1.0) for end in missed_ends)},  # type: ignore[dict-item]
        checked=known["checked"][-1],
        figures={name: part["source"] for name, part in known.items() if name != "checked"},
    )


def _require(**numbers: int) -> None:
    for name, number in numbers.items():
        require_whole(number, name, 1)
        if number > MOST[name]:
            raise ConfigError(f"`{name}` must be at most {MOST[name]:,}, not {number:,}")


@functools.cache
def figures() -> dict[str, Any]:
    """The measured figures; each part names its `source`."""
    return json.loads(FIGURES.read_text("utf-8"))


def strangers(known: Mapping[str, Any], photos: int) -> Tail:
    """The tail for people enrolled with so many photos: that of one photo, changed as it was measured for several."""
    one, factor = known["strangers"], known["means"]["photos"][str(photos)]
    replicates = np.array(one["replicates"]) * (1, factor["power"])
    return Tail(one["distance"] * factor["distance"], one["share"], one["power"] * factor["power"], replicates)


def own_photos(known: Mapping[str, Any], photos: int) -> Own:
    """The distances of people's further photos, where so many photos are enrolled."""
    part = known["own"]["photos"][str(photos)]
    return Own(*(np.array(values) for values in (known["own"]["distances"], part["beyond"], part["low"], part["high"])))


def search_ms(sizes: Sequence[Mapping[str, Any]], people: int) -> tuple[float, bool]:
    """The time of one search, and whether it lies between measured sizes.

    Only sizes that are searched in the same way count. Between two of them time is a power of the number; above the
    largest it is proportional to it; below the smallest it is that size's, at most.
    """
    alike = [size for size in sizes if (size["people"] < LEAST) == (people < LEAST)]
    counts, times = np.array([[size["people"], size["ms"]] for size in alike]).T
    if people > counts[-1]:
        return float(times[-1] * people / counts[-1]), False
    return float(np.exp(np.interp(np.log(people), np.log(counts), np.log(times)))), bool(people >= counts[0])


def _bytes(part: Mapping[str, float], people: int, photos: int) -> float:
    return part["base"] + people * (part["person"] + part["photo"] * photos)
