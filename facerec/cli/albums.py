"""`facerec search` and `facerec cluster`: for folders of photos without names."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common, detector_options, enrolled, path_types
from facerec.cli.model_options import model_and_fast
from facerec.cli.offers import people, some
from facerec.errors import ConfigError, DataError
from facerec.gallery.address import Place
from facerec.models.names import NAMES
from facerec.recognition import answers
from facerec.text import how_many, main_of_several, printable

if TYPE_CHECKING:
    from facerec.albums.album import AlbumFace, FaceAlbum, Hit
    from facerec.albums.clustering import Grouping
    from facerec.faces.detector import Detector
    from facerec.inference.embedder import Embedder
    from facerec.inference.sources import PhotoSource
    from facerec.types import Threshold

SHOWN = 5  # faces printed of each group, and of the faces that are alone


@common.command()
@click.argument("photo", type=path_types.PHOTO)
@click.option(
    "--in",
    "folder",
    required=True,
    type=path_types.FOLDER,
    metavar="DIR",
    help="The folder of photos, or of shards, to look through.",
)
@click.option(
    "--top", type=click.IntRange(min=1), default=10, show_default=True, help="How many faces, or pictures, to list."
)
@common.threshold_option
@common.explain_option
@detector_options.face_options
@model_and_fast(
    type=path_types.MODEL_OR_BACKBONE,
    shell_complete=some(NAMES, or_file=True),
    help="For faces: a face model, as elsewhere. For whole pictures: a model of --mode classify, or a backbone's name, "
    "such as resnet50.",
)
@common.json_option
def search(
    photo: Path,
    folder: Path,
    top: int,
    threshold: float | None,
    explain: bool,
    model: str | None,
    as_json: bool,
    **faces: Any,
) -> None:
    """Find similar faces in a folder of photos.

    The faces are listed that look most like the main face of PHOTO. Nobody needs to be enrolled. With a model of --mode
    classify, or a backbone, whole pictures are compared instead of faces: by the cosine of the last features before the
    head.

    \b
    facerec search ann.jpg --in holidays/
    facerec search ann.jpg --in holidays/ --top 50 --json > hits.jsonl
    facerec search rose.jpg --in garden/ --model models/flowers
    """
    source, paths = _photos_in(folder)
    from facerec.albums.album import most_similar
    from facerec.decision.decide import choose_pair_threshold
    from facerec.inference.loading import load_embedder, reads_pictures
    from facerec.inference.pipeline import embed_photos

    if reads_pictures(model):
        _require_photos(source)
        _search_pictures(photo, paths, top, threshold, str(model), as_json, faces)
        return
    embedder = load_embedder(model)
    faces = detector_options.as_in_shards([source], embedder.card, **faces)
    detector = detector_options.make_detector(**faces, crop_size=embedder.card.input_size)
    limit = choose_pair_threshold(threshold, embedder.card.default_threshold, embedder.card.name)
    (wanted,) = embed_photos([photo], detector, embedder)
    if wanted.error is not None:
        raise wanted.error
    common.tell_remarks(photo, (*wanted.remarks, *main_of_several(len(wanted.faces), "is searched for")))
    album, failed = _read_album(source, paths, detector, embedder)
    hits = most_similar(wanted.vectors[0], album, limit, top)
    for hit in hits:
        if as_json:
            common.emit(_hit_line(hit, limit))
        else:
            click.echo(f"{_name(hit.face)}: {common.same_or_not(hit.answer, explain)}")
    common.summarise(len(paths), {"listed": len(hits), "failed": failed}, as_json, len(album))
    common.finish(failed, len(paths) - failed)


@common.command()
@click.argument("folder", metavar="DIR", type=path_types.FOLDER)
@click.option(
    "--output",
    type=path_types.PATH,
    metavar="OUT",
    help="Make this folder, with a folder per group that holds links to its photos.",
)
@click.option(
    "--enroll",
    "number",
    type=click.IntRange(min=1),
    metavar="CLUSTER",
    help="Enroll the group of this number, as --name.",
)
@click.option("--name", shell_complete=people, help="The name of the person in the group of --enroll.")
@click.option(
    "--labels",
    is_flag=True,
    help="The sub-folders of DIR are people: report how well the groups agree with them (B-cubed).",
)
@click.option(
    "--threshold", type=float, metavar="D", help="linkage: join groups up to this mean distance (0 to 4). dbscan: eps."
)
@click.option(
    "--method", type=click.Choice(["linkage", "dbscan"]), default="linkage", show_default=True,
    help="linkage: join the groups with the smallest mean distance. dbscan: join every face to a group with a face "
    "within eps of it; better if nearly everybody is in one photo only.",
)  # fmt: skip
@detector_options.face_options
@common.new_gallery_option
@common.model_option
@common.json_option
def cluster(
    folder: Path,
    output: Path | None,
    number: int | None,
    name: str | None,
    labels: bool,
    threshold: float | None,
    method: str,
    gallery_folder: Place,
    model: str | None,
    as_json: bool,
    **faces: Any,
) -> None:
    """Group the faces in a folder of photos by person.

    DIR may also hold shards. Nobody needs to be enrolled. The groups are numbered, and the same
    folder gives the same numbers again: look at the groups first, then enroll one by its number.

    \b
    facerec cluster album/ --output groups/
    facerec cluster album/ --enroll 3 --name "Ann Lee"
    """
    name, (source, paths), dense = _name_for(number, name), _photos_in(folder), method == "dbscan"
    from facerec.albums import album as albums
    from facerec.albums import links
    from facerec.inference.loading import load_embedder

    people = albums.people_of_folders(source.root, paths) if labels else None
    if output is not None:
        links.ready_output(output, source.root)
    embedder = load_embedder(model)
    faces = detector_options.as_in_shards([source], embedder.card, **faces)
    detector = _finder(faces, embedder, gallery_folder if name else None)
    limit = albums.grouping_limit(embedder, threshold)
    album, failed = _read_album(source, paths, detector, embedder)
    if not len(album):
        common.finish(failed, 0)  # ends here
    used = len(paths) - failed
    grouping = albums.group_album(album, limit, dense=dense)
    score = None if people is None else albums.score_groups(album, grouping, people)
    _require_group(number, grouping)
    _tell_faces(album, grouping, as_json)
    if output is not None:
        links.write_links(album, grouping, output)
    lost, doubts = _enroll(album, grouping, number, name, gallery_folder, embedder, detector, as_json)
    if as_json:
        _emit_summary(album, grouping, used, score, doubts)
    else:
        _tell_summary(album, grouping, used, len(paths) - used, score, dense=dense)
    common.finish(failed + lost, used)


def _require_group(number: int | None, grouping: "Grouping") -> None:
    if number is not None and number > grouping.groups:
        raise ConfigError(f"there is no group {number} to enroll; there are {grouping.groups}")


def _name_for(number: int | None, name: str | None) -> str | None:
    """Return the name for the group of this number, made clean. Raises ConfigError for one without the other."""
    if (number is None) != (name is None):
        raise ConfigError("--enroll CLUSTER and --name NAME go together; give both")
    from facerec.gallery.names import clean_name

    return None if name is None else clean_name(name)


def _search_pictures(
    photo: Path, paths: list[Path], top: int, threshold: float | None, model: str, as_json: bool, faces: dict[str, Any]
) -> None:
    """Run `search` for a model that reads whole pictures."""
    from facerec.features.similar import most_alike
    from facerec.features.table import photo_features
    from facerec.inference.loading import load_stage

    if threshold is not None:
        raise ConfigError("--threshold is for faces, and this model compares whole pictures; leave it out")
    reader = load_stage(model)
    detector = detector_options.detector_for(reader.card, **faces)  # None; raises for --aligned
    (wanted,) = photo_features([photo], reader, detector)
    if wanted.row is None:
        raise wanted.error or DataError(f"{printable(photo)}: cannot be used; give another photo")
    common.tell_remarks(photo, wanted.remarks)
    others = common.Watched(photo_features(paths, reader, detector), "Reading", len(paths))
    hits = most_alike(wanted.row, others, top)
    for hit in hits:
        if as_json:
            common.emit({"image": str(hit.path), "distance": hit.distance, "cosine": hit.cosine})
        else:
            click.echo(f"{common.one_line(hit.path)}: distance {hit.distance:.2f}, cosine {hit.cosine:.3f}")
    common.summarise(len(paths), {"listed": len(hits), "failed": others.failed}, as_json)
    common.finish(others.failed, len(paths) - others.failed)


def _photos_in(folder: Path) -> tuple["PhotoSource", list[Path]]:
    """Return a folder of photos, or of shards, and its photos. Raises DataError if it has none."""
    from facerec.inference.sources import photo_source

    source = photo_source(folder)
    paths = source.photos()
    if not paths:
        raise DataError(f"{common.one_line(folder)}: no photos in this folder; give another")
    return source, paths


def _require_photos(source: "PhotoSource") -> None:
    if source.plan is not None:
        folder, root = common.one_line(source.given), common.one_line(source.root)
        raise ConfigError(f"{folder}: holds faces, and this model compares whole pictures; give {root}")


def _read_album(
    source: "PhotoSource", paths: list[Path], detector: "Detector", embedder: "Embedder"
) -> tuple["FaceAlbum", int]:
    """Return all faces of the photos, and how many photos cannot be used. Each of those is a line on stderr."""
    from facerec.albums.album import gather_faces
    from facerec.inference.pipeline import embed_photos

    photos = common.Watched(embed_photos(map(source.of, paths), detector, embedder), "Reading", len(paths))
    return gather_faces(photos, embedder.card.embedding_dim), photos.failed


def _name(face: "AlbumFace") -> str:
    """Return the name of a face: its photo, and its number there unless it is the main face."""
    return common.one_line(face.path) + (f" (face {face.position + 1})" if face.position else "")


def _face_line(face: "AlbumFace") -> dict[str, Any]:
    line = {"image": str(face.path), "face": face.position, "box": [round(side, 1) for side in face.box]}
    return line | {"detection_confidence": round(face.confidence, 4)}


def _hit_line(hit: "Hit", threshold: "Threshold") -> dict[str, Any]:
    line = _face_line(hit.face) | {"distance": hit.answer.distance, "same": hit.answer.same}
    return line | {"threshold": threshold.distance, "threshold_source": threshold.source, "reason": hit.answer.reason}


def _tell_faces(album: "FaceAlbum", grouping: "Grouping", as_json: bool) -> None:
    if as_json:
        for face, label in zip(album.faces, grouping.labels.tolist(), strict=True):
            common.emit(_face_line(face) | {"cluster": label or None})
        return
    labels = grouping.labels.tolist()
    for number in [*range(1, grouping.groups + 1), 0]:
        faces = [face for face, label in zip(album.faces, labels, strict=True) if label == number]
        if faces:
            title = f"{f'group {number}' if number else 'alone'}, {how_many(len(faces), 'face')}"
            more = f", and {len(faces) - SHOWN} more" if len(faces) > SHOWN else ""
            click.echo(f"{title}: {', '.join(map(_name, faces[:SHOWN]))}{more}")


def _finder(faces: dict[str, Any], embedder: "Embedder", folder: Place | None) -> "Detector":
    """Return the detector. folder: of the gallery that a group is enrolled in; it need not exist yet."""
    from facerec.gallery.layout import is_there
    from facerec.recognition.identify import open_gallery

    size = embedder.card.input_size
    if folder is None or not is_there(folder):
        return detector_options.make_detector(**faces, crop_size=size)
    with open_gallery(folder, embedder) as gallery:
        return detector_options.make_detector(**faces, crop_size=size, gallery=gallery)


def _enroll(
    album: "FaceAlbum",
    grouping: "Grouping",
    number: int | None,
    name: str | None,
    folder: Place,
    embedder: "Embedder",
    detector: "Detector",
    as_json: bool,
) -> tuple[int, dict[str, Any]]:
    """Enroll one group, if one is chosen.

    Returns how many of its photos failed, and the JSON of what a look back suggests.
    """
    if number is None or name is None:
        return 0, {}
    from facerec.faces.detector import name_of
    from facerec.recognition.enroll import enroll_group
    from facerec.recognition.identify import open_gallery
    from facerec.recognition.review import review

    with open_gallery(folder, embedder, create=True) as gallery:
        gallery.bind_detector(name_of(detector))
        results = enrolled.told(enroll_group(gallery, name, album, grouping, number), as_json)
        enrolled.tell_of_many(gallery, results)
        found = review(gallery, results)
    if not as_json:
        enrolled.print_people(results)
    if not as_json and not common.is_quiet():
        enrolled.print_doubts(found)
    return sum(result.status == "failed" for result in results), answers.reviewed(found)


def _emit_summary(
    album: "FaceAlbum", grouping: "Grouping", photos: int, score: dict[str, Any] | None, doubts: dict[str, Any]
) -> None:
    line: dict[str, Any] = {
        "summary": True,
        "photos": photos,
        "faces": len(album),
        "groups": grouping.groups,
        "alone": _alone(grouping),
    }
    line |= {"threshold": grouping.threshold.distance, "threshold_source": grouping.threshold.source}
    common.emit(line | ({} if score is None else {"b_cubed": score}) | doubts)


def _tell_summary(
    album: "FaceAlbum", grouping: "Grouping", used: int, failed: int, score: dict[str, Any] | None, *, dense: bool
) -> None:
    joined = "Faces are joined within" if dense else "Groups are joined up to the mean distance"
    threshold = grouping.threshold
    common.summary(f"{joined} {threshold.distance:.3f} ({threshold.source}).", as_json=False)
    if score is not None:
        told = [
            f"{name} {100 * score[key]:.1f} % ({100 * score['ci95'][key][0]:.1f} to {100 * score['ci95'][key][1]:.1f})"
            for name, key in (("precision", "precision"), ("recall", "recall"), ("F", "f"))
        ]
        click.echo(f"B-cubed, compared with the folders: {', '.join(told)}.")
    counts = {
        "group" if grouping.groups == 1 else "groups": grouping.groups,
        "alone": _alone(grouping),
        "failed": failed,
    }
    common.summarise(used + failed, counts, False, len(album))


def _alone(grouping: "Grouping") -> int:
    return int((grouping.labels == 0).sum())
