"""The losses and what is watched, against loops over all triplets."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracles import active_share_and_spread, squared_distance, triplet_loss_by_loop

from facerec.config import TrainSettings
from facerec.errors import ConfigError
from facerec.losses import MINING, batch_facts, squared_euclidean, triplet_loss

LABELINGS = {
    "pairs": [0, 0, 1, 1, 2, 2],
    "uneven": [3, 1, 1, 3, 1, 7, 7, 1],
    "people with one photo": [0, 0, 0, 1, 2],
    "large": np.repeat(np.arange(8), 4).tolist(),  # above 25 rows torch computes distances in another way
}
ALLOWED = [
    (mining, margin)
    for mining, margin in itertools.product(MINING, (0.0, 0.2, 1.0))
    if (mining, margin) != ("semihard", 0.0)
]

every_labeling = pytest.mark.parametrize("labels", LABELINGS.values(), ids=LABELINGS)


def unit_rows(count: int, seed: int, dimension: int = 6) -> torch.Tensor:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return F.normalize(torch.from_numpy(rows), dim=1)


def loss_of(mining: str, margin: float, vectors: torch.Tensor, labels: list[int]) -> torch.Tensor:
    return triplet_loss(TrainSettings(mining=mining, margin=margin))(vectors, torch.tensor(labels))


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


@pytest.mark.parametrize(("mining", "margin"), ALLOWED)
def test_the_gradient_is_finite_where_vectors_coincide(mining: str, margin: float) -> None:
    """All alike, photos of one person alike, two people alike: sqrt has no gradient at 0, a squared distance does."""
    a, b = unit_rows(2, seed=3).tolist()
    for rows in ([a] * 6, [a, a, b, b, b, b], [a, b, a, b, a, b]):
        vectors = torch.tensor(rows, requires_grad=True)
        loss = loss_of(mining, margin, vectors, LABELINGS["pairs"])
        loss.backward()
        assert torch.isfinite(loss)
        assert vectors.grad is not None
        assert torch.isfinite(vectors.grad).all()


@pytest.mark.parametrize(("mining", "margin"), ALLOWED)
def test_a_batch_without_triplets_costs_nothing_and_can_still_be_stepped(mining: str, margin: float) -> None:
    for labels in ([0, 0, 0, 0], [0, 1, 2, 3]):
        vectors = unit_rows(4, seed=0).requires_grad_()
        loss = loss_of(mining, margin, vectors, labels)
        loss.backward()
        assert loss.item() == 0


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


@every_labeling
@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_what_is_watched_agrees_with_loops(labels: list[int], margin: float) -> None:
    for seed in range(3):
        vectors = unit_rows(len(labels), seed)
        expected = active_share_and_spread(vectors.tolist(), labels, margin)
        assert batch_facts(vectors, torch.tensor(labels), margin) == pytest.approx(expected, abs=1e-5)


def test_what_is_watched_at_the_ends() -> None:
    alike, people = torch.tensor([[1.0, 0.0]]).repeat(4, 1), torch.tensor([0, 0, 1, 1])
    assert batch_facts(alike, people, 0.2) == (1.0, 0.0)
    opposite = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    assert batch_facts(opposite, people, 0.2) == pytest.approx((0.0, 4.0))
    assert batch_facts(alike, torch.zeros(4), 0.2) == (0.0, 0.0), "one person: no triplet, nobody to be apart from"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mining": "easy"}, "no mining 'easy'; known are all, semihard, hard"),
        ({"margin": -0.1}, "must be 0 .soft. or positive, not -0.1"),
        ({"mining": "semihard", "margin": 0.0}, "semihard mining needs a margin above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        triplet_loss(TrainSettings(**values))  # type: ignore[arg-type]
