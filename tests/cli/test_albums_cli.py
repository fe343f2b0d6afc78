"""`facerec search` and `facerec cluster` as scripts and people meet them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import toy_model
from click.testing import Result
from running import ROOT, json_lines, run

from facerec.inference.loading import load_embedder
from facerec.models.cohort import save_cohort


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Photos of three made-up people, three, two and one, in no order, and one that is damaged."""
    for name, person, photo in (("1", 1, 0), ("2", 0, 0), ("3", 0, 1), ("4", 2, 0), ("x/5", 1, 1), ("x/6", 0, 2)):
        toy_model.save_crop(tmp_path / "album" / f"{name}.png", person, photo)
    (tmp_path / "album" / "bad.png").write_bytes(b"no picture")
    return tmp_path / "album"


def toy_run(toy: Path, *arguments: object, gallery: Path | None = None) -> Result:
    return run(*arguments, "--aligned", "--model", toy, gallery=gallery)


# ---------------------------------------------------------------------------------------------------------- search


def test_search_has_a_line_for_each_of_the_nearest(album: Path, crops: Path, toy: Path) -> None:
    result = toy_run(toy, "search", crops / "ann.png", "--in", album, "--top", 4, "--json")
    lines = json_lines(result)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [f"{album / 'bad.png'}: {result.stderr.split(': ', 1)[1].strip()}"]
    assert {Path(line["image"]).name for line in lines[:3]} == {"2.png", "3.png", "6.png"}
    wanted = toy_model.vector(toy_model.crop(0, 2))
    for line in lines:
        person = 0 if line["same"] else None
        found = toy_model.vector(np.asarray(PIL.Image.open(line["image"])))
        assert line.pop("distance") == pytest.approx(float(np.square(found - wanted).sum()), abs=1e-5)
        reason, same, name = line.pop("reason"), line.pop("same"), line.pop("image")
        assert same == (Path(name).name in {"2.png", "3.png", "6.png"})
        assert f"{'within' if person == 0 else 'above'} the threshold 0.50 (made up for tests)" in reason
        assert line == {
            "face": 0, "box": [0, 0, 112, 112], "detection_confidence": 1,
            "threshold": 0.5, "threshold_source": "made up for tests",
        }  # fmt: skip


def test_search_for_people(album: Path, crops: Path, toy: Path) -> None:
    (album / "bad.png").unlink()
    result = toy_run(toy, "search", crops / "ann.png", "--in", album, "--top", 4)
    assert (result.exit_code, result.stderr) == (0, "")
    first, *_, last, summary = result.stdout.splitlines()
    assert first == f"{album}/x/6.png: the same person: distance 0.00"
    assert re.search(r"different people: distance \d\.\d\d$", last)
    assert summary == "6 photos, 6 faces: 4 listed"
    explained = toy_run(toy, "search", crops / "ann.png", "--in", album, "--top", 4, "--explain").stdout.splitlines()
    assert explained[0] == f"{first}, within the threshold 0.50 (made up for tests)"
    assert explained[3].startswith(last)
    assert ", above the threshold 0.50" in explained[3]


def test_search_by_a_given_threshold(album: Path, crops: Path, toy: Path) -> None:
    (album / "bad.png").unlink()
    result = toy_run(toy, "search", crops / "ann.png", "--in", album, "--threshold", 4, "--json")
    assert [(line["same"], line["threshold_source"]) for line in json_lines(result)] == [(True, "as asked for")] * 6


@pytest.mark.parametrize(
    ("photo", "folder", "words"),
    [
        ("missing.png", "album", "no such file"),
        ("album/bad.png", "album", "not an image"),
        ("album/1.png", "missing", "No such file"),
        ("album/1.png", "album/1.png", "Not a directory; give a readable folder"),
        ("album/1.png", "empty", "no photos in this folder"),
    ],
)
def test_search_that_cannot_be_is_one_line(album: Path, toy: Path, photo: str, folder: str, words: str) -> None:
    (album.parent / "empty").mkdir()
    result = toy_run(toy, "search", album.parent / photo, "--in", album.parent / folder)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert words in line


def test_a_folder_of_nothing_usable_is_exit_code_2(album: Path, crops: Path, toy: Path) -> None:
    for photo in album.glob("**/*.png"):
        photo.write_bytes(b"no picture")
    for command in (["search", crops / "ann.png", "--in", album], ["cluster", album]):
        result = toy_run(toy, *command, "--json")
        assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 7)


# ---------------------------------------------------------------------------------------------------------- cluster


def test_cluster_has_a_line_for_each_face_and_a_summary(album: Path, toy: Path) -> None:
    result = toy_run(toy, "cluster", album, "--json")
    *faces, summary = json_lines(result)
    assert result.exit_code == 1
    assert "bad.png" in result.stderr
    assert [(line["image"], line["cluster"]) for line in faces] == [
        (str(album / "1.png"), 2), (str(album / "2.png"), 1), (str(album / "3.png"), 1), (str(album / "4.png"), None),
        (str(album / "x" / "5.png"), 2), (str(album / "x" / "6.png"), 1),
    ]  # fmt: skip
    assert [list(line) for line in faces] == [["image", "face", "box", "detection_confidence", "cluster"]] * 6
    assert summary == {
        "summary": True, "photos": 6, "faces": 6, "groups": 2, "alone": 1,
        "threshold": 0.5, "threshold_source": "made up for tests",
    }  # fmt: skip
    assert toy_run(toy, "cluster", album, "--json").stdout == result.stdout, "the same again"


def test_cluster_for_people(album: Path, toy: Path) -> None:
    for photo in range(5):
        toy_model.save_crop(album / "z" / f"{photo}\n.png", 0, 3 + photo)
    lines = toy_run(toy, "cluster", album).stdout.splitlines()
    told = f"group 1, 8 faces: {album}/2.png, {album}/3.png, {album}/x/6.png, {album}/z/0\\n.png, {album}/z/1\\n.png"
    assert lines == [
        f"{told}, and 3 more",
        f"group 2, 2 faces: {album}/1.png, {album}/x/5.png",
        f"alone, 1 face: {album}/4.png",
        "Groups are joined up to the mean distance 0.500 (made up for tests).",
        "12 photos, 11 faces: 2 groups, 1 alone, 1 failed",
    ]


def test_cluster_of_one(toy: Path, tmp_path: Path) -> None:
    photo = toy_model.save_crop(tmp_path / "album" / "1.png", 0, 0)
    assert toy_run(toy, "cluster", tmp_path / "album").stdout.splitlines()[0] == f"alone, 1 face: {photo}"
    toy_model.save_crop(tmp_path / "album" / "2.png", 0, 1)
    told = toy_run(toy, "cluster", tmp_path / "album").stdout.splitlines()[-1]
    assert told == "2 photos, 2 faces: 1 group, 0 alone"


def test_cluster_is_held_to_the_models_strangers(album: Path, tmp_path: Path) -> None:
    model = toy_model.write_model(tmp_path / "model")
    rows = np.stack([toy_model.vector(toy_model.crop(person, 0)) for person in range(100, 150)])
    save_cohort(model, load_embedder(str(model)).card, rows.astype(np.float32), "made up")
    *faces, summary = json_lines(toy_run(model, "cluster", album, "--json"))
    assert [line["cluster"] for line in faces] == [2, 1, 1, None, 2, 1]
    assert summary["threshold_source"] == "5 of 50 strangers would be taken for one of these 3 people"
    given = json_lines(toy_run(model, "cluster", album, "--threshold", 4, "--json"))
    assert [line["cluster"] for line in given[:-1]] == [1] * 6
    assert given[-1]["threshold_source"] == "as asked for"


def test_cluster_by_dbscan(album: Path, tmp_path: Path) -> None:
    model = toy_model.write_model(tmp_path / "model")
    assert toy_run(model, "cluster", album, "--method", "dbscan").stdout.splitlines()[-2] == (
        "Faces are joined within 0.500 (made up for tests)."
    )
    rows = np.stack([toy_model.vector(toy_model.crop(person, 0)) for person in range(100, 300)])
    save_cohort(model, load_embedder(str(model)).card, rows.astype(np.float32), "made up")
    *faces, summary = json_lines(toy_run(model, "cluster", album, "--method", "dbscan", "--json"))
    assert [line["cluster"] for line in faces] == [2, 1, 1, None, 2, 1]
    assert summary["threshold_source"] == "2 of 200 strangers would be as near to one of these 6 faces"
    *faces, summary = json_lines(toy_run(model, "cluster", album, "--method", "dbscan", "--threshold", 4, "--json"))
    assert [line["cluster"] for line in faces] == [1] * 6


def test_cluster_scored_by_folders(crops: Path, toy: Path) -> None:
    result = toy_run(toy, "cluster", crops / "people", "--labels", "--json")
    perfect = {"precision": 1, "recall": 1, "f": 1}
    ci95 = {"precision": [1, 1], "recall": [1, 1], "f": [1, 1]}
    assert json_lines(result)[-1]["b_cubed"] == perfect | {"ci95": ci95}
    told = toy_run(toy, "cluster", crops / "people", "--labels", "--threshold", 4).stdout.splitlines()[-2]
    assert told.startswith("B-cubed, compared with the folders: precision 33.3 % (")
    assert "recall 100.0 % (100.0 to 100.0), F 50.0 % (" in told


def test_cluster_scored_with_a_photo_in_no_folder_is_refused(album: Path, toy: Path) -> None:
    result = toy_run(toy, "cluster", album, "--labels")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "1.png: in no person's folder" in result.stderr


def test_cluster_makes_folders_of_links_once(album: Path, toy: Path) -> None:
    (album / "bad.png").unlink()
    output = album.parent / "groups"
    assert toy_run(toy, "cluster", album, "--output", output).exit_code == 0
    links = sorted(str(path.relative_to(output)) for path in output.glob("*/*"))
    assert links == [
        "group 001/0001 2.png", "group 001/0002 3.png", "group 001/0003 6.png",
        "group 002/0001 1.png", "group 002/0002 5.png",
    ]  # fmt: skip
    assert (output / links[2]).resolve() == (album / "x" / "6.png").resolve()
    result = toy_run(toy, "cluster", album, "--output", output)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "not empty" in result.stderr


def test_cluster_enrolls_a_group(album: Path, crops: Path, toy: Path, tmp_path: Path) -> None:
    (album / "bad.png").unlink()
    enroll = ["cluster", album, "--enroll", 2, "--name", " Bob  Ray ", "--json"]
    result = toy_run(toy, *enroll, gallery=tmp_path / "gallery")
    lines = [line for line in json_lines(result) if "status" in line]
    assert result.exit_code == 0
    assert lines == [
        {"image": str(album / name), "person": "Bob  Ray", "status": "added", "reason": "", "quality": None}
        for name in ("1.png", "x/5.png")
    ]
    found = toy_run(toy, "identify", album, crops / "ann.png", "--json", gallery=tmp_path / "gallery")
    people = [line["person"] for line in json_lines(found)]
    assert people == ["Bob  Ray", None, None, None, "Bob  Ray", None, None]
    again = toy_run(toy, *enroll[:-1], gallery=tmp_path / "gallery")
    assert again.exit_code == 0
    assert "Bob  Ray: 0 added, 2 skipped (enrolled already), 0 failed" in again.stdout


def test_cluster_enrolls_nobody_twice(album: Path, toy: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    assert toy_run(toy, "enroll", album / "1.png", "--name", "Cy", gallery=gallery).exit_code == 0
    result = toy_run(toy, "cluster", album, "--enroll", 2, "--name", "Bob", gallery=gallery)
    assert result.exit_code == 1
    assert "Bob: 1 added, 0 skipped, 1 failed" in result.stdout
    assert "this photo is enrolled as Cy" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--enroll", 3, "--name", "Bob"], "no group 3 to enroll; there are 2"),
        (["--enroll", 1], "go together"),
        (["--name", "Bob"], "go together"),
        (["--enroll", 1, "--name", " "], "cannot be a person's name"),
        (["--enroll", 0, "--name", "Bob"], "0 is not in the range"),
        (["--threshold", 5], "from 0 to 4"),
        (["--output", "{album}/groups"], "would be read as its photos"),
        (["--output", "{album}/1.png/groups"], "would be read as its photos"),
    ],
)
def test_cluster_refuses_what_makes_no_sense(
    album: Path, toy: Path, tmp_path: Path, options: list[object], words: str
) -> None:
    (album / "bad.png").unlink()
    options = [str(option).format(album=album) for option in options]
    result = toy_run(toy, "cluster", album, *options, gallery=tmp_path / "gallery")
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert not (tmp_path / "gallery").exists()


def test_cluster_where_links_may_not_be_written(album: Path, toy: Path) -> None:
    """Root may write anywhere; /proc is where nobody may."""
    result = toy_run(toy, "cluster", album, "--output", "/proc/groups")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("Error: /proc/groups: links cannot be made there (")
    assert result.stdout == ""  # nobody waited for the photos to be read


def test_a_search_that_is_killed_leaves_the_album_as_it_was(album: Path, toy: Path) -> None:
    """Reading an album writes nothing into it."""
    before = sorted((path, path.stat().st_mtime_ns) for path in album.rglob("*"))
    words = [sys.executable, "-m", "facerec.cli.main", "cluster", str(album), "--aligned", "--model", str(toy)]
    process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    assert sorted((path, path.stat().st_mtime_ns) for path in album.rglob("*")) == before


# ------------------------------------------------------------------------------------------------- real detection


@pytest.fixture(scope="module")
def couple(small_samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An album: a photo of two people side by side, and a photo of each alone."""
    folder = tmp_path_factory.mktemp("couple")
    photos = [next((small_samples / "people" / name).glob("*.jpg")) for name in ("Grace Hopper", "Joe Biden")]
    images = [PIL.Image.open(photo).convert("RGB") for photo in photos]
    both = PIL.Image.new("RGB", (sum(image.width for image in images), max(image.height for image in images)))
    for image, x in zip(images, (0, images[0].width), strict=True):
        both.paste(image, (x, 0))
    both.save(folder / "both.png")
    for image, name in zip(images, ("b.png", "c.png"), strict=True):
        image.save(folder / name)
    return folder


def test_two_faces_of_a_photo_are_two_people_and_the_main_one_is_searched_for(couple: Path, toy: Path) -> None:
    *faces, summary = json_lines(run("cluster", couple, "--threshold", 4, "--json", "--model", toy))
    assert [(Path(line["image"]).name, line["face"]) for line in faces] == [
        ("b.png", 0), ("both.png", 0), ("both.png", 1), ("c.png", 0),
    ]  # fmt: skip
    assert faces[1]["cluster"] != faces[2]["cluster"]
    assert (summary["photos"], summary["faces"]) == (3, 4)
    result = run("search", couple / "both.png", "--in", couple, "--json", "--model", toy)
    copies = json_lines(result)[:2]
    assert result.stderr == f"{couple / 'both.png'}: has 2 faces; the main one is searched for\n"
    assert (str(couple / "both.png"), 0) in {(line["image"], line["face"]) for line in copies}
    remark = f"{couple / 'both.png'}: has 2 faces; the main one is compared"
    assert run("verify", couple / "b.png", couple / "both.png", "--model", toy).stderr == f"{remark}\n"
    (line,) = json_lines(run("verify", couple / "both.png", couple / "b.png", "--json", "--model", toy))
    assert line["remarks"] == [remark]
    assert copies[1]["distance"] < 0.01, "its main face, and the photo that was pasted there"
