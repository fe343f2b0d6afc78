"""The progress bar: how many photos are done, how many a second, and how long the rest takes."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from facerec.cli.voice import is_quiet

if TYPE_CHECKING:  # imported when needed
    from rich.progress import Progress, Task

T = TypeVar("T")


def show_progress(
    items: Iterable[T], label: str, total: int, counts: Callable[[T], bool] = lambda item: True
) -> Iterator[T]:
    """Yield `items` and show a progress bar, if stderr is a terminal and --quiet is not given.

    counts: says whether an item is one of the `total` photos. The bar is shown while the next item is worked on, and
    hidden while the caller prints one.
    """
    if is_quiet() or not sys.stderr.isatty():
        yield from items
        return
    bar = _bar()
    task, waiting = bar.add_task(label, total=total), iter(items)
    while True:
        with bar:
            item = next(waiting, _NO_MORE)
        if isinstance(item, _NoMore):
            return
        bar.advance(task, counts(item))
        yield item


def _bar() -> "Progress":
    from rich import progress
    from rich.console import Console
    from rich.text import Text

    class Speed(progress.ProgressColumn):
        def render(self, task: "Task") -> Text:
            return Text(f"{task.speed:.1f} photos/s" if task.speed else "")

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TaskProgressColumn(),
        Speed(),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


class _NoMore:
    """Marks the end of the items."""


_NO_MORE = _NoMore()
