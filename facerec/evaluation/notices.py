"""Remarks on the input of an evaluation: what is no error, but makes a figure better or worse than it should be."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from facerec.datasets.pairs import Pairs
from facerec.photos.memory import AnyPhoto, count_copies, hash_photo
from facerec.text import how_many, name_key, printable, same_name

Photos = Mapping[str, Sequence[Path]]  # person -> photos


def of_searches(
    asked: tuple[Photos, Photos], left: tuple[Photos, Photos], known: Mapping[Path, AnyPhoto]
) -> Iterator[str]:
    """Remarks on people who are enrolled and people who search, in this order; `left`: with the usable photos alone.

    known: path -> a photo that was embedded before, which need not be there.
    """
    effects = {"`gallery_images`": "their searches miss", "`probe_images`": "nobody searches for them"}
    for (where, effect), before, after in zip(effects.items(), asked, left, strict=True):
        yield from _of_absent(where, before, after, effect)
    people, searchers = left
    yield from _of_copies(people, searchers, known)
    yield from _of_names(people, searchers)


def of_copied_pairs(pairs: Pairs, photos: Mapping[str, AnyPhoto]) -> str:
    """A remark on photos of one person that are the same, byte for byte: such a pair cannot be missed. "" for none.

    photos: the pairs' photos by name.
    """
    sizes = {name: _size(photos[name]) for name in pairs.photos}
    rows = zip(pairs.a, pairs.b, pairs.same, strict=True)
    alike = [(a, b) for a, b, same in rows if same and sizes[a] == sizes[b]]
    copies = [(a, b) for a, b in alike if hash_photo(photos[a]) == hash_photo(photos[b])]
    if not copies:
        return ""
    first = " and ".join(map(printable, copies[0]))
    return f"{how_many(len(copies), 'pair')} of one file twice, the first {first}, cannot be missed: leave them out"


def _size(photo: AnyPhoto) -> int:
    """The file's bytes; 0 of a photo whose hash is known, so that it is compared with every other such one."""
    return photo.stat().st_size if isinstance(photo, Path) else 0


def _of_absent(where: str, asked: Photos, left: Photos, effect: str) -> Iterator[str]:
    """Of people whose folder is empty, or whose every photo was left out, no figure tells."""
    if absent := [person for person, photos in left.items() if not photos]:
        emptied = sum(bool(asked[person]) for person in absent)
        why = f" (all photos of {emptied} were left out)" if emptied else ""
        count = how_many(len(absent), "person", "people")
        yield f"{count} without a photo in {where}{why}, the first {printable(absent[0])}: {effect}"


def _of_copies(people: Photos, searchers: Photos, known: Mapping[Path, AnyPhoto]) -> Iterator[str]:
    """A search by a photo that is enrolled itself cannot miss; a stranger's is named for sure."""
    enrolled = [known.get(path, path) for path in itertools.chain(*people.values())]
    effects = {True: "cannot be missed", False: "are named for sure, though their people count as strangers"}
    for is_known, effect in effects.items():
        asked = (photos for person, photos in searchers.items() if (person in people) == is_known)
        if copies := count_copies((known.get(path, path) for path in itertools.chain(*asked)), enrolled):
            yield (
                f"{how_many(copies, 'photo')} in `probe_images`, byte for byte also in `gallery_images`, {effect}: "
                "leave the same photos out of one of them"
            )


def _of_names(people: Photos, searchers: Photos) -> Iterator[str]:
    """Somebody enrolled whose probes have another spelling of the name counts as a stranger."""
    known: dict[str, list[str]] = {}
    for name in people:
        known.setdefault(name_key(name), []).append(name)
    pairs = (
        (name, other)
        for name in searchers
        if name not in people
        for other in known.get(name_key(name), ())
        if same_name(name, other)
    )
    if spelled := list(pairs):
        (name, other), count = spelled[0], how_many(len(spelled), "person", "people")
        yield (
            f"{count} in `probe_images` counted as strangers under another spelling of a name in `gallery_images`, "
            f"{printable(name)} for {printable(other)}: if they are the same, give both folders one name"
        )
