"""The table of settings in facerec/training/README.md. Run as a program, this writes the table anew:

PYTHONPATH=. .venv/bin/python tests/support/settings_table.py
"""

import dataclasses
from pathlib import Path

from facerec.training.settings import TrainSettings

PAGE = Path(__file__).resolve().parents[2] / "facerec" / "training" / "README.md"
BEGIN, END = "<!-- settings -->\n", "<!-- end of settings -->"


def settings_table() -> str:
    """Return a Markdown table of TrainSettings: each field with its default and its help text."""
    rows = [
        f"| `{field.name}` | {_shown(field.default)} | {_words(field)} |" for field in dataclasses.fields(TrainSettings)
    ]
    return "\n".join(["| setting | default | what |", "|---|---|---|", *rows, ""])


def _shown(default: object) -> str:
    return "" if default in (None, "", ()) else f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _words(field: "dataclasses.Field[object]") -> str:
    choices = ", ".join(f"`{choice}`" for choice in field.metadata["choices"])
    return f"{field.metadata['help']}{f' One of {choices}.' if choices else ''}".replace("|", "\\|")


def main() -> None:
    """Replace the table on the page."""
    page = PAGE.read_text("utf-8")
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + settings_table() + END + rest.split(END)[1], "utf-8")


if __name__ == "__main__":
    main()
