"""What the commands share: options, JSON lines, and library errors as one line on stderr."""

import functools
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click
from platformdirs import user_data_path

from facerec.cli.arguments import in_options
from facerec.cli.asking import asked
from facerec.cli.left_out import told_at_the_end
from facerec.cli.model_options import model_and_fast
from facerec.cli.offers import some
from facerec.cli.path_types import GALLERY, LAYERS, MODEL, NEW_GALLERY, GalleryPlace, unopened
from facerec.cli.progress import show_progress
from facerec.cli.user_settings import everyday_option
from facerec.cli.voice import aside, is_quiet, is_verbose, telling_more, voice_option, wants_colour
from facerec.errors import FacerecError
from facerec.extras import named, require_extra
from facerec.gallery.address import Place
from facerec.gallery.passphrase import let_ask
from facerec.models.names import NAMES
from facerec.models.places import SHIPPED
from facerec.photos.folders import find_photos
from facerec.text import how_many, printable

if TYPE_CHECKING:  # imported when needed
    from facerec.decision.decide import Verification

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
Line = Callable[[Path, str], dict[str, Any]]
Finder = Callable[[Path], list[Path]]

SOME_FAILED, NOTHING_DONE = 1, 2  # exit codes
INTERRUPTED, READER_GONE = 130, 141  # 128 + SIGINT, 128 + SIGPIPE: what shells say of a program that they end


class Failure(click.ClickException):
    """An error shown as one line on stderr. The exit code is 2: nothing could be done."""

    exit_code = NOTHING_DONE

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line, if it can be printed."""
        aside(click.style(f"Error: {self.format_message()}", fg="red"), file, self.show_color)


class FacerecCommand(click.Command):
    """A command with --quiet and --verbose.

    It turns an error of the library or the system into one line on stderr and exit code 2. needs: the extra of
    pyproject.toml that it needs, which is looked for before anything else.
    """

    def __init__(self, *args: Any, needs: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.needs = needs
        self.params += [
            voice_option("--quiet", "Print answers only, and failures: no progress, remarks or summary."),
            voice_option("--verbose", "Also say what is loaded, how long that takes, and more about each photo."),
        ]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options, and the user's settings. Raises Failure for errors of that file, and for mistyped paths."""
        with errors_in_one_line():
            if not ctx.resilient_parsing and "--help" not in args:
                require_extra(self.needs, ctx.command_path)
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises Failure for errors of the library and of files."""
        ctx.color = wants_colour()
        if is_verbose():
            ctx.with_resource(telling_more(ctx))
        let_ask(functools.cache(_ask_passphrase) if at_terminal() else None)
        with errors_in_one_line(), told_at_the_end(remark), named(ctx.command_path):
            return super().invoke(ctx)


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Raise Failure for errors of the library and of files. Show an error of usage, and end with its exit code."""
    try:
        yield
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        raise click.exceptions.Exit(error.exit_code) from error
    except BrokenPipeError as error:  # the reader of the output has gone; what is left of it goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]
        raise click.exceptions.Exit(READER_GONE) from error
    except (KeyboardInterrupt, click.Abort) as error:
        aside("Aborted!")
        raise click.exceptions.Exit(INTERRUPTED) from error
    except (MemoryError, ImportError) as error:  # so a library may fail to load where memory is short
        raise Failure(f"not enough memory, or a damaged installation ({printable(str(error))})") from error
    except OSError as error:  # such as a full disk or a forbidden folder, where the library has no better message
        raise Failure(printable(f"{error.filename or _nameless(error)}: {error.strerror}")) from error
    except FacerecError as error:
        raise Failure(printable(in_options(str(error)))) from error  # a name may hold line breaks


def _nameless(error: OSError) -> str:
    """Return what an error without a file's name is about: the output, if it arose while something was printed."""
    printing = click.echo.__code__ in (frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__))
    return "the output" if printing else "a file"


def _ask_passphrase(question: str, twice: bool) -> str:
    """Ask at the terminal. The answer is not shown."""
    return click.prompt(printable(question), hide_input=True, confirmation_prompt=twice, err=True)


def agreed(question: str, unasked: bool = True) -> bool:
    """Ask a question at the terminal; no answer means no. unasked: the answer where there is no terminal."""
    return bool(asked(f"{question} [y/N]")) if at_terminal() else unasked


def at_terminal() -> bool:
    """Whether somebody sits at a terminal and can be asked."""
    return sys.stdin.isatty()


command = functools.partial(click.command, cls=FacerecCommand)


class Rate(click.ParamType):
    """A share between 0 and 1, as a number. The library checks its range."""

    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number. Fails (exit code 2) for a text such as 1%."""
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number; 1 % is 0.01", param, ctx)


RATE = Rate()

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line on stdout.")


def _model_option(kind: click.ParamType) -> Callable[[F], F]:
    return model_and_fast(
        type=kind,
        shell_complete=some(tuple(SHIPPED), or_file=True),
        help="A model folder, a FILE.onnx with its card, 'default', or the default made faster: 'int8', 'one-view'  "
        "[default: that of facerec.toml, else the model that comes with facerec]",
    )


model_option = _model_option(MODEL)
any_model_option = _model_option(click.STRING)  # there need be none
layers_option = click.option(
    "--model",
    type=LAYERS,
    shell_complete=some(NAMES, or_file=True),
    metavar="DIR|NAME",
    help="A model folder, or a backbone's name, such as resnet50, with ImageNet weights  "
    "[default: the face model that comes with facerec]",
)
classifier_option = click.option(
    "--model",
    type=MODEL,
    shell_complete=some((), or_file=True),
    required=True,
    metavar="DIR",
    help="Model folder made by facerec train --mode classify, or for --attribute by facerec train --attribute.",
)


def _gallery_option(kind: GalleryPlace) -> Callable[[F], F]:
    return everyday_option(
        "--gallery",
        "gallery_folder",
        setting="gallery",
        type=kind,
        envvar="FACEREC_GALLERY",
        default=lambda: user_data_path() / "facerec-gallery",
        show_default="$FACEREC_GALLERY, else that of facerec.toml, else facerec-gallery in your data directory",
        metavar="DIR|ADDRESS",
        help="The gallery's folder, or its address on a server, as in postgresql://ann@db.club.org/faces.",
    )


gallery_option = _gallery_option(GALLERY)
new_gallery_option = _gallery_option(NEW_GALLERY)  # there need be none
explain_option = click.option("--explain", is_flag=True, help="Also print the reason of each answer.")
threshold_option = click.option(
    "--threshold",
    type=float,
    metavar="D",
    help="Largest distance of two faces (0 to 4) that is still a match  [default: the measured threshold]",
)


def expand_photos(photos: Iterable[Path], find: Finder = find_photos) -> tuple[list[Path], list[str]]:
    """Replace folders by the photos that `find` finds. Returns the photos, and a message for each path without any."""
    paths, empty = [], []
    for path in photos:
        try:
            found = find(path) if os.path.isdir(path) else [path]
        except FacerecError as error:
            empty.append(str(error))
            continue
        paths += found
        if not found:
            empty.append(f"{one_line(path)}: no photos in this folder; give another")
    return paths, empty


def photos_to_open(
    photos: Iterable[Path],
    counts: Mapping[str, int],
    as_json: bool,
    line: Line | None = None,
    faces: int | None = None,
    find: Finder = find_photos,
) -> tuple[list[Path], int]:
    """Replace folders by the photos in them. Returns the photos, and how many paths have none, each with a line.

    Ends the command if not one photo can be opened, before anything heavy is loaded. counts, faces: for its summary.
    line: the JSON of a photo that failed, and why. Without it, --json does not end here: its lines say more later.
    find: finds the photos in a folder.
    """
    paths, empty = expand_photos(photos, find)
    for message in empty:
        warn(message)
    errors = unopened(paths) if line or not as_json else []
    if paths and not errors:
        return paths, len(empty)
    for photo, error in zip(paths, errors, strict=True):
        warn(str(error))
        if as_json and line:
            emit(line(photo, str(error)))
    summarise(len(paths), {**counts, "failed": len(errors)}, as_json, faces)
    raise click.exceptions.Exit(NOTHING_DONE)


def emit(value: dict[str, Any]) -> None:
    """Print one JSON line on stdout. Bytes of a file name that are not UTF-8 are escaped.

    `reason` and `error` hold messages of the library, so arguments in them are shown as options.
    """
    said = {key: in_options(value[key]) for key in ("reason", "error") if isinstance(value.get(key), str)}
    value = value | said
    click.echo(json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace"))


def remarks_json(remarks: tuple[str, ...]) -> dict[str, Any]:
    """Return the part of a JSON line that holds a photo's remarks; empty if there are none."""
    return {"remarks": list(remarks)} if remarks else {}


def say(line: dict[str, Any], text: str, as_json: bool) -> None:
    """Print `line` as JSON, or the text."""
    emit(line) if as_json else click.echo(text)


def warn(message: str) -> None:
    """Name a failed input, in one line on stderr, with arguments shown as options. --quiet does not silence it."""
    aside(click.style(printable(in_options(message)), fg="red"))


def remark(message: str) -> None:
    """Print one line on stderr that is neither an answer nor a failure. --quiet silences it."""
    if not is_quiet():
        aside(printable(in_options(message)))


def tell_remarks(photo: Path, remarks: Iterable[str]) -> None:
    """Print each remark on a photo as a line on stderr."""
    for odd in remarks:
        remark(f"{one_line(photo)}: {odd}")


def detail(message: str) -> None:
    """Print one line on stderr, only with --verbose."""
    if is_verbose():
        remark(message)


def summary(text: str, as_json: bool) -> None:
    """Print the last line of a command that handled several photos on stdout. --quiet silences it.

    With --json it is on stderr, and only if that is a terminal: programs count for themselves.
    """
    if not is_quiet() and (not as_json or sys.stderr.isatty()):
        click.echo(printable(text), err=as_json)


def summarise(photos: int, counts: Mapping[str, int], as_json: bool, faces: int | None = None) -> None:
    """Print the summary of more than one photo, as in "22 photos, 24 faces: 12 known, 12 unknown, 2 failed".

    counts: how many there are of each kind. "failed" is left out if nothing failed.
    """
    if photos > 1:
        seen = how_many(photos, "photo") + ("" if faces is None else f", {how_many(faces, 'face')}")
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count or kind != "failed")
        summary(f"{seen}: {kinds}" if kinds else seen, as_json)


def same_or_not(answer: "Verification", explain: bool) -> str:
    """Return the line that says whether two faces are one person's. explain: with the reason.

    The reason also stands where two digits would not show that the distance is above the threshold.
    """
    said = click.style("the same person", fg="green") if answer.same else click.style("different people", fg="yellow")
    if explain or answer.distance is None:
        return f"{said}: {answer.reason}"
    looks_within = round(answer.distance, 2) <= round(answer.threshold.distance, 2)
    return f"{said}: {f'distance {answer.distance:.2f}' if answer.same == looks_within else answer.reason}"


class Watched(Iterator[T]):
    """Photos behind a progress bar. A photo's `error`, or each of its remarks, is a line on stderr.

    failed: how many had an error, so far.
    """

    def __init__(self, photos: Iterable[T], label: str, total: int) -> None:
        self._photos = show_progress(photos, label, total)
        self.failed = 0

    def __next__(self) -> T:
        photo = next(self._photos)
        from facerec.types import Photo  # brings NumPy, which help needs not

        error = getattr(photo, "error", None)
        if error is not None:
            self.failed += 1
            warn(str(error))
            return photo
        if isinstance(photo, Photo):
            sure = ", ".join(f"{face.confidence:.3f}" for face in photo.faces)
            detail(f"{one_line(photo.path)}: {how_many(len(photo.faces), 'face')}, found with confidence {sure}")
        if odd := getattr(photo, "remarks", ()):
            tell_remarks(photo.path, odd)  # type: ignore[attr-defined]
        return photo


def photos_of(photos: int, people: int, photo: str = "photo") -> str:
    """Return a text such as "3 photos of 1 person"."""
    return f"{how_many(photos, photo)} of {how_many(people, 'person', 'people')}"


def percent(rate: float) -> str:
    """Return a rate from 0 to 1 as per cent with two digits (and "100" instead of "1e+02")."""
    return "100" if rate >= 0.995 else f"{100 * rate:.2g}"


def finish(failed: int, done: int) -> None:
    """End the command with exit code 1 if some inputs failed, or 2 if all did. Returns if none failed."""
    if failed:
        click.get_current_context().exit(SOME_FAILED if done else NOTHING_DONE)


def one_line(path: Place) -> str:
    """Return a path as printable text on one line."""
    return printable(str(path))
