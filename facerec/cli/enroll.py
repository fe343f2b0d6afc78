"""`facerec enroll`."""

import os
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common, detector_options, enrolled, path_types
from facerec.cli.asking import asked
from facerec.cli.offers import people
from facerec.cli.progress import show_progress
from facerec.errors import ConfigError, DataError, FacerecError
from facerec.gallery.address import Place
from facerec.gallery.names import clean_name
from facerec.photos.folders import ByPerson, no_people
from facerec.recognition import answers
from facerec.text import how_many, printable

if TYPE_CHECKING:
    from facerec.gallery.gallery import Gallery
    from facerec.inference.sources import PhotoSource
    from facerec.recognition.enroll import Enrollment
    from facerec.recognition.review import Review

    Run = Callable[..., Iterator[Enrollment]]

Failure = tuple[Path, str]  # a path that could not be used, and the message that says why


@common.command()
@click.argument("paths", nargs=-1, required=True, type=path_types.PATH)
@click.option("--name", shell_complete=people, help="Enroll all the photos as this person.")
@click.option(
    "--several",
    type=click.Choice(["main", "refuse"]),
    default="main",
    show_default=True,
    help="A photo shows several faces: enroll the main one (large and near the middle), or refuse the photo.",
)
@click.option(
    "--force", is_flag=True,
    help="Also enroll poor photos, photos that look more like somebody else, and people whose name and face are like "
    "those of somebody enrolled.",
)  # fmt: skip
@click.option("--again", is_flag=True, help="Also enroll photos that were removed.")
@click.option(
    "--keep-crops/--drop-crops", default=None,
    help="Keep the aligned face of every photo enrolled from now on, so that gallery migrate needs no photos. "
    "Or keep none, and delete those that are kept.",
)  # fmt: skip
@detector_options.face_options
@common.new_gallery_option
@common.model_option
@common.json_option
def enroll(
    paths: tuple[Path, ...],
    name: str | None,
    several: str,
    force: bool,
    again: bool,
    keep_crops: bool | None,
    gallery_folder: Place,
    model: str | None,
    as_json: bool,
    **faces: Any,
) -> None:
    """Enroll people from photos.

    Give a folder that holds one folder per person, named after them, or the shards of such a folder. Or
    give photos of one person with --name.
    Photos that are enrolled already are skipped. A photo fails if its face is too small, blurred or turned away, or if
    it looks more like somebody else who is enrolled. Such a photo is not enrolled; the next run tries it again. If
    name and face of a new person are like those of somebody enrolled, you are asked whether they are one person.
    Without an answer, or a terminal, the photos are held back. Photos that were removed are not enrolled without
    --again.

    \b
    facerec enroll people/
    facerec enroll ann1.jpg ann2.jpg --name "Ann Lee"
    facerec enroll ann3.jpg --name "Ann Lee" --force
    facerec enroll people/ --keep-crops
    """
    people, failures, sources = _photos_by_person(paths, None if name is None else clean_name(name))
    from facerec.gallery import maintenance
    from facerec.gallery.enrolled import keeps_pictures
    from facerec.inference.loading import load_embedder
    from facerec.recognition.enroll import enroll as enroll_photos
    from facerec.recognition.identify import open_gallery

    embedder = load_embedder(model)
    faces = detector_options.as_in_shards(sources, embedder.card, **faces)
    known = {path: photo for source in sources for path, photo in source.embedded.items()}
    if known and keep_crops:
        raise ConfigError("shards hold no crops that could be kept; leave out --keep-crops, or enroll the photos")
    with open_gallery(gallery_folder, embedder, create=True) as gallery:
        size = embedder.card.input_size
        detector = detector_options.make_detector(**faces, crop_size=size, gallery=gallery)
        if keep_crops is not None:
            maintenance.keep_crops(gallery.store, keep_crops)
        if known and keeps_pictures(gallery.store):
            common.remark("shards hold no crops: this gallery keeps none of their photos, and migrate needs the photos")
        for path, reason in failures if as_json else ():
            common.emit(answers.not_tried(path, name, "failed", reason))
        rules = {"several": several, "force": force, "again": again}

        def run(people: dict[str, list[Path]], **more: Any) -> "Iterator[Enrollment]":
            photos = {person: [known.get(path, path) for path in own] for person, own in people.items()}
            return enroll_photos(gallery, photos, detector, embedder, **rules, **more)

        results = enrolled.told(show_progress(run(people), "Enrolling", sum(map(len, people.values()))), as_json)
        if common.at_terminal() and not as_json:
            results = _settled(gallery, results, run)
        counts = Counter(result.status for result in results) + Counter(failed=len(failures))
        _tell_end(gallery, results, counts, as_json)
    common.finish(counts["failed"], counts["added"] + counts["skipped"])


def _settled(gallery: "Gallery", results: "list[Enrollment]", run: "Run") -> "list[Enrollment]":
    """Ask whether people whose names are like enrolled ones are those people, and enroll them as the answer says."""
    held_back = {result.person: result for result in results if result.same_as}
    one = {person: asked(_same(gallery, result)) for person, result in held_back.items()}
    names = {person: result.same_as or "" for person, result in held_back.items() if one[person] is not None}
    people: dict[str, list[Path]] = defaultdict(list)
    for result in results:
        if result.same_as and result.person in names:
            people[names[result.person] if one[result.person] else result.person].append(result.path)
    distinct = [person for person in names if not one[person]]
    settled = enrolled.told(run(people, distinct=distinct), as_json=False)
    for person in distinct:
        if person in gallery:  # or none of the photos could be used
            gallery.set_apart(person, names[person])
    return [result for result in results if not (result.same_as and result.person in names)] + settled


def _same(gallery: "Gallery", result: "Enrollment") -> str:
    assert result.same_as is not None
    other = f"'{result.same_as}', enrolled with {how_many(len(gallery.show(result.same_as)), 'photo')}"
    question = f"'{result.person}' looks like {other} ({result.same_distance:.2f} apart): same person?"
    return f"{question} [y/n, Enter: leave them out]"


def _photos_by_person(
    paths: tuple[Path, ...], name: str | None
) -> "tuple[dict[str, list[Path]], list[Failure], list[PhotoSource]]":
    """Return the photos of each person, each path that gave no photo, with a message, and the folders.

    The messages are printed. Ends the command if there are no photos at all.
    """
    from facerec.inference.sources import photo_source

    people: dict[str, list[Path]] = defaultdict(list)
    failures, sources = [], []
    for path in paths:
        try:
            source = photo_source(path)
            found = _people_at(source) if name is None else ByPerson({name: _photos_at(source)}, [], {})
            sources.append(source)
            for person, photos in found.people.items():
                people[person] += photos
            failures += _failures(source.root, found)
        except FacerecError as error:
            failures.append((path, str(error)))
    for _, failure in failures:
        common.warn(failure)
    if not any(people.values()):
        common.finish(len(failures), 0)
    return {person: photos for person, photos in people.items() if photos}, failures, sources


def _failures(path: Path, found: ByPerson) -> Iterator[Failure]:
    """Yield what cannot be enrolled of a folder of people."""
    for person, photos in found.people.items():
        if not photos:
            yield path / person, f"{common.one_line(path / person)}: no photos here; add some"
    for photo in found.loose:
        yield photo, f"{common.one_line(photo)}: whose photo is it? Move it into a person's folder"
    for person, inside in found.nested.items():
        each, name = shlex.quote(common.one_line(inside.folder)), shlex.quote(printable(person))
        one = f"`facerec enroll {shlex.quote(common.one_line(path / person))} --name {name}` if all are {person}"
        yield path / person, f"{inside}; `facerec enroll {each}` if each is a person, {one}"


def _people_at(source: "PhotoSource") -> ByPerson:
    """Return the people of a folder, and the photos in nobody's folder. Raises DataError where there are no people."""
    path = source.root
    if os.path.isfile(path):  # unlike Path.is_file, False for a path that may not be looked at
        raise DataError(
            f"{common.one_line(path)}: whose photo is it? Give --name, or a folder with one folder per person"
        )
    found = source.by_person()
    if not any(found.people.values()) and not found.nested:
        name = shlex.quote(Path(os.path.abspath(path)).name.replace("_", " "))  # a link's own name
        raise no_people(
            path, len(found.loose), f"to enroll one person give --name {name}, to enroll several give the folder above"
        )
    return found


def _photos_at(source: "PhotoSource") -> list[Path]:
    path = source.given
    if not os.path.isdir(path):
        path_types.require_photo(path)
        return [path]
    photos = source.photos()
    if not photos:
        raise DataError(f"{common.one_line(path)}: no photos in this folder; add some")
    return photos


def _emit_summary(gallery: "Gallery", counts: Counter[str], found: "Review") -> None:
    threshold = gallery.threshold
    line: dict[str, Any] = {"summary": True, "people": len(gallery), "templates": gallery.templates}
    line |= {status: counts[status] for status in enrolled.STATUSES}
    line["threshold"] = threshold.distance if threshold else None
    common.emit(line | answers.reviewed(found))


def _tell_end(gallery: "Gallery", results: "list[Enrollment]", counts: Counter[str], as_json: bool) -> None:
    """Print a line per person, and the summary."""
    from facerec.recognition.review import review

    enrolled.tell_of_many(gallery, results)
    found = review(gallery, results)
    if as_json:
        _emit_summary(gallery, counts, found)
        return
    enrolled.print_people(results)
    if len({result.person for result in results}) > 1:  # the line of one person says it all
        photos = Counter(result.status for result in results)  # without folders and paths that gave none
        common.summarise(len(results), {status: photos[status] for status in enrolled.STATUSES}, as_json)
    if not common.is_quiet():
        _print_summary(gallery, found)


def _print_summary(gallery: "Gallery", found: "Review") -> None:
    threshold = gallery.threshold
    click.echo(
        f"The gallery {common.one_line(gallery.folder)} holds {common.photos_of(gallery.templates, len(gallery))}."
    )
    if threshold:
        click.echo(
            f"A face within the distance {threshold.distance:.3f} of a person is taken for them ({threshold.source})."
        )
    enrolled.print_doubts(found)
