"""`facerec calibrate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from facerec.cli import common
from facerec.errors import ConfigError, DataError
from facerec.text import how_many, printable

if TYPE_CHECKING:
    from facerec.decision.calibration import Calibration
    from facerec.faces.detector import Detector
    from facerec.gallery.gallery import Gallery
    from facerec.inference.embedder import Embedder
    from facerec.types import Threshold, Vectors


@common.command()
@click.option(
    "--fpir",
    type=float,
    metavar="R",
    help="The gallery's target FPIR from now on  [default: the one set before, else 0.01]",
)
@click.option(
    "--strangers", "folder", type=common.PHOTOS, metavar="DIR",
    help="Photos of people who are not enrolled. They set the threshold together with the model's own strangers.",
)  # fmt: skip
@common.face_options
@common.gallery_option
@common.model_option
@common.json_option
def calibrate(
    fpir: float | None, folder: Path | None, gallery_folder: Path, model: str | None, as_json: bool, **faces: Any
) -> None:
    """Show or set the gallery's threshold.

    The threshold is the largest distance at which a face is taken for a person. It is chosen so that only a set share
    of strangers (FPIR) is taken for somebody enrolled: 0.01 means one in a hundred. The gallery computes it again
    whenever its people change. Every face in --strangers counts as one stranger. These strangers replace those given
    before, and stay in the gallery until others are given.

    \b
    facerec calibrate
    facerec calibrate --fpir 0.001 --strangers visitors/
    """
    from facerec.decision.calibration import require_rate
    from facerec.inference.loading import load_embedder
    from facerec.recognition.identify import open_gallery

    if fpir is not None:
        require_rate(fpir)
    embedder = load_embedder(model)
    failed, vectors = 0, None
    with open_gallery(gallery_folder, embedder) as gallery:
        if not len(gallery):
            raise ConfigError(
                f"{common.one_line(gallery_folder)}: nobody is enrolled yet; `facerec enroll` somebody first"
            )
        if folder is None and gallery.calibration(fpir) is None:
            raise ConfigError(
                f"{common.one_line(gallery_folder)}: no strangers to calibrate with; give --strangers DIR"
            )
        if folder is not None:
            detector = common.make_detector(**faces, crop_size=embedder.card.input_size)
            vectors, failed = _strangers_in(folder, detector, embedder)
            _remark_on_enrolled(gallery, vectors, embedder.card.default_threshold)
        if fpir is not None or folder is not None:
            source = "" if folder is None else str(folder.resolve())
            gallery.set_calibration(fpir, strangers=vectors, source=source)
        found = gallery.calibration()
    if found is None:
        raise ConfigError(f"{common.one_line(gallery_folder)}: changed by another process; run the command again")
    common.emit(_as_json(found)) if as_json else click.echo(_as_text(found))
    common.finish(failed, 1)


def _strangers_in(folder: Path, detector: "Detector", embedder: "Embedder") -> tuple["Vectors", int]:
    """Return the vectors of all faces in a folder of photos, and how many photos cannot be used."""
    from facerec.inference.pipeline import embed_photos

    paths, empty = common.expand_photos([folder])
    if empty:
        raise DataError(empty[0])
    photos = common.Watched(embed_photos(paths, detector, embedder), "Embedding", len(paths))
    vectors = np.concatenate([photo.vectors for photo in photos])
    if photos.failed == len(paths):
        raise DataError(f"{common.one_line(folder)}: not one of the {len(paths)} photos has a usable face")
    return vectors, photos.failed


def _remark_on_enrolled(gallery: "Gallery", vectors: "Vectors", card: "Threshold | None") -> None:
    """Warn of strangers who may be enrolled: their small distances would make the threshold too strict."""
    limit = min((threshold.distance for threshold in (gallery.threshold, card) if threshold), default=-1.0)
    near = [found[0] for found in gallery.search(vectors, 1) if found[0].distance <= limit]
    if near:
        nearest = min(near, key=lambda candidate: candidate.distance)
        common.remark(
            f"{how_many(len(near), 'face')} of {len(vectors)} given as strangers may be of somebody enrolled "
            f"({printable(nearest.person)} at {nearest.distance:.2f}); if so, take the photos out and run this again"
        )


def _as_json(found: "Calibration") -> dict[str, Any]:
    threshold = found.threshold
    line = {"threshold": threshold.distance, "threshold_source": threshold.source, "fpir": found.fpir}
    line |= {"people": found.people, "strangers": found.strangers, "within": found.within}
    return line | {"ci95": {"fpir": list(found.interval)}}


def _as_text(found: "Calibration") -> str:
    low, high = map(common.percent, found.interval)
    said = f"Threshold {found.threshold.distance:.3f}: {found.threshold.source}."
    if found.within:
        return f"{said} {found.within} of {found.strangers} strangers are expected within it: {low} to {high} % (95 %)."
    if found.fpir * (found.worth + 1) >= 1:
        return f"{said} The nearest strangers alone exceed that: is somebody enrolled twice, or among the strangers?"
    return f"{said} For FPIR {100 * found.fpir:g} % it takes {int(1 / found.fpir)} strangers; give more by --strangers."
