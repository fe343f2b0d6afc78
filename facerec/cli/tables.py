"""Prints figures: as tables for people, or as a line of JSON for programs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from facerec.cli import common

if TYPE_CHECKING:  # imported when needed
    from facerec.evaluation.report.tables import Table

WIDEST = 1000  # characters of a table where no terminal sets a limit


def show_tables(line: dict[str, Any], as_json: bool, tables: "Callable[[dict[str, Any]], list[Table]]") -> None:
    """Print `line` as JSON, or the tables made of it."""
    if as_json:
        common.emit(line)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not console.is_terminal:  # a file or a pipe has no width, so no line need be broken
        console = Console(width=WIDEST)
    for table in tables(line):
        shown = Table(title=escape(table.title) or None, caption=escape(table.note) or None)
        for name in table.header:
            shown.add_column(escape(name), overflow="fold")  # a narrow terminal breaks long cells, it does not cut them
        for row in table.rows:
            shown.add_row(*map(escape, row))
        console.print(shown)
