"""People whom no model was trained on: lists of them, their vectors, and random draws of who is enrolled.

Three kinds. `validation` and `test`: the aligned crops of the people in `splits/NAME.txt`. `lfw`: the main face of each
raw photo in `lfw/`, detected and aligned (about 10 minutes); photos without a face are left out.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerec.faces.detector import AlignedDetector
from facerec.faces.mtcnn import MTCNNDetector
from facerec.faces.settings import DetectorSettings
from facerec.files import replacing
from facerec.inference.loading import load_embedder
from facerec.inference.pipeline import embed_photos
from facerec.photos.folders import find_photos, identity_folders
from facerec.types import Floats

KINDS = ("validation", "test", "lfw")
SEED = 0

PROFILES = "faces_profile"

Rows = dict[str, list[NDArray[np.float32]]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options MODEL, --data, --people and --cache."""
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--people", choices=KINDS, default="validation")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep the people's vectors there, for the next run")


def people_of(data: Path, which: str, model: str, cache: Path | None) -> Rows:
    """Person -> their vectors, from `cache` where it has this model's; otherwise embedded now, and kept there."""
    kept = cache and cache / f"{which}-{load_embedder(model).card.fingerprint}.npz"
    if kept is not None and kept.exists():
        return read_rows(kept)
    rows = embed_lfw(data, model) if which == "lfw" else embed_listed(data, which, model)
    if kept is not None:
        write_rows(kept, rows)
    return rows


def listed_folders(data: Path, split: str) -> list[Path]:
    """The people's folders that `splits/SPLIT.txt` names, a line `faces/NAME` each."""
    return [data / line for line in (data / "splits" / f"{split}.txt").read_text("utf-8").split()]


def listed_people(names: Path, folder: Path) -> list[str]:
    """The people of this folder whom a list of lines `FOLDER/NAME` names, sorted."""
    lines = [line.split("/") for line in names.read_text("utf-8").split()]
    return sorted(name for source, name in lines if source == folder.name)


def pose_people(data: Path) -> list[str]:
    """A third of the people of `faces_profile`, who validate: those whose number leaves 2 when divided by 3."""
    names = sorted(folder.name for folder in (data / PROFILES).iterdir() if folder.is_dir())
    return [name for name in names if int(name.removeprefix("cfp_")) % 3 == 2]


def held_back(data: Path) -> set[str]:
    """`faces/NAME` of everybody whom any list in `splits/` names: nobody of them was trained on."""
    return {line for path in (data / "splits").glob("*.txt") for line in path.read_text("utf-8").split()}


def resamples(people: int, replicates: int, seed: int) -> Floats:
    """(1 + replicates, people) how often each person counts: once each first, then as drawn with replacement."""
    drawn = np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), replicates)
    return np.concatenate([np.ones((1, people)), drawn.astype(np.float64)])


def embed_listed(data: Path, which: str, model: str) -> Rows:
    """Person -> the vectors of their aligned crops."""
    return embed_people(data / "faces", sorted(folder.name for folder in listed_folders(data, which)), model)


def embed_lfw(data: Path, model: str) -> Rows:
    """Person -> the vectors of the main faces of their raw photos."""
    embedder = load_embedder(model)
    detector = MTCNNDetector(DetectorSettings(), embedder.card.input_size)
    paths = [path for own in identity_folders(data / "lfw").values() for path in own]
    rows: Rows = {}
    for photo in embed_photos(paths, detector, embedder, main_only=True):
        rows.setdefault(photo.path.parent.name, []).extend(photo.vectors)
    return {person: own for person, own in rows.items() if own}


def read_rows(path: Path) -> Rows:
    """Person -> vectors, from a file of `write_rows`."""
    with np.load(path, allow_pickle=False) as file:
        owners, vectors = file["owners"], file["vectors"]
    rows: Rows = {}
    for owner, vector in zip(owners.tolist(), vectors, strict=True):
        rows.setdefault(owner, []).append(vector)
    return rows


def write_rows(path: Path, rows: Rows) -> None:
    """Keep the vectors in a .npz file, `owners` and `vectors`; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    owners = np.array([person for person, own in rows.items() for _ in own])
    with replacing(path) as draft, draft.open("wb") as file:
        np.savez(file, owners=owners, vectors=np.stack([row for own in rows.values() for row in own]))


def embed_people(folder: Path, people: list[str], model: str) -> Rows:
    """Person -> the vector of every crop of theirs that can be read."""
    return {person: embed_crops(find_photos(folder / person), model) for person in people}


def embed_crops(crops: list[Path], model: str) -> list[NDArray[np.float32]]:
    """The vector of every aligned crop that can be read."""
    embedder = load_embedder(model)
    detector = AlignedDetector(embedder.card.input_size)
    return [photo.vectors[0] for photo in embed_photos(crops, detector, embedder) if photo.faces]


def draw(rows: Rows, enrolled: int, seed: int) -> tuple[Rows, Rows]:
    """(who is enrolled, who is searched): half of the people with `enrolled` crops each; everybody's other crops."""
    return draw_people(rows, len(rows) // 2, enrolled, seed)


def draw_people(rows: Rows, count: int, enrolled: int, seed: int) -> tuple[Rows, Rows]:
    """As `draw`, with `count` people enrolled."""
    rng = np.random.default_rng((SEED, seed))
    people = sorted(rows)
    chosen = {people[i] for i in rng.permutation(len(people))[:count]}
    gallery, probes = {}, {}
    for person in people:
        order = rng.permutation(len(rows[person]))
        kept = order[:enrolled] if person in chosen else order[:0]
        if person in chosen:
            gallery[person] = [rows[person][i] for i in kept]
        probes[person] = [rows[person][i] for i in order[len(kept) :]]
    return gallery, probes
