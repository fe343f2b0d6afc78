"""facerec.evaluation.identification: open-set searches by a slow oracle, the report, the command, the draws."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import oracles
import pytest
import toy_failures
import toy_model
from running import json_lines, run
from toy_failures import darken
from toy_searches import People, made_up, split

from facerec.decision.decide import decide
from facerec.decision.posterior import Posterior
from facerec.errors import DataError
from facerec.evaluation import identification as module
from facerec.evaluation.identification import (
    by_group,
    fnir_at_fpir,
    identification,
    probability_of,
    run_searches,
    search_all,
)
from facerec.types import Candidate, Decision, Threshold

dark = toy_failures.dark


@pytest.mark.parametrize("seed", range(6))
def test_against_brute_force(seed: int) -> None:
    gallery, probes = split(made_up(seed, 14, 5, noise=0.8), 8, 2)
    probes["p00"].append(None)
    probes["p13"].append(None)
    gallery["p01"] = [None]  # could not be enrolled, and is searched for all the same
    limit = Threshold(0.3, "made up")
    result = identification(gallery, probes, limit)
    oracle = oracles.identification_by_loop(gallery, probes, limit.distance)
    assert (result.people, result.templates, result.failures_to_enrol, result.failures_to_acquire) == (8, 14, 1, 2)
    assert (result.mated_searches, result.nonmated_searches) == (8 * 3 + 1, 6 * 5 + 1)
    assert result.rank1_rate == pytest.approx(oracle["rank1"])
    assert result.fpir_at_gallery_threshold == pytest.approx(oracle["fpir"])
    assert result.fnir_at_gallery_threshold == pytest.approx(oracle["fnir"])
    for name, value in result.fnir_at_fpir.items():
        assert value == pytest.approx(oracle[f"fnir at {name}"])
        limit_there = result.threshold_at_fpir[name]
        assert limit_there is not None
        there = oracles.identification_by_loop(gallery, probes, limit_there - 1e-5)  # it lies just below a distance
        assert there["fnir"] == pytest.approx(value)
        assert there["fpir"] <= float(name)


def test_a_person_who_cannot_be_enrolled_is_missed_and_never_a_stranger() -> None:
    gallery: People = {"Ann": [None], "Bob": [np.array([1, 0], np.float32)]}
    probes: People = {"Ann": [np.array([0, 1], np.float32)], "Bob": [np.array([1, 0], np.float32)]}
    result = identification(gallery, probes, Threshold(4, "all"))
    assert (result.mated_searches, result.nonmated_searches, result.people) == (2, 0, 2)
    assert (result.rank1_rate, result.fnir_at_gallery_threshold) == (0.5, 0.5)
    assert (result.fpir_at_gallery_threshold, result.fnir_at_fpir["0.01"]) == (None, None)
    assert result.ci95["fnir_at_fpir"]["0.01"] is None


def test_the_wrong_person_within_the_threshold_is_a_miss() -> None:
    near = np.array([[1, 0], [0.98, 0.199], [0.9, 0.436]], np.float32)
    gallery: People = {"Ann": [near[2]], "Bob": [near[1]]}
    searches = run_searches(gallery, {"Ann": [near[0]], "stranger": [-near[0]]})
    assert searches.scores.tolist()[0] == np.inf
    assert fnir_at_fpir(searches, 0.1) == 1


def test_no_photo_to_enrol_with_and_no_probe() -> None:
    with pytest.raises(DataError, match="not one enrollment photo"):
        identification({"Ann": [None]}, {"Ann": [np.array([1, 0], np.float32)]}, None)
    with pytest.raises(DataError, match="no probe"):
        identification({"Ann": [np.array([1, 0], np.float32)]}, {}, None)


def test_intervals_resample_searchers_not_searches() -> None:
    """One searcher's 40 misses are one person's: the interval must reach far."""
    gallery, probes = split(made_up(0, 10, 3, noise=0.01), 5, 1)
    probes["p00"] = [-row for row in gallery["p00"] if row is not None] * 40
    ends = identification(gallery, probes, None).ci95["fnir_at_fpir"]["0.1"]
    assert ends[0] == 0
    assert ends[1] > 0.9


def hard(seed: int) -> tuple[People, People]:
    """30 people, 24 of them enrolled, one in vain; two probes without a face."""
    gallery, probes = split(made_up(seed, 30, 5, noise=0.8), 24, 2)
    gallery["p01"] = [None]
    probes["p00"].append(None)
    probes["p29"].append(None)
    return gallery, probes


@pytest.mark.parametrize("seed", range(3))
def test_ranks_are_those_of_the_loop(seed: int) -> None:
    gallery, probes = hard(seed)
    result = identification(gallery, probes, None)
    ranks = [oracles.rank_by_loop(gallery, person, row) for person in gallery for row in probes[person]]
    assert result.rank_k == pytest.approx(
        {str(k): sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10, 20)}
    )
    assert result.rank_k["1"] == result.rank1_rate
    assert len(set(result.rank_k.values())) == 4  # neither all found nor none
    for name, rate in result.rank_k.items():
        low, high = result.ci95["rank_k"][name]
        assert low <= rate <= high


@pytest.mark.parametrize("seed", range(3))
def test_the_det_curve_passes_through_what_is_reported(seed: int) -> None:
    result = identification(*hard(seed), None)
    fpirs, fnirs, limits = zip(*result.det, strict=True)
    assert fpirs == pytest.approx([false / 30 for false in range(len(result.det))]), "30 of the 31 have a face"
    assert list(fnirs) == sorted(fnirs, reverse=True)
    assert list(limits) == sorted(limits)
    for name, fnir in result.fnir_at_fpir.items():
        within = [point for point in result.det if point[0] <= float(name)]
        assert within[-1][1:] == [fnir, result.threshold_at_fpir[name]]


def test_searching_all_at_once_finds_the_same() -> None:
    one, all_ = run_searches(*hard(0)), search_all(*hard(0))
    assert (all_.searcher, all_.people, all_.seconds.size) == (one.searcher, one.people, 0)
    assert all_.distance == pytest.approx(one.distance, abs=1e-5)
    assert (all_.rank == one.rank).all()
    empty = search_all({"p00": [None]}, {"p00": [np.array([1, 0], np.float32)], "p01": [None]})
    assert (empty.people, empty.mated.tolist(), empty.distance.tolist()) == (0, [True, False], [np.inf, np.inf])


def test_rates_at_the_gallerys_threshold_are_of_final_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else than the distance a decision may look at: here a margin."""

    def with_margin(candidates: tuple[Candidate, ...], threshold: Threshold, people: int) -> Decision:
        decision = decide(candidates, threshold, people)
        unsure = decision.margin is not None and decision.margin < 0.1
        return dataclasses.replace(decision, person=None) if unsure else decision

    gallery, probes = hard(1)
    limit = Threshold(0.4, "made up")
    plain = identification(gallery, probes, limit)
    monkeypatch.setattr(module, "decide", with_margin)
    careful = identification(gallery, probes, limit)
    named = []
    for person, rows in probes.items():
        for row in rows:
            near = []
            for other, own in gallery.items():
                known = [list(template) for template in own if template is not None]
                if known and row is not None:
                    d = ((np.array(oracles.unit_mean_by_loop(known)) - row) ** 2).sum()
                    near.append(Candidate(other, float(d)))
            named.append((person, with_margin(tuple(near), limit, 23).person))
    assert named.pop() == ("p29", None), "without a face, so no rate is about it"
    mated = [(own, name) for own, name in named if own in gallery]
    strangers = [name for own, name in named if own not in gallery]
    assert careful.fnir_at_gallery_threshold == pytest.approx(sum(own != name for own, name in mated) / len(mated))
    assert careful.fpir_at_gallery_threshold == pytest.approx(sum(map(bool, strangers)) / len(strangers))
    assert careful.fnir_at_gallery_threshold > plain.fnir_at_gallery_threshold  # type: ignore[operator]
    assert careful.fpir_at_gallery_threshold < plain.fpir_at_gallery_threshold  # type: ignore[operator]


def test_figures_by_group_are_those_of_its_searches_alone() -> None:
    gallery, probes = hard(2)
    limit = Threshold(0.3, "made up")
    whole = identification(gallery, probes, limit)
    group_of = {person: ("odd" if i % 2 else "even") if i < 28 else "no group" for i, person in enumerate(probes)}
    names = [group_of[person] for person, rows in probes.items() for _ in rows]
    figures = by_group(run_searches(gallery, probes), names, limit, whole.threshold_at_fpir)
    assert list(figures) == ["even", "no group", "odd"]
    for name, own in figures.items():
        searchers = {person: rows for person, rows in probes.items() if group_of[person] == name}
        alone = identification(gallery, searchers, limit).to_json()
        shared = ("rank_k", "fnir_at_fpir", "fnir_at_gallery_threshold", "fpir_at_gallery_threshold", "mated_searches")
        assert {key: own[key] for key in shared} == {key: alone[key] for key in shared}
        assert own["ci95"]["rank1_rate"] == alone["ci95"]["rank1_rate"]
        assert own["searchers"] == len(searchers)
        for fpir, there in whole.threshold_at_fpir.items():
            assert there is not None
            rates = oracles.identification_by_loop(gallery, searchers, there - 1e-5) if name != "no group" else {}
            assert own["fpir_at_threshold"][fpir] == pytest.approx(rates.get("fpir", own["fpir_at_threshold"][fpir]))
            assert own["fnir_at_threshold"][fpir] == (pytest.approx(rates["fnir"]) if rates else None)
    for count in ("mated_searches", "nonmated_searches", "failures_to_acquire"):
        assert sum(own[count] for own in figures.values()) == getattr(whole, count)
    nobody = figures["no group"]  # strangers only
    assert (nobody["mated_searches"], nobody["rank1_rate"], nobody["ci95"]["rank1_rate"]) == (0, None, None)


def test_every_figure_is_given_by_group() -> None:
    """The curve, the probability and the photos that could not be enrolled, too."""
    gallery, probes = hard(2)
    names = ["odd" if int(person[1:]) % 2 else "even" for person, rows in probes.items() for _ in rows]
    stated = Posterior(-4.0, 1.0, 3.0, 0.4)
    searches, failed = run_searches(gallery, probes), {"even": 2, "abroad": 1}
    figures = by_group(searches, names, Threshold(0.3, "made up"), {"0.1": 0.4}, failed, stated)
    assert {name: own["failures_to_enrol"] for name, own in figures.items()} == {"abroad": 1, "even": 2, "odd": 0}
    assert figures["abroad"] == {
        "searchers": 0, "failures_to_enrol": 1, "mated_searches": 0, "nonmated_searches": 0, "failures_to_acquire": 0,
        "failures_to_acquire_nonmated": 0,
    }  # fmt: skip
    for name, rest in (("odd", 1), ("even", 0)):
        mine = {person: rows for person, rows in probes.items() if int(person[1:]) % 2 == rest}
        alone = run_searches(gallery, mine)
        assert figures[name]["probability"] == probability_of(alone, stated)
        assert figures[name]["det"] == identification(gallery, mine, None).det


FIELDS = [
    "ci95", "det", "failures_to_acquire", "failures_to_acquire_nonmated", "failures_to_enrol",
    "fnir_at_fpir", "fnir_at_gallery_threshold",
    "fpir_at_gallery_threshold", "gallery_threshold", "gallery_threshold_source", "mated_searches", "model",
    "model_fingerprint", "nonmated_searches", "people", "photos", "photos_missing",
    "photos_unreadable", "photos_without_face", "poor_faces",
    "rank1_rate", "rank_k", "search_ms_p50", "search_ms_p99", "seconds", "skipped", "templates", "threshold_at_fpir",
]  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path) -> list[object]:
    """Four people, three of them enrolled with two photos."""
    for person in range(4):
        for photo in range(5):
            part = "gallery" if photo < 2 else "probes"
            if (part, person) != ("gallery", 3):
                toy_model.save_crop(tmp_path / part / f"p{person}" / f"{photo}.png", person, photo)
    return ["--gallery-images", tmp_path / "gallery", "--probe-images", tmp_path / "probes", "--aligned"]


def test_the_command(folders: list[object], toy: Path) -> None:
    result = run("evaluate", "identification", *folders, "--json", "--model", toy)
    (line,) = json_lines(result)
    assert (result.exit_code, result.stderr) == (0, "")
    assert sorted(line) == FIELDS
    assert (line["people"], line["templates"], line["mated_searches"], line["nonmated_searches"]) == (3, 6, 9, 3)
    assert (line["gallery_threshold"], line["gallery_threshold_source"]) == (0.5, "made up for tests")
    assert line["fnir_at_fpir"] == {"0.1": 0, "0.01": 0, "0.003": 0}
    assert (line["rank1_rate"], line["fpir_at_gallery_threshold"], line["fnir_at_gallery_threshold"]) == (1, 0, 0)
    shown = run("evaluate", "identification", *folders, "--model", toy)
    assert shown.exit_code == 0
    assert "FNIR at FPIR 0.01" in shown.stdout


@pytest.mark.usefixtures("dark")
def test_the_command_with_photos_without_a_face(folders: list[object], toy: Path, tmp_path: Path) -> None:
    darken(tmp_path / "gallery" / "p0" / "dark.png")
    darken(tmp_path / "probes" / "p1" / "dark.png")
    darken(tmp_path / "probes" / "p3" / "dark.png")
    (tmp_path / "gallery" / "empty").mkdir()
    result = run("evaluate", "identification", *folders, "--json", "--model", toy)
    (line,) = json_lines(result)
    assert result.exit_code == 1
    empty, said = result.stderr.splitlines()
    assert empty == "1 person without a photo in --gallery-images, the first empty: their searches miss"
    assert said.startswith("3 photos without a usable face, counted as failed, the first ")
    assert (line["people"], line["failures_to_enrol"], line["failures_to_acquire"]) == (4, 1, 2)
    assert (line["failures_to_acquire_nonmated"], line["photos_without_face"]) == (1, 3)
    assert (line["mated_searches"], line["nonmated_searches"]) == (10, 4)


def test_draws_of_people(toy: Path, tmp_path: Path) -> None:
    """The script's FNIR is the command's, for a perfect model 0, and a model compared with itself is as good."""
    for person in range(8):
        for photo in range(5):
            toy_model.save_crop(tmp_path / "faces" / f"p{person}" / f"{photo}.png", person, photo)
    (tmp_path / "people.txt").write_text("".join(f"faces/p{person}\n" for person in range(8)), "utf-8")
    command = [sys.executable, "-m", "scripts.studies.open_set", tmp_path / "faces", toy, toy]
    said = subprocess.run(
        [*map(str, command), "--people", str(tmp_path / "people.txt"), "--draws", "3"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert said[0].startswith("8 people, 3 draws")
    assert said[-2] == said[-1]
    ever = {person for seed in range(3) for person in np.random.default_rng((0, seed)).permutation(8)[:4].tolist()}
    none = f"0.00 (0.00 to {100 * (1 - 0.025 ** (1 / len(ever))):.2f})"  # so many people were enrolled in some draw
    assert said[-1].split(" | ")[1:4] == ["100.00", none, none]
    assert said[-1].endswith("| - |")  # no errors, no ratio of errors
