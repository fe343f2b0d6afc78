"""Are fewer strangers named by a track than by single pictures of a video, and fewer people missed?

    .venv/bin/python -m scripts.studies video default --data ../shared/data
    .venv/bin/python -m scripts.studies video default --data ../shared/data --people test --no-settings

Videos are made of the people's aligned crops (`made_video`): everybody is in one scene as one still, and in another as
three stills that fade into each other. The videos are written, read, looked at every 0.2 seconds and followed as
`facerec watch` does. Then, in each of 20 draws, half of the people are enrolled with 4 other crops each, and the
gallery sets its threshold for FPIR 1 % by the model's cohort. A search is

- each picture: each face in each picture, by itself;
- or somebody in a scene. Several answers count as the nearest one of them: those of any picture, or those of their
  tracks (mostly it is one track) in the end, by the unit mean of the best faces or by the mean of their distances,
  which is in use; or all answers that their tracks have had at any time, from the third face on.

Reported for each: FPIR and FNIR at the gallery's threshold, FNIR at FPIR 1 %, 95 % intervals over people; how many
tracks there are, and whether one holds two people. `settings`: the same for other numbers of best faces, and of faces
before the first answer. Somebody in a scene without a track is missed.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.evaluation.identification import Searches, gallery_threshold, index_people
from facerec.faces.detector import AlignedDetector, Detector, make_detector
from facerec.faces.looking import upright
from facerec.faces.settings import DETECTORS, DetectorSettings
from facerec.files import replacing
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_embedder
from facerec.inference.pipeline import embed_faces, embed_photos
from facerec.models.cohort import load_cohort
from facerec.photos.folders import find_photos
from facerec.photos.video import VideoFile
from facerec.photos.video_files import EVERY
from facerec.photos.video_writing import VideoWriter
from facerec.recognition.live import ENOUGH, mean_distance
from facerec.recognition.tracks import BEST, Track, Tracker
from facerec.types import Face, Floats, Threshold, Vectors
from facerec.vectors import lengths, squared_distances, unit_rows
from scripts.studies.constant_threshold import Decided, rates, rates_count
from scripts.studies.made_video import PICTURES, RATE, Actor, actor, casts, places, scene
from scripts.studies.people import Rows, listed_folders
from scripts.studies.tables import Table, shown, study_parser

DRAWS, ENROLLED, STILLS, SCENES, SEED = 20, 4, 3, 10, 0
KINDS = ("one still", "three stills")
WAYS = ("each picture", "any picture", "track: unit mean", "track: mean distance (in use)", "track at any time")


@dataclass(frozen=True, eq=False, slots=True)
class Look:
    """A picture that was looked at: its faces, their (N, D) vectors, and whose they are ("" where nobody is)."""

    seconds: float
    faces: list[Face]
    vectors: Vectors
    owners: list[str]


@dataclass(frozen=True, eq=False, slots=True)
class Followed:
    """A track. owners: of its faces. means: (T, D) the plain mean of its best vectors after each of its T faces."""

    owners: Counter[str]
    means: Vectors

    @property
    def person(self) -> str:
        """Whose most of its faces are."""
        return self.owners.most_common(1)[0][0]


Films = list[list[Look]]
Followings = list[list[Followed]]
Asked = list[tuple[str, Vectors]]
"""For each search who it is, and (T, D) rows; the row that is nearest to anybody decides."""
Galleries = list[tuple[Rows, Threshold]]


def crops_of(folder: Path) -> tuple[list[Path], list[Path]]:
    """A person's crops, shuffled: those that the videos show, and the others."""
    paths = find_photos(folder)
    order = np.random.default_rng(SEED).permutation(len(paths))
    mixed = [paths[i] for i in order]
    return mixed[: 1 + STILLS], mixed[1 + STILLS :]


def enrollable(folders: Sequence[Path], embedder: Embedder) -> Rows:
    """Person -> the vectors of the crops that no video shows."""
    detector = AlignedDetector(embedder.card.input_size, known=True)
    return {
        folder.name: [
            photo.vectors[0] for photo in embed_photos(crops_of(folder)[1], detector, embedder) if photo.faces
        ]
        for folder in folders
    }


def films(folders: Sequence[Path], kind: str) -> Iterator[list[list[Actor]]]:
    """What each video shows: SCENES scenes at most."""
    rng = np.random.default_rng((SEED, KINDS.index(kind)))
    own = {folder.name: crops_of(folder)[0] for folder in folders}
    stills = {name: paths[:1] if kind == "one still" else paths[1:] for name, paths in own.items()}
    scenes = [[actor(name, stills[name], rng) for name in cast] for cast in casts(sorted(own), rng)]
    for start in range(0, len(scenes), SCENES):
        yield scenes[start : start + SCENES]


def watched(film: list[list[Actor]], data: Path, detector: Detector, embedder: Embedder, seed: int) -> list[Look]:
    """Write the video, read it again, and look at it."""
    rng = np.random.default_rng((SEED, 1, seed))
    backgrounds = find_photos(data / "hymenoptera")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        with VideoWriter(path) as writer:
            for number, actors in enumerate(film):
                for place, image in enumerate(scene(actors, backgrounds[rng.integers(len(backgrounds))], rng)):
                    writer.add((number * PICTURES + place) / RATE, image)
        return [look(film, frame.seconds, frame.image, detector, embedder) for frame in VideoFile(path).frames(EVERY)]


def kept(file: Path | None, film: list[list[Actor]], look_at: Callable[[], list[Look]]) -> list[Look]:
    """What was seen in a video, from a file where it is known; otherwise seen now, and kept there."""
    if file is not None and file.exists():
        return read_looks(file, film)
    looks = look_at()
    if file is not None:
        write_looks(file, looks)
    return looks


def write_looks(file: Path, looks: Sequence[Look]) -> None:
    """Keep what was seen in a .npz file."""
    faces = [face for each in looks for face in each.faces]
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as draft, draft.open("wb") as opened:
        np.savez(
            opened,
            seconds=[each.seconds for each in looks],
            counts=[len(each.faces) for each in looks],
            vectors=np.concatenate([each.vectors for each in looks]),
            crops=np.stack([face.crop for face in faces]),
            boxes=np.array([face.box for face in faces]),
            landmarks=np.stack([face.landmarks for face in faces]),
            confidence=[face.confidence for face in faces],
        )


def read_looks(file: Path, film: list[list[Actor]]) -> list[Look]:
    """What `write_looks` kept of a video."""
    with np.load(file, allow_pickle=False) as opened:
        held = {name: opened[name] for name in opened.files}
    parts = zip(held["crops"], held["boxes"].tolist(), held["landmarks"], held["confidence"].tolist(), strict=True)
    faces = [Face(crop, tuple(box), points, sure) for crop, box, points, sure in parts]
    ends, looks = np.cumsum(held["counts"]).tolist(), []
    for seconds, count, end in zip(held["seconds"].tolist(), held["counts"].tolist(), ends, strict=True):
        own = faces[end - count : end]
        looks.append(Look(seconds, own, held["vectors"][end - count : end], owners_at(film, seconds, own)))
    return looks


def look(film: list[list[Actor]], seconds: float, image: np.ndarray, detector: Detector, embedder: Embedder) -> Look:
    """Find and embed the faces of a picture."""
    faces = detector.detect([image])[0]
    return Look(seconds, faces, embed_faces(faces, embedder), owners_at(film, seconds, faces))


def owners_at(film: list[list[Actor]], seconds: float, faces: Sequence[Face]) -> list[str]:
    """Whose each face is at a time of a video."""
    number = round(seconds * RATE)
    return owners_of(faces, film[number // PICTURES], number % PICTURES)


def owners_of(faces: Sequence[Face], actors: Sequence[Actor], number: int) -> list[str]:
    """Whose each face is: the face's middle is in the middle half of their crop, and nobody stands before; else ""."""
    boxes, owners = places(actors, number), []
    middles, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2] - boxes[:, 0]
    for face in faces:
        box = np.array(face.box)
        there = np.flatnonzero(np.abs((box[:2] + box[2:]) / 2 - middles).max(axis=1) < 0.25 * sides)
        owners.append(actors[there[-1]].person if len(there) else "")
    return owners


def followed(looks: Sequence[Look], same: float, best: int) -> list[Followed]:
    """The believed tracks of a video."""
    tracker = Tracker(same, best)
    owners: dict[int, Counter[str]] = {}
    means: dict[int, list[NDArray[np.float32]]] = {}
    tracks: dict[int, Track] = {}
    for each in looks:
        found, _ = tracker.look(each.seconds, each.faces, each.vectors)
        for track, owner in zip(found, each.owners, strict=True):
            if track is not None:
                tracks[id(track)] = track
                owners.setdefault(id(track), Counter())[owner] += 1
                means.setdefault(id(track), []).append(track.vectors.mean(axis=0))
    return [Followed(owners[key], np.stack(means[key])) for key, track in tracks.items() if track.number >= 0]


def distances(rows: Floats | Vectors, gallery: Vectors) -> Floats:
    """(N, P) mean distances of the vectors whose plain means are the (N, D) rows."""
    agreements = lengths(rows.astype(np.float32))
    apart = squared_distances(unit_rows(rows), gallery).astype(np.float64)
    return np.array([mean_distance(own, agreement) for own, agreement in zip(apart, agreements, strict=True)])


def searched(looks: Films, tracks: Followings, enough: int = ENOUGH) -> dict[str, Asked]:
    """Way -> its searches."""
    shown_faces = [zip(each.owners, each.vectors, strict=True) for film in looks for each in film]
    pictures = [(who, row) for faces in shown_faces for who, row in faces if who]
    every = [track for film in tracks for track in film if track.person]
    return {
        WAYS[0]: [(who, row[None]) for who, row in pictures],
        WAYS[1]: by_person((who, row[None]) for who, row in pictures),
        WAYS[2]: by_person((track.person, unit_rows(track.means[-1:])) for track in every),
        WAYS[3]: by_person((track.person, track.means[-1:]) for track in every),
        WAYS[4]: by_person((track.person, track.means[min(enough, len(track.means)) - 1 :]) for track in every),
    }


def by_person(found: Iterable[tuple[str, Vectors]]) -> Asked:
    """One search for each person, by all of their rows."""
    rows: dict[str, list[Vectors]] = {}
    for who, own in found:
        rows.setdefault(who, []).append(own)
    return [(who, np.concatenate(own)) for who, own in rows.items()]


def decided(asked: Asked, gallery: Rows, limit: Threshold, everybody: Sequence[str]) -> Decided:
    """What comes of the searches. Whoever has none counts as one that finds nobody."""
    people = index_people(gallery)
    missing = sorted(set(everybody) - {who for who, _ in asked})
    found = [distances(rows, people.means) for _, rows in asked]
    nearest = [np.unravel_index(own.argmin(), own.shape) for own in found]
    searcher = tuple([who for who, _ in asked] + missing)
    names = [people.names[int(place[1])] for place in nearest] + [""] * len(missing)
    distance = np.array([own[place] for own, place in zip(found, nearest, strict=True)] + [np.inf] * len(missing))
    hit = np.array([name == who for name, who in zip(names, searcher, strict=True)])
    mated = np.array([who in gallery for who in searcher])
    named = distance <= limit.distance
    searches = Searches(searcher, mated, hit, distance.astype(np.float32), np.zeros(0))
    return Decided(searches, named.astype(np.float64), (named & hit).astype(np.float64))


def draws(rows: Rows, cohort: Vectors) -> Galleries:
    """The galleries, each with the threshold that it sets."""
    made = []
    for seed in range(DRAWS):
        rng, people = np.random.default_rng((SEED, 2, seed)), sorted(rows)
        chosen = [people[i] for i in rng.permutation(len(people))[: len(people) // 2]]
        gallery = {who: [rows[who][i] for i in rng.permutation(len(rows[who]))[:ENROLLED]] for who in sorted(chosen)}
        limit = gallery_threshold(gallery, cohort, None)
        assert limit is not None, "the model has no cohort"
        made.append((gallery, limit))
    return made


def rate_cells(asked: Asked, made: Galleries, people: list[str]) -> list[str]:
    """FPIR and FNIR at the galleries' thresholds, and FNIR at FPIR 1 %, each with its interval."""
    found = [decided(asked, *each, people) for each in made]
    cells = zip(rates(found, people).T, rates_count(found), strict=True)
    fnir_at, fnir, fpir = (shown(column, 100, 2, of) for column, of in cells)
    return [fpir, fnir, fnir_at]


def tell_tracks(kind: str, looks: Films, tracks: Followings, people: int, table: Table) -> None:
    """A row about the tracks: how many there are, and how pure."""
    every = [track for film in tracks for track in film]
    faces = Counter(owner != "" for film in looks for each in film for owner in each.owners)
    mixed = sum(len(set(track.owners) - {""}) > 1 for track in every)
    found = {track.person for track in every} - {""}
    table.add(kind, people, people - len(found), faces[True], faces[False], len(every), mixed)


def tell_settings(kind: str, looks: Films, same: float, made: Galleries, people: list[str], table: Table) -> None:
    """A row for each number of best faces."""
    for best in (1, 3, 5, BEST, 20):
        tracks = [followed(film, same, best) for film in looks]
        in_the_end = rate_cells(searched(looks, tracks)[WAYS[3]], made, people)
        at_any_time = [rate_cells(searched(looks, tracks, enough)[WAYS[4]], made, people)[0] for enough in (1, 3, 5)]
        table.add(kind, best, *in_the_end, *at_any_time)


def seen(
    kind: str, folders: Sequence[Path], options: argparse.Namespace, detector: Detector, embedder: Embedder
) -> Films:
    """What is seen in all videos of a kind."""
    made = f"{options.people}-{options.detector}-{embedder.card.fingerprint[:16]}-{kind.replace(' ', '-')}"
    return [
        kept(
            options.cache and options.cache / f"{made}-{number}.npz",
            film,
            partial(watched, film, options.data, detector, embedder, number),
        )
        for number, film in enumerate(films(folders, kind))
    ]


def parser() -> argparse.ArgumentParser:
    """The options of this study."""
    made = study_parser(__doc__)
    made.add_argument("model")
    made.add_argument("--data", type=Path, required=True)
    made.add_argument("--people", choices=("validation", "test"), default="validation")
    made.add_argument("--detector", choices=DETECTORS, default="mtcnn")
    made.add_argument("--cache", type=Path, metavar="DIR", help="keep what was seen there, for the next run")
    made.add_argument("--no-settings", action="store_true", help="leave out the table of settings")
    return made


def main() -> None:
    """Make the videos, look at them, draw galleries, print Markdown tables."""
    options = parser().parse_args()
    embedder = load_embedder(options.model)
    assert embedder.card.default_threshold is not None, "the card has no threshold for pairs"
    same, settings = embedder.card.default_threshold.distance, DetectorSettings(detector=options.detector)
    detector = upright(make_detector(embedder.card.input_size, settings=settings))
    folders = sorted(listed_folders(options.data, options.people))
    rows = enrollable(folders, embedder)
    people, made = sorted(rows), draws(rows, load_cohort(embedder.path, embedder.card))
    looks = {kind: seen(kind, folders, options, detector, embedder) for kind in KINDS}
    tracks = {kind: [followed(film, same, BEST) for film in looks[kind]] for kind in KINDS}
    which = options.people
    head = ("shown as", "people", "without a track", "faces found", "found where nobody is", "tracks", "of two people")
    table = Table(head, options.csv, f"{which}-tracks")
    for kind in KINDS:
        tell_tracks(kind, looks[kind], tracks[kind], len(people), table)
    print()
    head = ("shown as", "searched", "searches", "FPIR, %", "FNIR, %", "FNIR at FPIR 1 %")
    table = Table(head, options.csv, f"{which}-rates")
    for kind in KINDS:
        for way, asked in searched(looks[kind], tracks[kind]).items():
            table.add(kind, way, len(asked), *rate_cells(asked, made, people))
    if options.no_settings:
        return
    print()
    head = ("shown as", "best faces", "FPIR, %", "FNIR, %", "FNIR at FPIR 1 %")
    head += tuple(f"FPIR at any time, from face {enough} on, %" for enough in (1, 3, 5))
    table = Table(head, options.csv, f"{which}-settings")
    for kind in KINDS:
        tell_settings(kind, looks[kind], same, made, people, table)


if __name__ == "__main__":
    main()
