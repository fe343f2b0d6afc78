"""Checking a folder of identity folders: unusable photos, copies, wrong labels, one person under two names.

`gather` makes an Album: for each photo its vector, a hash and a small grey picture (3 KB in all). `check` lists the
faults of one Album, and the people and photos that two of them share. The limits on distances are estimated from the
data (`limits_of`), because distances differ from network to network.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from facerec.curation.label_fit import (
    Fit,
    Limits,
    People,
    fit_of,
    limits_of,
    misfits,
    nearest_people,
    people_of,
    typical,
)
from facerec.curation.near_duplicates import Agree, Pictures, one_photo, picture
from facerec.errors import FacerecError, ImageError
from facerec.faces.detector import Detector
from facerec.inference.embedder import Embedder
from facerec.inference.pipeline import embed_photos
from facerec.photos.folders import photo_hash
from facerec.text import how_many, printable
from facerec.types import Photo, Threshold, Vectors
from facerec.vectors import paired_distances

KINDS = (
    *("unreadable", "no_face", "duplicate", "near_duplicate", "single_photo", "wrong_label", "same_person"),
    *("shared_name", "shared_person", "shared_photo"),
)
"""The kinds of findings, in the order of a report."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding, for somebody to look at.

    kind: one of KINDS. people, photos: the people and photos it concerns; photos are folder/person/file. reason: one
    line. suspects: those of `photos` that should not be trained on. other_people, other_photos: people and photos of
    the other folder. distance: squared, between the faces or people. correlation: between the pictures. Both are None
    if not compared.
    """

    kind: str
    people: tuple[str, ...]
    photos: tuple[str, ...]
    reason: str
    suspects: tuple[str, ...] = ()
    other_people: tuple[str, ...] = ()
    other_photos: tuple[str, ...] = ()
    distance: float | None = None
    correlation: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict for `json.dumps`."""
        return asdict(self)


@dataclass(frozen=True, eq=False, slots=True)
class Album:
    """The N usable photos of a folder, and findings about the others.

    keys: folder/person/file. people: the P names. labels: (N,) int64, places in `people`. digests: SHA-256 of each
    file. vectors: (N, D) unit float32. pictures: of the N faces. faults: one Finding for each unusable photo.
    """

    keys: tuple[str, ...]
    people: tuple[str, ...]
    labels: NDArray[np.int64]
    digests: tuple[str, ...]
    vectors: Vectors
    pictures: Pictures
    faults: tuple[Finding, ...]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings in the order of KINDS, about `photos` usable photos of `people` people."""

    photos: int
    people: int
    findings: tuple[Finding, ...]
    limits: Limits

    def counts(self) -> dict[str, int]:
        """The number of findings of each kind."""
        return {kind: sum(finding.kind == kind for finding in self.findings) for kind in KINDS}

    def suspects(self) -> dict[str, list[str]]:
        """The photos that should not be trained on, sorted, each with the reasons."""
        reasons = defaultdict(list)
        for finding in self.findings:
            for key in finding.suspects:
                reasons[key].append(f"{finding.kind}: {finding.reason}")
        return dict(sorted(reasons.items()))

    def exclusions(self) -> str:
        """The suspects as a text file: one folder/person/file a line, with the reasons above it as comments (#).

        A name that does not fit on one line is mentioned in a comment only.
        """
        lines = [f"# {how_many(len(self.suspects()), 'photo')} that facerec check-data suspects"]
        for key, reasons in self.suspects().items():
            lines += [f"# {printable(reason)}" for reason in reasons]
            lines.append(key if printable(key) == key else f"# cannot be listed, rename it: {printable(key)}")
        return "".join(f"{line}\n" for line in lines)


# --------------------------------------------------------------------------------------------------- photos -> Album


def read_album(
    folder: Path,
    people: Mapping[str, Sequence[Path]],
    detector: Detector,
    embedder: Embedder,
    watch: Callable[[Iterator[Photo], int], Iterator[Photo]] = lambda photos, total: photos,
) -> Album:
    """Read the Album of `folder`.

    people: the folder's `identity_folders`. watch: passes on the photos as they are done, and is told how many there
    will be; for a progress bar.
    """
    owned = [(name, path) for name, photos in people.items() for path in photos]
    keys = [f"{folder.resolve().name}/{path.relative_to(folder).as_posix()}" for _, path in owned]
    photos = embed_photos([path for _, path in owned], detector, embedder, main_only=True)
    return gather(keys, [name for name, _ in owned], watch(photos, len(owned)), embedder.card.embedding_dim)


def gather(keys: Sequence[str], owners: Sequence[str], photos: Iterable[Photo], dimension: int) -> Album:
    """Return an Album of embedded photos, by the main face of each.

    keys, owners: folder/person/file and the person's name of each photo, in the photos' order. dimension: of the
    vectors, needed if no photo can be used.
    """
    kept: list[tuple[str, str, str, NDArray[np.float32], Pictures]] = []
    faults = []
    for key, owner, photo in zip(keys, owners, photos, strict=True):
        try:
            if photo.error is not None:
                raise photo.error
            kept.append((key, owner, photo_hash(photo.path), photo.vectors[0], picture(photo.faces[0].crop)))
        except FacerecError as error:
            kind = "unreadable" if isinstance(error, ImageError) else "no_face"
            suspects = (key,) if kind == "unreadable" else ()
            faults.append(Finding(kind, (owner,), (key,), str(error), suspects))
    people = tuple(sorted({owner for _, owner, *_ in kept}))
    labels = {name: label for label, name in enumerate(people)}
    columns = list(zip(*kept, strict=True)) or [(), (), (), (), ()]
    return Album(
        keys=columns[0],
        people=people,
        labels=np.array([labels[owner] for owner in columns[1]], np.int64),
        digests=columns[2],
        vectors=np.stack(columns[3]) if kept else np.zeros((0, dimension), np.float32),
        pictures=Pictures.join(columns[4]),
        faults=tuple(faults),
    )


def plain_name(name: str) -> str:
    """Return a name without case and accents, and with single spaces between words: "José_Nuñez" -> "jose nunez"."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    return " ".join(re.findall(r"[^\W_]+", letters)) or name


# ------------------------------------------------------------------------------------------------------- the findings


def check(album: Album, other: Album | None = None, threshold: Threshold | None = None) -> Report:
    """Return all findings about `album`, and the people and photos it shares with `other`. threshold: the model's."""
    limits = limits_of(album.vectors, album.labels, threshold)
    twice = [pair for pair in nearest_people(_people(album, limits)) if pair[2] <= limits.same]
    labels = _merged(album, twice)
    fit = fit_of(album.vectors, labels, typical(album.vectors, labels, limits))
    findings = [
        *album.faults,
        *_copies(album, fit, limits),
        *_single_photos(album),
        *_wrong_labels(album, labels, fit, limits),
        *_same_people(album, twice),
    ]
    if other is not None:
        findings += map(_of_other, other.faults)
        findings += [*_shared_people(album, other, limits), *_shared_photos(album, other, limits)]
    findings.sort(key=lambda finding: KINDS.index(finding.kind))
    return Report(len(album), len(album.people), tuple(findings), limits)


def _of_other(fault: Finding) -> Finding:
    """Return a fault of the other folder. It names no suspects, because only `album` is to be trained on."""
    return replace(fault, people=(), photos=(), suspects=(), other_people=fault.people, other_photos=fault.photos)


def _single_photos(album: Album) -> Iterator[Finding]:
    counts = np.bincount(album.labels, minlength=len(album.people))
    for i, label in enumerate(album.labels):
        if counts[label] == 1:
            name = album.people[label]
            yield Finding("single_photo", (name,), (album.keys[i],), f"{name} has one usable photo; add some")


def _same_people(album: Album, twice: Iterable[tuple[int, int, float]]) -> Iterator[Finding]:
    for a, b, distance in twice:
        names = (album.people[a], album.people[b])
        reason = f"{names[0]} and {names[1]} look like one person ({distance:.2f}); check, and merge their folders"
        yield Finding("same_person", names, (), reason, distance=distance)


def _wrong_labels(album: Album, labels: NDArray[np.int64], fit: Fit, limits: Limits) -> Iterator[Finding]:
    """Yield photos with a wrong label. labels: those `fit` was made with; a person with two names has one label."""
    for i in np.flatnonzero(misfits(album.vectors, labels, fit, limits)):
        name, own, key = album.people[album.labels[i]], float(fit.own[i]), album.keys[i]
        if fit.rival[i] < own:
            looks_like = album.people[album.labels[np.argmax(labels == fit.nearest[i])]]
            reason = f"{key} is nearer to {looks_like} ({fit.rival[i]:.2f}) than to the rest of {name} ({own:.2f})"
            yield Finding("wrong_label", (name, looks_like), (key,), reason, (key,), distance=own)
        else:
            reason = f"{key} is unlike the rest of {name} ({own:.2f}), and like nobody else here"
            yield Finding("wrong_label", (name,), (key,), reason, (key,), distance=own)


def _copies(album: Album, fit: Fit, limits: Limits) -> Iterator[Finding]:
    """Yield groups of copies. In a group filed under several people, only the best-fitting person's are no suspects."""
    first = _first_copies(album.digests)
    for group in _groups(len(album), first, np.arange(len(album))):
        yield _copy("duplicate", album, group, fit, "are the same file")
    kept = np.unique(first)
    vectors = album.vectors[kept]
    pairs = one_photo(_agree(vectors, vectors, limits), album.pictures[kept])
    for group in _groups(len(album), kept[pairs.a], kept[pairs.b]):
        correlation = float(pairs.correlation[np.isin(kept[pairs.a], group)].min())
        yield _copy("near_duplicate", album, group, fit, f"look like one photo ({correlation:.3f})", correlation)


def _copy(
    kind: str, album: Album, group: NDArray[np.intp], fit: Fit, what: str, correlation: float | None = None
) -> Finding:
    labels = album.labels[group]
    best = labels[np.argmin(np.nan_to_num(fit.own[group], nan=np.inf))]
    keys = tuple(album.keys[i] for i in group)
    suspects = tuple(key for key, label in zip(keys, labels, strict=True) if label != best)
    people = tuple(album.people[label] for label in np.unique(labels))
    reason = f"{_listed(keys)} {what}" + (f", filed under {len(people)} people" if suspects else "")
    return Finding(kind, people, keys, reason, suspects, correlation=correlation)


def _shared_people(album: Album, other: Album, limits: Limits) -> Iterator[Finding]:
    theirs = defaultdict(list)
    for name in other.people:
        theirs[plain_name(name)].append(name)
    named = set()
    for name in album.people:
        for same in theirs[plain_name(name)]:
            named.add((name, same))
            yield Finding("shared_name", (name,), (), f"{name} is in both folders", other_people=(same,))
    for a, b, distance in nearest_people(_people(album, limits), _people(other, limits)):
        pair = album.people[a], other.people[b]
        if distance <= limits.same and pair not in named:
            reason = f"{pair[0]} looks like {pair[1]} of the other folder ({distance:.2f})"
            yield Finding("shared_person", (pair[0],), (), reason, other_people=(pair[1],), distance=distance)


def _shared_photos(album: Album, other: Album, limits: Limits) -> Iterator[Finding]:
    agree = _agree(album.vectors, other.vectors, limits)
    pairs = one_photo(agree, album.pictures, other.pictures)
    copies: dict[int, dict[int, float]] = defaultdict(dict)
    for a, b, correlation in zip(pairs.a, pairs.b, pairs.correlation, strict=True):
        copies[int(a)][int(b)] = float(correlation)
    theirs = defaultdict(list)
    for b, digest in enumerate(other.digests):
        theirs[digest].append(b)
    for a, digest in enumerate(album.digests):
        copies[a].update((b, 1.0) for b in theirs[digest])
    for a, found in sorted(copies.items()):
        if found:
            names = tuple(sorted({other.people[other.labels[b]] for b in found}))
            keys = tuple(other.keys[b] for b in found)
            reason = f"{album.keys[a]} is also in the other folder: {_listed(keys)}"
            people, best = (album.people[album.labels[a]],), max(found.values())
            yield Finding("shared_photo", people, (album.keys[a],), reason, (), names, keys, correlation=best)


# -------------------------------------------------------------------------------------------------------------- parts


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(keys[:3]) + more


def _people(album: Album, limits: Limits) -> People:
    """Return the people without their far-off photos, which would hide that two names are one person."""
    vectors, labels = album.vectors, album.labels
    far = fit_of(vectors, labels, typical(vectors, labels, limits)).own > limits.own
    all_far = np.bincount(labels, ~far) == 0
    kept = ~far | all_far[labels]
    return people_of(vectors[kept], labels[kept])


def _agree(a: Vectors, b: Vectors, limits: Limits) -> Agree:
    """Return a test whether a pair's vectors could be of one person; it saves comparing most pictures."""
    return lambda first, second: paired_distances(a[first], b[second]) <= limits.stranger


def _first_copies(digests: Sequence[str]) -> NDArray[np.intp]:
    """Return (N,): for each photo the position of the first photo with the same digest."""
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(digest, i) for i, digest in enumerate(digests)], np.intp)


def _groups(count: int, a: NDArray[np.intp], b: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Yield the groups of two or more of `count` photos that the links (a, b) connect, ordered by their first photo."""
    parts = connected_components(coo_array((np.ones(len(a)), (a, b)), (count, count)), directed=False)[1]
    linked = np.flatnonzero(np.bincount(parts)[parts] > 1) if count else np.zeros(0, np.intp)
    members = defaultdict(list)
    for i in linked:
        members[parts[i]].append(i)
    return (np.array(group) for group in members.values())


def _merged(album: Album, twice: Sequence[tuple[int, int, float]]) -> NDArray[np.int64]:
    """Return the album's labels with each pair of people merged into one, numbered from 0 without gaps."""
    a, b = (np.array([pair[side] for pair in twice], np.intp) for side in (0, 1))
    size = len(album.people)
    return connected_components(coo_array((np.ones(len(a)), (a, b)), (size, size)), directed=False)[1][album.labels]
