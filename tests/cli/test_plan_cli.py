"""`facerec plan`: what it prints, and numbers that make no sense."""

import json

import pytest
from running import run

from facerec.evaluation.plan import figures, plan


def test_a_plan_for_a_million_people() -> None:
    asked = ("plan", "--people", 1_000_000, "--photos-per-person", 4, "--photos-per-day", 500_000, "--cores", 8)
    lines = run(*asked).stdout.splitlines()
    told = plan(1_000_000, 4, 500_000, 8)
    assert lines[0] == "1,000,000 people with 4 photos each"
    assert [line.split(":")[0] for line in lines[1:8]] == [
        "index", "search", "memory", "threshold", "FNIR", "photos a day", "checked",
    ]  # fmt: skip
    assert lines[1].startswith("index: shortlist")
    assert f"threshold: {told.threshold:.2f} (" in lines[4]
    assert told.photos_a_day is not None
    assert f"8 cores can identify about {round(told.photos_a_day, -5):,}; 500,000 are " in lines[6]
    assert "1,000,000 made-up people" in lines[7]
    sources = [part["source"] for name, part in figures().items() if name != "checked"]
    assert [line.partition(" from: ")[2] for line in lines[8:]] == sources
    assert "extrapolated" not in lines[2]
    assert "extrapolated" in run("plan", "--people", 10**8).stdout


def test_a_plan_for_programs() -> None:
    result = run("plan", "--people", 300, "--json")
    assert json.loads(result.stdout) == json.loads(json.dumps(plan(300).to_json()))
    assert json.loads(result.stdout)["photos_a_day"] is None
    assert result.stdout.count("\n") == 1


def test_photos_without_cores_are_not_left_unanswered() -> None:
    assert "give --cores" in run("plan", "--people", 1, "--photos-per-day", 5).stdout
    many = run("plan", "--people", 5, "--photos-per-person", 10).stdout
    assert many.startswith("5 people with 10 photos each; threshold and FNIR as measured with 4 photos\n")
    assert run("plan", "--people", 1).stdout.startswith("1 person with 1 photo each\n")


@pytest.mark.parametrize("option", ["--people", "--photos-per-person", "--photos-per-day", "--cores"])
@pytest.mark.parametrize("number", ["0", "-5", "99999999999999"])
def test_numbers_that_make_no_sense_are_one_line(option: str, number: str) -> None:
    result = run("plan", "--people", "5", option, number)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith(f"Error: {option} must be ")
