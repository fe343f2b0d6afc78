"""`facerec gallery not-same`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common, detector_options, path_types
from facerec.cli.offers import photo_then_people
from facerec.gallery.address import Place
from facerec.recognition import answers
from facerec.text import gallery_command, how_many, printable

if TYPE_CHECKING:
    from facerec.recognition.not_same import NotSame


@common.command("not-same")
@click.argument("what", nargs=-1, metavar="PHOTO [NAME] | A B", shell_complete=photo_then_people)
@click.option("--people", is_flag=True, help="A and B are two people. They are never again listed as alike.")
@click.option(
    "--forget", is_flag=True,
    help="Take back what was said of PHOTO (only about NAME, if given), or of A and B. If PHOTO is gone, give its old "
    "path or its hash; `gallery show` prints both.",
)  # fmt: skip
@detector_options.face_options
@common.gallery_option
@common.model_option
@common.json_option
def not_same(
    what: tuple[str, ...],
    people: bool,
    forget: bool,
    gallery_folder: Place,
    model: str | None,
    as_json: bool,
    **faces: Any,
) -> None:
    """Say that the face in PHOTO is not NAME, or that A and B are two people.

    The gallery remembers it. A face that is nearer to the one in PHOTO than to every photo of NAME is never again
    identified as NAME. If PHOTO shows several faces, the one that is identified as NAME is meant; if none is, cut out
    the one you mean. The gallery keeps this face until NAME is removed, or until --forget.

    \b
    facerec gallery not-same party.jpg "Ann Lee"
    facerec gallery not-same --people "Ann Lee" "Anna Leigh"
    facerec gallery not-same --forget party.jpg
    """
    if people:
        if len(what) != 2:
            raise click.UsageError("--people takes the names of two people")
        _tell_people(gallery_folder, *what, forget, as_json)
    elif forget:
        if len(what) not in (1, 2):
            raise click.UsageError("--forget takes a photo, and the name of a person if only theirs is meant")
        _forget(gallery_folder, what[0], what[1] if len(what) == 2 else None, as_json)
    else:
        if len(what) != 2:
            raise click.UsageError("give a photo and the name of the person whom it does not show")
        _tell_face(_veto(gallery_folder, Path(what[0]), what[1], model, faces), as_json)


def _tell_people(folder: Place, one: str, other: str, forget: bool, as_json: bool) -> None:
    from facerec.gallery import enrolled, vetoes
    from facerec.gallery.store import Store

    with Store.open(folder) as store:
        names = [enrolled.name_of(store, name) for name in (one, other)]
        changed = (vetoes.forget_apart if forget else vetoes.set_apart)(store, *names)
    pair = f"{names[0]} and {names[1]}"
    if forget:
        said = f"That {pair} are two people {'is forgotten' if changed else 'was not said'}."
    else:
        known = "" if changed else " That was known."
        said = f"{pair} are two people. They are never again listed as alike.{known}"
    common.say({"people": names, "forgotten" if forget else "added": changed}, said, as_json)
    common.finish(forget and not changed, 0)


def _forget(folder: Place, photo: str, name: str | None, as_json: bool) -> None:
    from facerec.gallery import enrolled, erasure, vetoes
    from facerec.gallery.store import Store

    with Store.open(folder) as store:
        name = None if name is None else enrolled.name_of(store, name)
        gone, remains = vetoes.forget(store, Path(photo), name), erasure.data_may_remain(store)
    line = {"image": photo, "person": name, "forgotten": len(gone)}
    text = f"{how_many(len(gone), 'vetoed face')} of {printable(photo)} {'is' if len(gone) == 1 else 'are'} forgotten."
    common.say(line, text, as_json)
    common.finish(remains, 1)


def _veto(folder: Place, photo: Path, name: str, model: str | None, faces: dict[str, Any]) -> "NotSame":
    """Remember the veto. Name and photo are checked before anything heavy loads."""
    path_types.require_photo(photo)
    from facerec.gallery import enrolled
    from facerec.gallery.store import Store

    with Store.open(folder) as store:
        enrolled.name_of(store, name)
    from facerec.inference.loading import load_embedder
    from facerec.recognition.identify import open_gallery
    from facerec.recognition.not_same import not_same as remember

    embedder = load_embedder(model)
    with open_gallery(folder, embedder) as gallery:
        size = embedder.card.input_size
        detector = detector_options.make_detector(**faces, crop_size=size, gallery=gallery)
        return remember(gallery, photo, name, detector, embedder, gallery.threshold)


def _tell_face(found: "NotSame", as_json: bool) -> None:
    now = found.decision.person
    where = common.one_line(found.path) + (f" (face {found.position + 1})" if found.position else "")
    known = "" if found.added else " That was known."
    text = f"{where}: not {found.person}, but {now or 'unknown'}.{known}"
    common.say(answers.said_not_same(found), text, as_json)
    if now is None:
        common.remark(_kept(found))


def _kept(found: "NotSame") -> str:
    """Say that a face of nobody enrolled is in the gallery now, and how it leaves."""
    last = f"the last day of {found.person} is {found.until}" if found.until else f"{found.person} has no last day"
    return (
        f"The face is of nobody enrolled. The gallery keeps it only for this. It leaves with {found.person}, also when "
        f"`facerec gallery expire` removes them ({last}), or by "
        f"{gallery_command('not-same --forget', str(found.path))}."
    )
