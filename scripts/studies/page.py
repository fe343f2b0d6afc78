"""The page of all results, scripts/studies/README.md: `head.md`, then a section for each `results/NAME.toml`.

A TOML file has the fields of `Study`; each of its `[[tables]]` has those of `Result`. All text is Markdown.
"""

import csv
import tomllib
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from scripts.studies.tables import markdown_row

FOLDER = Path(__file__).parent
HEAD, RESULTS, PAGE = FOLDER / "head.md", FOLDER / "results", FOLDER / "README.md"
TOPICS = {
    "model": "How good the shipped model is",
    "thresholds": "Thresholds and decisions",
    "photos": "Photos and folders",
    "training": "Training",
    "networks": "What a network sees",
    "gallery": "The gallery as a program",
    "record": "What was looked at when",
}


@dataclass(frozen=True)
class Result:
    """A table of a study. file: a CSV in results/. title: what it shows. text: what else to say about it."""

    file: str
    title: str
    text: str = ""


@dataclass(frozen=True)
class Study:
    """A section of the page.

    name: of the TOML file, and of NAME.py where a script makes the tables. topic: a key of TOPICS. answer: two
    sentences. data: whose photos, and how many. limits: what the tables do not show. made: when and by which commit.
    notes: more that follows from the tables.
    """

    name: str
    topic: str
    question: str
    answer: str
    data: str
    limits: str
    command: str
    made: str
    tables: tuple[Result, ...]
    notes: str = ""


def read_study(file: Path) -> Study:
    """The study that a TOML file describes; SystemExit where a field is missing or unknown."""
    fields = tomllib.loads(file.read_text("utf-8"))
    try:
        results = tuple(Result(**table) for table in fields.pop("tables"))
        study = Study(file.stem, tables=results, **fields)
    except (TypeError, KeyError) as error:
        raise SystemExit(f"{file}: a field is missing or unknown: {error}") from error
    if study.topic not in TOPICS:
        raise SystemExit(f"{file}: topic {study.topic!r} is none of {', '.join(TOPICS)}")
    return study


def read_studies() -> list[Study]:
    """All of them, by topic and name."""
    topics = list(TOPICS)
    return sorted(map(read_study, RESULTS.glob("*.toml")), key=lambda study: (topics.index(study.topic), study.name))


def markdown_table(file: Path) -> str:
    """The rows of a CSV file as a Markdown table; its first row is the head."""
    with file.open(newline="", encoding="utf-8") as opened:
        head, *rows = csv.reader(opened)
    return "\n".join([markdown_row(head), f"|{'---|' * len(head)}", *map(markdown_row, rows)])


def section(study: Study) -> str:
    """The section of a study."""
    parts = [f"### {study.name}", f"**{study.question}** {study.answer.strip()}", f"*Data.* {study.data.strip()}"]
    for result in study.tables:
        parts += [f"{result.title.strip()}:", markdown_table(RESULTS / result.file), result.text.strip()]
    parts += [study.notes.strip(), f"*What this does not show.* {study.limits.strip()}"]
    parts += [f"```\n{study.command.strip()}\n```", f"*Made.* {study.made.strip()}"]
    return "\n\n".join(part for part in parts if part)


def page() -> str:
    """The whole page."""
    studies = read_studies()
    contents = [f"- [{study.name}](#{study.name}): {study.question}" for study in studies]
    parts = [HEAD.read_text("utf-8").strip(), "## Contents", "\n".join(contents)]
    for topic, several in groupby(studies, lambda study: study.topic):
        parts += [f"## {TOPICS[topic]}", *map(section, several)]
    return "\n\n".join(parts) + "\n"
