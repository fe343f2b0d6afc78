"""The page of all results, scripts/studies/README.md: `head.md`, then a section for each `results/NAME.toml`.

A TOML file has the fields of `Study`; each of its `[[tables]]` has those of `Result`. All text is Markdown.
"""

import csv
import textwrap
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
    parts = [f"### {study.name}", f"**{study.question}**", paragraph(study.answer), paragraph("*Data:*", study.data)]
    for result in study.tables:
        parts += [paragraph(result.title) + ":", markdown_table(RESULTS / result.file), paragraph(result.text)]
    parts += [study.notes.strip(), paragraph("*Not shown:*", study.limits), paragraph("*Made:*", study.made)]
    parts += [f"```\n{study.command.strip()}\n```"]
    return "\n\n".join(part for part in parts if part)


def paragraph(*texts: str) -> str:
    """The texts as one paragraph."""
    return textwrap.fill(" ".join(texts), 120, break_long_words=False, break_on_hyphens=False)


def page() -> str:
    """The whole page."""
    studies = read_studies()
    contents, sections = [HEAD.read_text("utf-8").strip(), "## Contents"], []
    for topic, several in groupby(studies, lambda study: study.topic):
        own = list(several)
        links = [f"- [{study.name}](#{study.name}): {study.question}" for study in own]
        contents += [f"{TOPICS[topic]}:", "\n".join(links)]
        sections += [f"## {TOPICS[topic]}", *map(section, own)]
    parts = contents + sections
    return "\n\n".join(parts) + "\n"
