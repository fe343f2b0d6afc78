"""Give a model the last layer of its teacher, as the start of distillation.

    .venv/bin/python scripts/default_model/reuse_head.py MODEL TEACHER.onnx OUTPUT --crops DIR --splits DIR \\
        --kept-stages 4

A network's last layer turns its last feature maps into the embedding. A student with maps of the same shape can take
over the teacher's last layer, and then has only the maps to learn (Chen et al., "Knowledge Distillation with the Reused
Teacher Classifier", CVPR 2022). OUTPUT becomes a model folder: the first stages of MODEL, then a new 1x1 convolution
whose outputs have the mean and variance of the teacher's maps, then the teacher's last layer. It must be trained before
use:

    facerec train ... --init OUTPUT --kept-stages 4 --pooling flat --embedding-dim 128 --teacher-loss "direct + ..."

--crops holds identity folders. Mean and variance are measured on 2,000 crops of people whom no list in --splits names.
"""

import argparse
import dataclasses
import hashlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facerec.datasets.augmentation import Views, still_batches
from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.datasets.splits import split_people
from facerec.models.card import ModelCard, read_card
from facerec.models.checkpoint import describe, load_model, save_model
from facerec.models.network import FLAT, Network

CROPS, BATCH, SEED = 2000, 64, 0
PROBES = 512  # unit maps per call of the teacher's last layers


class TeacherEnd:
    """A teacher in two halves: pixels to its last feature maps, and maps to the embedding (must be affine)."""

    def __init__(self, path: Path) -> None:
        core, new_model = openvino.Core(), cast(Any, openvino.Model)  # the type stubs know only the parent class
        exactly = {"INFERENCE_PRECISION_HINT": "f32"}
        model = core.read_model(path)
        maps = [op for op in model.get_ordered_ops() if op.get_output_size() and _is_map(op.output(0))][-1].output(0)
        self.shape = tuple(maps.partial_shape[i].get_length() for i in (1, 2, 3))  # (C, s, s)
        self._to_maps = core.compile_model(new_model([maps], model.get_parameters()), "CPU", exactly)
        given = openvino.op.Parameter(openvino.Type.f32, maps.partial_shape)
        for user in maps.get_target_inputs():
            user.replace_source_output(given.output(0))
        self._to_rows = core.compile_model(new_model([model.output(0)], [given]), "CPU", exactly)

    def maps(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the (N, C, s, s) maps of (N, 3, S, S) pixels, normalised as the teacher's card says."""
        return np.array(self._to_maps(pixels)[0])

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return the second half as a weight (D, C * s * s) and a shift (D,). Ends the program if it is not affine.

        The shift is the answer to maps of zeros; each column of the weight is the answer to a single place set to 1.
        """
        size = int(np.prod(self.shape))
        shift = self._rows(np.zeros((1, size), np.float32))[0]
        columns = []
        for start in range(0, size, PROBES):
            count = min(PROBES, size - start)
            probes = np.zeros((count, size), np.float32)
            probes[np.arange(count), start + np.arange(count)] = 1
            columns.append(self._rows(probes) - shift)
        weight = np.concatenate(columns).T
        some = np.random.default_rng(SEED).normal(size=(4, size)).astype(np.float32)
        if not np.allclose(some @ weight.T + shift, self._rows(some), atol=1e-3, rtol=1e-3):
            raise SystemExit(
                "the teacher's layers after its last maps are not affine, so a linear layer cannot replace them"
            )
        return torch.from_numpy(np.ascontiguousarray(weight)), torch.from_numpy(shift)

    def _rows(self, flat: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.array(self._to_rows(flat.reshape(-1, *self.shape))[0])


def _is_map(output: openvino.Output) -> bool:
    shape = output.partial_shape
    return shape.rank.is_static and len(shape) == 4 and shape[0].is_dynamic


@torch.no_grad()
def with_head(start: Network, teacher: TeacherEnd, card: ModelCard, crops: PhotoSet, kept_stages: int) -> Network:
    """Return the student that the module describes. Ends the program if its maps differ in shape from the teacher's."""
    weight, shift = teacher.affine()
    torch.manual_seed(SEED)
    new = Network(start.backbone, len(weight), kept_stages=kept_stages, input_size=start.input_size, pooling=FLAT)
    _, convolution, norm, _, linear, last = new.head
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(linear, nn.Linear)
    assert isinstance(last, nn.BatchNorm1d)
    if new.width != int(np.prod(teacher.shape)):
        raise SystemExit(f"the student's maps have {new.width} places, the teacher's {teacher.shape}")
    stages = start.stages.state_dict()
    new.stages.load_state_dict({name: stages[name] for name in new.stages.state_dict()})
    new.mean, new.std = start.mean, start.std
    own, taught, rows = [], [], []
    mean, std = (np.array(part, np.float32).reshape(3, 1, 1) for part in (card.mean, card.std))
    for pixels in sample(crops, new.input_size):
        own.append(convolution(new.eval().prefix(pixels, kept_stages).unflatten(1, teacher.shape)))
        maps = teacher.maps((pixels.numpy() - mean) / std)
        taught.append(torch.from_numpy(maps))
        rows.append(taught[-1].flatten(1) @ weight.T + shift)
    norm.running_mean, norm.running_var = _moments(own)[0], _moments(own)[1]
    (centre, spread), outputs = _moments(taught), torch.cat(rows)
    norm.weight.copy_((spread + norm.eps).sqrt())
    norm.bias.copy_(centre)
    linear.weight.copy_(weight)
    last.running_mean, last.running_var = outputs.mean(0) - shift, outputs.var(0)  # linear has no bias
    last.weight.copy_((last.running_var + last.eps).sqrt())
    last.bias.copy_(outputs.mean(0))
    return new


def sample(photos: PhotoSet, size: int) -> list[Tensor]:
    """Return CROPS of the photos as (BATCH, 3, S, S) uint8 batches."""
    some = np.random.default_rng(SEED).permutation(len(photos))[:CROPS]
    batches = [some[i : i + BATCH] for i in range(0, len(some), BATCH)]
    views = Views(faces=True, size=size, strong=False, count=0, seed=0)
    return [pixels for pixels, _ in still_batches(views, photos.paths, batches)]


def _moments(batches: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each map. All batches have the same weight."""
    means = torch.stack([maps.mean((0, 2, 3)) for maps in batches])
    squares = torch.stack([maps.square().mean((0, 2, 3)) for maps in batches])
    return means.mean(0), squares.mean(0) - means.mean(0).square()


def main() -> None:
    """Parse the arguments, build the student and store it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--crops", type=Path, required=True)
    parser.add_argument("--splits", type=Path, required=True)
    parser.add_argument("--kept-stages", type=int, required=True)
    options = parser.parse_args()
    start, card = load_model(options.model)
    teacher_card = read_card(options.teacher.with_suffix(".json"))
    crops, _ = split_people(read_photos(options.crops), options.splits, SEED)
    teacher = TeacherEnd(options.teacher)
    new = with_head(start, teacher, teacher_card, crops, options.kept_stages)
    digest = hashlib.sha256(options.teacher.read_bytes()).hexdigest()[:16]
    facts = {"training": {**card.training, "reused_head": digest}}
    save_model(new, options.output, dataclasses.replace(describe(new, options.output.name), **facts))


if __name__ == "__main__":
    main()
