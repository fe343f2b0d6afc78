"""Pairs of photos that cannot be compared: one clear line that names the file."""

from pathlib import Path

import pytest
from click.testing import Result
from complaints import refused, written
from running import run

PAIRS = {
    "empty": (b"", "pairs.csv"),
    "no pairs": (b"a,b,same\n", "no pairs"),
    "wrong header": (b"left,right\n", "line 1"),
    "short line": (b"a,b,same\ngood.png,x.png\n", "line 2"),
    "same in words": (b"a,b,same\ngood.png,x.png,maybe\n", "line 2"),
    "a photo against itself": (b"a,b,same\nT/a.png,T/../T/./a.png,1\n", "line 2"),
    "lfw line": (b"1 1\nAnn 1 2\nAnn one Bob 2\n", "line 3"),
    "lfw cut off": (b"10 300\nAnn 1 2\n", "get the whole file"),
    "not text": (b"a,b,same\n\xff\xfe\x00", "UTF-8"),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_a_bad_pairs_file(kind: str, good: Path, toy: Path, tmp_path: Path) -> None:
    content, word = PAIRS[kind]
    path = written(tmp_path / "pairs.csv", content)
    files = ["--images", good.parent, "--pairs", path]
    refused(run("evaluate", "verification", *files, "--aligned", "--model", toy), path, word)


def test_pairs_or_images_that_are_not_there(good: Path, toy: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.csv", b"a,b,same\ngood.png,none.png,1\n")

    def evaluate(images: Path, pairs: Path) -> Result:
        arguments = ["--images", images, "--pairs", pairs, "--aligned", "--json", "--model", toy]
        return run("evaluate", "verification", *arguments)

    refused(evaluate(good.parent, tmp_path / "none.csv"), tmp_path / "none.csv", "no such file")
    refused(evaluate(good.parent, tmp_path), tmp_path, "directory")
    refused(evaluate(good, path), good, "give a readable folder")
    refused(evaluate(good.parent, path), "1 of 2 photos is missing", good.parent / "none.png", "--skip-missing")
    nothing = evaluate(tmp_path / "gone", path)
    refused(nothing, tmp_path / "gone", "give a readable folder")


ALIKE = {
    "a photo against itself": (
        "crop.jpg,crop.jpg.png,1",
        ["crop.jpg and crop.jpg.png are one photo", "name two photos"],
    ),
    "a pair twice": (
        "good.png,crop.jpg,0\ngood.png,crop.jpg.png,0",
        ["good.png and crop.jpg.png are the same photos as good.png and crop.jpg; leave one out"],
    ),
    "another photo, which is missing": (
        "good.png,other.jpeg,0\ngood.PNG,other.jpeg,0",
        ["1 of 3 photos is missing", "good.png is named, too (name it in place of this", "--skip-missing"],
    ),
    "an unclear name": (
        "good.png,two.JPG,0",
        ["1 of 2 photos is missing", "two.jpeg or two.jpg may be meant (name one of them)", "--skip-missing"],
    ),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_names_that_differ_in_spelling(kind: str, good: Path, toy: Path, tmp_path: Path) -> None:
    for name in ("good.png", "other.jpeg", "two.jpg", "two.jpeg", "crop.jpg.png"):
        written(tmp_path / name, good.read_bytes())
    rows, words = ALIKE[kind]
    path = written(tmp_path / "pairs.csv", f"a,b,same\n{rows}\n".encode())
    files = ["--images", tmp_path, "--pairs", path]
    refused(run("evaluate", "verification", *files, "--aligned", "--model", toy), *words)
