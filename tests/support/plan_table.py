"""The table of sizes in facerec/gallery/README.md. Run as a program, this writes the table anew:

PYTHONPATH=. .venv/bin/python tests/support/plan_table.py
"""

from pathlib import Path

from facerec.cli.common import percent
from facerec.cli.plan import in_ms, size
from facerec.evaluation.plan import plan
from facerec.text import how_many

PAGE = Path(__file__).resolve().parents[2] / "facerec" / "gallery" / "README.md"
BEGIN, END = "<!-- plan -->\n", "<!-- end of plan -->"
SIZES = tuple(10**power for power in range(3, 9))
PHOTOS = (1, 4)  # of each person


def plan_table() -> str:
    """Return a Markdown table: what `facerec plan` says of each of the sizes."""
    head = (
        "people",
        "index",
        "ms a search",
        "memory",
        "disk",
        *(f"{how_many(n, 'photo')}: threshold, FNIR" for n in PHOTOS),
    )
    rows = ["| " + " | ".join(head) + " |", f"|{'---|' * len(head)}", *map(_row, SIZES)]
    return "\n".join([*rows, ""])


def _row(people: int) -> str:
    one, *_ = several = [plan(people, photos) for photos in PHOTOS]
    time = in_ms(one.search_ms) + ("" if one.search_measured else " *")
    errors = (f"{each.threshold:.2f}, {percent(each.fnir)} %" for each in several)
    return "| " + " | ".join((f"{people:,}", one.index, time, size(one.memory_gb), size(one.disk_gb), *errors)) + " |"


def main() -> None:
    """Write the table anew."""
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    PAGE.write_text(before + BEGIN + plan_table() + END + rest.split(END)[1], "utf-8")


if __name__ == "__main__":
    main()
