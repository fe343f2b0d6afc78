"""`facerec identify` and `facerec verify`."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from facerec.cli import common, detector_options, path_types
from facerec.cli.progress import show_progress
from facerec.cli.user_settings import everyday_option
from facerec.errors import ConfigError, DataError, MissingExtraError
from facerec.gallery.address import Place
from facerec.photos.folders import find_photos
from facerec.photos.video_files import is_video, require_library
from facerec.recognition import answers
from facerec.text import UNKNOWN, clock, how_many, printable

if TYPE_CHECKING:
    from facerec.recognition.identify import Identification


DIFFERENT = 1  # exit code of `verify`, which is a test as `cmp` is
TOP = 5  # candidates listed per face, unless --top says otherwise


fpir_option = everyday_option(
    "--fpir",
    setting="fpir",
    type=common.RATE,
    metavar="R",
    help="Use the threshold for this FPIR, the share of strangers who may be taken for somebody (0.01 is 1 %).",
)


@common.command()
@click.argument("photos", nargs=-1, required=True, type=path_types.PATH)
@click.option(
    "--top", type=click.IntRange(min=1), metavar="K",
    help=f"How many candidates --explain and --json list per face  [default: {TOP}]",
)  # fmt: skip
@common.threshold_option
@fpir_option
@click.option(
    "--save-annotated",
    "pictures",
    type=path_types.PATH,
    metavar="DIR",
    help="Write copies of the photos and videos to this folder, with every face framed and named. No file is "
    "overwritten.",
)
@common.explain_option
@detector_options.face_options
@common.gallery_option
@common.model_option
@common.json_option
def identify(
    photos: tuple[Path, ...],
    top: int | None,
    threshold: float | None,
    fpir: float | None,
    pictures: Path | None,
    explain: bool,
    gallery_folder: Place,
    model: str | None,
    as_json: bool,
    **faces: Any,
) -> None:
    """Say who is in each photo, face by face.

    A face is given the name of the nearest person enrolled, or "unknown" if nobody is near enough. A folder stands for
    all photos and videos in it. A video has one answer for each face that is followed through it; facerec watch answers
    while it runs.

    \b
    facerec identify party.jpg
    facerec identify party.mp4
    facerec identify party.jpg --explain
    facerec identify --json inbox/ > answers.jsonl
    facerec identify party.jpg --save-annotated named/
    """
    fpir = give_way(fpir, threshold)
    if top is not None and not (explain or as_json):
        raise ConfigError("--top limits the candidates that --explain and --json show; add one of these")
    paths, empty = common.photos_to_open(photos, {"known": 0, "unknown": 0}, as_json, faces=0, find=_photos_and_videos)
    _ready(pictures, gallery_folder, photos)
    from facerec.decision.decide import choose_threshold
    from facerec.inference.loading import load_embedder
    from facerec.recognition.identify import measured_threshold, open_gallery
    from facerec.recognition.live import identify_files

    embedder = load_embedder(model)
    with open_gallery(gallery_folder, embedder) as gallery:
        size = embedder.card.input_size
        detector = detector_options.make_detector(**faces, crop_size=size, gallery=gallery)
        limit = choose_threshold(threshold, measured_threshold(gallery, fpir), embedder.card.name)
        results = identify_files(gallery, paths, detector, embedder, limit, top or TOP, pictures)
        shown = show_progress(results, "Identifying", len(paths), lambda face: face.position == 0)
        if as_json:
            counts = _tell(shown, lambda result: common.emit(answers.identified(result, limit, top or TOP)))
        else:
            counts = _tell(shown, lambda result: show_answer(result, (top or TOP) if explain else 0))
    faces_seen = counts["known"] + counts["unknown"]
    common.summarise(len(paths), counts, as_json, faces_seen)
    common.finish(counts["failed"] + empty, faces_seen)


def give_way(fpir: float | None, threshold: float | None) -> float | None:
    """Let --threshold override the rate in the user's settings. Raises ConfigError if --fpir was typed as well."""
    if threshold is None:
        return fpir
    if fpir is not None and click.get_current_context().get_parameter_source("fpir") is ParameterSource.COMMANDLINE:
        raise ConfigError("--threshold and --fpir both set the threshold; give one of them")
    return None


def _photos_and_videos(folder: Path) -> list[Path]:
    """What is in a folder. Without the extra `video`, a remark says that the videos are passed over.

    Raises MissingExtraError if there is nothing but videos.
    """
    found = find_photos(folder, videos=True)
    try:
        require_library()
    except MissingExtraError as error:
        photos = [path for path in found if not is_video(path)]
        if videos := sorted(set(found) - set(photos)):
            if not photos:
                raise
            such = common.one_line(videos[0])
            common.remark(f"passed over {how_many(len(videos), 'video')} (such as {such}): {error}")
        return photos
    return found


def _ready(pictures: Path | None, gallery_folder: Place, photos: Sequence[Path]) -> None:
    """Make the folder for annotated pictures, and require what reads videos, before the work begins.

    photos: the paths given, folders among them.
    """
    if any(is_video(path) for path in photos if not os.path.isdir(path)):
        require_library()
    if pictures is None:
        return
    from facerec.gallery.archive import require_elsewhere
    from facerec.photos.drawing import ready_folder
    from facerec.photos.folders import require_outside

    require_elsewhere(gallery_folder, pictures, pictures)
    require_outside(pictures, photos)
    ready_folder(pictures)


def _tell(results: "Iterable[Identification]", tell: "Callable[[Identification], None]") -> Counter[str]:
    """Tell each result, errors on stderr. Returns how many faces are known and unknown, and how many photos failed."""
    counts = Counter(known=0, unknown=0, failed=0)
    for result in results:
        if result.error is not None:
            common.warn(str(result.error))
        counts["failed" if result.error is not None else "known" if result.person is not None else "unknown"] += 1
        tell(result)
    return counts


def show_answer(result: "Identification", candidates: int) -> None:
    """Print a line for a face. candidates: how many to list below it, together with the reason; 0: print neither."""
    common.tell_remarks(result.path, () if result.position else result.remarks)
    face, decision = result.face, result.decision
    if face is None or decision is None:
        return
    click.echo(f"{_where(result)}: {styled(decision.person)}")
    box = ", ".join(f"{side:.0f}" for side in face.box)
    common.detail(f"{_where(result)}: found with confidence {face.confidence:.3f} at {box}")
    if candidates:
        click.echo(f"    {common.in_options(decision.reason)}")
        nearest = ", ".join(f"{each.person} {each.distance:.2f}" for each in decision.candidates[:candidates])
        for line in [f"candidates: {nearest}"] if nearest else []:
            click.echo(f"    {printable(line)}")
        for problem in result.quality.problems if result.quality else ():
            click.echo(f"    poor photo: {problem}")


def styled(person: str | None) -> str:
    return click.style(UNKNOWN, fg="yellow") if person is None else click.style(printable(person), fg="green")


def _where(result: "Identification") -> str:
    """Return the name of a face: its photo, and its number there unless it is the main face; when, in a video."""
    details = [f"face {result.position + 1}"] if result.position or result.seconds else []
    details += [" to ".join(map(clock, result.seconds))] if result.seconds else []
    return common.one_line(result.path) + (f" ({', '.join(details)})" if details else "")


@common.command()
@click.argument("photo_a", type=path_types.PHOTO)
@click.argument("photo_b", type=path_types.PHOTO)
@common.threshold_option
@common.explain_option
@detector_options.face_options
@common.model_option
@common.json_option
def verify(
    photo_a: Path, photo_b: Path, threshold: float | None, explain: bool, model: str | None, as_json: bool, **faces: Any
) -> None:
    """Say whether two photos show the same person.

    The main face of each photo is compared. No gallery is needed. The exit code is 0 for the same person, 1 for
    different people, and 2 if the photos cannot be compared.

    \b
    facerec verify passport.jpg selfie.jpg
    """
    from facerec.decision.decide import choose_pair_threshold
    from facerec.inference.loading import load_embedder
    from facerec.recognition.identify import verify as verify_photos

    embedder = load_embedder(model)
    detector = detector_options.make_detector(**faces, crop_size=embedder.card.input_size)
    limit = choose_pair_threshold(threshold, embedder.card.default_threshold, embedder.card.name)
    answer = verify_photos(photo_a, photo_b, detector, embedder, limit)
    if answer.distance is None:
        raise DataError(f"{common.one_line(photo_a)} and {common.one_line(photo_b)}: {answer.reason}")
    if as_json:
        common.emit(answers.verified(photo_a, photo_b, answer))
    else:
        for remark in answer.remarks:
            common.remark(remark)
        click.echo(common.same_or_not(answer, explain))
    click.get_current_context().exit(0 if answer.same else DIFFERENT)
