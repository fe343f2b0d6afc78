"""The gradients and losses of steps of toy runs. Run as a program, this is one of several processes:

torchrun --nproc-per-node 2 tests/support/toy_processes.py PEOPLE PICTURES TEACHER OUTPUT

writes the result of `step_of` for each of CASES to OUTPUT/CASE-RANK.npz, and the weights after some more steps.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from toy_runs import Data, classes, small

from facerec.training.distributed import join_processes, process_number
from facerec.training.learner import Learner
from facerec.training.state import State

Arrays = dict[str, NDArray[np.float32]]
TEACHER = "TEACHER"  # stands for the teacher's file
LAMP = "LAMP"  # stands for lamp.csv beside it
LOOSE = "LOOSE"  # stands for the folder `loose` beside it, of photos without labels
LIVE = "LIVE"  # stands for toy.onnx beside it, a teacher that is run


@dataclass(frozen=True)
class Case:
    """Changes to a run's settings, and the batches (photo positions) of its step. classify: the run is on pictures."""

    changes: dict[str, Any]
    batches: list[list[int]]
    classify: bool = False
    facts: dict[str, float] = field(default_factory=dict)


CASES = {
    "triplets of an odd batch": Case({}, [[0, 1, 4, 5, 8, 9, 12]]),
    "triplets drawn at random": Case({"mining": "distance"}, [[0, 1, 4, 5, 8, 9, 12, 13]]),
    "class vectors and a teacher": Case(
        {"loss": "arcface + 0.5*contrastive", "teacher": (TEACHER,), "teacher_loss": "cosine + mse + relational"},
        [[0, 1, 4, 5, 8, 9, 12, 13, 2]],
    ),
    "a second task": Case({"attribute": LAMP, "attribute_weight": 0.3}, [[0, 1, 4, 5, 8, 9, 12]]),
    "photos without labels": Case(
        {"attribute": LAMP, "loss": "contrastive", "unlabelled": LOOSE, "teacher": (LIVE,)},
        [[0, 24, 1, 4, 5, 25, 8, 26]],
    ),
    "frozen stages and a memory": Case({"strategy": "partial", "memory": 8}, [[0, 1, 4, 5], [8, 9, 2, 6]]),
    "an accumulated step": Case({"accumulate": 2}, [[0, 1, 4, 5], [8, 9, 12, 13, 16]]),
    "a photo that cannot be read": Case({}, [[0, 3, 4, 5, 20, 21]]),
    "classes of an odd batch": Case({"label_smoothing": 0.1}, [[0, 3, 5, 6, 8]], classify=True),
    "classes and a clipped step": Case({"clip_norm": 0.01, "head_layers": 2}, [[0, 3, 5, 6]], classify=True),
}


def learner_of(case: Case, people: Data, pictures: Data, teacher: str) -> Learner:
    """Return a learner in eval mode: in train mode, BatchNorm would see only the process's share of a batch."""
    beside = Path(teacher).with_name
    places = {(TEACHER,): (teacher,), (LIVE,): (str(beside("toy.onnx")),)}
    places |= {LAMP: str(beside("lamp.csv")), LOOSE: str(beside("loose"))}
    changes = {key: places.get(value, value) for key, value in case.changes.items()}
    learner = (pictures if case.classify else people).learner((classes if case.classify else small)(**changes))
    learner.network.eval()
    return learner


def step_of(case: Case, people: Data, pictures: Data, teacher: str) -> Arrays:
    """Return the gradients of all parameters in the step, and the facts it reports, such as the loss."""
    learner, found = learner_of(case, people, pictures, teacher), {}
    parts = {"network": learner.network, "loss": learner.objective, "teacher": learner.teacher_losses}

    def note(*_: object) -> None:
        for part, module in parts.items():
            for name, parameter in module.named_parameters():
                if parameter.grad is not None:
                    found[f"{part} {name}"] = parameter.grad.numpy().copy()

    learner.optimizer.register_step_pre_hook(note)
    state = State()
    for given in learner.feed.train([np.array(batch) for batch in case.batches], 0):
        facts, photos = learner.step(given, state, len(case.batches))
        state.count(facts, photos)
    learner.feed.close()
    found |= {f"fact {key}": np.float32(value) for key, value in state.means().items()}
    return found


def weights_after_training(people: Data) -> Arrays:
    """Return the weights after two steps with BatchNorm in train mode."""
    learner, state = people.learner(small(backbone="mobilenet_v3_small", ema=0.5)), State()
    for given in learner.feed.train(learner.task.batches(0)[:2], 0):
        state.count(*learner.step(given, state, 2))
    return {name: tensor.numpy() for name, tensor in learner.best_network.state_dict().items()}


def main(people: Path, pictures: Path, teacher: str, output: Path) -> None:
    """Write the files that the module describes."""
    torch.set_num_threads(1)
    join_processes()
    data = Data(people, people.parent / "splits"), Data(pictures)
    for name, case in CASES.items():
        np.savez(output / f"{name}-{process_number()}.npz", **step_of(case, *data, teacher))  # type: ignore[arg-type]
    np.savez(output / f"weights-{process_number()}.npz", **weights_after_training(data[0]))  # type: ignore[arg-type]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
