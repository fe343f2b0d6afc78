"""scripts/studies/calibration.py and constant_threshold.py: the rates against loops, and who is drawn."""

import importlib
import math
from typing import Any

import numpy as np
import pytest
from running import ROOT
from toy_searches import made_up, split

from facerec.evaluation.identification import Searches, search_all


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.studies.calibration")


@pytest.fixture
def constant(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.studies.constant_threshold")


def rate_by_loop(searches: Searches, limit: float, weights: dict[str, float], mated: bool) -> float:
    whole = wrong = 0.0
    for i, person in enumerate(searches.searcher):
        if searches.mated[i] == mated:
            whole += weights[person]
            named = searches.distance[i] <= limit
            wrong += weights[person] * (named if not mated else not (named and searches.hit[i]))
    return wrong / whole if whole else math.nan


@pytest.mark.parametrize("mated", [True, False])
def test_rates_against_a_loop(script: Any, mated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "REPLICATES", 30)
    people = made_up(1, 12, 4, noise=0.8)
    drawn = []
    for enrolled, photos, limit in ((5, 2, 0.3), (3, 1, 0.5), (4, 4, 0.4)):  # the last has no mated search
        gallery, probes = split(people, enrolled, photos)
        drawn.append((search_all(gallery, {person: own for person, own in probes.items() if own}), limit))
    names = sorted(people)
    found = script.rates(drawn, names, mated)
    chosen = np.random.default_rng(script.SEED).multinomial(12, np.full(12, 1 / 12), 30)
    mean = np.nanmean(found[0])
    of = script.pooled(script.tallies(drawn, mated))
    assert of.tally.rate(np.ones((1, len(of.tally.errors))))[0] == pytest.approx(mean), "what it counts gives the mean"
    for row, weights in zip(found, np.concatenate([np.ones((1, 12)), chosen]), strict=True):
        by_person = dict(zip(names, weights.tolist(), strict=True))
        expected = [rate_by_loop(searches, limit, by_person, mated) for searches, limit in drawn]
        assert row.tolist() == pytest.approx(expected, nan_ok=True)


def test_a_draw_without_such_searches_counts_for_nothing(script: Any) -> None:
    values = np.array([[0.1, 0.3, np.nan], [0.2, np.nan, np.nan], [0.0, 0.4, 0.9]])
    assert script.shown(values).startswith("20.00 (20.00 to 20.00)")


def test_strangers_from_elsewhere_are_searched_once_and_never_enrolled(script: Any) -> None:
    people, others = made_up(1, 12, 4, noise=0.5), made_up(2, 30, 3, noise=0.5)
    strangers = {f"elsewhere/{person}": own for person, own in others.items()}
    gallery, probes = script.draw(people, 7, 0, strangers)
    alone = script.draw(people, 7, 0)
    assert gallery.keys() == alone[0].keys() <= people.keys()
    assert len(gallery) == 7
    assert {name: len(own) for name, own in probes.items() if name in strangers} == dict.fromkeys(strangers, 1)
    assert probes.keys() - strangers.keys() == people.keys()
    shown = [script.draw(people, 7, seed, strangers)[1]["elsewhere/p00"][0] for seed in range(20)]
    assert len({row.tobytes() for row in shown}) == 3, "another of the three photos by chance"


def test_strangers_there_are_none_of_are_refused(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {name: [np.eye(3)[0]] for name in ("faces/a_1", "faces/b_1", "small/a_1")}
    assert list(script.named_so(rows, "faces/")) == ["faces/a_1", "faces/b_1"]
    with pytest.raises(SystemExit, match="--strangers a_: no training person's folder and name begin so; one is fa"):
        script.named_so(rows, "a_")
    arguments = "measure_calibration.py none --data none --sizes 10 --groups-of 120 --strangers faces/"
    monkeypatch.setattr("sys.argv", arguments.split())
    with pytest.raises(SystemExit, match="2"):  # before it looks for the model
        script.main()


def test_of_lfw_everybody_with_five_photos_is_enrolled_with_four(constant: Any) -> None:
    rows = {"many": list(np.eye(7)), "five": list(np.eye(5)), "four": list(np.eye(4)), "one": list(np.eye(1))}
    gallery, probes = constant.draw_lfw(rows, 4, 0)
    assert {person: len(own) for person, own in gallery.items()} == {"many": 4, "five": 4}
    assert {person: len(own) for person, own in probes.items()} == {"many": 3, "five": 1, "four": 1, "one": 1}
    everybody = np.stack([*gallery["many"], *probes["many"]])
    assert (everybody.sum(axis=0) == 1).all(), "every photo once"
    again = [constant.draw_lfw(rows, 4, seed)[0]["many"] for seed in range(5)]
    assert len({tuple(np.stack(own).argmax(axis=1)) for own in again}) > 1


def test_both_ways_of_deciding_are_counted_on_what_is_decided(constant: Any) -> None:
    gallery, probes = split(made_up(3, 12, 5, noise=0.5), 6, 2)
    cohort = np.concatenate(list(made_up(4, 300, 1, noise=1).values()))
    calibrated, fixed = constant.by_gallery(gallery, probes, cohort), constant.by_constant(gallery, probes, 0.2)
    people = sorted(probes)
    for decided in (calibrated, fixed):
        values = constant.rates([decided], people)[0]
        mated = decided.searches.mated
        assert values[1] == pytest.approx(1 - decided.right[mated].mean())
        assert values[2] == pytest.approx(decided.named[~mated].mean())
        counts = [of.tally.rate(np.ones((1, len(of.tally.errors))))[0] for of in constant.rates_count([decided])]
        assert counts == pytest.approx(values.tolist()), "what each rate counts gives the rate"
        assert (decided.right <= decided.named).all()
    templates = np.stack([row for own in gallery.values() for row in own if row is not None])
    for row, named in zip([row for own in probes.values() for row in own if row is not None], fixed.named, strict=True):
        assert named == (np.square(templates - row).sum(axis=1).min() <= 0.2)
