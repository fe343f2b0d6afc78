"""What is frozen does not move, what trains does: tensor by tensor, for every strategy and backbone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from facerec.config import TrainSettings
from facerec.data import FaceSet
from facerec.errors import ConfigError
from facerec.models.backbones import BACKBONES
from facerec.models.freezing import STRATEGIES, freeze, parameter_groups, stage_factors
from facerec.models.network import Network
from facerec.train import Learner

PHOTOS = 8  # 4 people with 2 photos each
FACES = FaceSet(Path("nowhere"), tuple("abcd"), (Path("none"),) * PHOTOS, np.repeat(np.arange(4), 2))
FROZEN_STAGES = {"full": 0, "frozen": 99, "partial": 2, "discriminative": 0}

every_strategy = pytest.mark.parametrize("strategy", sorted(STRATEGIES))


def learner_of(backbone: str, strategy: str, **others: object) -> Learner:
    """A learner whose every trainable tensor gets a gradient: all triplets count, by the soft margin."""
    values = {"mining": "all", "margin": 0.0, "weight_decay": 0.1, "init": "random", "precision": "fp32", **others}
    return Learner(TrainSettings(backbone=backbone, strategy=strategy, embedding_dim=16, **values), FACES)  # type: ignore[arg-type]


def two_steps(learner: Learner) -> None:
    """Two updates with a validation in between, which puts the network in eval mode and back."""
    rng = np.random.default_rng(0)
    for progress in (0.0, 0.5):
        crops = torch.from_numpy(rng.integers(0, 256, (PHOTOS, 3, 32, 32), np.uint8))
        learner.step(crops, np.arange(PHOTOS), progress)
        learner.network.eval()
        learner.network.train()


def snapshot(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def must_stay(network: Network, strategy: str) -> tuple[str, ...]:
    """Prefixes of the tensors the strategy freezes, from the lecture's definition and not from freezing.py."""
    stages = [f"stages.{name}." for name, _ in network.named_stages()]
    return ("mean", "std", *stages[: FROZEN_STAGES[strategy]])


@every_strategy
@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_frozen_tensors_stay_bit_for_bit_and_the_others_move(backbone: str, strategy: str) -> None:
    learner = learner_of(backbone, strategy)
    before = snapshot(learner.network)
    two_steps(learner)
    stay = must_stay(learner.network, strategy)
    for name, tensor in learner.network.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith(stay), name
        if name.endswith("num_batches_tracked"):
            assert tensor == (0 if name.startswith(stay) else 2), name


@every_strategy
def test_going_back_to_train_mode_does_not_wake_frozen_batch_norms(strategy: str) -> None:
    network = learner_of("resnet18", strategy).network
    network.eval()
    assert not any(module.training for module in network.modules())
    network.train()
    modes = [stage.training for _, stage in network.named_stages()]
    assert modes == [i >= FROZEN_STAGES[strategy] for i in range(5)]
    assert network.head.training


@pytest.mark.parametrize(
    ("strategy", "rates"),
    [
        ("full", {"stem": 1e-3, "layer1": 1e-3, "layer2": 1e-3, "layer3": 1e-3, "layer4": 1e-3}),
        ("frozen", {}),
        ("partial", {"layer2": 1e-3, "layer3": 1e-3, "layer4": 1e-3}),
        ("discriminative", {"stem": 6.25e-5, "layer1": 1.25e-4, "layer2": 2.5e-4, "layer3": 5e-4, "layer4": 1e-3}),
    ],
)
def test_learning_rates_of_the_stages(strategy: str, rates: dict[str, float]) -> None:
    learner = learner_of("resnet18", strategy, lr=1e-3, head_lr=7e-3, stage_decay=0.5)
    assert {group["name"]: group["base_lr"] for group in learner.optimizer.param_groups} == {**rates, "head": 7e-3}
    trained = {id(p) for group in learner.optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in learner.network.parameters() if p.requires_grad}


def test_discriminative_rates_fall_in_the_steps_that_are_taken() -> None:
    """Adam's first step has the length of the rate: the weights themselves show it."""
    learner = learner_of("resnet18", "discriminative", lr=1e-3, stage_decay=0.5, weight_decay=0.0)
    before = snapshot(learner.network)
    learner.step(torch.randint(0, 256, (PHOTOS, 3, 32, 32), dtype=torch.uint8), np.arange(PHOTOS), 0.0)
    moved = {name: (tensor - before[name]).abs() for name, tensor in learner.network.state_dict().items()}
    weights = [name for name, _ in learner.network.stages.named_parameters()]
    for i, stage in enumerate(("stem", "layer1", "layer2", "layer3", "layer4")):
        steps = torch.cat([moved[f"stages.{name}"].flatten() for name in weights if name.startswith(stage)])
        assert steps.max().item() == pytest.approx(1e-3 * 0.5 ** (4 - i), rel=0.02)


def test_partial_freezes_as_many_stages_as_asked() -> None:
    for count in (1, 2, 3):
        network = learner_of("squeezenet1_1", "partial", frozen_stages=count).network
        assert network.frozen == frozenset(["stage0", "stage1", "stage2"][:count])


def test_another_strategy_can_follow_on_the_same_network() -> None:
    """Frozen first, then full: nothing of the first freezing is left."""
    network = Network("squeezenet1_1", 16)
    freeze(network, stage_factors(TrainSettings(backbone="squeezenet1_1", strategy="frozen")))
    factors = stage_factors(TrainSettings(backbone="squeezenet1_1", strategy="full"))
    freeze(network, factors)
    assert network.frozen == frozenset()
    assert all(p.requires_grad for p in network.parameters())
    assert sum(len(g["params"]) for g in parameter_groups(network, factors, TrainSettings())) == len(  # type: ignore[arg-type]
        list(network.parameters())
    )


def test_an_unknown_strategy_is_refused_with_the_names() -> None:
    with pytest.raises(ConfigError, match=r"no strategy 'most'; known are full, frozen, partial, discriminative"):
        learner_of("squeezenet1_1", "most")


@pytest.mark.parametrize("count", [-1, 0, 4, 5])
def test_partial_must_leave_something_on_either_side(count: int) -> None:
    with pytest.raises(ConfigError, match=rf"between 1 and 3 stages of squeezenet1_1, not {count}"):
        learner_of("squeezenet1_1", "partial", frozen_stages=count)
