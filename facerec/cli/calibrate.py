"""`facerec calibrate`."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from facerec.cli import common, detector_options, path_types
from facerec.cli.user_settings import read_everyday, settings_file
from facerec.errors import ConfigError, DataError
from facerec.gallery.address import Place
from facerec.recognition import answers
from facerec.text import how_many, printable

if TYPE_CHECKING:
    from facerec.decision.calibration import Calibration
    from facerec.gallery.gallery import Gallery
    from facerec.inference.embedder import Embedder
    from facerec.types import Threshold, Vectors


@common.command()
@click.option(
    "--fpir",
    type=common.RATE,
    metavar="R",
    help="The gallery's target FPIR from now on  [default: the one set before, else 0.01]",
)
@click.option(
    "--strangers", "folder", type=path_types.FOLDER, metavar="DIR",
    help="Photos of people who are not enrolled. They set the threshold together with the model's own strangers.",
)  # fmt: skip
@click.option("--no-strangers", is_flag=True, help="Forget the strangers that were given by --strangers.")
@detector_options.face_options
@common.gallery_option
@common.model_option
@common.json_option
def calibrate(
    fpir: float | None,
    folder: Path | None,
    no_strangers: bool,
    gallery_folder: Place,
    model: str | None,
    as_json: bool,
    **faces: Any,
) -> None:
    """Show or set the gallery's threshold.

    The threshold is the largest distance at which a face is taken for a person. It is chosen so that only a set share
    of strangers (FPIR) is taken for somebody enrolled: 0.01 means one in a hundred. The gallery computes it again
    whenever its people change. Every face in --strangers counts as one stranger. These strangers replace those given
    before. The gallery keeps what you set until you set it anew. Without options, nothing is changed.

    \b
    facerec calibrate
    facerec calibrate --fpir 0.001 --strangers visitors/
    """
    import numpy as np

    from facerec.decision.calibration import require_rate
    from facerec.inference.loading import load_embedder
    from facerec.recognition.identify import open_gallery

    if fpir is not None:
        require_rate(fpir)
    if folder is not None and no_strangers:
        raise ConfigError("--strangers and --no-strangers exclude each other; give one of them")
    embedder = load_embedder(model)
    failed, vectors = 0, None
    with open_gallery(gallery_folder, embedder) as gallery:
        before = _Before(gallery)
        _require_people_and_strangers(gallery, folder, fpir)
        if folder is not None:
            vectors, failed = _strangers_in(folder, gallery, embedder, faces)
        elif no_strangers:
            vectors = np.zeros((0, embedder.card.embedding_dim), np.float32)
        if fpir is not None or vectors is not None:
            gallery.set_calibration(fpir, strangers=vectors, source=str(folder.resolve()) if folder else "")
        found, changed = gallery.calibration(), before.differs(gallery, folder is not None)
    if found is None and no_strangers:
        common.say({"threshold": None, "strangers": 0}, _GONE, as_json)
        return
    if found is None:
        raise ConfigError(f"{common.one_line(gallery_folder)}: changed by another process; run the command again")
    _tell(found, before if changed else None, vectors is not None, fpir, as_json)
    _remark_on_everyday_rate(found.fpir)
    common.finish(failed, 1)


def _require_people_and_strangers(gallery: "Gallery", folder: Path | None, fpir: float | None) -> None:
    """Raise ConfigError if nobody is enrolled, or if there are no strangers and none are given."""
    where = common.one_line(gallery.folder)
    if not len(gallery):
        raise ConfigError(f"{where}: nobody is enrolled yet; `facerec enroll` somebody first")
    if folder is None and gallery.calibration(fpir) is None:
        raise ConfigError(f"{where}: no strangers to calibrate with; give --strangers DIR")


def _tell(found: "Calibration", before: "_Before | None", strangers: bool, fpir: float | None, as_json: bool) -> None:
    """Print the threshold and what it was. before: None if nothing changed. strangers: whether some were asked for."""
    asked = strangers or fpir is not None
    if before is None:
        line = answers.calibrated(found)
        already = "there are no strangers of your own" if fpir is None else f"FPIR {100 * fpir:g} % is set already"
        shown = f"Nothing was changed: {already}." if asked else _ONLY_SHOWN
    else:
        line, shown = answers.calibrated(found) | {"previous": before.as_json(strangers)}, before.as_text(strangers)
    common.say(line, f"{_as_text(found)}\n{shown}", as_json)


_GONE = "No strangers are left: the threshold is the model's own. --strangers DIR gives others."
_ONLY_SHOWN = "Nothing was changed: this only shows the threshold. --fpir and --strangers set it for good."


class _Before:
    """What a gallery's threshold was before it was set, and how to go back to it.

    target: the rate aimed at.
    """

    def __init__(self, gallery: "Gallery") -> None:
        self.target, self._strangers, self._source = gallery.given()
        self._threshold = gallery.threshold
        self._from_folder = os.path.isabs(self._source)  # otherwise a program gave them

    def differs(self, gallery: "Gallery", replaced: bool) -> bool:
        """Whether the gallery's target or strangers were others. replaced: whether strangers were given just now."""
        target, strangers, _ = gallery.given()
        return replaced or (self.target, self._strangers) != (target, strangers)

    def as_text(self, strangers: bool) -> str:
        """Say what it was, that the change stays, and how to go back. strangers: whether other strangers were given."""
        distance = "none" if self._threshold is None else f"{self._threshold.distance:.3f}"
        said = f"Before, the threshold was {distance}, for FPIR {100 * self.target:g} %"
        if strangers and self._strangers:
            said += f", by {how_many(self._strangers, 'stranger')} ({printable(self._source)}) and the model's"
        elif strangers:
            said += ", by no strangers of your own"
        again = ""
        if strangers and self._strangers:
            read_again = " (those photos are read again, so give --aligned if you gave it then)"
            again = read_again if self._from_folder else ", give those strangers again, and"
        return f"{said}. The change stays, for every command. To go back{again}: `{self._command(strangers)}`."

    def as_json(self, strangers: bool) -> dict[str, Any]:
        """Return the same for programs."""
        threshold = self._threshold
        line = {"threshold": threshold and threshold.distance, "threshold_source": threshold and threshold.source}
        line |= {"fpir": self.target, "given_strangers": self._strangers, "given_from": self._source or None}
        return line | {"command": self._command(strangers)}

    def _command(self, strangers: bool) -> str:
        """Return the command that sets what was set before, in the same gallery."""
        words = ["facerec", "calibrate", "--fpir", str(self.target)]
        if strangers and not self._strangers:
            words += ["--no-strangers"]
        elif strangers and self._from_folder:
            words += ["--strangers", printable(self._source)]
        context = click.get_current_context()
        for parameter, option in (("gallery_folder", "--gallery"), ("model", "--model")):
            if context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE:
                words += [option, printable(context.params[parameter])]
        return shlex.join(words)


def _strangers_in(
    folder: Path, gallery: "Gallery", embedder: "Embedder", faces: dict[str, Any]
) -> tuple["Vectors", int]:
    """Return the vectors of all faces in a folder of photos, and how many photos cannot be used.

    faces: the options that say how faces are found.
    """
    import numpy as np

    from facerec.inference.pipeline import embed_photos
    from facerec.photos.folders import without_copies

    given, empty = common.expand_photos([folder])
    if empty:
        raise DataError(empty[0])
    paths = without_copies(given)
    if copies := len(given) - len(paths):
        common.remark(f"{how_many(copies, 'copy', 'copies')} of other photos, byte for byte, left out")
    detector = detector_options.make_detector(**faces, crop_size=embedder.card.input_size, gallery=gallery)
    photos = common.Watched(embed_photos(paths, detector, embedder), "Embedding", len(paths))
    vectors = np.concatenate([photo.vectors for photo in photos])
    if photos.failed == len(paths):
        raise DataError(f"{common.one_line(folder)}: not one of the {len(paths)} photos has a usable face")
    _remark_on_enrolled(gallery, vectors, embedder.card.default_threshold)
    return vectors, photos.failed


def _remark_on_enrolled(gallery: "Gallery", vectors: "Vectors", card: "Threshold | None") -> None:
    """Warn of strangers who may be enrolled: their small distances would make the threshold too strict."""
    from facerec.decision.decide import is_struck

    limit = min((threshold.distance for threshold in (gallery.threshold, card) if threshold), default=-1.0)
    left = [each for found in gallery.search(vectors, 1) for each in found if not is_struck(each)]
    near = [each for each in left if each.distance <= limit]
    if near:
        nearest = min(near, key=lambda candidate: candidate.distance)
        common.remark(
            f"{how_many(len(near), 'face')} of {len(vectors)} given as strangers may be of somebody enrolled "
            f"({printable(nearest.person)} at {nearest.distance:.2f}); if so, take the photos out and run this again"
        )


def _remark_on_everyday_rate(fpir: float) -> None:
    """Say that the rate in the user's settings wins over the gallery's when photos are identified."""
    everyday = read_everyday().get("fpir", fpir)
    if everyday != fpir:
        common.remark(f"`facerec identify` uses FPIR {100 * everyday:g} %, as {printable(settings_file())} says")


def _as_text(found: "Calibration") -> str:
    low, high = map(common.percent, found.interval)
    said = f"Threshold {found.threshold.distance:.3f}: {found.threshold.source}."
    if found.within:
        return f"{said} {found.within} of {found.strangers} strangers are expected within it: {low} to {high} % (95 %)."
    if found.fpir * (found.worth + 1) >= 1:
        return f"{said} The nearest strangers alone exceed that: is somebody enrolled twice, or among the strangers?"
    return f"{said} For FPIR {100 * found.fpir:g} % it takes {int(1 / found.fpir)} strangers; give more by --strangers."
