"""A look back at an enrollment: who may be one person, what may be misplaced, and what failed for one reason."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facerec.decision.decide import misplaced
from facerec.gallery.gallery import Gallery
from facerec.recognition.enroll import Enrollment
from facerec.text import Brief, printable
from facerec.types import Threshold


@dataclass(frozen=True, slots=True, repr=False)
class OneReason(Brief):
    """A person none of whose photos was enrolled, all for one reason, which is one line and says what to do."""

    person: str
    photos: tuple[Path, ...]
    reason: str


@dataclass(frozen=True, slots=True, repr=False)
class Alike(Brief):
    """Two people whose mean templates are `distance` apart, within the gallery's threshold: they may be one.

    person: who of them has fewer photos.
    """

    person: str
    other: str
    distance: float


@dataclass(frozen=True, slots=True, repr=False)
class Review(Brief):
    """What a look back at an enrollment suggests.

    alike: pairs of people who may be one, of whom one at least got photos; the nearest first. misplaced:
    photos that were enrolled, and why each of them is likely to be of somebody else who was enrolled after it.
    """

    alike: tuple[Alike, ...]
    misplaced: tuple[tuple[Path, str], ...]


def review(gallery: Gallery, results: Sequence[Enrollment]) -> Review:
    """Look back at the photos that an enrollment added, and at the people who got them.

    A photo can only be held back for the sake of somebody who was enrolled before it; here everybody is.
    """
    limit = gallery.threshold
    if limit is None or len(gallery) < 2:
        return Review((), ())
    people = dict.fromkeys(result.person for result in results if result.status == "added")
    alike = tuple(Alike(*pair) for pair in gallery.alike(people, limit.distance))
    return Review(alike, tuple(_misplaced(gallery, results, limit)))


def _misplaced(gallery: Gallery, results: Sequence[Enrollment], limit: Threshold) -> Iterator[tuple[Path, str]]:
    """The photos that were added and are likely to be of somebody else, and why."""
    added = [(result.path, result.person, result.vector) for result in results if result.vector is not None]
    if not added:
        return
    paths, people, vectors = zip(*added, strict=True)
    found = gallery.nearest_and_named(np.stack(vectors), people)
    for path, person, candidates in zip(paths, people, found, strict=True):
        if reason := misplaced(person, candidates, limit):
            yield path, reason


def for_one_reason(results: Sequence[Enrollment]) -> tuple[OneReason, ...]:
    """Return the people none of whose photos was enrolled, all for one reason: a line each instead of one a photo."""
    people: dict[str, list[Enrollment]] = defaultdict(list)
    for result in results:
        people[result.person].append(result)
    found = []
    for person, own in people.items():
        reason = own[0].for_all
        if reason and all(result.for_all == reason for result in own):
            photos = "the photo is" if len(own) == 1 else f"all {len(own)} photos are"
            paths, said = tuple(result.path for result in own), f"{printable(person)}: {photos} {reason}"
            found.append(OneReason(person, paths, said))
    return tuple(found)
