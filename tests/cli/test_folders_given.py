"""Every command reads the same photos in a folder as in one of links, and in one full of what systems leave there."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import toy_model
from running import json_lines, run

PEOPLE, PHOTOS = 6, 5
LITTER = ["@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", "p0/@eaDir/0.png", "p2/.thumbnails", "p2/deeper/lost+found"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`plain/people`, `links/people` and `littered/people`: the same names.

    In the second, folders, photos and a deeper folder are links; two links lead back up. In the third there are also
    photos that systems keep, and files that are no photos. Do not change.
    """
    home = tmp_path_factory.mktemp("folders")
    plain, links, littered = (home / kind / "people" for kind in ("plain", "links", "littered"))
    for person in range(PEOPLE):
        for photo in range(PHOTOS):
            deeper = ("deeper",) if photo == 4 else ()
            toy_model.save_crop(plain.joinpath(f"p{person}", *deeper, f"{photo}.png"), person, photo)
    shutil.copytree(plain, littered)
    for number, place in enumerate(LITTER):
        toy_model.save_crop(littered / place / "1.png", PEOPLE + number, 0)
    toy_model.save_crop(littered / "p0" / "SYNOPHOTO_THUMB_M.png", 0, 0)
    (littered / "p1" / "notes.txt").write_text("two of them are from 2003", "utf-8")
    links.mkdir(parents=True)
    for name in ("p0", "p1", "p2"):
        (links / name).symlink_to(plain / name)
    for name in ("p3", "p4", "p5"):
        (links / name).mkdir()
        (links / name / "deeper").symlink_to(plain / name / "deeper")
        for photo in range(4):
            (links / name / f"{photo}.png").symlink_to(plain / name / f"{photo}.png")
    (links / "p3" / "up").symlink_to("..")
    (links / "p4" / "self").symlink_to(".")
    return {"plain": plain, "links": links, "littered": littered}


def relative(line: Any, folder: Path) -> Any:
    """Without the folder's own name, and without times: what must be the same of both."""
    if isinstance(line, dict):
        kept = {key: value for key, value in line.items() if "second" not in key and "_ms_" not in key}
        return {key: relative(value, folder) for key, value in kept.items()}
    if isinstance(line, list):
        return [relative(value, folder) for value in line]
    return line.replace(str(folder), "") if isinstance(line, str) else line


def words_of(command: str, folder: Path, toy: Path, tiny: Path, out: Path) -> list[object]:
    faces: list[object] = ["--aligned", "--model", toy]
    one = folder / "p0" / "0.png"
    small = ["--backbone", "squeezenet1_1", "--init", "random", "--strategy", "frozen", "--epochs", 1]
    pairs = out / "pairs.csv"
    pairs.write_text("a,b,same\np0/0.png,p0/1.png,1\np3/0.png,p4/deeper/4.png,0\n", "utf-8")
    return {
        "enroll": ["enroll", folder, "--gallery", out / "gallery", *faces],
        "identify": ["identify", folder, "--gallery", out / "gallery", "--threshold", 1, *faces],
        "search": ["search", one, "--in", folder, "--top", 99, "--threshold", 1, *faces],
        "cluster": ["cluster", folder, "--labels", "--threshold", 1, *faces],
        "check-data": ["check-data", folder, *faces],
        "identification": ["evaluate", "identification", "--gallery-images", folder, "--probe-images", folder, *faces],
        "calibrate": ["calibrate", "--strangers", folder, "--gallery", out / "gallery", *faces],
        "verification": ["evaluate", "verification", "--images", folder, "--pairs", pairs, *faces],
        "features": ["features", folder, "--output", out / "x.npz", "--aligned", "--model", tiny],
        "classifier": ["features", folder, "--classifier", "knn", "--aligned", "--model", tiny],
        "advise": ["advise", folder, "--aligned", "--backbone", "squeezenet1_1", "--input-size", 48],
        "train": ["train", folder, "--aligned", "--output", out / "run", *small, "--train-size", 32],
        "classify": ["train", folder, "--mode", "classify", "--output", out / "run", *small, "--input-size", 32],
    }[command]


COMMANDS = ["enroll", "identify", "search", "cluster", "check-data", "identification", "calibrate"]
COMMANDS += ["verification", "features", "classifier", "advise", "train", "classify"]


@pytest.mark.usefixtures("random_weights", "one_thread")
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_the_same_photos(
    command: str, folders: dict[str, Path], toy: Path, tiny_model: Path, tmp_path: Path
) -> None:
    lines, left_out = {}, {}
    for kind, folder in folders.items():
        out = tmp_path / kind
        out.mkdir()
        if command in ("identify", "calibrate"):
            assert run(*words_of("enroll", folder, toy, tiny_model, out)).exit_code == 0
        result = run(*words_of(command, folder, toy, tiny_model, out), "--json")
        lines[kind] = relative(relative([result.exit_code, *json_lines(result)], folder), out)
        left_out[kind] = [line for line in result.stderr.splitlines() if "passed over" in line]
    assert lines["links"] == lines["littered"] == lines["plain"]
    assert lines["links"][0] in (0, 1)
    assert len(lines["links"]) > 1
    assert left_out["plain"] == left_out["links"] == []
    if command != "verification":  # which looks for no photos: the pairs name them
        (told,) = left_out["littered"]
        assert "8 system files and folders (such as " in told
        assert "1 file that is no photo (such as " in told


def test_a_person_s_link_that_leads_nowhere_fails_aloud(toy: Path, tmp_path: Path) -> None:
    toy_model.save_crop(tmp_path / "people" / "p0" / "0.png", 0, 0)
    (tmp_path / "people" / "p1").symlink_to("/nowhere/p1")
    result = run(*words_of("enroll", tmp_path / "people", toy, toy, tmp_path))
    assert result.exit_code == 1
    assert f"{tmp_path / 'people' / 'p1'}: no such file" in result.stdout + result.stderr
