"""Move the mean embedding of a model, or of a teacher, to the origin.

    .venv/bin/python scripts/default_model/centre.py MODEL OUTPUT --crops DIR --splits DIR

All embeddings have a part in common. It makes strangers more alike and says nothing about who they are. This script
takes the mean embedding, before normalisation, of 4,000 crops and their mirror images. The crops are of people whom no
list in --splits names. For a model folder the mean is subtracted from the last layer's bias. For FILE.onnx it is
subtracted after the last layer, and the result is OUTPUT.onnx. OUTPUT is a model of its own: it has no threshold and no
results until it is measured.
"""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import openvino
import torch
from numpy.typing import NDArray
from torch import nn

from facerec.datasets.augmentation import Views, still_batches
from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.datasets.splits import split_people
from facerec.models.card import read_card, write_card
from facerec.models.checkpoint import describe, load_model, save_model

CROPS, BATCH, SEED = 4000, 64, 0

Rows = NDArray[np.float32]
Raw = Callable[[NDArray[np.uint8]], Rows]  # (N, 3, S, S) -> (N, D), before normalisation


def mean_row(raw: Raw, photos: PhotoSet, size: int) -> Rows:
    """Return the (D,) mean over CROPS of the photos and their mirror images."""
    some = np.random.default_rng(SEED).permutation(len(photos))[:CROPS]
    batches = [some[i : i + BATCH] for i in range(0, len(some), BATCH)]
    views = Views(faces=True, size=size, strong=False, count=0, seed=SEED)
    rows = [
        raw(np.ascontiguousarray(side.numpy()))
        for pixels, _ in still_batches(views, photos.paths, batches)
        for side in (pixels, pixels.flip(3))
    ]
    return np.concatenate(rows).mean(0)


def centre_folder(model: Path, output: Path, photos: PhotoSet) -> None:
    """Centre a model folder."""
    network, card = load_model(model)

    @torch.inference_mode()
    def raw(pixels: NDArray[np.uint8]) -> Rows:
        return network.eval().head(network.prefix(torch.from_numpy(pixels), len(network.stages))).numpy()

    last = network.head[-1]
    assert isinstance(last, nn.BatchNorm1d)
    with torch.no_grad():
        last.bias.sub_(torch.from_numpy(mean_row(raw, photos, card.input_size)))
    training = {**card.training, "centred_on": CROPS}
    own = describe(network, output.name, attribute=(card.attribute, card.attribute_values))
    save_model(network, output, dataclasses.replace(own, training=training))


def centre_file(model: Path, output: Path, photos: PhotoSet) -> None:
    """Centre FILE.onnx."""
    card = read_card(model.with_suffix(".json"))
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    mean, std = (np.array(part, np.float32).reshape(3, 1, 1) for part in (card.mean, card.std))
    centre = mean_row(lambda pixels: np.array(compiled((pixels - mean) / std)[0]), photos, card.input_size)
    network = onnx.load(model)
    graph = network.graph
    graph.initializer.append(onnx.numpy_helper.from_array(centre[None], "centre"))
    graph.node.append(onnx.helper.make_node("Sub", [graph.output[0].name, "centre"], ["centred"]))
    graph.output[0].name = "centred"
    onnx.save(network, output.with_suffix(".onnx"))
    write_card(
        dataclasses.replace(card, name=f"{card.name}, centred", threshold={}, probability={}, results={}),
        output.with_suffix(".json"),
    )


def main() -> None:
    """Parse the arguments and centre."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--crops", type=Path, required=True)
    parser.add_argument("--splits", type=Path, required=True)
    options = parser.parse_args()
    photos, _ = split_people(read_photos(options.crops), options.splits, SEED)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    (centre_file if options.model.suffix == ".onnx" else centre_folder)(options.model, options.output, photos)


if __name__ == "__main__":
    main()
