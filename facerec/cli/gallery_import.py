"""`facerec gallery import`."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common, enrolled, path_types
from facerec.cli.asking import asked
from facerec.gallery.address import Place
from facerec.recognition import answers
from facerec.text import how_many, printable

if TYPE_CHECKING:  # slow to import
    from facerec.gallery import archive
    from facerec.gallery.archive_file import Archive
    from facerec.gallery.store import Store
    from facerec.recognition.review import Alike


@common.command("import")
@click.argument("file", type=path_types.FILE)
@click.option("--again", is_flag=True, help="Also enroll photos that were removed from this gallery.")
@common.new_gallery_option
@common.json_option
def import_people(file: Path, again: bool, gallery_folder: Place, as_json: bool) -> None:
    """Enroll the people in a file of `facerec gallery export`.

    Both galleries must use the same model. Photos that were removed from this gallery are not enrolled without --again.
    If a new name is another spelling of somebody's, you are asked whether they are one person. Without an answer, or a
    terminal, the person is left out. Who looks like somebody else is listed at the end.

    \b
    facerec gallery import club.npz --gallery other
    """
    from facerec.gallery import archive
    from facerec.gallery.archive_file import read_archive
    from facerec.gallery.store import Store
    from facerec.recognition.review import Review

    content = read_archive(file)
    with Store.open(gallery_folder, create=True) as store:
        done = archive.import_archive(store, content, again, {} if as_json else _one_person(store, content))
        found = Review(_alike(store, [person.person for person in done.people if person.added]), ())
    for person in done.people:
        for conflict in person.conflicts:
            common.warn(conflict)
        counts = f"{person.added} added, {person.skipped} skipped, {how_many(person.differences, 'conflict')}"
        common.say(dataclasses.asdict(person), f"{printable(person.person)}: {counts}", as_json)
    counted = ("added", "skipped", "vetoes", "differences")
    total = {key: sum(getattr(person, key) for person in done.people) for key in counted}
    total["conflicts"] = total.pop("differences")
    if as_json:
        line: dict[str, Any] = {"summary": True, "people": len(done.people), **total, "apart": done.apart}
        line |= {"fpir": done.fpir, "fpir_taken": done.taken, "alike": answers.reviewed(found)["alike"]}
        common.emit(line)
    elif not common.is_quiet():
        _tell_what_came_along(done, total["vetoes"], content.fpir)
        enrolled.print_doubts(found)
    common.finish(total["conflicts"], 1)


def _one_person(store: "Store", content: "Archive") -> dict[str, bool]:
    """Ask at the terminal of new people whose name is another spelling of somebody's whether they are that person."""
    from facerec.gallery import archive

    twins = archive.other_spellings(store, content) if common.at_terminal() else {}
    kind = "the same person? [y/n, Enter: leave them out]"
    answers = {
        name: asked(f"'{name}' is a spelling of '{other}', who is enrolled: {kind}") for name, other in twins.items()
    }
    return {name: answer for name, answer in answers.items() if answer is not None}


def _alike(store: "Store", names: "list[str]") -> "tuple[Alike, ...]":
    """Return who may be one person with one of these."""
    from facerec.gallery.gallery import Gallery
    from facerec.recognition.review import alike_people

    if not names:  # nobody need be read
        return ()
    gallery = Gallery(store)
    gallery.bind_own_model()
    return alike_people(gallery, names)


def _tell_what_came_along(done: "archive.Import", vetoes: int, fpir: float | None) -> None:
    """Say what an import brought besides photos, and whose target rate holds. fpir: the file's, if it has one."""
    if vetoes:
        click.echo(f"{how_many(vetoes, 'face')} said not to be somebody came along.")
    if done.apart:
        click.echo(f"{how_many(done.apart, 'pair')} of people said to be two came along.")
    if done.taken:
        click.echo(f"The target rate, FPIR {100 * done.fpir:g} %, is the file's.")
    elif fpir not in (None, done.fpir):
        click.echo(
            f"The target rate stays FPIR {100 * done.fpir:g} %; the file's is {100 * fpir:g} %, "
            f"which `facerec calibrate --fpir {fpir:g}` sets."
        )
