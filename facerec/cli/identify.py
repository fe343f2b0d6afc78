"""`facerec identify` and `facerec verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common
from facerec.errors import ConfigError, NoFaceError
from facerec.types import Threshold

if TYPE_CHECKING:
    from facerec.gallery.gallery import Gallery
    from facerec.recognition.identify import Identification


@common.command()
@click.argument("photos", nargs=-1, required=True, type=common.PHOTOS)
@click.option(
    "--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many candidates --json lists per face."
)
@common.threshold_option
@click.option(
    "--fpir",
    type=float,
    metavar="R",
    help="Use the threshold for this FPIR, the share of strangers who may be taken for somebody (0.01 is 1 %).",
)
@click.option(
    "--save-annotated",
    "pictures",
    type=common.PHOTOS,
    metavar="DIR",
    help="Write copies of the photos to this folder, with every face framed and named. No file is overwritten.",
)
@common.face_options
@common.gallery_option
@common.model_option
@common.json_option
def identify(
    photos: tuple[Path, ...],
    top: int,
    threshold: float | None,
    fpir: float | None,
    pictures: Path | None,
    gallery_folder: Path,
    model: str | None,
    as_json: bool,
    **faces: Any,
) -> None:
    """Say who is in each photo, face by face.

    A face is given the name of the nearest person enrolled, or "unknown" if nobody is near enough. A folder stands for
    all photos in it.

    \b
    facerec identify party.jpg
    facerec identify --json inbox/ > answers.jsonl
    facerec identify party.jpg --save-annotated named/
    """
    if threshold is not None and fpir is not None:
        raise ConfigError("--threshold and --fpir both set the threshold; give one of them")
    from facerec.decision.decide import choose_threshold
    from facerec.gallery.archive import require_elsewhere
    from facerec.inference.loading import load_embedder
    from facerec.photos.drawing import ready_folder
    from facerec.recognition.identify import annotate, open_gallery
    from facerec.recognition.identify import identify as identify_photos

    paths, empty = common.expand_photos(photos)
    for line in empty:
        common.warn(line)
    if pictures is not None:
        require_elsewhere(gallery_folder, pictures, pictures)
        ready_folder(pictures)
    embedder = load_embedder(model)
    detector = common.make_detector(**faces, crop_size=embedder.card.input_size)
    failed, done = len(empty), 0
    with open_gallery(gallery_folder, embedder) as gallery:
        limit = choose_threshold(threshold, _measured(gallery, fpir), embedder.card.name)
        results = identify_photos(gallery, paths, detector, embedder, limit, top)
        results = results if pictures is None else annotate(results, pictures)
        for result in common.show_progress(results, "Identifying", len(paths), lambda face: face.position == 0):
            failed, done = failed + (result.error is not None), done + (result.error is None)
            if result.error is not None:
                common.warn(str(result.error))
            if as_json:
                common.emit(_as_json(result, limit, top))
            elif result.decision is not None:
                click.echo(_as_text(result))
    common.finish(failed, done)


def _measured(gallery: "Gallery", fpir: float | None) -> Threshold | None:
    """Return the gallery's threshold, or the one for the rate `fpir`."""
    if fpir is None:
        return gallery.threshold
    calibration = gallery.calibration(fpir)
    if calibration is None and len(gallery):
        raise ConfigError("no strangers to calibrate with; give --threshold, or `facerec calibrate --strangers DIR`")
    return gallery.threshold if calibration is None else calibration.threshold


def _as_text(result: "Identification") -> str:
    assert result.decision is not None
    where = common.one_line(result.path) + (f" (face {result.position + 1})" if result.position else "")
    poor = [f"    poor photo: {problem}" for problem in result.quality.problems] if result.quality else []
    odd = [f"    {remark}" for remark in result.remarks] if not result.position else []
    return "\n".join([f"{where}: {result.decision.person or 'unknown'}", f"    {result.decision.reason}", *poor, *odd])


def _as_json(result: "Identification", threshold: Threshold, top: int) -> dict[str, Any]:
    """Return a line of the fixed format. A photo without a usable face has null where there is no value."""
    face, decision = result.face, result.decision
    line: dict[str, Any] = {"image": str(result.path), "face": None, "box": None, "detection_confidence": None}
    line |= {"decision": "no_face" if isinstance(result.error, NoFaceError) else "error", "person": None}
    line |= {"distance": None, "threshold": threshold.distance, "threshold_source": threshold.source}
    line |= {"margin": None, "candidates": [], "reason": str(result.error), "probability": None}
    line["quality"] = None if result.quality is None else result.quality.to_json()
    if face is not None and decision is not None:
        line |= {"face": result.position, "box": [round(side, 1) for side in face.box]}
        line |= {"detection_confidence": round(face.confidence, 4), "person": decision.person}
        line |= {"decision": "match" if decision.person is not None else "unknown", "distance": decision.distance}
        line |= {"margin": decision.margin, "reason": decision.reason, "probability": decision.probability}
        line["candidates"] = [{"person": c.person, "distance": c.distance} for c in decision.candidates[:top]]
    return line | common.remarks_json(result.remarks)


@common.command()
@click.argument("photo_a", type=common.PHOTOS)
@click.argument("photo_b", type=common.PHOTOS)
@common.threshold_option
@common.face_options
@common.model_option
@common.json_option
def verify(
    photo_a: Path, photo_b: Path, threshold: float | None, model: str | None, as_json: bool, **faces: Any
) -> None:
    """Say whether two photos show the same person.

    The main face of each photo is compared. No gallery is needed.

    \b
    facerec verify passport.jpg selfie.jpg
    """
    from facerec.decision.decide import choose_threshold
    from facerec.inference.loading import load_embedder
    from facerec.recognition.identify import verify as verify_photos

    embedder = load_embedder(model)
    detector = common.make_detector(**faces, crop_size=embedder.card.input_size)
    limit = choose_threshold(threshold, embedder.card.default_threshold, embedder.card.name)
    answer = verify_photos(photo_a, photo_b, detector, embedder, limit)
    if as_json:
        line = {"image_a": str(photo_a), "image_b": str(photo_b), "same": answer.same, "distance": answer.distance}
        line |= {"threshold": limit.distance, "reason": answer.reason}
        common.emit(line | common.remarks_json(answer.remarks))
    else:
        for remark in answer.remarks:
            common.warn(remark)
        click.echo(f"{'the same person' if answer.same else 'different people'}: {answer.reason}")
