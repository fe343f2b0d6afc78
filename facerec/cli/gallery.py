"""`facerec gallery`: care of a gallery. None of these needs a model."""

import dataclasses
from pathlib import Path

import click

from facerec.cli import common
from facerec.gallery import Gallery
from facerec.images import printable


class GalleryGroup(click.Group):
    """Its commands are FacerecCommands."""

    command_class = common.FacerecCommand


@click.group(cls=GalleryGroup)
def gallery() -> None:
    """List, show, rename and remove people; check and rebuild the gallery.

    \b
    facerec gallery list
    """


@gallery.command("list")
@common.gallery_option
@common.json_option
def list_people(gallery_folder: Path, as_json: bool) -> None:
    """Everybody enrolled, with the number of photos.

    \b
    facerec gallery list --json
    """
    with Gallery.open(gallery_folder) as opened:
        for person in opened.people():
            if as_json:
                common.emit({"person": person.name, "templates": person.templates, "enrolled": person.enrolled})
            else:
                click.echo(f"{person.name}: {person.templates} photos since {person.enrolled[:10]}")


@gallery.command()
@click.argument("name")
@common.gallery_option
@common.json_option
def show(name: str, gallery_folder: Path, as_json: bool) -> None:
    """The photos somebody is known by.

    \b
    facerec gallery show "Ann Lee"
    """
    with Gallery.open(gallery_folder) as opened:
        for template in opened.show(name):
            if as_json:
                common.emit({"person": name, **dataclasses.asdict(template)})
            else:
                source = printable(template.source)
                click.echo(f"{source}: confidence {template.quality:.3f}, enrolled {template.enrolled}")


@gallery.command()
@click.argument("old")
@click.argument("new")
@common.gallery_option
@common.json_option
def rename(old: str, new: str, gallery_folder: Path, as_json: bool) -> None:
    """Give somebody another name.

    \b
    facerec gallery rename "Ann Lee" "Ann Ray"
    """
    with Gallery.open(gallery_folder) as opened:
        opened.rename(old, new)
    _say({"renamed": old, "to": new}, f"{old} is now {new}.", as_json)


@gallery.command()
@click.argument("name")
@common.gallery_option
@common.json_option
def remove(name: str, gallery_folder: Path, as_json: bool) -> None:
    """Remove somebody and all their templates.

    \b
    facerec gallery remove "Ann Lee"
    """
    with Gallery.open(gallery_folder) as opened:
        count = opened.remove(name)
    _say({"removed": name, "templates": count}, f"{name} and {count} photos are removed.", as_json)


@gallery.command()
@common.gallery_option
@common.json_option
def check(gallery_folder: Path, as_json: bool) -> None:
    """Look for damage: database, vectors, and whether the index agrees with them.

    \b
    facerec gallery check
    """
    with Gallery.open(gallery_folder) as opened:
        report = opened.check()
    for problem in report.problems:
        common.warn(problem)
    state = "sound" if not report.problems else f"{len(report.problems)} problems"
    _say(dataclasses.asdict(report), f"{report.templates} photos of {report.people} people: {state}.", as_json)
    common.finish(len(report.problems), 1)


@gallery.command()
@common.gallery_option
@common.json_option
def rebuild(gallery_folder: Path, as_json: bool) -> None:
    """Make the search index anew from the database.

    \b
    facerec gallery rebuild
    """
    with Gallery.open(gallery_folder) as opened:
        count = opened.rebuild()
    _say({"rebuilt": count}, f"The index is rebuilt from {count} photos.", as_json)


def _say(line: dict[str, object], text: str, as_json: bool) -> None:
    if as_json:
        common.emit(line)
    else:
        click.echo(text)
