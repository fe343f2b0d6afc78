"""`facerec check-data`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common, detector_options, path_types
from facerec.errors import DataError
from facerec.files import write_text
from facerec.photos.folders import identity_folders
from facerec.text import printable

if TYPE_CHECKING:
    from facerec.types import Photo

SHOWN = 10  # findings of each kind that are printed

MEANING = {  # what each of the library's KINDS is called in print
    "unreadable": "photos that cannot be read",
    "no_face": "photos without a face",
    "duplicate": "files that are there more than once",
    "near_duplicate": "near copies of a photo: saved, scaled, cut or lit differently",
    "single_photo": "people with one usable photo",
    "wrong_label": "photos that probably show somebody else",
    "same_person": "people who look like one person",
    "shared_name": "people whose name is also in the other folder",
    "shared_person": "people who look like somebody in the other folder",
    "shared_photo": "photos that are also in the other folder",
}


@common.command("check-data")
@click.argument("folder", type=path_types.FOLDER)
@click.option(
    "--against",
    type=path_types.FOLDER,
    metavar="OTHER",
    help="Also find people and photos that are in FOLDER and in this folder.",
)
@click.option("--against-aligned", is_flag=True, help="The photos of OTHER are aligned face crops.")
@click.option(
    "--output",
    type=path_types.PATH,
    metavar="FILE",
    help="Write a list of suspect photos, for facerec train --exclude.",
)
@detector_options.face_options
@common.model_option
@common.json_option
def check_data(
    folder: Path,
    against: Path | None,
    against_aligned: bool,
    output: Path | None,
    model: str | None,
    as_json: bool,
    aligned: bool,
    **faces: Any,
) -> None:
    """Find bad photos in folders of people.

    Finds photos that are unreadable, duplicate or mislabelled, people with two names, and people with one photo. With
    --against, also finds people and photos that are in both folders, such as a training and a test set. --aligned is
    about FOLDER only.

    \b
    facerec check-data people/ --output suspects.txt
    facerec check-data train/ --aligned --against test/ --json
    """
    folders = [path for path in (folder, against) if path is not None]
    people = [identity_folders(path) for path in folders]
    from facerec.curation.check import check, read_album
    from facerec.inference.loading import load_embedder

    embedder = load_embedder(model)
    albums = []
    for path, photos, crops in zip(folders, people, (aligned, against_aligned), strict=False):
        detector = detector_options.make_detector(crops, **faces, crop_size=embedder.card.input_size)
        albums.append(read_album(path, photos, detector, embedder, _watched))
    report = check(*albums, threshold=embedder.card.default_threshold)
    if as_json:
        _emit(report)
    else:
        _print(report)
    if output is not None:
        _write(output, report.exclusions())
    common.finish(sum(len(album.faults) for album in albums), len(albums[0]))


def _watched(photos: "Iterator[Photo]", total: int) -> "Iterator[Photo]":
    return common.Watched(photos, "Reading", total)


def _write(path: Path, text: str) -> None:
    """Write the list. It may replace an older list, but no other file."""
    try:
        if path.is_file() and b"facerec check-data" not in path.read_bytes()[:99]:
            raise DataError(f"{printable(path)}: exists and is not a list of check-data; give another --output")
        if path.exists() and not path.is_file():  # a pipe or /dev/stdout must not be replaced by a file
            path.write_text(text, "utf-8")
        else:
            write_text(path.resolve(), text, unique=True)
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be written ({error.strerror}); give another --output") from error


def _emit(report: Any) -> None:
    for finding in report.findings:
        common.emit(finding.to_json())
    counts = {"photos": report.photos, "people": report.people, **report.counts(), "suspects": len(report.suspects())}
    common.emit({"summary": True, **counts, "limits": report.limits.to_json()})


def _print(report: Any) -> None:
    for kind, count in report.counts().items():
        if count:
            click.echo(f"{MEANING[kind]}: {count}")
            reasons = [finding.reason for finding in report.findings if finding.kind == kind]
            for reason in reasons[:SHOWN]:
                click.echo(f"    {printable(reason)}")
            if count > SHOWN:
                click.echo(f"    ... and {count - SHOWN} more; --json lists all of them")
    used = common.photos_of(report.photos, report.people, "usable photo")
    judged = f"Judged by {printable(report.limits.source)}."
    common.summary(f"{used}; {len(report.suspects())} suspect. {judged}", as_json=False)
