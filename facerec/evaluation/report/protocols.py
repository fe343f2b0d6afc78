"""The page of each protocol: tables, plots, and the worst errors as pictures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec.datasets.pairs import Pairs
from facerec.decision.calibration import DEFAULT_FPIR
from facerec.errors import ImageError
from facerec.evaluation.identification import FaceVector, Searches
from facerec.evaluation.report import plots
from facerec.evaluation.report.page import THUMBNAIL, Mistake, Mistakes, Page, Plot, facts_of
from facerec.evaluation.report.tables import classification_tables, identification_tables, verification_tables
from facerec.faces.detector import Detector, faces_in_photos
from facerec.metrics.roc import Roc, det_points, error_rates, roc, threshold_at_fmr
from facerec.photos.crops import centre_picture
from facerec.photos.reading import read_image
from facerec.types import Decision, Image, Threshold
from facerec.vectors import paired_distances

MOST = 12  # errors shown of each kind
TOGETHER = 16  # photos that go through the detector at once

Line = Mapping[str, Any]
Pictures = Callable[[Sequence[Path]], Mapping[Path, Image]]
"""Photos -> the pictures to show of them; a photo without one is left out."""


@dataclass(frozen=True, eq=False, slots=True)
class SearchPhotos:
    """The photos behind `Searches`, with their vectors. probes: one per search. enrolled: person -> photos."""

    probes: Sequence[tuple[Path, FaceVector]]
    enrolled: Mapping[str, Sequence[tuple[Path, FaceVector]]]


# ------------------------------------------------------------------------------------------------ verification


def verification_page(
    line: Line,
    pairs: Pairs,
    distances: NDArray[np.float32],
    threshold: Threshold | None,
    paths: Mapping[str, Path],
    pictures: Pictures,
    command: str,
) -> Page:
    """Return the page about N pairs of photos, `compared` with their (N,) distances. paths: of the photos.

    Errors are shown for `threshold`, the one of the model's card. Without one they are shown for FMR 1e-3 of these
    pairs; without impostor pairs, none are shown.
    """
    curve = roc(distances, pairs.same)
    limit = threshold or _at_fmr(curve)
    points = det_points(curve, plots.POINTS).tolist()
    kinds = {"genuine": distances[pairs.same], "impostor": distances[~pairs.same]}
    at = limit and limit.distance
    counts = (line["impostor"], line["genuine"])
    marked = None if at is None or not all(counts) else (*error_rates(distances, pairs.same, at), at)
    figures = [
        Plot("ROC", plots.roc_figure(distances, pairs.same)),
        Plot(
            "DET", plots.det_figure(points, ("false match rate (FMR)", "false non-match rate (FNMR)"), counts, marked)
        ),
        Plot("distances", plots.histogram_figure(kinds, at), _failed_note(distances, "pairs")),
    ]
    wrong = [] if limit is None else _wrong_pairs(pairs, distances, limit, paths, pictures)
    return _page("Verification", line, command, [*verification_tables(line), *figures, *wrong])


def _at_fmr(curve: Roc) -> Threshold | None:
    limit = float(threshold_at_fmr(curve, 1e-3))
    return None if np.isnan(limit) else Threshold(limit, "FMR 0.1 % of these pairs")


def _wrong_pairs(
    pairs: Pairs, distances: NDArray[np.float32], limit: Threshold, paths: Mapping[str, Path], pictures: Pictures
) -> list[Mistakes]:
    within = distances <= np.float64(limit.distance)
    false = np.flatnonzero(within & ~pairs.same)
    missed = np.flatnonzero(~within & pairs.same & np.isfinite(distances))
    nearest = false[np.argsort(distances[false], kind="stable")][:MOST]
    farthest = missed[np.argsort(-distances[missed], kind="stable")][:MOST]
    shown = pictures([paths[side[i]] for i in [*nearest, *farthest] for side in (pairs.a, pairs.b)])

    def mistake(i: int) -> Mistake:
        both = (shown.get(paths[pairs.a[i]]), shown.get(paths[pairs.b[i]]))
        return Mistake(both, f"{pairs.a[i]} and {pairs.b[i]}: {distances[i]:.3f}")

    return [
        Mistakes(
            "False matches at the smallest distance",
            _how_many(len(false), len(nearest), f"different people within {_limit(limit)}"),
            tuple(map(mistake, nearest)),
        ),
        Mistakes(
            "False non-matches at the largest distance",
            _how_many(len(missed), len(farthest), f"pairs of one person, both with a face, beyond {_limit(limit)}"),
            tuple(map(mistake, farthest)),
        ),
    ]


# ---------------------------------------------------------------------------------------------- identification


def identification_page(
    line: Line, searches: Searches, threshold: Threshold | None, photos: SearchPhotos, pictures: Pictures, command: str
) -> Page:
    """Return the page about searches.

    Errors are those of the final decisions at `threshold`, the gallery's. Without one they are shown for FPIR 1 % of
    these searches.
    """
    at_fpir = line["threshold_at_fpir"]["0.01"]
    limit = threshold or (None if at_fpir is None else Threshold(at_fpir, "FPIR 1 % of these searches"))
    kinds = {"mated, to the searcher": _own_distances(searches), "non-mated": searches.distance[~searches.mated]}
    at = limit and limit.distance
    counts = (line["nonmated_searches"], line["mated_searches"])
    at_gallery = [line["fpir_at_gallery_threshold"], line["fnir_at_gallery_threshold"], at]
    marked = None if None in at_gallery else at_gallery
    names = ("false positive identification rate (FPIR)", "false negative identification rate (FNIR)")
    figures = [
        Plot("DET", plots.det_figure(line["det"], names, counts, marked)),
        Plot("distances", plots.histogram_figure(kinds, at), _failed_note(searches.distance, "searches")),
    ]
    if "by_gallery_size" in line:
        figures.append(Plot("by gallery size", plots.sizes_figure(line["by_gallery_size"], DEFAULT_FPIR)))
    if (probability := line.get("probability")) is not None:
        note = f"The searches are weighted as if {100 * probability['prior']:g} % were by enrolled people."
        figures.append(Plot("reliability", plots.reliability_figure(probability["bins"]), note))
    wrong = [] if limit is None else _wrong_searches(searches, limit, photos, pictures)
    return _page("Open-set identification", line, command, [*identification_tables(line), *figures, *wrong])


def _own_distances(searches: Searches) -> NDArray[np.float32]:
    """Return the distance of each mated search to the searcher; +inf if the searcher is no candidate."""
    ranks = searches.rank
    own = [
        searches.candidates[i][ranks[i] - 1].distance if ranks[i] else np.inf for i in np.flatnonzero(searches.mated)
    ]
    return np.array(own, np.float32)


def _wrong_searches(searches: Searches, limit: Threshold, photos: SearchPhotos, pictures: Pictures) -> list[Mistakes]:
    decisions = searches.decisions(limit)
    own = np.full(len(searches.mated), np.inf)
    own[searches.mated] = _own_distances(searches)
    named = np.array([decision.person is not None for decision in decisions])
    right = np.array([decision.person == who for decision, who in zip(decisions, searches.searcher, strict=True)])
    false = np.flatnonzero(named & ~searches.mated)
    known = np.array([_any_face(photos.enrolled.get(who, ())) for who in searches.searcher])
    missed = np.flatnonzero(~right & searches.mated & known & np.isfinite(searches.distance))
    nearest = false[np.argsort(searches.distance[false], kind="stable")][:MOST]
    farthest = missed[np.argsort(-own[missed], kind="stable")][:MOST]
    beside = {i: _enrolled_photo(photos, i, decisions[i].person or "") for i in nearest}
    beside |= {i: _enrolled_photo(photos, i, searches.searcher[i]) for i in farthest}
    wanted = [path for i, other in beside.items() for path in (photos.probes[i][0], other) if path is not None]
    shown = pictures(wanted)

    def mistake(i: int) -> Mistake:
        other = beside[i]
        both = (shown.get(photos.probes[i][0]), None if other is None else shown.get(other))
        happened = _what_happened(searches, i, decisions[i], own[i])
        return Mistake(both, f"{_name(photos.probes[i][0])} {happened}. Beside it: {_name(other)}")

    strangers = f"searches by strangers that name somebody at {_limit(limit)}; beside each, the person named"
    misses = f"searches by enrolled people that do not name them at {_limit(limit)}; beside each, their enrolled photo"
    return [
        Mistakes(
            "False positives at the smallest distance",
            _how_many(len(false), len(nearest), strangers),
            tuple(map(mistake, nearest)),
        ),
        Mistakes(
            "Misses at the largest distance",
            _how_many(len(missed), len(farthest), f"{misses} (both with a face)"),
            tuple(map(mistake, farthest)),
        ),
    ]


def _enrolled_photo(photos: SearchPhotos, search: int, person: str) -> Path | None:
    """Return the person's enrolled photo that is nearest to the photo of the search; None if there is none."""
    row = photos.probes[search][1]
    known = [(path, own) for path, own in photos.enrolled.get(person, ()) if own is not None]
    if row is None or not known:
        return None
    return known[int(paired_distances(np.stack([own for _, own in known]), row).argmin())][0]


def _any_face(photos: Sequence[tuple[Path, FaceVector]]) -> bool:
    return any(row is not None for _, row in photos)


def _what_happened(searches: Searches, i: int, decision: Decision, own: float) -> str:
    best, searcher = decision.candidates[0], searches.searcher[i]
    if not searches.mated[i]:
        return f"({searcher}) is taken for {best.person} at {best.distance:.3f}"
    said = f"named {decision.person}" if decision.person else "unknown"
    to_own = f"{own:.3f} from themselves" if np.isfinite(own) else "they are not among the nearest"
    return f"({searcher}) is {said}: {to_own}, nearest {best.person} at {best.distance:.3f}"


def _name(path: Path | None) -> str:
    return "-" if path is None else f"{path.parent.name}/{path.name}"


# ---------------------------------------------------------------------------------------------- classification


def classification_page(
    line: Line,
    paths: Sequence[Path],
    labels: Sequence[int],
    rows: Sequence[NDArray[np.float32] | None],
    images: Path,
    pictures: Pictures,
    command: str,
) -> Page:
    """Return the page about pictures in the folder `images`.

    labels: true classes. rows: (C,) probabilities of each picture, None if it could not be used.
    """
    names = line["class_names"]
    read = [(path, label, row) for path, label, row in zip(paths, labels, rows, strict=True) if row is not None]
    wrong = [(path, label, int(row.argmax()), float(row.max())) for path, label, row in read if row.argmax() != label]
    worst = sorted(wrong, key=lambda each: -each[3])[:MOST]
    shown = pictures([path for path, *_ in worst])
    mistakes = tuple(
        Mistake((shown.get(path),), f"{path.relative_to(images)}: {names[label]}, taken for {names[answer]} at {p:.3f}")
        for path, label, answer, p in worst
    )
    note = (
        ""
        if len(names) <= plots.MOST_NAMES
        else "There are too many classes to show their names; the table lists them in the same order."
    )
    sections = [
        *classification_tables(line),
        Plot("confusion", plots.confusion_figure(line["confusion"], names), note),
        Mistakes(
            "Wrong answers given with the highest probability", _how_many(len(wrong), len(worst), "wrong"), mistakes
        ),
    ]
    return _page(
        f"Classification by {line['attribute']}" if "attribute" in line else "Classification", line, command, sections
    )


# --------------------------------------------------------------------------------------------------- what is shared


def face_pictures(detector: Detector) -> Pictures:
    """Return a function that shows each photo as the model sees it: the aligned crop of its main face."""

    def pictures(paths: Sequence[Path]) -> Mapping[Path, Image]:
        found = faces_in_photos(dict.fromkeys(paths), detector, TOGETHER)
        return {path: faces[0].crop for path, faces, _ in found if not isinstance(faces, ImageError) and faces}

    return pictures


def centre_pictures(paths: Sequence[Path]) -> Mapping[Path, Image]:
    """Return the middle of each picture, as a classifier sees it."""
    shown = {}
    for path in paths:
        try:
            shown[path] = centre_picture(read_image(path), THUMBNAIL)
        except ImageError:  # deleted since it was measured; a grey square is shown instead
            continue
    return shown


def _page(title: str, line: Line, command: str, sections: Sequence[Any]) -> Page:
    return Page(
        f"{title}: {line['model']}", facts_of(line["model"], line["model_fingerprint"], command), tuple(sections)
    )


def _limit(limit: Threshold) -> str:
    return f"the threshold {limit.distance:.3f} ({limit.source})"


def _how_many(all_: int, shown: int, what: str) -> str:
    return f"{shown} of {all_} {what}." if all_ else f"None: {what}."


def _failed_note(distances: NDArray[np.float32], what: str) -> str:
    failed = int(np.isinf(distances).sum())
    return f"{failed} {what} without a usable face have no distance and are not shown." if failed else ""
