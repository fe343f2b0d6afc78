"""`facerec enroll`."""

import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import click

from facerec.cli import common
from facerec.errors import DataError, FacerecError
from facerec.gallery import clean_name
from facerec.images import find_photos, identity_folders, printable

Failure = tuple[Path, str]  # what could not be used, and the line that says why


@common.command()
@click.argument("paths", nargs=-1, required=True, type=common.PHOTOS)
@click.option("--name", help="All the photos are of this person.")
@common.face_options
@common.gallery_option
@common.model_option
@common.json_option
def enroll(
    paths: tuple[Path, ...], name: str | None, gallery_folder: Path, model: str | None, as_json: bool, **faces: Any
) -> None:
    """Enroll people: folders of identity folders, or photos of one person with --name.

    \b
    facerec enroll people/
    facerec enroll ann1.jpg ann2.jpg --name "Ann Lee"
    """
    people, failures = _photos_by_person(paths, None if name is None else clean_name(name))
    for _, failure in failures:
        common.warn(failure)
    if not people:
        common.finish(len(failures), 0)
    from facerec.embed import load_embedder
    from facerec.recognise import enrol, open_gallery

    embedder = load_embedder(model)
    detector = common.make_detector(**faces, crop_size=embedder.card.input_size)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    with open_gallery(gallery_folder, embedder, create=True) as gallery:
        for path, reason in failures if as_json else ():
            _emit(path, name, "failed", reason)
        total = sum(map(len, people.values()))
        for result in common.show_progress(enrol(gallery, people, detector, embedder), "Enrolling", total):
            counts[result.person][result.status] += 1
            if result.status == "failed":
                common.warn(result.reason)
            if as_json:
                _emit(result.path, result.person, result.status, result.reason)
        _print_summary(gallery, counts, len(failures), as_json)


def _emit(path: Path, person: str | None, status: str, reason: str) -> None:
    common.emit({"image": str(path), "person": person, "status": status, "reason": reason})


def _photos_by_person(paths: tuple[Path, ...], name: str | None) -> tuple[dict[str, list[Path]], list[Failure]]:
    """Person -> photos, and every path that gave none, with a line that says why."""
    people: dict[str, list[Path]] = defaultdict(list)
    failures = []
    for path in paths:
        try:
            for person, photos in _people_at(path, name).items():
                people[person] += photos
                if not photos:
                    failures.append((path / person, f"{common.one_line(path / person)}: no photos here; add some"))
            if name is None:
                failures += [
                    (photo, f"{common.one_line(photo)}: whose photo is it? Move it into a person's folder")
                    for photo in _loose_photos(path)
                ]
        except FacerecError as error:
            failures.append((path, str(error)))
    return {person: photos for person, photos in people.items() if photos}, failures


def _loose_photos(folder: Path) -> list[Path]:
    return [photo for photo in find_photos(folder) if photo.parent == folder and not os.path.isdir(photo)]


def _people_at(path: Path, name: str | None) -> dict[str, list[Path]]:
    if name is None:
        if os.path.isfile(path):  # unlike Path's, False where it cannot be looked at
            raise DataError(f"{common.one_line(path)}: whose photo is it? Give --name, or a folder of identity folders")
        return identity_folders(path)
    if not os.path.isdir(path):
        return {name: [path]}
    photos = find_photos(path)
    if not photos:
        raise DataError(f"{common.one_line(path)}: no photos in this folder; add some")
    return {name: photos}


def _print_summary(gallery: Any, counts: dict[str, Counter[str]], bad_paths: int, as_json: bool) -> None:
    total = sum(counts.values(), Counter())
    threshold = gallery.threshold
    if as_json:
        summary = {key: total[key] for key in ("added", "skipped", "failed")}
        summary["failed"] += bad_paths
        distance = threshold.distance if threshold else None
        common.emit(
            {"summary": True, "people": len(gallery), "templates": gallery.templates, **summary, "threshold": distance}
        )
    else:
        for person, count in counts.items():
            click.echo(
                f"{printable(person)}: " + ", ".join(f"{count[key]} {key}" for key in ("added", "skipped", "failed"))
            )
        click.echo(
            f"The gallery {common.one_line(gallery.folder)} holds {gallery.templates} photos of {len(gallery)} people."
        )
        if threshold:
            click.echo(f"A face is one of them within the distance {threshold.distance:.3f} ({threshold.source}).")
    common.finish(total["failed"] + bad_paths, total["added"] + total["skipped"])
