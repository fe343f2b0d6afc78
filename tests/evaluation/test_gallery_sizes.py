"""facerec.evaluation.gallery_sizes: sub-galleries against loops, and the command."""

from pathlib import Path

import numpy as np
import oracles
import pytest
import toy_model
from running import json_lines, run
from toy_searches import People, made_up, split

from facerec.errors import ConfigError
from facerec.evaluation import gallery_sizes
from facerec.evaluation import identification as module
from facerec.evaluation.gallery_sizes import by_gallery_size, sub_galleries
from facerec.evaluation.identification import gallery_threshold, identification
from facerec.types import Threshold


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery_sizes, "DRAWS", 4)
    monkeypatch.setattr(gallery_sizes, "REPLICATES", 60)


def some_people() -> tuple[People, People, np.ndarray]:
    """12 to be enrolled, 4 strangers, 200 strangers to set the threshold by."""
    gallery, probes = split(made_up(3, 16, 5, noise=0.6), 12, 2)
    cohort = np.concatenate(list(made_up(4, 200, 1, noise=1).values()))
    return gallery, probes, cohort


@pytest.mark.usefixtures("few_draws")
def test_means_over_draws_are_the_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEFAULT_FPIR", 0.2)  # at which so few strangers err
    gallery, probes, cohort = some_people()
    probes["p02"].append(None)
    (result,) = by_gallery_size(gallery, probes, [5], cohort, None)
    rates = []
    for chosen in sub_galleries(sorted(gallery), 5):
        own = {person: gallery[person] for person in chosen}
        limit = oracles.gallery_threshold_by_loop(own, list(cohort), 0.2)
        rates.append((limit, oracles.identification_by_loop(own, probes, limit + 1e-6)))
    assert (result.people, result.draws) == (5, 4)
    assert result.mated_searches + result.nonmated_searches == 12 * 3 + 4 * 5 + 1
    assert result.gallery_threshold == pytest.approx(np.mean([limit for limit, _ in rates]), abs=1e-5)
    assert result.fnir_at_fpir["0.01"] == pytest.approx(np.mean([rate["fnir at 0.01"] for _, rate in rates]))
    assert result.fnir_at_gallery_threshold == pytest.approx(np.mean([rate["fnir"] for _, rate in rates]))
    assert result.fpir_at_gallery_threshold == pytest.approx(np.mean([rate["fpir"] for _, rate in rates]))
    assert 0 < np.mean([rate["fpir"] for _, rate in rates]) < 1
    for name in ("fnir_at_gallery_threshold", "fpir_at_gallery_threshold"):
        low, high = result.ci95[name]
        assert low <= getattr(result, name) <= high


def test_draws_are_seeded_differ_and_take_nobody_twice() -> None:
    people = [f"p{i}" for i in range(30)]
    drawn = sub_galleries(people, 7)
    assert drawn == sub_galleries(people, 7)
    assert len({tuple(own) for own in drawn}) == len(drawn) == 20
    assert all(len(set(own)) == 7 and set(own) <= set(people) for own in drawn)
    assert {person for own in drawn for person in own} == set(people)
    assert sub_galleries(people, 30) == [people]


@pytest.mark.usefixtures("few_draws")
def test_the_whole_gallery_is_what_identification_reports() -> None:
    gallery, probes, cohort = some_people()
    (size,) = by_gallery_size(gallery, probes, [12], cohort, None)
    whole = identification(gallery, probes, gallery_threshold(gallery, cohort, None))
    assert (size.draws, size.mated_searches, size.nonmated_searches) == (
        1,
        whole.mated_searches,
        whole.nonmated_searches,
    )
    assert size.fnir_at_fpir["0.01"] == pytest.approx(whole.fnir_at_fpir["0.01"])
    assert size.fnir_at_gallery_threshold == pytest.approx(whole.fnir_at_gallery_threshold)
    assert size.fpir_at_gallery_threshold == pytest.approx(whole.fpir_at_gallery_threshold)


@pytest.mark.usefixtures("few_draws")
def test_people_who_cannot_be_enrolled_are_drawn_and_missed() -> None:
    gallery, probes, cohort = some_people()
    gallery = {person: [None] if person != "p00" else rows for person, rows in gallery.items()}
    (one,) = by_gallery_size(gallery, probes, [1], cohort, Threshold(4, "everybody"))
    assert one.fnir_at_gallery_threshold is not None  # of galleries that hold nobody, too
    assert one.fnir_at_gallery_threshold >= 0.75
    assert one.mated_searches == 3


@pytest.mark.usefixtures("few_draws")
def test_without_cohort_and_card_there_is_no_threshold() -> None:
    gallery, probes, _ = some_people()
    (size,) = by_gallery_size(gallery, probes, [5], np.zeros((0, 6), np.float32), None)
    assert (size.gallery_threshold, size.fnir_at_gallery_threshold, size.fpir_at_gallery_threshold) == (None,) * 3
    assert size.fnir_at_fpir["0.01"] is not None


@pytest.mark.usefixtures("few_draws")
def test_without_any_stranger_nothing_is_said_of_them() -> None:
    gallery, probes, cohort = some_people()
    (size,) = by_gallery_size(gallery, {person: probes[person] for person in gallery}, [12], cohort, None)
    assert (size.fpir_at_gallery_threshold, size.fnir_at_fpir["0.01"], size.nonmated_searches) == (None, None, 0)
    assert size.fnir_at_gallery_threshold is not None


@pytest.mark.parametrize("size", [0, 13])
def test_sizes_that_cannot_be_drawn(size: int) -> None:
    with pytest.raises(
        ConfigError, match=f"a gallery of {size} cannot be drawn from 12 people; give sizes from 1 to 12"
    ):
        by_gallery_size(*some_people()[:2], [5, size], np.zeros((0, 6), np.float32), None)


@pytest.fixture
def folders(tmp_path: Path) -> list[object]:
    """Four people, three of them enrolled with two photos."""
    for person in range(4):
        for photo in range(4):
            part = "gallery" if photo < 2 else "probes"
            if (part, person) != ("gallery", 3):
                toy_model.save_crop(tmp_path / part / f"p{person}" / f"{photo}.png", person, photo)
    return ["--gallery-images", tmp_path / "gallery", "--probe-images", tmp_path / "probes", "--aligned"]


@pytest.mark.usefixtures("few_draws")
def test_the_command(folders: list[object], toy: Path) -> None:
    command = ("evaluate", "identification", *folders, "--model", toy, "--gallery-sizes", "2, 1,2")
    (line,) = json_lines(run(*command, "--json"))
    assert [size["people"] for size in line["by_gallery_size"]] == [1, 2]
    assert [size["mated_searches"] for size in line["by_gallery_size"]] == [2, 4]
    assert line["by_gallery_size"][1]["fnir_at_fpir"] == {"0.01": 0}
    shown = run(*command)
    assert shown.exit_code == 0
    assert "by gallery size" in shown.stdout


@pytest.mark.parametrize(("sizes", "said"), [("4", "from 1 to 3"), ("a", "whole numbers"), ("1,,2", "whole numbers")])
def test_bad_sizes_are_refused_before_a_photo_is_read(sizes: str, said: str, folders: list[object], toy: Path) -> None:
    result = run("evaluate", "identification", *folders, "--model", toy, "--gallery-sizes", sizes)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
