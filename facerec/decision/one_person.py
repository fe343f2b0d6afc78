"""People who are enrolled under several names count as one when a threshold is set.

Enrolled people serve as strangers to each other (`population`). Somebody under two names is no stranger: such pairs are
far nearer than any two people, and would make the threshold much too strict. Two names are taken for one person

- if the faces alone say so: the mean templates are more alike than PLAIN standard deviations above the mean similarity
  (cosine) of a stranger and an enrolled person;
- or if the names are spellings of one (`text.same_name`), and the mean templates more alike than NAMED deviations.

They are never taken for one if somebody said that they are two. With the shipped model PLAIN is a distance of about
0.72. No two of the 80 validation people are so near (the nearest two: 0.88), but 96 % of them are so near to themselves
(the means of four photos and of four others). Among the 530,000 pairs of training people, four pairs are so near; each
is one person in two collections. NAMED is about 1.46: 93 % of the pairs of single photos of one person are nearer, and
0.8 % of the pairs of two people. So nothing changes for people of different names in the galleries by which the method
was chosen.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import chain

from facerec.search.people import PeopleIndex
from facerec.text import name_key, same_name

PLAIN = 6.5
NAMED = 2.75
LOOKED_AT = 5.0
"""Deviations. A mean template is compared only if a photo of the person is at least so much like somebody else."""
FEWEST = 100
"""With fewer strangers, nobody counts as one person: so few do not show how alike strangers are."""

Pair = tuple[str, str, float]  # two names and the distance of their mean templates
Apart = Collection[frozenset[str]]  # pairs of names of people who were said to be two


def joined(people: PeopleIndex, near: Sequence[str], centre: float, spread: float, apart: Apart) -> PeopleIndex:
    """Return the people, each under one name; `people` itself if nobody has several.

    near: the names of those who are compared with everybody (see LOOKED_AT). centre, spread: mean and standard
    deviation of the similarities of strangers to enrolled people. apart: see `Apart`.
    """
    plain = people.alike(near, at(PLAIN, centre, spread))
    named = people.alike(_namesakes(people.names), at(NAMED, centre, spread))
    pairs = {*plain, *(pair for pair in named if same_name(pair[0], pair[1]))}
    leaders = _leaders(people.names, sorted(pairs, key=lambda pair: pair[2]), apart)
    if not leaders:
        return people
    return PeopleIndex(people.ids, [leaders.get(owner, owner) for owner in people.owners()], people.vectors)


def at(deviations: float, centre: float, spread: float) -> float:
    """Return the squared distance that belongs to a similarity so many standard deviations above the mean."""
    return 2 - 2 * (centre + deviations * spread)


def _namesakes(names: Iterable[str]) -> list[str]:
    """Return the names that may be spellings of another one of them."""
    by_key = defaultdict(list)
    for name in names:
        by_key[name_key(name)].append(name)
    return [*chain.from_iterable(own for own in by_key.values() if len(own) > 1)]


def _leaders(names: Sequence[str], pairs: Iterable[Pair], apart: Apart) -> dict[str, str]:
    """Join the pairs, nearest first, and return for each name the first of its group in `names`."""
    groups: dict[str, set[str]] = {}
    for one, other, _ in pairs:
        first, second = groups.get(one, {one}), groups.get(other, {other})
        if not any(frozenset((a, b)) in apart for a in first for b in second):
            groups |= dict.fromkeys(first | second, first | second)
    place = {name: number for number, name in enumerate(names)} if groups else {}
    return {name: min(group, key=place.__getitem__) for name, group in groups.items()}
