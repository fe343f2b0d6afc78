"""What the commands share: options, errors at the edge, JSON lines, progress."""

import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from platformdirs import user_data_path

from facerec.errors import FacerecError
from facerec.faces.settings import DetectorSettings
from facerec.gallery.passphrase import let_ask
from facerec.photos.folders import find_photos
from facerec.text import how_many, printable

if TYPE_CHECKING:  # imported when needed
    from facerec.evaluation.report.tables import Table

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

SOME_FAILED, NOTHING_DONE = 1, 2  # exit codes
WIDEST = 1000  # characters of a table where no terminal sets a limit


class Failure(click.ClickException):
    """One line on stderr; nothing could be done."""

    exit_code = NOTHING_DONE


class FacerecCommand(click.Command):
    """A command whose library errors, and the system's, become one line on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run, turning the errors of files and library into click's error."""
        let_ask(functools.cache(_ask_passphrase) if sys.stdin.isatty() else None)
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # who reads us has gone away: click ends in silence
            raise
        except OSError as error:  # a full disk or a forbidden folder where no room below has a better word for it
            raise Failure(printable(f"{error.filename or 'a file'}: {error.strerror}")) from error
        except FacerecError as error:
            raise Failure(printable(in_options(str(error)))) from error  # one line, whatever names are in it


def in_options(message: str) -> str:
    """A message of the library, which marks arguments as `input_size` or `input_size=96`, in options of the command.

    The example becomes --input-size, or --input-size 96, where the running command has that option; what else stands
    between backticks stays.
    """
    context = click.get_current_context(silent=True)
    parameters = context.command.params if context else []
    known = {
        _name(opt): opt
        for each in parameters
        if isinstance(each, click.Option)
        for opt in (*each.opts, *each.secondary_opts)
    }

    def option(found: re.Match[str]) -> str:
        name, value = found.group(1), (found.group(2) or "").strip("'")
        return f"{known[name]} {value}".strip() if name in known else found.group()

    return _ARGUMENT.sub(option, message)


def _name(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


_ARGUMENT = re.compile(r"`([a-z_]+)(?:=([^`]+))?`")


def _ask_passphrase(question: str, twice: bool) -> str:
    """Ask at the terminal, showing nothing of the answer."""
    return click.prompt(printable(question), hide_input=True, confirmation_prompt=twice, err=True)


command = functools.partial(click.command, cls=FacerecCommand)
PHOTOS = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object per line on stdout.")
model_option = click.option(
    "--model",
    metavar="DIR|FILE|NAME",
    help="Model folder, FILE.onnx with its card, 'default' (the shipped model) or 'int8' (the same, faster on a CPU).",
)
layers_option = click.option(
    "--model",
    metavar="DIR|NAME",
    help="A model folder, or a backbone's name, as resnet50: ImageNet weights  [default: the shipped face model]",
)
classifier_option = click.option(
    "--model", required=True, metavar="DIR", help="Model folder that facerec train --mode classify made."
)
gallery_option = click.option(
    "--gallery",
    "gallery_folder",
    type=click.Path(path_type=Path, file_okay=True),
    envvar="FACEREC_GALLERY",
    default=lambda: user_data_path() / "facerec-gallery",
    show_default="$FACEREC_GALLERY, else facerec-gallery in your data directory",
    metavar="DIR",
    help="The gallery's folder.",
)
threshold_option = click.option(
    "--threshold", type=float, metavar="D", help="Largest distance (0 to 4) of a match, instead of the measured one."
)


def face_options(f: F) -> F:
    """--aligned, --min-face-size, --min-confidence: how faces are found; `make_detector` takes them."""
    return click.option("--aligned", is_flag=True, help="The inputs are aligned crops; detection is skipped.")(
        detector_options(f)
    )


def detector_options(f: F) -> F:
    """--min-face-size, --min-confidence."""
    defaults = DetectorSettings()
    f = click.option(
        "--min-confidence", type=click.FloatRange(0, 1), default=defaults.min_confidence, show_default=True,
        help="Faces the detector is less sure of are passed over.",
    )(f)  # fmt: skip
    return click.option(
        "--min-face-size", type=click.IntRange(min=12), default=defaults.min_face_size, show_default=True,
        help="Smallest face looked for, in pixels.",
    )(f)  # fmt: skip


def make_detector(aligned: bool, min_face_size: int, min_confidence: float, crop_size: int) -> Any:
    """The detector these options ask for."""
    from facerec.faces.detector import make_detector as make

    return make(crop_size, aligned, DetectorSettings(min_face_size=min_face_size, min_confidence=min_confidence))


def detector_for(reader: Any, aligned: bool, min_face_size: int, min_confidence: float) -> Any:
    """The detector a stage's reader wants; None for whole pictures. ConfigError for --aligned with those."""
    from facerec.faces.detector import detector_for as make

    return make(reader.card, aligned, DetectorSettings(min_face_size=min_face_size, min_confidence=min_confidence))


def expand_photos(photos: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """Folders replaced by the photos in them, and a line for each that has none."""
    paths, empty = [], []
    for path in photos:
        try:
            found = find_photos(path) if os.path.isdir(path) else [path]
        except FacerecError as error:
            empty.append(str(error))
            continue
        paths += found
        if not found:
            empty.append(f"{one_line(path)}: no photos in this folder; give another")
    return paths, empty


def emit(value: dict[str, Any]) -> None:
    """One JSON line on stdout; the bytes of a file name that are no UTF-8 are escaped as JSON has it.

    Its `reason` and `error` are the library's words; arguments in them are shown as options.
    """
    said = {key: in_options(value[key]) for key in ("reason", "error") if isinstance(value.get(key), str)}
    value = value | said
    click.echo(json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace"))


def warn(message: str) -> None:
    """One line on stderr, with the arguments in it as options."""
    click.echo(printable(in_options(message)), err=True)


def show_tables(line: dict[str, Any], as_json: bool, tables: "Callable[[dict[str, Any]], list[Table]]") -> None:
    """The line for machines, or its tables for people."""
    if as_json:
        emit(line)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not console.is_terminal:  # a file or a pipe has no width: nothing in it need be broken
        console = Console(width=WIDEST)
    for table in tables(line):
        shown = Table(title=escape(table.title) or None, caption=escape(table.note) or None)
        for name in table.header:
            shown.add_column(escape(name), overflow="fold")  # on a narrow terminal, broken rather than cut
        for row in table.rows:
            shown.add_row(*map(escape, row))
        console.print(shown)


def show_progress(
    items: Iterable[T], label: str, total: int, counts: Callable[[T], bool] = lambda item: True
) -> Iterator[T]:
    """`items` with a bar on stderr, when stderr is a terminal; `counts` says which of them are among the `total`.

    The bar is there while an item is waited for, and gone while it is printed.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False)
    task, waiting = bar.add_task(label, total=total), iter(items)
    while True:
        with bar:
            item = next(waiting, _NO_MORE)
        if isinstance(item, _NoMore):
            return
        bar.advance(task, counts(item))
        yield item


class _NoMore:
    """What comes after the last item."""


_NO_MORE = _NoMore()


def photos_of(photos: int, people: int, photo: str = "photo") -> str:
    """As in "3 photos of 1 person"."""
    return f"{how_many(photos, photo)} of {how_many(people, 'person', 'people')}"


def percent(rate: float) -> str:
    """A rate, 0..1, as per cent of two digits, and 100 rather than 1e+02."""
    return "100" if rate >= 0.995 else f"{100 * rate:.2g}"


def finish(failed: int, done: int) -> None:
    """Exit 0 when nothing failed, 1 when some inputs failed, 2 when nothing could be done."""
    if failed:
        click.get_current_context().exit(SOME_FAILED if done else NOTHING_DONE)


def one_line(path: Path) -> str:
    """A path as it is printed."""
    return printable(path)
