"""The losses, what mines for them and what is watched, against loops over all pairs and triplets."""

import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from training_oracles import (
    active_share_and_spread,
    class_loss_by_loop,
    contrastive_loss_by_loop,
    multi_similarity_loss_by_loop,
    negative_odds_by_loop,
    proxy_anchor_loss_by_loop,
    smoothed_cross_entropy,
    squared_distance,
    supcon_loss_by_loop,
    triplet_loss_by_loop,
    triplet_loss_with_memory_by_loop,
)

from facerec.errors import ConfigError
from facerec.training.losses import (
    CLASS_LOSSES,
    MINING,
    PAIR_LOSSES,
    LossPlan,
    Mined,
    Objective,
    batch_facts,
    loss_terms,
    read_terms,
    squared_euclidean,
)
from facerec.training.plan import make_plan
from facerec.training.settings import TrainSettings

LABELINGS = {
    "pairs": [0, 0, 1, 1, 2, 2],
    "uneven": [3, 1, 1, 3, 1, 7, 7, 1],
    "people with one photo": [0, 0, 0, 1, 2],
    "large": np.repeat(np.arange(8), 4).tolist(),  # above 25 rows torch computes distances in another way
}
EXACT = ("all", "semihard", "hard")  # `distance` draws
ALLOWED = [
    (mining, margin)
    for mining, margin in itertools.product(EXACT, (0.0, 0.2, 1.0))
    if (mining, margin) != ("semihard", 0.0)
]
PAIR_ORACLES: dict[str, Callable[[list[list[float]], list[int]], float]] = {
    "contrastive": contrastive_loss_by_loop,
    "multi-similarity": multi_similarity_loss_by_loop,
    "supcon": supcon_loss_by_loop,
}

every_labeling = pytest.mark.parametrize("labels", LABELINGS.values(), ids=LABELINGS)
every_term = pytest.mark.parametrize("name", [*PAIR_LOSSES, *CLASS_LOSSES])


def unit_rows(count: int, seed: int, dimension: int = 6) -> torch.Tensor:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return F.normalize(torch.from_numpy(rows), dim=1)


@cache  # a plan builds the outline of a whole network
def loss_plan(**values: Any) -> LossPlan:
    return make_plan(TrainSettings(**values)).loss


def objective_of(loss: str, classes: int = 8, dimension: int = 6, **values: Any) -> Objective:
    torch.manual_seed(0)
    return Objective(loss_plan(loss=loss, embedding_dim=dimension, **values), classes)


def loss_of(mining: str, margin: float, vectors: torch.Tensor, labels: list[int]) -> torch.Tensor:
    return objective_of("triplet", mining=mining, margin=margin)(vectors, torch.tensor(labels))["triplet"]


# ---------------------------------------------------------------------------------------- triplets


def test_the_distance_is_squared_euclidean() -> None:
    a = unit_rows(5, seed=0)
    expected = [[squared_distance(x, y) for y in a.tolist()] for x in a.tolist()]
    torch.testing.assert_close(squared_euclidean()(a), torch.tensor(expected), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(squared_euclidean()(a), 2 - 2 * a @ a.T, atol=1e-5, rtol=1e-5)


def test_the_lectures_formula_by_hand() -> None:
    """|a - p|^2 = 2, |a - n|^2 = 4 and back: with alpha 3 the triplets cost 2 - 4 + 3 = 1 and 2 - 2 + 3 = 3."""
    a, p, n = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]
    assert loss_of("all", 3.0, torch.tensor([a, p, n]), [0, 0, 1]).item() == pytest.approx((1 + 3) / 2)
    assert loss_of("all", 0.5, torch.tensor([a, p, n]), [0, 0, 1]).item() == pytest.approx(0.5)  # -1.5 costs nothing


@every_labeling
@pytest.mark.parametrize(("mining", "margin"), ALLOWED)
def test_every_mining_and_margin_agrees_with_loops(mining: str, margin: float, labels: list[int]) -> None:
    for seed in range(5):
        vectors = unit_rows(len(labels), seed)
        expected = triplet_loss_by_loop(vectors.tolist(), labels, mining, margin)
        assert loss_of(mining, margin, vectors, labels).item() == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("mining", MINING)
def test_descending_brings_people_apart(mining: str) -> None:
    vectors, labels = unit_rows(12, seed=1).requires_grad_(), [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    before = active_share_and_spread(vectors.tolist(), labels, 0.2)
    optimizer = torch.optim.Adam([vectors], 0.02)
    for _ in range(100):
        optimizer.zero_grad()
        loss_of(mining, 0.2, F.normalize(vectors, dim=1), labels).backward()
        optimizer.step()
    after = active_share_and_spread(F.normalize(vectors, dim=1).tolist(), labels, 0.2)
    assert after[0] < before[0] / 2
    assert after[1] > 1.5


# ---------------------------------------------------------------------------------------- negatives drawn by distance


def mine(vectors: torch.Tensor, labels: list[int], seed: int = 0) -> list[tuple[int, int, int]]:
    term = objective_of("triplet", dimension=vectors.shape[1], mining="distance").terms["triplet"]
    assert isinstance(term, Mined)
    assert term.miner is not None
    torch.manual_seed(seed)
    return list(zip(*(part.tolist() for part in term.miner(vectors, torch.tensor(labels))), strict=True))


def test_negatives_are_drawn_as_the_papers_weights_say() -> None:
    labels = [0, 0, 1, 2, 3, 4, 5]
    vectors = unit_rows(7, seed=5)
    drawn = [n for seed in range(1000) for a, _, n in mine(vectors, labels, seed) if a == 0]
    odds = negative_odds_by_loop(vectors.tolist(), labels, 0)
    assert max(odds) < 0.9, "a choice"
    assert [drawn.count(n) / len(drawn) for n in range(7)] == pytest.approx(odds, abs=0.04)


FACES = {
    "near": lambda: F.normalize(torch.ones(12, 512) + 1e-3 * unit_rows(12, 0, 512), dim=1),
    "alike": lambda: F.normalize(torch.ones(12, 512), dim=1),
    "far": lambda: F.normalize(torch.tensor([[1.0], [-1.0]]).repeat_interleave(6, 0) * torch.ones(12, 512), dim=1),
    "unrelated": lambda: unit_rows(12, 0, 512),
    "one pair of people near": lambda: unit_rows(12, 0, 512)[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0]],
}


@pytest.mark.parametrize("make", FACES.values(), ids=FACES)
def test_every_photo_gets_a_negative_however_near_or_far_the_others_are(make: Callable[[], torch.Tensor]) -> None:
    """In 512 dimensions the weights of near and far pairs differ by more than float32 can hold."""
    vectors, labels = make().requires_grad_(), [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    triplets = mine(vectors, labels)
    assert {a for a, _, _ in triplets} == set(range(12))
    assert all(a != p and labels[a] == labels[p] != labels[n] for a, p, n in triplets)
    loss = objective_of("triplet", dimension=512, mining="distance", margin=4.0)(vectors, torch.tensor(labels))
    loss["triplet"].backward()
    assert torch.isfinite(loss["triplet"])
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()


def test_drawing_follows_from_torchs_seed_alone() -> None:
    vectors, labels = unit_rows(32, seed=2), LABELINGS["large"]
    assert mine(vectors, labels, 3) == mine(vectors, labels, 3) != mine(vectors, labels, 4)


# ---------------------------------------------------------------------------------------- other pairs, and classes


@every_labeling
@pytest.mark.parametrize("name", PAIR_ORACLES)
def test_losses_over_pairs_agree_with_loops(name: str, labels: list[int]) -> None:
    for seed in range(3):
        vectors = unit_rows(len(labels), seed)
        expected = PAIR_ORACLES[name](vectors.tolist(), labels)
        assert objective_of(name)(vectors, torch.tensor(labels))[name].item() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("name", ["arcface", "cosface", "cross-entropy"])
def test_losses_with_a_vector_per_class_agree_with_loops(name: str, smoothing: float) -> None:
    """Row 0 lies opposite to its class: arcface's margin would lead beyond half a turn."""
    classes, vectors, labels = unit_rows(8, 1) * 3, unit_rows(12, 2), [0, 3, 1, 1, 7, 7, 2, 0, 3, 4, 5, 6]
    vectors[0] = F.normalize(0.05 * vectors[0] - classes[0], dim=0)
    objective = objective_of(name, label_smoothing=smoothing)
    objective.terms[name].W.data = classes.T.clone()  # type: ignore[union-attr]
    expected = class_loss_by_loop(name, vectors.tolist(), labels, classes.tolist(), smoothing)
    assert objective(vectors, torch.tensor(labels))[name].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], [5, 5, 5, 5, 5, 5], [0, 1, 2, 3, 4, 5]])
def test_proxy_anchor_agrees_with_loops(labels: list[int]) -> None:
    classes, vectors = unit_rows(8, 1) * 3, unit_rows(6, 2)
    objective = objective_of("proxy-anchor")
    objective.terms["proxy-anchor"].proxies.data = classes.clone()  # type: ignore[union-attr]
    expected = proxy_anchor_loss_by_loop(vectors.tolist(), labels, classes.tolist())
    assert objective(vectors, torch.tensor(labels))["proxy-anchor"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_to_classify_it_is_cross_entropy_of_the_logits(smoothing: float) -> None:
    logits, labels = 3 * unit_rows(7, 0, 4), [0, 3, 1, 1, 2, 0, 3]
    loss = objective_of("", 4, mode="classify", label_smoothing=smoothing)(logits, torch.tensor(labels))
    rows = zip(logits.tolist(), labels, strict=True)
    expected = np.mean([smoothed_cross_entropy(row, label, smoothing) for row, label in rows])
    assert loss == {"cross-entropy": pytest.approx(expected, rel=1e-5)}


# ---------------------------------------------------------------------------------------- all of them


@every_term
def test_the_gradient_is_finite_where_vectors_coincide(name: str) -> None:
    """All alike, photos of one person alike, two people alike: sqrt has no gradient at 0, a squared distance does."""
    a, b = unit_rows(2, seed=3).tolist()
    variants = [{"mining": m, "margin": x} for m, x in [*ALLOWED, ("distance", 0.2)]] if name == "triplet" else [{}]
    for rows, values in itertools.product(([a] * 6, [a, a, b, b, b, b], [a, b, a, b, a, b]), variants):
        vectors = torch.tensor(rows, requires_grad=True)
        loss = objective_of(name, **values)(vectors, torch.tensor(LABELINGS["pairs"]))[name]
        loss.backward()
        assert torch.isfinite(loss)
        assert vectors.grad is not None
        assert torch.isfinite(vectors.grad).all()


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("name", ["triplet", "supcon"])
def test_a_batch_without_triplets_costs_nothing_and_can_still_be_stepped(name: str, mining: str) -> None:
    for labels in ([0, 0, 0, 0], [0, 1, 2, 3]):
        vectors = unit_rows(4, seed=0).requires_grad_()
        loss = objective_of(name, mining=mining)(vectors, torch.tensor(labels))[name]
        loss.backward()
        assert loss.item() == 0


@every_term
def test_descending_any_loss_brings_photos_of_a_person_together(name: str) -> None:
    labels = torch.arange(4).repeat_interleave(3)
    objective, vectors = objective_of(name, 4), unit_rows(12, seed=1).requires_grad_()
    before = batch_facts(vectors.detach(), labels, 0.0)["active_triplets"]
    optimizer = torch.optim.Adam([vectors, *objective.parameters()], 0.02)
    for _ in range(200):
        optimizer.zero_grad()
        objective(F.normalize(vectors, dim=1), labels)[name].backward()
        optimizer.step()
    after = batch_facts(F.normalize(vectors, dim=1).detach(), labels, 0.0)["active_triplets"]
    assert before > 0.3
    assert after < 0.1


# ---------------------------------------------------------------------------------------- earlier batches


def test_embeddings_of_earlier_batches_count_and_the_oldest_are_forgotten() -> None:
    """A memory of 8 and batches of 4: each meets itself and the batch before, also when the queue begins anew."""
    objective = objective_of("triplet", memory=8, people_per_batch=2, photos_per_person=2, mining="all", margin=1.0)
    old: tuple[list[list[float]], list[int]] = ([], [])
    for step in range(7):
        vectors, labels = unit_rows(4, seed=step), [step % 3, 0, 1, 1]
        expected = triplet_loss_with_memory_by_loop(vectors.tolist(), labels, *old, margin=1.0)
        assert objective(vectors, torch.tensor(labels))["triplet"].item() == pytest.approx(expected, abs=1e-5)
        old = vectors.tolist(), labels


@pytest.mark.parametrize("name", PAIR_LOSSES)
@pytest.mark.parametrize("steps", [0, 1, 3, 5])
def test_memory_goes_on_from_its_state_with_the_same_losses(name: str, steps: int) -> None:
    """Stored before, while and after the queue (10 rows, batches of 4) was filled; the state is tensors alone."""

    def run(objective: Objective, steps: range) -> list[float]:
        labels, losses = torch.tensor([0, 0, 1, 1]), []
        for step in steps:
            torch.manual_seed(step)  # as the learner does
            losses.append(objective(unit_rows(4, step), labels)[name].item())
        return losses

    settings = {"memory": 10, "people_per_batch": 2, "photos_per_person": 2, "mining": "distance"}
    whole, half = (objective_of(name, **settings) for _ in range(2))
    expected = run(whole, range(9))[steps:]
    run(half, range(steps))
    state = half.state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    resumed = objective_of(name, **settings)
    resumed.load_state_dict({key: value.clone() for key, value in state.items()})
    assert run(resumed, range(steps, 9)) == expected


# ---------------------------------------------------------------------------------------- terms and weights


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("triplet", {"triplet": 1}),
        ("triplet + 0.1*arcface", {"triplet": 1, "arcface": 0.1}),
        (" 2 * triplet+1e-3 *supcon ", {"triplet": 2, "supcon": 0.001}),
        ("cross-entropy+.5*proxy-anchor", {"cross-entropy": 1, "proxy-anchor": 0.5}),
    ],
)
def test_terms_are_joined_by_plus_and_weighted_by_times(text: str, terms: dict[str, float]) -> None:
    assert read_terms(text, (*PAIR_LOSSES, *CLASS_LOSSES), "loss") == terms
    assert loss_terms(text, "metric") == objective_of(text).weights == terms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no loss ''"),
        ("triplet +", "no loss ''"),
        ("tripel", "no loss 'tripel'; known are triplet, contrastive"),
        ("triplet + triplet", "no loss 'triplet'"),
        ("triplet * 0.1", "no loss 'triplet"),
        ("0.1 triplet", "no loss '0.1 triplet'"),
        ("0*triplet", "the weight must be above 0"),
        ("-1*triplet", "the weight must be above 0"),
        ("1e999*triplet", "the weight must be above 0"),
        ("1.2.3*triplet", "the weight must be a number"),
        ("none + triplet", "no loss 'none'"),
        ("triplet\n+ x", "no loss 'x'"),
    ],
)
def test_what_is_no_sum_of_terms_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_terms(text, (*PAIR_LOSSES, *CLASS_LOSSES), "loss")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_modes_have_their_terms() -> None:
    assert loss_terms("", "metric") == {"triplet": 1}
    assert loss_terms("", "classify") == {"cross-entropy": 1}
    assert loss_terms("none", "metric") == loss_terms("none", "classify") == {}
    assert loss_plan(loss="arcface + 0.1*supcon").compares_photos
    assert not loss_plan(loss="arcface").compares_photos
    assert not loss_plan(mode="classify").compares_photos
    with pytest.raises(ConfigError, match="no loss 'triplet'; known are cross-entropy"):
        loss_terms("triplet", "classify")


def test_several_terms_are_each_what_they_are_alone() -> None:
    vectors, labels = unit_rows(6, 0), torch.tensor(LABELINGS["pairs"])
    both = objective_of("triplet + 0.1*contrastive")(vectors, labels)
    assert list(both) == ["triplet", "contrastive"]
    for name, loss in both.items():
        assert loss == objective_of(name)(vectors, labels)[name]


def test_only_losses_with_a_vector_per_class_learn_something_themselves() -> None:
    for name in PAIR_LOSSES:
        assert not list(objective_of(name).parameters())
    for name in CLASS_LOSSES:
        assert [p.numel() for p in objective_of(name, 9).parameters()] == [9 * 6]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mining": "easy"}, "no mining 'easy'; known are all, semihard, hard"),
        ({"margin": -0.1}, "`margin` must be 0 .soft. or a number above 0, not -0.1"),
        ({"margin": float("inf")}, "`margin` must be 0 .soft. or a number above 0, not inf"),
        ({"mining": "semihard", "margin": 0.0}, "semihard mining needs a `margin` above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        objective_of("triplet", **values)


# ---------------------------------------------------------------------------------------- what is watched


@every_labeling
@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_what_is_watched_agrees_with_loops(labels: list[int], margin: float) -> None:
    for seed in range(3):
        vectors = unit_rows(len(labels), seed)
        share, spread = active_share_and_spread(vectors.tolist(), labels, margin)
        facts = batch_facts(vectors, torch.tensor(labels), margin)
        assert facts == {"active_triplets": pytest.approx(share, abs=1e-5), "spread": pytest.approx(spread, abs=1e-5)}


def test_what_is_watched_at_the_ends() -> None:
    alike, people = torch.tensor([[1.0, 0.0]]).repeat(4, 1), torch.tensor([0, 0, 1, 1])
    assert list(batch_facts(alike, people, 0.2).values()) == [1.0, 0.0]
    opposite = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    assert list(batch_facts(opposite, people, 0.2).values()) == pytest.approx([0.0, 4.0])
    one_person = batch_facts(alike, torch.zeros(4), 0.2)
    assert list(one_person.values()) == [0.0, 0.0], "no triplet, nobody to be apart from"
