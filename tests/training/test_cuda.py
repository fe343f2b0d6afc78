"""Training and embedding on a GPU: where things lie, in which type and layout they are computed.

The tests run where torch has a GPU. Elsewhere only the refusals at the end do.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toy_faces import face_set, write_teacher
from toy_runs import SMALL, Data, given_photos, small

from facerec.datasets.augmentation import Views, training_batches
from facerec.errors import ConfigError
from facerec.inference.torch_runtime import TorchEmbedder
from facerec.models.checkpoint import load_model
from facerec.training.device_views import DeviceViews
from facerec.training.learner import Learner
from facerec.training.plan import make_plan
from facerec.training.schedule import use_bf16
from facerec.training.state import State

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch has no GPU here: nothing on CUDA is tested")
GPU = torch.device("cuda", 0)
NORMED = small(backbone="mobilenet_v3_small")  # has BatchNorm in its stages


def convolution_of(learner: Learner) -> nn.Conv2d:
    """The last convolution but those of one pixel, whose layout has no meaning."""
    found = [m for m in learner.network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    return found[-1]


def norms_of(learner: Learner) -> set[type]:
    """The kinds of BatchNorm in a network."""
    return {type(m) for m in learner.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}


def stepped(learner: Learner) -> tuple[float, dict[str, Tensor]]:
    """The loss of a run's first batch, and the gradients of the network's parameters, on the CPU."""
    found: dict[str, Tensor] = {}

    def note(*_: object) -> None:
        named = learner.network.named_parameters()
        found.update({name: p.grad.float().cpu() for name, p in named if p.grad is not None})

    learner.optimizer.register_step_pre_hook(note)
    batches = learner.task.batches(0)[:1]
    (given,) = learner.feed.train(batches, 0)
    facts, _ = learner.step(given, State(), 1)
    return facts["loss"], found


@on_gpu
def test_everything_that_learns_lies_on_the_gpu(some_faces: Data, tmp_path: Path) -> None:
    teacher = write_teacher(tmp_path / "teacher.npz", some_faces.task(SMALL).train)
    learner = some_faces.learner(small(loss="arcface", teacher=(str(teacher),), ema=0.5))
    stepped(learner)
    parts = (learner.network, learner.objective, learner.teacher_losses, learner.best_network)
    tensors = [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]
    tensors += [x for kept in learner.optimizer.state.values() for x in kept.values() if x.ndim]  # `step` stays behind
    assert len(tensors) > 100
    assert {tensor.device for tensor in tensors} == {GPU}
    assert {given.x.device for given in given_photos(learner)} == {GPU}


@on_gpu
def test_the_network_computes_channels_last(some_faces: Data) -> None:
    learner, seen = some_faces.learner(small()), []
    layer = convolution_of(learner)
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    layer.register_forward_hook(lambda _, given, out: seen.append(out.is_contiguous(memory_format=torch.channels_last)))
    stepped(learner)
    assert seen == [True]


@on_gpu
def test_a_step_on_the_gpu_is_that_of_the_cpu(some_faces: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to TF32, which keeps three digits of what a convolution multiplies."""
    loss, gradients = stepped(some_faces.learner(small()))
    monkeypatch.setattr("facerec.training.distributed.own_device", lambda: torch.device("cpu"))
    expected, on_cpu = stepped(some_faces.learner(small()))
    assert loss == pytest.approx(expected, rel=1e-2)
    assert gradients.keys() == on_cpu.keys()
    one, other = (torch.cat([parts[name].flatten() for name in sorted(on_cpu)]) for parts in (gradients, on_cpu))
    assert torch.cosine_similarity(one, other, dim=0) > 0.98


@on_gpu
def test_bf16_multiplies_in_sixteen_bits_and_learns_in_32(some_faces: Data) -> None:
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        assert not use_bf16("auto", GPU)
        pytest.skip("this GPU has no bf16 units, and `auto` says so")
    learner, kinds = some_faces.learner(small(precision="auto")), []
    assert learner.plan.bf16, "`auto` takes it"
    convolution_of(learner).register_forward_hook(lambda _, given, out: kinds.append(out.dtype))
    loss, gradients = stepped(learner)
    assert kinds == [torch.bfloat16]
    assert {p.dtype for p in learner.network.parameters()} == {torch.float32}
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    in_full, _ = stepped(some_faces.learner(small(precision="fp32")))
    assert loss == pytest.approx(in_full, rel=0.1)
    learner.network.eval()
    rows, *_ = learner.still_rows()
    assert rows.dtype == np.float32, "validated in full precision"


@on_gpu
def test_a_run_on_the_gpu_resumes_and_leaves_a_model_for_any_machine(some_faces: Data, tmp_path: Path) -> None:
    settings = small(epochs=1, checkpoint_minutes=0.0)
    card = some_faces.train(tmp_path / "run", settings)
    assert some_faces.train(tmp_path / "run", settings, resume=True) == card, "the checkpoint loads"
    network, _ = load_model(tmp_path / "run")
    assert {p.device.type for p in network.parameters()} == {"cpu"}
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    found = TorchEmbedder(tmp_path / "run").embed(crops)
    with torch.inference_mode():
        network.eval()
        expected = network(torch.from_numpy(crops).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(np.abs((found * expected).sum(axis=1)), 1, atol=1e-2)


@on_gpu
def test_crops_kept_on_the_gpu_are_augmented_there(tmp_path: Path) -> None:
    faces = face_set(tmp_path / "faces", 3, 3)
    views = Views(faces=True, size=112, strong=True, count=0, seed=3)
    batches = [np.array([0, 4, 2]), np.array([8, 1, 5])]
    made = list(DeviceViews(views, faces.paths, GPU).batches(batches, 1))
    by_hand = training_batches(views, faces.paths, batches, 1)
    for (pixels, shown), (expected, readable) in zip(made, by_hand, strict=True):
        assert (pixels.device, pixels.dtype, shown.tolist()) == (GPU, torch.uint8, readable.tolist())
        assert (pixels.cpu().float() - expected.float()).abs().mean() < 0.5


@on_gpu
def test_batch_norm_is_made_to_see_the_whole_batch(some_faces: Data) -> None:
    """A process alone computes what it computes without; the weights keep their names."""
    plain, synced = some_faces.learner(NORMED), some_faces.learner(dataclasses.replace(NORMED, sync_batch_norm=True))
    assert norms_of(synced) == {nn.SyncBatchNorm}
    assert synced.network.state_dict().keys() == plain.network.state_dict().keys()
    assert stepped(synced)[0] == pytest.approx(stepped(plain)[0], rel=1e-2)


# ------------------------------------------------------------------------------------------------- on any machine


def test_where_no_gpu_is_its_batch_norm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    make_plan(SMALL)
    with pytest.raises(ConfigError, match="`sync_batch_norm` on GPUs only, and there is none here; leave it out"):
        make_plan(small(sync_batch_norm=True))


def test_batch_norm_is_converted_in_place(some_faces: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run on GPUs does, without one: torch's module computes on the CPU as long as the process is alone."""
    plain = some_faces.learner(NORMED)
    monkeypatch.setattr("facerec.training.plan.own_device", lambda: torch.device("cuda"))
    monkeypatch.setattr("facerec.training.plan.use_bf16", lambda precision, device: False)
    synced = some_faces.learner(dataclasses.replace(NORMED, sync_batch_norm=True))
    assert norms_of(synced) == {nn.SyncBatchNorm}
    assert synced.network.state_dict().keys() == plain.network.state_dict().keys()
    assert stepped(synced)[0] == pytest.approx(stepped(plain)[0], rel=1e-5)
