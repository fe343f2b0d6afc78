"""`facerec.toml`, the user's everyday settings: defaults of the options that are made as an `EverydayOption`.

    model = "int8"                 # or the full path of a model folder or file
    gallery = "/home/ann/club"     # or an address, "postgresql://ann@db.club.org/faces"
    fpir = 0.001                   # the target rate of `facerec identify`

    [detector]
    name = "yunet"                 # or "mtcnn"
    min_face_size = 40
    min_confidence = 0.95

An option on the command line wins over the environment, the environment over the file, the file over the default.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from platformdirs import user_config_path

from facerec.errors import ConfigError
from facerec.faces.settings import DETECTORS, LARGEST_FACE, SMALLEST_FACE
from facerec.files import may_name_a_file
from facerec.gallery.address import is_address
from facerec.settings import build_settings, read_values
from facerec.text import printable


@dataclasses.dataclass(frozen=True, slots=True)
class _Everyday:
    """What the file may hold."""

    model: str = ""
    gallery: str = ""
    fpir: float = 0.01
    detector: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class _Detector:
    """What its table `detector` may hold. name: of the detector."""

    name: str = "mtcnn"
    min_face_size: int = SMALLEST_FACE
    min_confidence: float = 0.5


def settings_file() -> Path:
    """Return where the file is, or would be."""
    return user_config_path() / "facerec.toml"


def read_everyday() -> Mapping[str, Any]:
    """Return what the file sets, by the names of the options; empty without a file.

    Raises ConfigError if the file cannot be read, is no TOML, or holds an unknown key or an unfit value.
    """
    path = settings_file()
    return _read(path, path.stat().st_mtime_ns if path.is_file() else 0) if is_set() else {}


def is_set() -> bool:
    """Whether there is a file. A folder, a broken link and a file that must not be read count: reading says why."""
    try:
        settings_file().lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


@functools.lru_cache(maxsize=1)
def _read(path: Path, changed: int) -> Mapping[str, Any]:
    """Return what the file holds. changed: when it was written, so that a changed file is read again."""
    values, where = read_values(path), printable(path)
    detector = values.get("detector", {})
    table = "'detector' must be a table, [detector], with settings below it, such as name"
    _require(isinstance(detector, dict), where, table)
    everyday = build_settings(_Everyday, values, where)
    found = build_settings(_Detector, detector, f"{where}, [detector]")
    _require(0 < everyday.fpir < 1, where, "'fpir' must be above 0 and below 1, such as 0.01")
    _require(found.name in DETECTORS, where, f"[detector], 'name' must be {' or '.join(DETECTORS)}, not '{found.name}'")
    sizes = f"'min_face_size' must be from {SMALLEST_FACE} to {LARGEST_FACE} pixels"
    _require(SMALLEST_FACE <= found.min_face_size <= LARGEST_FACE, where, sizes)
    _require(0 <= found.min_confidence <= 1, where, "'min_confidence' must be from 0 to 1")
    places = {name: _place(values[name], name, where) for name in ("model", "gallery") if name in values}
    rates = {name: everyday.fpir for name in ("fpir",) if name in values}
    looks = {"detector" if name == "name" else name: getattr(found, name) for name in detector}
    return places | rates | looks


def _place(value: str, name: str, where: str) -> str:
    """Return a full path, or the name of a shipped model. The file is read in many folders, so no path is relative."""
    from facerec.models.places import SHIPPED, SHIPPED_NAMES

    if name == "model" and value in SHIPPED:
        return value
    if name == "gallery" and is_address(value):
        return value
    path = _at_home(value)
    model = f"{SHIPPED_NAMES}, or the full path of a model folder, such as {Path.home() / 'models' / 'mine'}"
    expected = model if name == "model" else f"a full path, such as {Path.home() / 'club'}"
    usable = path.is_absolute() and may_name_a_file(path)
    _require(usable, where, f"'{name}' must be {expected}, not '{printable(value)}'")
    return str(path)


def _at_home(value: str) -> Path:
    """Return the path, with the home folder of the user instead of `~`; as it is if there is no such user."""
    try:
        return Path(value).expanduser()
    except RuntimeError:
        return Path(value)


def _require(holds: bool, where: str, what: str) -> None:
    if not holds:
        raise ConfigError(f"{where}: {what}; correct it")


class EverydayOption(click.Option):
    """An option whose default may stand in the user's settings.

    setting: its name there.
    """

    def __init__(self, *args: Any, setting: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.setting = setting

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """Take the value from the file if it is neither typed nor in the environment."""
        value, source = super().consume_value(ctx, opts)
        if source is ParameterSource.DEFAULT and self.setting in (everyday := _everyday(ctx)):
            return everyday[self.setting], ParameterSource.DEFAULT_MAP
        return value, source


def _everyday(ctx: click.Context) -> Mapping[str, Any]:
    try:
        return read_everyday()
    except ConfigError:
        if ctx.resilient_parsing:  # the shell completes a word: nobody reads a message
            return {}
        raise


everyday_option = functools.partial(click.option, cls=EverydayOption)
