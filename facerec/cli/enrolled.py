"""What became of the photos that a command enrolled, as it tells them: in lines, or as JSON."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from facerec.cli import common
from facerec.recognition import answers
from facerec.text import gallery_command, printable

if TYPE_CHECKING:
    from facerec.gallery.gallery import Gallery
    from facerec.recognition.enroll import Enrollment
    from facerec.recognition.review import Alike, Review

SHOWN = 10  # suggestions printed; --json prints all
STATUSES = ("added", "skipped", "failed")


def told(enrolled: "Iterable[Enrollment]", as_json: bool) -> "list[Enrollment]":
    """Print each result as it comes, except failures that `tell_of_many` may sum up. Returns all results."""
    results = []
    for result in enrolled:
        results.append(result)
        if result.status == "failed" and not result.for_all:
            common.warn(result.reason)
        if as_json:
            common.emit(answers.enrolled(result))
    return results


def tell_of_many(gallery: "Gallery", results: "list[Enrollment]") -> None:
    """Print a line for each person most of whose photos failed for one reason, and one for each other failed photo."""
    from facerec.recognition.review import for_one_reason

    said = {each.person: each for each in for_one_reason(gallery, results)}
    for each in said.values():
        common.warn(each.reason)
    for result in results:
        summed_up = result.person in said and result.path in said[result.person].photos
        if result.status == "failed" and result.for_all and not summed_up:
            common.warn(result.reason)


def print_people(results: "list[Enrollment]") -> None:
    """Print a line per person, and below it a line for each photo that was added with remarks."""
    people: dict[str, list[Enrollment]] = defaultdict(list)
    for result in results:
        people[result.person].append(result)
    for person, own in people.items():
        counts = Counter(result.status for result in own)
        said = {status: f"{counts[status]} {status}" for status in STATUSES}
        if reasons := Counter(result.reason for result in own if result.status == "skipped"):
            why = (reason if len(reasons) == 1 else f"{count} {reason}" for reason, count in reasons.items())
            said["skipped"] += f" ({', '.join(why)})"
        click.echo(f"{printable(person)}: " + ", ".join(said.values()))
        for result in own:
            problems = result.quality.problems if result.quality is not None else ()
            notes = [note for note in (result.reason, *result.remarks, *problems) if note]
            if result.status == "added" and notes and not common.is_quiet():
                click.echo(f"    {common.one_line(result.path)}: {'; '.join(notes)}")


def print_doubts(found: "Review") -> None:
    """Print what a look back suggests, the first SHOWN of it."""
    lines = [f"{common.one_line(path)} may be of somebody else: {reason}" for path, reason in found.misplaced]
    lines += _of_alike(found.alike)
    for line in lines[:SHOWN]:
        click.echo(line)
    if len(lines) > SHOWN:
        click.echo(f"... and {len(lines) - SHOWN} more; --json lists all of them")


def _of_alike(pairs: "Sequence[Alike]") -> Iterator[str]:
    """Yield a line for each two people who may be one. Nobody is to be merged into two others: the nearest counts."""
    gone: set[str] = set()
    for pair in pairs:
        two = f"if they are two {gallery_command('not-same --people', pair.person, pair.other)}"
        remedy = two if pair.person in gone else f"{gallery_command('merge', pair.person, pair.other)}, or {two}"
        yield f"{pair.person} and {pair.other} look like one person, {pair.distance:.2f} apart: {remedy}"
        gone.add(pair.person)
