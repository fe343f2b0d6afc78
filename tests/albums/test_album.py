"""Albums: gathering, searching, linking, scoring and enrolling faces nobody has named."""

import os
from pathlib import Path

import numpy as np
import pytest
import toy_gallery
import toy_model

from facerec.albums.album import (
    AlbumFace,
    FaceAlbum,
    gather_faces,
    group_album,
    grouping_limit,
    most_similar,
    people_of_folders,
    score_groups,
)
from facerec.albums.clustering import Grouping
from facerec.albums.links import ready_output, write_links
from facerec.errors import ConfigError, DataError, ImageError
from facerec.faces.detector import AlignedDetector
from facerec.inference.loading import load_embedder
from facerec.inference.pipeline import embed_photos
from facerec.models.cohort import save_cohort
from facerec.photos.folders import photo_hash
from facerec.recognition.enroll import enroll_group
from facerec.types import Face, Photo, Threshold

LIMIT = Threshold(1.0, "given")
HOSTILE = "-rf \n\x1b[31m" + "é" * 80 + os.fsdecode(b"\xff") + ".jpg"


def album_of(*places: tuple[Path, int], numbers: list[int] | None = None) -> FaceAlbum:
    """Faces at these photos and positions, with vectors of toy photos."""
    faces = [AlbumFace(path, position, (i, 2, 30, 40), 0.9) for i, (path, position) in enumerate(places)]
    rows = [toy_gallery.vector(n) for n in numbers or range(len(faces))]
    return FaceAlbum(tuple(faces), np.stack(rows))


def grouped(*labels: int) -> Grouping:
    return Grouping(np.array(labels), LIMIT)


def photos_in(folder: Path, *names: str) -> list[Path]:
    """Files of different bytes; grouping never looks into them again."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(os.fsencode(name))
    return [folder / name for name in names]


def test_faces_are_kept_in_order_without_their_pictures() -> None:
    crop = np.zeros((112, 112, 3), np.uint8)
    faces = tuple(Face(crop, (i, 0, 9, 9), np.zeros((5, 2), np.float32), 0.5 + i / 10) for i in range(3))
    rows = np.stack([toy_gallery.vector(i) for i in range(3)])
    photos = [
        Photo(Path("a"), faces[:2], rows[:2]),
        Photo(Path("b"), (), rows[:0], ImageError("b: is bad")),
        Photo(Path("c"), faces[2:], rows[2:]),
    ]
    album = gather_faces(photos, 16)
    assert [(str(f.path), f.position, f.box[0], f.confidence) for f in album.faces] == [
        ("a", 0, 0, 0.5), ("a", 1, 1, 0.6), ("c", 0, 2, 0.7),
    ]  # fmt: skip
    assert (album.vectors == rows).all()
    assert not hasattr(album.faces[0], "crop")
    assert gather_faces([], 16).vectors.shape == (0, 16)


def test_the_most_similar_come_first_each_with_its_own_answer() -> None:
    numbers = [5, 1, 2, 1, 3]
    album = album_of(*((Path(f"{i}.jpg"), 0) for i in range(5)), numbers=numbers)
    hits = most_similar(toy_gallery.vector(1), album, LIMIT, 4)
    distances = [float(np.square(toy_gallery.vector(1) - toy_gallery.vector(n)).sum()) for n in numbers]
    expected = sorted(range(5), key=lambda i: distances[i])[:4]
    assert [int(hit.face.path.stem) for hit in hits] == expected
    assert expected[:2] == [1, 3], "of equally near ones the earlier"
    for hit, i in zip(hits, expected, strict=True):
        assert hit.answer.distance == pytest.approx(distances[i], abs=1e-6)
        assert hit.answer.same == (distances[i] <= 1.0)
    assert {hit.answer.same for hit in hits} == {True, False}
    assert len(most_similar(toy_gallery.vector(1), album, LIMIT, 99)) == 5


def test_faces_of_one_photo_stay_apart_and_photos_come_together() -> None:
    a, b = Path("a"), Path("b")
    album = album_of((a, 0), (a, 1), (b, 0), numbers=[1, 1, 1])
    labels = group_album(album, LIMIT).labels.tolist()
    assert sorted(labels) == [0, 1, 1]
    assert labels[0] != labels[1]


# ------------------------------------------------------------------------------------------------------- the limit


def test_the_limit_is_given_or_the_strangers_or_the_models(tmp_path: Path) -> None:
    path = toy_model.write_model(tmp_path)
    embedder = load_embedder(str(path))
    assert grouping_limit(embedder, None) == Threshold(0.5, "made up for tests")
    strangers = np.eye(7, toy_model.DIMENSION, dtype=np.float32)
    save_cohort(path, embedder.card, strangers, "made up")
    found = grouping_limit(embedder, None)
    assert isinstance(found, np.ndarray)
    assert (found == strangers).all()
    assert grouping_limit(embedder, 0.3) == Threshold(0.3, "as asked for")
    with pytest.raises(ConfigError, match="0 to 4"):
        grouping_limit(embedder, 5)


def test_without_strangers_and_threshold_one_must_be_given(tmp_path: Path) -> None:
    embedder = load_embedder(str(toy_model.write_model(tmp_path, threshold={})))
    with pytest.raises(ConfigError, match="give a `threshold`"):
        grouping_limit(embedder, None)


# ------------------------------------------------------------------------------------------------------- truth


def test_people_are_the_first_folders(tmp_path: Path) -> None:
    paths = [tmp_path / "Ann" / "1.jpg", tmp_path / "Bob" / "old" / "2.jpg"]
    assert people_of_folders(tmp_path, paths) == {paths[0]: "Ann", paths[1]: "Bob"}
    with pytest.raises(DataError, match=r"loose.jpg: in no person's folder"):
        people_of_folders(tmp_path, [*paths, tmp_path / "loose.jpg"])


def test_only_main_faces_are_scored() -> None:
    paths = [Path(f"{i}") for i in range(4)]
    album = album_of((paths[0], 0), (paths[0], 1), (paths[1], 0), (paths[2], 0), (paths[3], 0))
    people = dict(zip(paths, ["Ann", "Ann", "Bob", "Bob"], strict=True))
    score = score_groups(album, grouped(1, 2, 1, 2, 0), people)
    assert (score["precision"], score["recall"]) == (1, 0.75)  # Ann's two together, Bob's two alone
    assert score["f"] == pytest.approx(6 / 7)
    low, high = score["ci95"]["recall"]
    assert (low, high) == (0.5, 1), "only Bob drawn, only Ann drawn"


# ------------------------------------------------------------------------------------------------------- links


def test_links_are_relative_and_lead_to_the_photos(tmp_path: Path) -> None:
    home = tmp_path / "home"
    photos = [*photos_in(home / "album" / "x", "a.jpg", HOSTILE), *photos_in(home / "album" / "y", "a.jpg")]
    album = album_of((photos[0], 0), (photos[1], 0), (photos[1], 1), (photos[2], 0))
    write_links(album, grouped(1, 1, 2, 1), home / "out")
    folders = {folder.name: sorted(folder.iterdir()) for folder in (home / "out").iterdir()}
    assert {name: len(links) for name, links in folders.items()} == {"group 001": 3, "group 002": 1}
    assert [link.name for link in folders["group 001"]][0::2] == ["0001 a.jpg", "0003 a.jpg"]
    assert [link.read_bytes() for link in folders["group 001"]] == [os.fsencode(path.name) for path in photos]
    for link in (link for links in folders.values() for link in links):
        assert link.is_symlink()
        assert not os.readlink(link).startswith("/")
        assert link.name.isprintable()
        assert len(os.fsencode(link.name)) < 256
    home.rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "out" / "group 001" / "0001 a.jpg").read_bytes() == b"a.jpg"


def test_links_where_folders_are_links_themselves(tmp_path: Path) -> None:
    photos_in(tmp_path / "deep" / "er" / "album", "a.jpg", "b.jpg")
    (tmp_path / "album").symlink_to(tmp_path / "deep" / "er" / "album")
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "far" / "away")
    album = album_of((tmp_path / "album" / "a.jpg", 0), (tmp_path / "album" / "b.jpg", 0))
    write_links(album, grouped(1, 1), tmp_path / "out")
    assert (tmp_path / "far" / "away" / "group 001" / "0002 b.jpg").read_bytes() == b"b.jpg"


def test_an_output_that_holds_something_or_lies_in_the_album_is_refused(tmp_path: Path) -> None:
    photos_in(tmp_path / "album", "a.jpg")
    (tmp_path / "empty").mkdir()
    ready_output(tmp_path / "empty", tmp_path / "album")
    ready_output(tmp_path / "new" / "er", tmp_path / "album")
    (tmp_path / "empty" / ".hidden").touch()
    with pytest.raises(DataError, match="not empty"):
        ready_output(tmp_path / "empty", tmp_path / "album")
    with pytest.raises(DataError, match="Not a directory"):
        ready_output(tmp_path / "album" / ".." / "album" / "a.jpg", tmp_path / "elsewhere")
    (tmp_path / "way in").symlink_to(tmp_path / "album")
    for inside in (tmp_path / "album", tmp_path / "album" / "groups", tmp_path / "way in" / "groups"):
        with pytest.raises(ConfigError, match="would be read as its photos"):
            ready_output(inside, tmp_path / "album")


def test_links_that_cannot_be_made_are_one_line(tmp_path: Path) -> None:
    (photo,) = photos_in(tmp_path / "album", "a.jpg")
    with pytest.raises(DataError, match="give another `output`"):
        write_links(album_of((photo, 0), (photo, 1)), grouped(1, 1), photo / "out")


# ------------------------------------------------------------------------------------------------------- enrolling


def test_a_groups_faces_are_enrolled_with_their_own_box_and_vector(tmp_path: Path) -> None:
    photos = photos_in(tmp_path / "album", "a.jpg", "b.jpg", "c.jpg")
    album = album_of((photos[0], 0), (photos[0], 1), (photos[1], 0), (photos[2], 1))
    with toy_gallery.opened(tmp_path / "gallery") as gallery:
        results = list(enroll_group(gallery, "Ann", album, grouped(0, 1, 2, 1), 1))
        assert [(r.path, r.person, r.status) for r in results] == [
            (photos[0], "Ann", "added"), (photos[2], "Ann", "added"),
        ]  # fmt: skip
        stored = gallery.show("Ann")
        assert [t.box for t in stored] == [(1, 2, 30, 40), (3, 2, 30, 40)]
        assert [t.source for t in stored] == [str(photos[0]), str(photos[2])]
        assert [t.photo_hash for t in stored] == [photo_hash(photos[0]), photo_hash(photos[2])]
        mean = album.vectors[1] + album.vectors[3]
        wanted = np.square(mean / np.linalg.norm(mean) - album.vectors[0]).sum()
        assert gallery.search(album.vectors[:1], 1)[0][0].distance == pytest.approx(wanted, abs=1e-5)


def test_enrolling_again_skips_and_somebody_elses_photo_fails(tmp_path: Path) -> None:
    photos = photos_in(tmp_path / "album", "a.jpg", "b.jpg")
    album = album_of((photos[0], 0), (photos[0], 1), (photos[1], 0))
    with toy_gallery.opened(tmp_path / "gallery") as gallery:
        assert [r.status for r in enroll_group(gallery, "Ann", album, grouped(1, 2, 1), 1)] == ["added", "added"]
        assert [r.status for r in enroll_group(gallery, "Ann", album, grouped(1, 2, 1), 1)] == ["skipped", "skipped"]
        (result,) = enroll_group(gallery, "Bob", album, grouped(1, 2, 1), 2)
        assert result.status == "failed"
        assert "enrolled as Ann" in result.reason
        photos[1].unlink()
        results = list(enroll_group(gallery, "Ann", album, grouped(1, 2, 1), 1))
        assert [r.status for r in results] == ["skipped", "failed"]
        assert "no such file" in results[1].reason
        assert gallery.templates == 2


def test_a_real_album_by_the_toy_network(crops: Path, toy: Path) -> None:
    embedder = load_embedder(str(toy))
    paths = sorted((crops / "people").glob("*/*.png"))
    album = gather_faces(embed_photos(paths, AlignedDetector(), embedder), toy_model.DIMENSION)
    assert group_album(album, grouping_limit(embedder, None)).labels.tolist() == [1, 1, 2, 2, 3, 3]
