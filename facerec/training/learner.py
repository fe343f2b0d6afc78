"""The network with its losses, teachers and optimiser: one step, one validation, one checkpoint."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from facerec.datasets.photo_sets import NOBODY
from facerec.errors import DataError, TrainingError
from facerec.inference.loading import load_embedder, model_card
from facerec.models.checkpoint import load_module, load_state, save_state
from facerec.models.network import METRIC, Network
from facerec.training import distributed
from facerec.training.distillation import (
    LiveTeacher,
    StoredTeacher,
    Teacher,
    TeacherLoss,
    TeacherSource,
    TorchTeacher,
)
from facerec.training.feed import SAMPLE, VALIDATION, Feed, Given, rows_of_views
from facerec.training.freezing import freeze, frozen_prefix, parameter_groups
from facerec.training.initialisation import start_network
from facerec.training.losses import Objective
from facerec.training.onnx_network import OnnxNetwork
from facerec.training.plan import TrainPlan
from facerec.training.run_folder import CHECKPOINT
from facerec.training.schedule import OPTIMIZERS, lr_factor
from facerec.training.state import State
from facerec.training.tasks import Labels, Rows, SecondTask, Task

log = logging.getLogger(__name__)


class Learner:
    """Everything a run learns with. `step` learns from a batch, `validate` judges, `save` writes a checkpoint."""

    def __init__(self, plan: TrainPlan, task: Task) -> None:
        torch.manual_seed(plan.settings.seed)
        self.plan, self.task = plan, task
        self.device = distributed.own_device()
        self.labels = torch.from_numpy(np.concatenate([task.train.labels, task.unlabelled.labels]))
        self.network = start_network(plan, task.classes, task.second)
        if plan.settings.sync_batch_norm:
            nn.SyncBatchNorm.convert_sync_batchnorm(self.network)  # in place, and under the same names
        self.objective = Objective(plan.loss, len(task.train.names)).to(self.device)
        self.teachers = [load_teacher(source, task, plan.bf16, self.device) for source in plan.teachers]
        self.teacher_losses = self._teacher_losses().to(self.device)
        self.network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = self._optimizer()
        self.average = None
        if plan.settings.ema:
            average = get_ema_multi_avg_fn(plan.settings.ema)
            self.average = AveragedModel(self.network, multi_avg_fn=average, use_buffers=True)
        self.feed = Feed(self.network, task, plan)
        self._waiting = 0  # batches since the last update
        self.start_epoch(State())

    def _teacher_losses(self) -> nn.ModuleList:
        student = self.network.dim if self.network.mode == METRIC else self.network.width
        terms = self.plan.teacher_terms
        teacher_losses = nn.ModuleList(TeacherLoss(student, teacher.dim, terms) for teacher in self.teachers)
        if len(teacher_losses) and self.plan.start is not None:
            load_module(
                self.plan.start.folder / CHECKPOINT, "teacher", teacher_losses
            )  # go on with the projections of that run
        return teacher_losses

    def _optimizer(self) -> torch.optim.Optimizer:
        """An optimiser of everything that ever trains. A stage that is still frozen gets no gradient and stays."""
        settings = self.plan.settings
        factors = self.plan.freezing.factors(settings.epochs - 1)
        groups = parameter_groups(self.network, factors, settings.lr, settings.head_lr)
        for name, module in (("loss", self.objective), ("teacher", self.teacher_losses)):
            if params := list(module.parameters()):
                groups.append({"name": name, "params": params, "lr": settings.head_lr, "base_lr": settings.head_lr})
        return OPTIMIZERS[settings.optimizer](groups, weight_decay=settings.weight_decay)

    def start_epoch(self, state: State) -> None:
        """Freeze the stages that the strategy freezes in this epoch."""
        factors = self.plan.freezing.factors(state.epoch)
        freeze(self.network, factors)
        self.feed.freeze(frozen_prefix(factors))

    @property
    def may_pause(self) -> bool:
        """Whether a checkpoint would hold everything: no gradients are still being accumulated."""
        return self._waiting == 0

    def step(self, given: Given, state: State, batches: int) -> tuple[dict[str, float], int]:
        """Learn from one of the epoch's `batches`; update the weights every `accumulate` batches and after the last.

        Returns what there is to watch, and the number of photos over all processes.
        """
        settings = self.plan.settings
        place = (settings.seed, state.epoch, state.batch)
        distributed.seed_step(*place, own=True)  # dropout
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.bf16):
            features = self.network.suffix(given.x, self.feed.count)  # (b, width)
            outputs = self.network.output(features)  # (b, dim)
            logits = self.network.attribute(features)  # (b, A)
        outputs, labels = distributed.gather_rows(outputs), self._gathered_labels(given)
        distributed.seed_step(*place, own=False)  # mining
        known = labels != NOBODY
        terms = self.objective(outputs[known], labels[known])
        losses = {f"{name.replace('-', '_')}_loss": part for name, part in terms.items()}
        weights = dict(zip(losses, self.objective.weights.values(), strict=True))
        if self.teachers:
            losses["teacher_loss"] = self._teacher_loss(given, features, outputs)
            weights["teacher_loss"] = settings.teacher_weight
        facts = self.task.facts(outputs.detach()[known], labels[known])
        if self.task.second is not None:
            losses["attribute_loss"], right = self._attribute_loss(given, logits, known, self.task.second)
            weights["attribute_loss"], facts["attribute_accuracy"] = settings.attribute_weight, right
        loss = torch.stack([weights[name] * part for name, part in losses.items()]).sum()
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss became {loss.item()}; lower `lr` or `head_lr`")
        begun = state.batch - self._waiting
        (loss / min(settings.accumulate, batches - begun)).backward()
        self._waiting += 1
        if self._waiting == settings.accumulate or state.batch + 1 == batches:
            self._update(self.rates(state.epoch + state.batch / batches, state.scores))
        return {"loss": loss.item(), **{name: part.item() for name, part in losses.items()}, **facts}, len(labels)

    def _gathered_labels(self, given: Given) -> Tensor:
        return distributed.gather_rows(self.labels[given.positions].to(self.device))

    def _attribute_loss(self, given: Given, logits: Tensor, known: Tensor, second: SecondTask) -> tuple[Tensor, float]:
        """Cross-entropy of (b, A) logits, gathered over the processes, and the share of right answers.

        known: (B,) which photos of all processes have labels; the others have no attribute.
        """
        own = given.positions[given.positions < len(second.train)]
        values = distributed.gather_rows(torch.from_numpy(second.train[own]).to(self.device))
        logits = distributed.gather_rows(logits)[known]
        return F.cross_entropy(logits, values), (logits.argmax(1) == values).float().mean().item()

    def _teacher_loss(self, given: Given, features: Tensor, outputs: Tensor) -> Tensor:
        """The mean loss over the teachers, for the embeddings, or to classify for the features made unit-length."""
        student = outputs
        if self.network.mode != METRIC:
            student = distributed.gather_rows(F.normalize(features.float(), dim=1))
        parts = []
        for teacher, loss in zip(self.teachers, self.teacher_losses, strict=True):
            rows = teacher.rows(given.positions, given.pixels).to(self.device)
            parts.append(loss(student, distributed.gather_rows(rows)))
        return torch.stack(parts).mean()

    def _update(self, rates: dict[str, float]) -> None:
        distributed.sum_gradients(self.network, (self.objective, self.teacher_losses))
        distributed.average_buffers(self.network)
        for group in self.optimizer.param_groups:
            group["lr"] = rates[group["name"]]
        if self.plan.settings.clip_norm:
            params = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(params, self.plan.settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._waiting = 0
        if self.average is not None:
            self.average.update_parameters(self.network)

    def rates(self, progress: float, scores: Sequence[float] = ()) -> dict[str, float]:
        """Learning rate of each parameter group after `progress` epochs with these scores; 0 while frozen."""
        factor = lr_factor(self.plan.schedule, progress, scores)
        return {
            group["name"]: 0.0 if group["name"] in self.network.frozen else group["base_lr"] * factor
            for group in self.optimizer.param_groups
        }

    @property
    def best_network(self) -> Network:
        """The network that is validated and kept: the moving average, if there is one."""
        return self.network if self.average is None else self.average.module  # type: ignore[return-value]

    def validate(self) -> tuple[dict[str, float], Rows, Labels, Labels]:
        """The measures of all tasks on the validation photos, and the first three of their `still_rows`.

        Also those of the task's sample of training photos, if it has one, with keys that begin with `train_`.
        """
        rows, labels, positions, logits = self.still_rows(VALIDATION)
        measured = self.task.measure(rows, labels)
        if len(self.task.sample):
            trained = self.task.measure(*self.still_rows(SAMPLE)[:2])
            measured |= {key.replace("validation", "train"): value for key, value in trained.items()}
        if self.task.second is not None:
            measured |= self.task.second.measure(logits, positions)
        return measured, rows, labels, positions

    def still_rows(self, name: str = VALIDATION) -> tuple[Rows, Labels, Labels, Rows]:
        """(N, dim) output, (N,) labels, (N,) positions and (N, A) attribute logits of readable photos of the task.

        name: VALIDATION or SAMPLE. In the photos' order; A is 0 without an attribute. Computed in float32 whatever the
        training precision, because the threshold is for vectors that are computed so.
        """
        photos = {VALIDATION: self.task.validation, SAMPLE: self.task.sample}[name]
        own = rows_of_views(self.best_network, lambda m: self.feed.still(name, mirrored=m), self.feed.count)
        rows, logits, positions = (np.concatenate(part) for part in zip(*distributed.gather_objects(own), strict=True))
        if not len(rows):
            raise DataError(f"{photos.root}: no {name} photo can be read; check the folder")
        if not (np.isfinite(rows).all() and np.isfinite(logits).all()):
            raise TrainingError("the network no longer gives finite numbers; lower `lr` or `head_lr`")
        order = np.argsort(positions)
        return rows[order], photos.labels[positions[order]], positions[order], logits[order]

    def _modules(self) -> dict[str, nn.Module]:
        modules = {"network": self.network, "loss": self.objective, "teacher": self.teacher_losses}
        return modules if self.average is None else {**modules, "average": self.average}

    def save(self, path: Path, state: State) -> None:
        """Write a checkpoint; only the first process does."""
        if distributed.is_first():
            save_state(path, self._modules(), self.optimizer, dataclasses.asdict(state))

    def load(self, path: Path) -> State:
        """Restore a checkpoint; raises TrainingError where it is broken."""
        try:
            state = State(**load_state(path, self._modules(), self.optimizer))
        except (TypeError, ValueError) as error:  # `save` did not write its JSON part
            raise TrainingError(f"{path}: cannot be resumed from (broken); give another `output`") from error
        self.feed.close()
        self.feed.count = -1  # the open stores belong to the weights before
        self.start_epoch(state)
        return state


def load_teacher(source: TeacherSource, task: Task, bf16: bool, device: torch.device) -> Teacher:
    """A teacher's stored embeddings of the training photos, or a network to run on them, in bfloat16 or not.

    On a GPU torch runs an ONNX file, if it knows all its operators.
    """
    if source.stored:
        return StoredTeacher(source.path, [*task.train.keys(), *task.unlabelled.keys()])
    if device.type == "cuda" and source.path.suffix == ".onnx":
        try:
            return TorchTeacher(OnnxNetwork(source.path), model_card(source.name), bf16).to(device)
        except ValueError as error:
            log.info("%s: is run on the CPU, because it has the %s", source.name, error)
    embedder = load_embedder(source.name, bf16=bf16)
    return LiveTeacher(embedder.embed, embedder.card.embedding_dim, embedder.card.input_size)
