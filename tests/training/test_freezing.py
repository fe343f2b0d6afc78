"""What is frozen does not move, what trains does: tensor by tensor, for every strategy and backbone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from facerec.datasets.photo_sets import PhotoSet
from facerec.errors import ConfigError, ModelError
from facerec.models.backbones import BACKBONES
from facerec.models.network import Network
from facerec.training.feed import Given
from facerec.training.freezing import STRATEGIES, freeze, frozen_prefix, parameter_groups, stage_rows
from facerec.training.initialisation import start_network
from facerec.training.learner import Learner
from facerec.training.plan import TrainPlan, make_plan
from facerec.training.settings import TrainSettings
from facerec.training.state import State
from facerec.training.tasks import ClassTask, PeopleTask

PHOTOS = 8  # 4 people with 2 photos each
FACES = PhotoSet(Path("nowhere"), tuple("abcd"), (Path("none"),) * PHOTOS, np.repeat(np.arange(4), 2))
SMALL = 80  # pixels; Inception v3 needs 75
WHEN = [(strategy, 0) for strategy in STRATEGIES] + [("gradual", epoch) for epoch in (1, 2, 9)]  # and in which epoch

every_strategy = pytest.mark.parametrize(
    ("strategy", "epoch"), WHEN, ids=[f"{strategy}-{epoch + 1}" for strategy, epoch in WHEN]
)


def frozen_count(backbone: str, strategy: str, epoch: int) -> int:
    """How many of the first stages a strategy freezes, from the lectures' definitions and not from freezing.py."""
    stages = len(BACKBONES[backbone].stages)
    cut = 3 if backbone.startswith("vgg") else 2
    frozen = {"frozen": stages, "partial": cut, "gradual": max(0, stages - epoch)}
    return frozen.get(strategy, 0)


def plan_of(backbone: str, strategy: str, **others: object) -> TrainPlan:
    """By the soft margin all triplets count, so that every trainable tensor gets a gradient."""
    values = {"mining": "all", "margin": 0.0, "weight_decay": 0.1, "init": "random", "precision": "fp32", **others}
    return make_plan(TrainSettings(backbone=backbone, strategy=strategy, embedding_dim=16, cache_gb=0.0, **values))  # type: ignore[arg-type]


def learner_of(backbone: str, strategy: str, **others: object) -> Learner:
    plan = plan_of(backbone, strategy, **others)
    kind = ClassTask if plan.settings.mode == "classify" else PeopleTask
    return Learner(plan, kind(plan, FACES, FACES))


def pixels(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), np.uint8))


def snapshot(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


# ---------------------------------------------------------------------------------------- the whole table


@pytest.fixture(scope="module", params=sorted(BACKBONES))
def network(request: pytest.FixtureRequest) -> Network:
    """One row at a time: all of them together would not fit into memory."""
    torch.manual_seed(0)
    return Network(request.param, 16)


def test_every_strategy_trains_exactly_the_stages_it_says(network: Network) -> None:
    """By the flags, the modes and the optimiser's groups, in the epoch and over the run."""
    for strategy, epoch in WHEN:
        count = frozen_count(network.backbone, strategy, epoch)
        factors = plan_of(network.backbone, strategy, epochs=epoch + 1).freezing.factors(epoch)
        freeze(network, factors)
        stages = [stage for _, stage in network.named_stages()]
        assert frozen_prefix(factors) == count
        assert [{p.requires_grad for p in stage.parameters()} for stage in stages] == [
            {i >= count} for i in range(len(stages))
        ]
        assert [{m.training for m in stage.modules()} for stage in stages] == [{i >= count} for i in range(len(stages))]
        assert all(p.requires_grad for p in network.head.parameters())
        assert all(m.training for m in network.head.modules())
        groups = parameter_groups(network, factors, 1e-3, 1e-3)
        grouped = [id(p) for group in groups for p in group["params"]]  # type: ignore[attr-defined]
        assert grouped == [id(p) for part in (*stages[count:], network.head) for p in part.parameters()]


def test_gradients_and_batch_norm_statistics_are_of_the_training_stages_alone(network: Network) -> None:
    """A backward with as many frozen stages as the strategies leave: none, as `partial` (gradual on its way), all."""
    for count in sorted({frozen_count(network.backbone, strategy, 0) for strategy in STRATEGIES}):
        names = [name for name, _ in network.named_stages()]
        freeze(network, {name: float(i >= count) for i, name in enumerate(names)})
        network.zero_grad()
        before = {name: buffer.clone() for name, buffer in network.named_buffers()}
        (network(pixels(2, SMALL)) @ torch.linspace(0, 1, 16)).sum().backward()
        trained = (*(f"stages.{name}." for name in names[count:]), "head.")
        for name, parameter in network.named_parameters():
            assert (parameter.grad is not None) == name.startswith(trained), name
            assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
        for name, buffer in network.named_buffers():
            moves = name.startswith(trained) and name not in ("mean", "std")
            assert torch.equal(buffer, before[name]) != moves, name
    network.zero_grad()


# ---------------------------------------------------------------------------------------- real steps, bit for bit


@torch.no_grad()
def given(learner: Learner, crops: torch.Tensor) -> Given:
    """What the feed makes of crops."""
    return Given(learner.network.prefix(crops, learner.feed.count), np.arange(PHOTOS), crops)


def two_steps(learner: Learner, epoch: int = 0) -> None:
    """Two updates with a validation in between, which puts the network in eval mode and back."""
    state = State(epoch=epoch)
    learner.start_epoch(state)
    for seed in (0, 1):
        crops = pixels(PHOTOS, 64, seed)
        learner.step(given(learner, crops), state, 2)
        state.batch += 1
        learner.network.eval()
        learner.network.train()


@every_strategy
@pytest.mark.parametrize("mode", ["metric", "classify"])
@pytest.mark.parametrize("backbone", ["resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "mobilenet_v3_small"])
def test_frozen_tensors_stay_bit_for_bit_and_the_others_move(
    backbone: str, mode: str, strategy: str, epoch: int
) -> None:
    learner = learner_of(backbone, strategy, mode=mode, epochs=10)
    before = snapshot(learner.network)
    two_steps(learner, epoch)
    count = frozen_count(backbone, strategy, epoch)
    stay = ("mean", "std", *[f"stages.{name}." for name, _ in learner.network.named_stages()][:count])
    for name, tensor in learner.network.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith(stay), name
        if name.endswith("num_batches_tracked"):
            assert tensor == (0 if name.startswith(stay) else 2), name


def test_gradual_wakes_a_stage_an_epoch_and_never_stops_one() -> None:
    """One learner over the epochs: what was frozen in the first has moved in a later one."""
    learner = learner_of("resnet18", "gradual", epochs=5, unfreeze_epochs=2)
    names = [name for name, _ in learner.network.named_stages()]
    keys = {name: [k for k in learner.network.state_dict() if k.startswith(f"stages.{name}.")] for name in names}
    for epoch, awake in ((0, 0), (1, 0), (2, 1), (3, 1), (4, 2)):
        before = snapshot(learner.network)
        two_steps(learner, epoch)
        after = learner.network.state_dict()
        moved = [any(not torch.equal(after[key], before[key]) for key in keys[name]) for name in names]
        assert moved == [i >= 5 - awake for i in range(5)]
        assert {name for name, rate in learner.rates(epoch).items() if rate > 0} == {*names[5 - awake :], "head"}
    ever = {id(p) for group in learner.optimizer.param_groups for p in group["params"]}
    assert ever == {id(p) for i in (3, 4) for p in learner.network.stages[i].parameters()} | {
        id(p) for p in learner.network.head.parameters()
    }


def test_scratch_starts_at_random_weights_whatever_init_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no pre-trained weights can be had, every strategy but scratch fails."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:1")
    for strategy in sorted(set(STRATEGIES) - {"scratch"}):
        with pytest.raises(ModelError, match="squeezenet1_1 cannot be downloaded"):
            start_network(plan_of("squeezenet1_1", strategy, init="imagenet"), ())
    first, second = (
        start_network(plan_of("squeezenet1_1", "scratch", init=init), ()).state_dict()
        for init in ("imagenet", "random")
    )
    assert not torch.equal(first["stages.stage0.0.weight"], second["stages.stage0.0.weight"])


@every_strategy
def test_going_back_to_train_mode_does_not_wake_frozen_batch_norms(strategy: str, epoch: int) -> None:
    learner = learner_of("resnet18", strategy, epochs=10)
    learner.start_epoch(State(epoch=epoch))
    network = learner.network
    network.eval()
    assert not any(module.training for module in network.modules())
    network.train()
    modes = [stage.training for _, stage in network.named_stages()]
    assert modes == [i >= frozen_count("resnet18", strategy, epoch) for i in range(5)]
    assert network.head.training


# ---------------------------------------------------------------------------------------- rates and cuts


@pytest.mark.parametrize(
    ("strategy", "rates"),
    [
        ("full", {"stem": 1e-3, "layer1": 1e-3, "layer2": 1e-3, "layer3": 1e-3, "layer4": 1e-3}),
        ("scratch", {"stem": 1e-3, "layer1": 1e-3, "layer2": 1e-3, "layer3": 1e-3, "layer4": 1e-3}),
        ("frozen", {}),
        ("partial", {"layer2": 1e-3, "layer3": 1e-3, "layer4": 1e-3}),
        ("gradual", {"layer3": 1e-3, "layer4": 1e-3}),  # three epochs: the head alone, then one more, then two
        ("discriminative", {"stem": 6.25e-5, "layer1": 1.25e-4, "layer2": 2.5e-4, "layer3": 5e-4, "layer4": 1e-3}),
    ],
)
def test_learning_rates_of_the_stages(strategy: str, rates: dict[str, float]) -> None:
    learner = learner_of("resnet18", strategy, lr=1e-3, head_lr=7e-3, stage_decay=0.5, epochs=3)
    assert {group["name"]: group["base_lr"] for group in learner.optimizer.param_groups} == {**rates, "head": 7e-3}


def test_discriminative_rates_fall_in_the_steps_that_are_taken() -> None:
    """Adam's first step has the length of the rate: the weights themselves show it."""
    learner = learner_of("resnet18", "discriminative", lr=1e-3, stage_decay=0.5, weight_decay=0.0)
    before = snapshot(learner.network)
    learner.step(given(learner, pixels(PHOTOS, 32)), State(), 1)
    moved = {name: (tensor - before[name]).abs() for name, tensor in learner.network.state_dict().items()}
    weights = [name for name, _ in learner.network.stages.named_parameters()]
    for i, stage in enumerate(("stem", "layer1", "layer2", "layer3", "layer4")):
        steps = torch.cat([moved[f"stages.{name}"].flatten() for name in weights if name.startswith(stage)])
        assert steps.max().item() == pytest.approx(1e-3 * 0.5 ** (4 - i), rel=0.02)


def test_partial_freezes_as_many_stages_as_asked() -> None:
    for count in (1, 2, 3):
        network = learner_of("squeezenet1_1", "partial", frozen_stages=count).network
        assert network.frozen == frozenset(["stage0", "stage1", "stage2"][:count])


@pytest.mark.parametrize("kept", [2, 3, 4, 5])
def test_of_a_cut_network_partial_always_leaves_a_stage_to_train(kept: int) -> None:
    factors = plan_of("resnet18", "partial", kept_stages=kept).freezing.factors()
    assert list(factors.values()) == [0.0] * min(2, kept - 1) + [1.0] * (kept - min(2, kept - 1))


def test_another_strategy_can_follow_on_the_same_network() -> None:
    """Frozen first, then full: nothing of the first freezing is left."""
    network = Network("squeezenet1_1", 16)
    freeze(network, plan_of("squeezenet1_1", "frozen").freezing.factors())
    factors = plan_of("squeezenet1_1", "full").freezing.factors()
    freeze(network, factors)
    assert network.frozen == frozenset()
    assert all(p.requires_grad for p in network.parameters())
    assert sum(len(g["params"]) for g in parameter_groups(network, factors, 1e-3, 1e-3)) == len(  # type: ignore[arg-type]
        list(network.parameters())
    )


def test_an_unknown_strategy_is_refused_with_the_names() -> None:
    with pytest.raises(ConfigError, match=r"no strategy 'most'; known are full, frozen, partial, discriminative, grad"):
        learner_of("squeezenet1_1", "most")


@pytest.mark.parametrize("count", [-1, 0, 4, 5])
def test_partial_must_leave_something_on_either_side(count: int) -> None:
    with pytest.raises(ConfigError, match=rf"between 1 and 3 stages of squeezenet1_1, not {count}"):
        learner_of("squeezenet1_1", "partial", frozen_stages=count)


# ---------------------------------------------------------------------------------------- the plan that is printed


@pytest.mark.parametrize(
    ("strategy", "fates"),
    [
        ("full", ["trains at 0.01"] * 4),
        ("scratch", ["trains at 0.01"] * 4),
        ("frozen", ["frozen"] * 4),
        ("partial", ["frozen"] * 2 + ["trains at 0.01"] * 2),
        ("discriminative", ["trains at 0.00125", "trains at 0.0025", "trains at 0.005", "trains at 0.01"]),
        ("gradual", ["frozen", "frozen", "trains at 0.01, from epoch 5", "trains at 0.01, from epoch 3"]),
    ],
)
def test_the_plan_says_stage_by_stage_what_a_run_will_do(strategy: str, fates: list[str]) -> None:
    freezing = plan_of("squeezenet1_1", strategy, stage_decay=0.5, unfreeze_epochs=2).freezing
    lines = [str(row) for row in stage_rows(Network("squeezenet1_1", 16), freezing, 6, lr=0.01, head_lr=0.02)]
    stages = [("stage0", "1,792"), ("stage1", "23,840"), ("stage2", "94,784"), ("stage3", "602,080")]
    parameters = [*stages, ("head", "8,224")]  # 16 x 512 weights, a scale and a shift for each of the 16
    for line, (name, number), fate in zip(lines, parameters, [*fates, "trains at 0.02"], strict=True):
        assert line == f"{name:<12} {number:>12} parameters  {fate}"


def test_the_plan_counts_every_parameter_once() -> None:
    network = Network("mobilenet_v3_small", 16, head_layers=2)
    freezing = plan_of("mobilenet_v3_small", "partial").freezing
    rows = stage_rows(network, freezing, 10, lr=3e-4, head_lr=1e-3)
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in network.parameters())
