"""A look back at an enrollment: who may be one person, what may be misplaced, and what failed for one reason."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facerec.decision.decide import far_from_own, misplaced
from facerec.gallery.enrolled import fewer_first
from facerec.gallery.gallery import Gallery
from facerec.gallery.vetoes import apart
from facerec.recognition.enroll import Enrollment, taking_out
from facerec.text import Brief, gallery_command, printable
from facerec.types import Threshold


@dataclass(frozen=True, slots=True, repr=False)
class OneReason(Brief):
    """A person's photos that were not enrolled, all or most of their photos, for one reason.

    reason: one line that says what to do.
    """

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
    photos that were enrolled, and why each of them is likely to be of somebody else: it is nearer to somebody who was
    enrolled after it, or far from all other photos of its person; and the command that takes it out.
    """

    alike: tuple[Alike, ...]
    misplaced: tuple[tuple[Path, str], ...]


def review(gallery: Gallery, results: Sequence[Enrollment]) -> Review:
    """Look back at the photos that an enrollment added, and at the people who got them.

    A photo can only be held back for the sake of somebody who was enrolled before it; here everybody is.
    """
    limit = gallery.threshold
    if limit is None:
        return Review((), ())
    added = [result for result in results if result.status == "added"]
    alike = alike_people(gallery, dict.fromkeys(result.person for result in added))
    return Review(alike, tuple(_misplaced(gallery, added, limit)))


def alike_people(gallery: Gallery, names: Iterable[str]) -> tuple[Alike, ...]:
    """Return the pairs of people who may be one, of whom at least one is in `names`, the nearest first."""
    limit = gallery.threshold
    return () if limit is None else tuple(Alike(*pair) for pair in gallery.alike(names, limit.distance))


def _misplaced(gallery: Gallery, added: Sequence[Enrollment], limit: Threshold) -> Iterator[tuple[Path, str]]:
    """The photos that were added and are likely to be of somebody else, why, and how they are taken out."""
    reasons = misplaced_reasons(gallery, added, limit)
    for result in added:
        if reason := reasons.get(result):
            yield result.path, f"{reason}; if so, {taking_out(result.person, result.path)}"


def misplaced_reasons(gallery: Gallery, added: Sequence[Enrollment], limit: Threshold) -> dict[Enrollment, str]:
    """The enrolled photos that are likely to be of somebody else, and why. Each has its vector."""
    return _far_from_own(gallery, added, limit) | _nearer_to_somebody_else(gallery, added, limit)


def _nearer_to_somebody_else(gallery: Gallery, added: Sequence[Enrollment], limit: Threshold) -> dict[Enrollment, str]:
    """The photos that are nearer to somebody else enrolled by now, and why."""
    vectors = [result.vector for result in added if result.vector is not None]
    if not vectors:
        return {}
    found = gallery.nearest_and_named(np.stack(vectors), [result.person for result in added])
    reasons = ((each, misplaced(each.person, near, limit)) for each, near in zip(added, found, strict=True))
    return {each: reason for each, reason in reasons if reason}


def _far_from_own(gallery: Gallery, added: Sequence[Enrollment], limit: Threshold) -> dict[Enrollment, str]:
    """The photos that are far from their own person's other photos, and why.

    Far is above the gallery's threshold and that of two photos: with many people, the former is so strict that many
    photos of the right person are above it.
    """
    limit = max(limit, gallery.model_threshold or limit, key=lambda threshold: threshold.distance)
    found = gallery.far_from_own(dict.fromkeys(result.person for result in added), limit.distance)
    far = {(person, vector.tobytes()): far_from_own(person, distance, limit) for person, vector, distance in found}
    named = ((each, far.get((each.person, each.vector.tobytes()))) for each in added if each.vector is not None)
    return {each: reason for each, reason in named if reason}


def for_one_reason(gallery: Gallery, results: Sequence[Enrollment]) -> tuple[OneReason, ...]:
    """Return the people all or most of whose photos failed for one reason: a line each instead of one a photo."""
    people: dict[str, list[Enrollment]] = defaultdict(list)
    for result in results:
        people[result.person].append(result)
    found, advice = ((person, len(own), _most(own)) for person, own in people.items()), _Advice(gallery, people)
    return tuple(_one_reason(advice, person, count, alike) for person, count, alike in found if alike)


def _most(own: Sequence[Enrollment]) -> list[Enrollment]:
    """Of a person's photos, those that failed for the commonest reason, if these are most; else none."""
    reason, count = Counter(result.for_all for result in own).most_common(1)[0]
    if not reason or 2 * count <= len(own):
        return []
    return [result for result in own if result.for_all == reason]


def _one_reason(advice: "_Advice", person: str, count: int, alike: Sequence[Enrollment]) -> OneReason:
    """Say why some photos failed. count: how many photos of the person there are, these among them."""
    owner, paths = alike[0].owner, tuple(result.path for result in alike)
    one, several = ("is", "are") if owner else ("was", "were")
    if count == 1:
        photos = f"the photo {one}"
    else:
        photos = f"{f'all {count}' if len(alike) == count else f'{len(alike)} of {count}'} photos {several}"
    remedy = f"; {advice.on_two(owner, person)}; {_if_wrong(owner, paths)}" if owner else ""
    return OneReason(person, paths, f"{printable(person)}: {photos} {alike[0].for_all}{remedy}")


def _if_wrong(owner: str, paths: Sequence[Path]) -> str:
    """What to do if photos enrolled as `owner` are of somebody else: joining the two people would be for good."""
    command = taking_out(owner, paths[0])
    return f"if that is wrong, {command}" + ("" if len(paths) == 1 else " takes out the first, and so on")


class _Advice:
    """What to do about photos that two people have: whoever follows all lines of a run moves nobody to and fro.

    given: the people whose photos this run was given.
    """

    def __init__(self, gallery: Gallery, given: Collection[str]) -> None:
        self._gallery, self._given = gallery, given
        self._moves: dict[str, str] = {}  # who gets another name -> the command

    def on_two(self, old: str, new: str) -> str:
        """What to do if `old`, who is enrolled, and `new`, who need not be, have the same photos."""
        if new in self._gallery and old in apart(self._gallery.store, new):
            return "they were said to be two people: leave these photos out of one folder"
        return f"if they are one person, {self._made_one(old, new)}"

    def _made_one(self, old: str, new: str) -> str:
        if new in self._gallery:
            gone, kept = fewer_first(self._gallery.store, old, new)
            done = f"{gallery_command('merge', gone, kept)} makes one of the two"
        elif old in self._given:
            return "give the two folders one name"  # a new name would be that of the other folder at the next run
        else:
            gone, done = old, f"{gallery_command('rename', old, new)} gives the new name"
        said = self._moves.setdefault(gone, done)
        return done if said == done else "enroll this folder again after that"
