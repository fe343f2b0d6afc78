"""A run that has learned nothing is told from one that has."""

from pathlib import Path

import numpy as np
import pytest

from facerec.cli.train import _report
from facerec.metrics.roc import all_pairs, auc, roc
from facerec.models.card import ModelCard
from facerec.training.chance import auc_interval, validation_interval


def test_the_interval_by_hand() -> None:
    """AUC 0.75, 10 and 20: Q1 = 0.6, Q2 = 0.642857; the variance is 0.00829."""
    variance = (0.1875 + 9 * (0.6 - 0.5625) + 19 * (1.125 / 1.75 - 0.5625)) / 200
    reach = 1.96 * variance**0.5
    assert auc_interval(0.75, 10, 20) == pytest.approx((0.75 - reach, 0.75 + reach))
    assert auc_interval(1, 5, 5) == (1, 1)


@pytest.mark.parametrize("people", [8, 30])
def test_a_network_at_chance_is_rarely_taken_for_better(people: int) -> None:
    """Random vectors of people with four photos each: at most 5 % of 200 runs have a low end above 1/2."""
    rng = np.random.default_rng(0)
    better = 0
    for _ in range(200):
        rows = rng.normal(size=(4 * people, 16)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        found = float(auc(roc(*all_pairs(rows, np.repeat(np.arange(people), 4)))))
        better += auc_interval(found, people, people)[0] > 0.5
    assert better <= 10


def card(mode: str, auc: float | None, **validation: int) -> ModelCard:
    results = {} if auc is None else {"validation_auc": auc}
    grey = (127.0, 127.0, 127.0)
    return ModelCard(
        "x", 8, 112, grey, grey, mode=mode, training={"epoch": 0, "validation": validation}, results=results
    )


def test_people_or_photos_are_what_an_auc_rests_on() -> None:
    assert validation_interval(card("metric", 0.6, people=30, photos=300)) == auc_interval(0.6, 30, 30)
    assert validation_interval(card("classify", 0.6, classes=5, photos=50)) == auc_interval(0.6, 10, 40)
    assert validation_interval(card("metric", None, people=30)) is None
    assert validation_interval(card("metric", 0.6)) is None, "a card that does not say whom it was measured on"


@pytest.mark.parametrize(
    ("found", "learned"),
    [(card("metric", 0.5, people=20), False), (card("metric", 0.55, people=20), False),
     (card("metric", 0.9, people=20), True), (card("classify", 0.48, classes=2, photos=40), False)],
)  # fmt: skip
def test_the_last_words_of_a_run(
    found: ModelCard, learned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _report(tmp_path, found, False)
    said = capsys.readouterr().out
    assert ("use it with --model" in said) == learned
    assert ("no better than chance" in said) != learned
    assert ("--init default or a lower --lr" in said) != learned
    assert ("95 % interval" in said) != learned


@pytest.mark.parametrize("people", [1, 2])
def test_no_interval_is_printed_where_there_is_none(
    people: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _report(tmp_path, card("metric", 0.0, people=people), False)
    assert "an AUC of 0.5 is chance. Try more people" in capsys.readouterr().out
