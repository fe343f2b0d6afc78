"""`facerec gallery`. Some of its commands are in files of their own, such as `migrate`, which loads a model."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facerec.cli import common, path_types
from facerec.cli.gallery_encryption import decrypt, encrypt
from facerec.cli.gallery_import import import_people
from facerec.cli.gallery_migrate import migrate
from facerec.cli.gallery_not_same import not_same
from facerec.cli.gallery_remove import expire, remove
from facerec.cli.offers import people
from facerec.gallery.address import Place
from facerec.gallery.layout import KINDS
from facerec.text import how_many, printable

if TYPE_CHECKING:  # slow to import
    from facerec.gallery.store import Store


class GalleryGroup(click.Group):
    """A group of FacerecCommands."""

    command_class = common.FacerecCommand


@click.group(cls=GalleryGroup)
def gallery() -> None:
    """Look after the gallery and its people.

    \b
    facerec gallery list
    """


gallery.add_command(encrypt)
gallery.add_command(decrypt)
gallery.add_command(import_people)
gallery.add_command(migrate)
gallery.add_command(not_same)
gallery.add_command(remove)
gallery.add_command(expire)


@gallery.command("list")
@common.gallery_option
@common.json_option
def list_people(gallery_folder: Place, as_json: bool) -> None:
    """List everybody enrolled.

    A line has the name, the number of photos, and the day of the first one.

    \b
    facerec gallery list --json
    """
    from facerec.gallery import enrolled
    from facerec.gallery.store import Store

    with Store.open(gallery_folder) as store:
        everybody = enrolled.people(store)
        if not everybody:
            common.remark(f"{common.one_line(gallery_folder)}: nobody is enrolled; facerec enroll enrolls people")
        for person in everybody:
            if as_json:
                line = {"person": person.name, "templates": person.templates, "enrolled": person.enrolled}
                common.emit({**line, "consent": person.consent, "until": person.until})
            else:
                click.echo(f"{person.name}: {how_many(person.templates, 'photo')} since {person.enrolled[:10]}")


@gallery.command()
@click.argument("name", shell_complete=people)
@click.option("--sheet", type=path_types.PATH, metavar="FILE", help="Also draw the enrolled faces into a new picture.")
@common.gallery_option
@common.json_option
def show(name: str, sheet: Path | None, gallery_folder: Place, as_json: bool) -> None:
    """Show a person's photos and consent note, and the faces that were said not to be them.

    \b
    facerec gallery show "Ann Lee"
    facerec gallery show "Ann Lee" --sheet ann.jpg
    """
    from facerec.gallery import archive, enrolled
    from facerec.gallery.store import Store
    from facerec.gallery.which_photo import SHOWN

    with Store.open(gallery_folder) as store:
        name = enrolled.name_of(store, name)
        note, until = enrolled.consent(store, name)
        templates = enrolled.photos(store, name)
        if sheet is not None:
            from facerec.photos.drawing import save_sheet

            archive.require_elsewhere(gallery_folder, sheet, sheet.parent)
            photos = [Path(template.source) for template in templates]
            boxes, names = [template.box for template in templates], [photo.name for photo in photos]
            hashes = [template.photo_hash for template in templates]
            save_sheet(photos, boxes, names, sheet, enrolled.crops(store, name), hashes)
        if not as_json and (note, until) != (None, None):
            click.echo(_agreed(note, until))
        for template in templates:
            if as_json:
                common.emit({"person": name, **dataclasses.asdict(template), "consent": note, "until": until})
            else:
                source = printable(template.source)
                facts = f"confidence {template.quality:.3f}, enrolled {template.enrolled}"
                click.echo(f"{source}: {facts}, photo {template.photo_hash[:SHOWN]}")
        _show_not_same(store, name, as_json)


def _show_not_same(store: "Store", name: str, as_json: bool) -> None:
    """Print the faces that were said not to be this person, and the people who were said to be others."""
    from facerec.gallery import vetoes
    from facerec.gallery.which_photo import SHOWN

    for veto in vetoes.vetoes(store, name):
        text = f"not {name}: {printable(veto.source)}, since {veto.made}, photo {veto.photo_hash[:SHOWN]}"
        common.say({"not": name, **dataclasses.asdict(veto)}, text, as_json)
    for other in vetoes.apart(store, name):
        common.say({"people": [name, other]}, f"{name} and {other} are two people", as_json)


@gallery.command()
@click.argument("old", shell_complete=people)
@click.argument("new")
@common.gallery_option
@common.json_option
def rename(old: str, new: str, gallery_folder: Place, as_json: bool) -> None:
    """Give somebody another name.

    \b
    facerec gallery rename "Ann Lee" "Ann Ray"
    """
    from facerec.gallery import enrolled
    from facerec.gallery.names import clean_name
    from facerec.gallery.store import Store

    with Store.open(gallery_folder) as store:
        old, new = enrolled.name_of(store, old), clean_name(new)
        enrolled.rename(store, old, new)
    common.say({"renamed": old, "to": new}, f"{old} is now {new}.", as_json)


@gallery.command()
@click.argument("source", metavar="FROM", shell_complete=people)
@click.argument("target", metavar="INTO", shell_complete=people)
@common.gallery_option
@common.json_option
def merge(source: str, target: str, gallery_folder: Place, as_json: bool) -> None:
    """Join two people: all photos of FROM go to INTO.

    \b
    facerec gallery merge "A. Lee" "Ann Lee"
    """
    from facerec.gallery import enrolled
    from facerec.gallery.store import Store

    with Store.open(gallery_folder) as store:
        source, target = enrolled.name_of(store, source), enrolled.name_of(store, target)
        count = enrolled.merge(store, source, target)
    moved = f"{how_many(count, 'photo')} of {source} {'is' if count == 1 else 'are'} {target}'s."
    common.say({"merged": source, "into": target, "templates": count}, moved, as_json)


@gallery.command()
@click.argument("name", shell_complete=people)
@click.option("--note", metavar="TEXT", help='What the person agreed to, in your words; "" deletes the note.')
@click.option(
    "--until", metavar="YYYY-MM-DD", help='The last day (UTC) on which the person may be kept; "" for no last day.'
)
@common.gallery_option
@common.json_option
def consent(name: str, note: str | None, until: str | None, gallery_folder: Place, as_json: bool) -> None:
    """Show or note what a person agreed to.

    With --until, `facerec gallery expire` removes the person after that day.

    \b
    facerec gallery consent "Ann Lee" --note "signed 2026-01-31" --until 2027-01-31
    """
    from facerec.gallery import enrolled, erasure
    from facerec.gallery.store import Store

    with Store.open(gallery_folder) as store:
        name = enrolled.name_of(store, name)
        if (note, until) != (None, None):
            enrolled.set_consent(store, name, note, until)
        note, until = enrolled.consent(store, name)
        past = name in {person.name for person in erasure.expired(store)}
    common.say({"person": name, "consent": note, "until": until}, f"{name}: {_agreed(note, until)}", as_json)
    if past:
        common.remark(f"{name}: that day has passed; `facerec gallery expire` removes them")


@gallery.command()
@common.gallery_option
@common.json_option
def log(gallery_folder: Place, as_json: bool) -> None:
    """Show what was done to the gallery.

    The log knows people by number, also after they are removed. The last line is a hash over all entries: write it
    down elsewhere, and you can tell later whether somebody changed the log.

    \b
    facerec gallery log --json
    """
    from facerec.gallery.store import Store

    with Store.open(gallery_folder) as store:
        entries, head = store.log()
    for entry in entries:
        facts = ", ".join(f"{key} {value}" for key, value in entry.facts.items())
        who = f" person {entry.person}{f' ({entry.name})' if entry.name else ''}" if entry.person is not None else ""
        text = f"{entry.number} {entry.time} {entry.action}{who}{f': {facts}' if facts else ''}"
        common.say(dataclasses.asdict(entry), printable(text), as_json)
    common.say({"head": head, "entries": len(entries)}, f"Head: {head}", as_json)


@gallery.command()
@click.option("--list", "list_only", is_flag=True, help="Show the copies; restore nothing.")
@click.option("--from", "kind", type=click.Choice(KINDS), help="The copy to restore, even if the database is sound.")
@common.new_gallery_option
@common.json_option
def restore(list_only: bool, kind: str | None, gallery_folder: Place, as_json: bool) -> None:
    """Bring a damaged or missing database back from a backup.

    Every command that changes the gallery makes a backup when it ends. Changes after the backup are lost.

    \b
    facerec gallery restore --list
    facerec gallery restore
    """
    from facerec.gallery import backup

    copies = backup.list_copies(gallery_folder) if list_only else [backup.restore(gallery_folder, kind)]
    if not copies and not as_json:
        click.echo(f"{common.one_line(gallery_folder)}: no backup yet.")
    for copy in copies:
        text = f"{copy.kind} of {copy.made}: {common.photos_of(copy.templates, copy.people)}"
        common.say(dataclasses.asdict(copy), f"{text if list_only else f'Restored the {text}'}.", as_json)
        if copy.problem:
            common.warn(copy.problem)


@gallery.command()
@click.argument("file", type=path_types.PATH)
@common.gallery_option
@common.json_option
def export(file: Path, gallery_folder: Place, as_json: bool) -> None:
    """Write all people into a file for another gallery.

    The file is new and holds the vectors. `facerec gallery import` reads it.

    \b
    facerec gallery export club.npz
    """
    from facerec.gallery import archive
    from facerec.gallery.store import Store

    with Store.open(gallery_folder) as store:
        written = archive.export(store, file)
    count = sum(len(person.templates) for person in written.people)
    line = {"exported": str(file), "people": len(written.people), "templates": count}
    text = f"{common.one_line(file)} holds {common.photos_of(count, len(written.people))}; it is not encrypted."
    text += " Removal does not reach it."
    common.say(line, text, as_json)


@gallery.command()
@common.gallery_option
@common.json_option
def check(gallery_folder: Place, as_json: bool) -> None:
    """Look for damage.

    Checks the database, the vectors, the log and the search index, and looks for data of removed people.

    \b
    facerec gallery check
    """
    from facerec.gallery import maintenance
    from facerec.gallery.store import Store

    with Store.open(gallery_folder) as store:
        report = maintenance.check(store)
    for problem in report.problems:
        common.warn(problem)
    state = "sound" if not report.problems else how_many(len(report.problems), "problem")
    common.say(dataclasses.asdict(report), f"{common.photos_of(report.templates, report.people)}: {state}.", as_json)
    common.finish(len(report.problems), 1)


@gallery.command()
@common.gallery_option
@common.json_option
def rebuild(gallery_folder: Place, as_json: bool) -> None:
    """Write the database and its search index anew.

    The index is made from the database. Run this if `facerec gallery check` advises it.

    \b
    facerec gallery rebuild
    """
    from facerec.gallery import maintenance
    from facerec.gallery.store import Store

    with Store.open(gallery_folder) as store:
        count = maintenance.rebuild(store)
    common.say({"rebuilt": count}, f"The index is rebuilt from {how_many(count, 'photo')}.", as_json)


def _agreed(note: str | None, until: str | None) -> str:
    return f"consent: {note or 'no note'}; {f'kept until {until}' if until else 'no last day'}"
