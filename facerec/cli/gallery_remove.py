"""`facerec gallery remove` and `expire`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facerec.cli import common, path_types
from facerec.cli.offers import people
from facerec.gallery.address import Place, ServerAddress
from facerec.text import how_many, printable

if TYPE_CHECKING:  # slow to import
    from facerec.gallery import erasure


@common.command()
@click.argument("name", shell_complete=people)
@click.option(
    "--photo", type=path_types.PATH, metavar="FILE",
    help="Remove only this photo. If the file is gone, give its old path or its hash; `gallery show` prints both.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only show what would be removed; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask. Where there is no terminal, nobody is asked anyway.")
@common.gallery_option
@common.json_option
def remove(name: str, photo: Path | None, dry_run: bool, yes: bool, gallery_folder: Place, as_json: bool) -> None:
    """Remove a person, or one photo of theirs, from every file of the gallery.

    The vectors and crops of the photos go too. The photo files themselves are not touched. With the last of
    their photos the person is removed, too.

    \b
    facerec gallery remove "Ann Lee"
    facerec gallery remove "Ann Lee" --photo people/Ann/party.jpg
    facerec gallery remove "Ann Lee" --dry-run
    """
    from facerec.gallery import erasure
    from facerec.gallery.store import Store

    with Store.open(gallery_folder) as store:
        removal = erasure.plan_removal(store, name, photo)
        if dry_run:
            _show_removal(removal, as_json)
            return
        if not yes and not common.agreed(f"Remove {_what_goes(removal)} for good?"):
            common.warn("nothing was removed")
            common.finish(1, 0)
        removal, remains = erasure.remove(store, name, photo), erasure.data_may_remain(store)
        _tell_what_stays(gallery_folder)
    line: dict[str, object] = {"removed": removal.person, "templates": len(removal.photos)}
    if photo is not None:
        line |= {"photo": removal.photos[0].source, "photo_hash": removal.photos[0].photo_hash}
        line |= {"person_removed": removal.whole}
    if removal.index:
        line |= {"index": removal.index}
    common.say(line, f"{_gone(removal, photo)} {printable(removal.index)}".rstrip(), as_json)
    common.finish(remains, 1)


def _tell_what_stays(place: Place) -> None:
    """Say what no removal reaches on a server."""
    if isinstance(place, ServerAddress):
        common.remark(
            "what the server keeps beside its tables (write-ahead log, replicas, backups) may hold them until it is "
            "written over"
        )


def _what_goes(removal: "erasure.Removal") -> str:
    if removal.whole:
        return f"{removal.person} with {how_many(len(removal.photos), 'photo')}"
    return f"the photo {removal.photos[0].source} of {removal.person}"


def _gone(removal: "erasure.Removal", photo: Path | None) -> str:
    if photo is None:
        return f"{removal.person} and {how_many(len(removal.photos), 'photo')} are removed."
    last = f" It was the last of {removal.person}, who is removed with it." if removal.whole else ""
    return f"{printable(removal.photos[0].source)} is removed from {removal.person}.{last}"


def _show_removal(removal: "erasure.Removal", as_json: bool) -> None:
    """Print what a removal would take out."""
    from facerec.gallery.which_photo import SHOWN

    photos = [{"photo_hash": photo.photo_hash, "source": photo.source} for photo in removal.photos]
    line: dict[str, object] = {"removed": removal.person, "templates": len(photos), "dry_run": True}
    line |= {"person_removed": removal.whole, "photos": photos, "vetoes": removal.vetoes}
    line |= {"unknown_faces": removal.unknown}
    common.say(line, f"Would be removed: {_what_goes(removal)}.", as_json)
    if not as_json:
        for photo in removal.photos:
            click.echo(f"    {printable(photo.source)}: photo {photo.photo_hash[:SHOWN]}")
        if removal.vetoes:
            click.echo(f"    {how_many(removal.vetoes, 'face')} said not to be somebody")
        if removal.unknown:
            click.echo(f"    {how_many(removal.unknown, 'unknown face')} like theirs")
        click.echo("The log keeps what was done, without names. The photo files stay where they are.")


@common.command()
@click.option("--dry-run", is_flag=True, help="Only name the people; remove nobody.")
@common.gallery_option
@common.json_option
def expire(dry_run: bool, gallery_folder: Place, as_json: bool) -> None:
    """Remove everybody whose last day has passed, and unknown faces whose last day has.

    `facerec gallery consent NAME --until DAY` sets that day. `facerec serve --keep-unknown DAYS` keeps unknown faces.

    \b
    facerec gallery expire --dry-run
    """
    from facerec.gallery import erasure
    from facerec.gallery.store import Store

    with Store.open(gallery_folder) as store:
        unknown = erasure.unknown_past(store)
        gone = erasure.expired(store) if dry_run else erasure.expire(store)
        remains = erasure.data_may_remain(store)
        if gone and not dry_run:
            _tell_what_stays(gallery_folder)
    for person in gone:
        line = {"person": person.name, "templates": person.templates, "until": person.until, "removed": not dry_run}
        what = "would be removed" if dry_run else "removed"
        own = how_many(person.templates, "photo")
        common.say(line, f"{person.name}: {what} with {own}, kept until {person.until}.", as_json)
    if unknown:
        what = "would be forgotten" if dry_run else "forgotten"
        line = {"unknown_faces": unknown, "removed": not dry_run}
        common.say(line, f"{how_many(unknown, 'unknown face')}: {what}.", as_json)
    common.finish(remains, 1)
