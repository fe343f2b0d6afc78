"""Runs every command with one path mistyped, and tells what was imported. As a program, for a process of its own:

    python tests/support/mistyped.py FOLDER

prints a line of JSON for each path of each command: the arguments, the exit code, stderr, and the heavy modules.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner

from facerec.cli.main import main
from facerec.cli.path_types import NEW_GALLERY, FilePath, ModelName

HEAVY = {"numpy", "PIL", "torch", "faiss", "openvino", "sklearn", "scipy", "matplotlib"}
MISSING = "no/such"
OUTPUTS = {"output", "report", "sheet", "pictures", "video"}
UNCHECKED = {("gallery", "remove", "photo")}  # the file may be gone, its old path names the photo


def valid(folder: Path) -> dict[tuple[str, ...], list[str]]:
    """What each command needs besides options, with paths that exist in `folder`."""
    here, file = str(folder), str(folder / "a.png")
    return {
        ("advise",): [here], ("calibrate",): [], ("check-data",): [here], ("classify",): [file, "--model", here],
        ("cluster",): [here], ("doctor",): [], ("enroll",): [file, "--name", "Ann"],
        ("evaluate", "classification"): ["--images", here, "--model", here],
        ("evaluate", "identification"): ["--gallery-images", here, "--probe-images", here],
        ("evaluate", "verification"): ["--images", here, "--pairs", file],
        ("export",): ["--format", "onnx", "--output", here], ("features",): [here, "--output", file],
        ("gallery", "import"): [file], ("gallery", "export"): [file], ("gallery", "consent"): ["Ann"],
        ("gallery", "merge"): ["Ann", "Bob"], ("gallery", "migrate"): ["--model", "int8"],
        ("gallery", "not-same"): [file, "Ann"], ("gallery", "remove"): ["Ann"], ("gallery", "rename"): ["Ann", "Bob"],
        ("gallery", "show"): ["Ann"], ("identify",): [file], ("search",): [file, "--in", here],
        ("show-features",): [file, "--layer", "x", "--output", file], ("train",): [here, "--output", here],
        ("verify",): [file, file], ("watch",): [here],
    }  # fmt: skip


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and the words that name it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        elif command is not None:
            yield (*path, name), command


def mistyped(folder: Path) -> Iterator[list[str]]:
    """The arguments of every command, with each of its paths mistyped in turn."""
    words = valid(folder)
    for path, command in commands(main):
        arguments = [each for each in command.params if isinstance(each, click.Argument)]
        for each in command.params:
            own = words.get(path, [])
            new_gallery = each.name == "gallery_folder" and each.type is NEW_GALLERY
            if (*path, each.name) in UNCHECKED or each.name in OUTPUTS or new_gallery:
                continue
            if isinstance(each, click.Argument) and (
                isinstance(each.type, FilePath | ModelName) or each.name == "what"
            ):
                if path == ("gallery", "export"):
                    continue  # a file to write
                at = arguments.index(each)
                yield [*path, *own[:at], MISSING, *own[at + 1 :]]
            elif isinstance(each, click.Option) and isinstance(each.type, FilePath | ModelName):
                yield [*path, *own, each.opts[0], MISSING]


def run_all(folder: Path) -> None:
    """Run them, and print what came of it."""
    (folder / "gallery.db").touch()
    (folder / "a.png").touch()
    os.environ["FACEREC_GALLERY"] = str(folder)
    for arguments in mistyped(folder):
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
        heavy = sorted(HEAVY & set(sys.modules))
        print(json.dumps([" ".join(arguments), result.exit_code, result.stderr, heavy]))


if __name__ == "__main__":
    run_all(Path(sys.argv[1]))
