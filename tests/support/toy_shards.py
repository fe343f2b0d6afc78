"""A model without a network, for shards that are made in forked processes, and archives of small crops for it."""

import os
import subprocess
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import toy_model

from facerec.inference.shard_plan import Recipe
from facerec.inference.shard_work import Asked, make_shards, prepare
from facerec.models.card import ModelCard
from facerec.types import Vectors

linux = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="looks at the locks that the Linux kernel holds")


class Thumbnails:
    """An `Embedder`: the vector of a face is its 4 x 4 thumbnail."""

    path = Path("thumbnails")
    card = ModelCard("thumbnails", 48, 112, mean=toy_model.GREY, std=toy_model.GREY, fingerprint="4x4")

    def embed(self, crops: np.ndarray) -> Vectors:
        cells = crops.reshape(-1, 4, 28, 4, 28, 3).mean((2, 4)).reshape(-1, 48) - 127.5
        return (cells / np.linalg.norm(cells, axis=1, keepdims=True)).astype(np.float32)


def small_crops(folder: Path, people: int = 3, photos: int = 2) -> Path:
    """Write crops of made-up people, and a damaged one."""
    for person in range(people):
        for photo in range(photos):
            toy_model.save_crop(folder / f"person {person}" / f"{photo}.png", person, photo)
    shrink(folder)
    (folder / "person 0" / "bad.png").write_bytes(b"no picture")
    return folder


def shrink(folder: Path) -> None:
    """Make crops so small that nobody looks whether they are crops, which takes time."""
    for path in folder.rglob("*.png"):
        with PIL.Image.open(path) as crop:
            crop.resize((56, 56), PIL.Image.Resampling.NEAREST).save(path)


def run(source: Path, output: Path, per_shard: int = 2) -> None:
    """Embed an archive from beginning to end, in this process."""
    embedder = Thumbnails()
    asked = Asked(output, aligned=True)
    plan, _ = prepare(source, asked, Recipe.of(embedder.card, True, asked.settings), per_shard)
    list(make_shards(asked, plan, embedder))


def files(output: Path) -> dict[str, bytes]:
    """The files of a folder of shards, but for the one that holds the claims."""
    return {path.name: path.read_bytes() for path in output.iterdir() if not path.name.startswith(".facerec-")}


def first_claimant(output: Path, command: "subprocess.Popen[bytes]") -> int:
    """Wait until a process makes a shard there. Fails if the command ends before that."""
    while not (found := _claimants(output)):
        assert command.poll() is None
        time.sleep(0.01)
    return found[0]


def _claimants(output: Path) -> list[int]:
    """The processes that hold the claim on a shard, by the kernel's list of locks: ... PID DEVICE:INODE FIRST LAST."""
    try:
        file = os.stat(output / ".facerec-claims").st_ino
    except FileNotFoundError:
        return []
    locks = [line.split() for line in Path("/proc/locks").read_text("utf-8").splitlines() if "->" not in line]
    return [int(lock[-4]) for lock in locks if lock[-3].endswith(f":{file}") and lock[-2] != "0"]
