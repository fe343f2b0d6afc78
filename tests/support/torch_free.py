"""Run every command that needs no torch, and those that do, in an interpreter that has none.

    PYTHON tests/support/torch_free.py FOLDER [--forbid]

It needs nothing but facerec's base install. FOLDER is empty but for crops/, aligned photos as the fixture `crops` makes
them, and photos/, the sample gallery; everything is written to it. --forbid: PYTHON has torch and the other libraries
of extras, and may not import them. Prints a JSON line for each command: its words, exit code, stdout and stderr.
"""

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

from click.testing import CliRunner

LIBRARIES = ("torch", "torchvision", "facenet_pytorch", "pytorch_metric_learning", "matplotlib", "jinja2")

# {}: FOLDER
FREE = """
enroll {}/photos/people
enroll {}/crops/ann.png --name Ann --aligned
identify {}/photos/held_back {}/photos/strangers --json
identify {}/photos/strangers --save-annotated {}/named
verify {}/crops/ann.png {}/crops/ann.png --aligned
verify {}/crops/ann.png {}/crops/ann.png --aligned --model int8
search {}/photos/held_back/barack_obama_blue_room_2010.jpg --in {}/photos/people --detector yunet
cluster {}/photos/people
calibrate
calibrate --fpir 0.02
check-data {}/crops/people --aligned
evaluate verification --images {}/crops/people --pairs {}/pairs.csv --aligned
evaluate identification --gallery-images {}/crops/people --probe-images {}/crops/people --aligned
gallery list
gallery show Ann --sheet {}/sheet.png
gallery rename Ann Anna
gallery export {}/people.facerec
gallery import {}/people.facerec --gallery {}/other
gallery remove Anna --yes
gallery check
gallery rebuild
gallery log
models
doctor
gallery migrate --model int8
completion bash
--help
train --help
"""

NEEDY = """
train {}/crops/people --aligned --output {}/model
advise {}/crops/people --aligned
classify {}/crops/ann.png --model default
features {}/crops/people --aligned --layer layer1 --output {}/features.npz
show-features {}/crops/ann.png --aligned --layer layer1 --output {}/sheet.png
export --format openvino --output {}/exported
evaluate classification --images {}/crops/people --model default
evaluate verification --images {}/crops/people --pairs {}/pairs.csv --aligned --report {}/report
search {}/crops/ann.png --in {}/crops/people --model resnet18
evaluate verification --images {}/crops/people --pairs {}/pairs.csv --aligned --drop-blocks layer1.1
"""


def commands(lines: str, folder: Path) -> list[list[str]]:
    """Return the words of each command."""
    return [[word.replace("{}", str(folder)) for word in line.split()] for line in lines.strip().splitlines()]


def write_pairs(folder: Path) -> None:
    """Write pairs.csv: two photos of each person, and two of different people."""
    people = sorted(path.name for path in (folder / "crops" / "people").iterdir())
    same = [f"{name}/0.png,{name}/1.png,1" for name in people]
    different = [f"{a}/0.png,{b}/0.png,0" for a, b in pairwise(people)]
    (folder / "pairs.csv").write_text("\n".join(["a,b,same", *same, *different, ""]), "utf-8")


def main(folder: Path) -> None:
    """Run all commands, one after the other, on one gallery."""
    from facerec.cli.main import main as facerec

    write_pairs(folder)
    env = {"FACEREC_GALLERY": str(folder / "gallery")}
    for words in (*commands(FREE, folder), *commands(NEEDY, folder)):
        result = CliRunner().invoke(facerec, words, env=env, prog_name="facerec")
        said = {"exit": result.exit_code, "stdout": result.stdout, "stderr": result.stderr}
        print(json.dumps({"command": " ".join(words), **said, "raised": repr(result.exception)}), flush=True)


if __name__ == "__main__":
    if sys.argv[2:] == ["--forbid"]:
        sys.modules.update(dict.fromkeys(LIBRARIES, None))  # type: ignore[arg-type]  # as Python marks what it cannot import
    os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_CACHE_HOME"] = sys.argv[1]  # nothing of whoever runs this
    main(Path(sys.argv[1]))
