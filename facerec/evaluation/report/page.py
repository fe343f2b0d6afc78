"""One self-contained HTML page: facts, tables, plots and pictures. It loads nothing and runs nothing."""

import base64
import datetime
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import PIL.Image

from facerec.errors import ConfigError
from facerec.evaluation.report.glossary import TERMS, explain
from facerec.evaluation.report.plots import as_source
from facerec.evaluation.report.tables import Table
from facerec.extras import require_extra
from facerec.files import require_writable, write_bytes
from facerec.text import printable
from facerec.types import Image

if TYPE_CHECKING:  # slow to import
    from markupsafe import Markup
    from matplotlib.figure import Figure

NAME = "report.html"
THUMBNAIL = 128  # pixels of a picture's longer side
PACKAGES = ("facerec", "numpy", "torch", "openvino", "faiss-cpu", "scikit-learn")


@dataclass(frozen=True, eq=False, slots=True)
class Plot:
    """A figure, with a note for the reader."""

    title: str
    figure: "Figure"
    note: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Plots:
    """Figures of one kind under a heading, to be compared with each other."""

    title: str
    plots: tuple[Plot, ...]
    note: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Text:
    """Words under a heading, or under none: the lead in large type, points, a note. `x` is shown as code."""

    title: str
    lead: str = ""
    points: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Mistake:
    """One error: its pictures (None: cannot be shown) and a caption that says what happened."""

    pictures: tuple[Image | None, ...]
    caption: str


@dataclass(frozen=True, eq=False, slots=True)
class Mistakes:
    """The worst errors of one kind."""

    title: str
    note: str
    mistakes: tuple[Mistake, ...]


Section = Table | Text | Plot | Plots | Mistakes


@dataclass(frozen=True, eq=False, slots=True)
class Page:
    """A report. facts: pairs of name and value, above all sections. terms: what is explained where it is first used."""

    title: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    terms: Mapping[str, str] = field(default_factory=lambda: TERMS)


def facts_of(model: str, fingerprint: str, command: str) -> tuple[tuple[str, str], ...]:
    """Return the facts of a page: what was measured, by which command, when and with which versions."""
    return (("model", model), ("fingerprint", fingerprint), ("command", command), *made_now())


def made_now() -> tuple[tuple[str, str], ...]:
    """Return the facts of every page: when it was made, and with which versions."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    versions = [f"Python {platform.python_version()}", *(f"{name} {_version(name)}" for name in PACKAGES)]
    return (("made", now), ("versions", ", ".join(versions)))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def prepare(folder: Path) -> None:
    """Make the folder before any work is done. Raises ConfigError if no page can be made or written to it."""
    require_extra("report", "`report`")
    if os.path.isdir(folder / NAME):
        raise ConfigError(
            f"{folder / NAME}: a folder has the report's name; move it, or give another folder to `report`"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        require_writable(folder / NAME)
    except OSError as error:
        raise _unwritable(folder, error) from error


def write(folder: Path, page: Page) -> Path:
    """Write FOLDER/report.html, whole or not at all. Returns its path.

    Only its owner may read the file, because it shows faces. Raises ConfigError if it cannot be written.
    """
    content = render(page).encode("utf-8")
    try:
        write_bytes(folder / NAME, content, private=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder / NAME


def render(page: Page) -> str:
    """Return the page as HTML. All text on it is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"line": printable, "words": _words, "jpeg": _thumbnail, "svg": as_source}
    terms = explain(map(_texts, page.sections), page.terms)
    sections = [
        {"kind": type(section).__name__, "is": section, "terms": own}
        for section, own in zip(page.sections, terms, strict=True)
    ]
    return environment.get_template("page.html").render(page=page, sections=sections)


def _texts(section: Section) -> list[str]:
    """The words of a section, in which terms are looked for; not the names of people and photos."""
    if isinstance(section, Table):
        return [*section.header, section.note, *(row[0] for row in section.rows)]
    if isinstance(section, Text):
        return [section.title, section.lead, *section.points, section.note]
    if isinstance(section, Plots):
        return [section.title, section.note, *(words for plot in section.plots for words in (plot.title, plot.note))]
    if isinstance(section, Plot):
        from matplotlib.text import Text as Label

        return [section.title, section.note, *(text.get_text() for text in section.figure.findobj(Label))]  # type: ignore
    return [section.title, section.note]


def _words(text: str) -> "Markup":
    """Return a sentence as HTML, `x` in it as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(printable(text)))))


def _thumbnail(picture: Image) -> str:
    """Return a small JPEG as the `src` of an <img>."""
    thumbnail = PIL.Image.fromarray(picture)
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))
    jpeg = BytesIO()
    thumbnail.save(jpeg, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{folder}: no report can be written there ({error.strerror}); give another folder to `report`")
