"""Settings: frozen dataclasses, documented field by field and read from TOML. An unknown key is an error."""

import dataclasses
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from facerec.errors import ConfigError
from facerec.files import may_name_a_file

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
Settings = TypeVar("Settings", bound="DataclassInstance")


def setting(default: T, help: str, choices: tuple[str, ...] = ()) -> T:
    """Return a dataclass field with its documentation, which the command line shows too. choices: all its values."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})  # type: ignore[return-value]


def path_setting(given: str | Path, name: str) -> Path:
    """A path from a program; raises ConfigError for what is none, and for "", which would be the present folder.

    name: the argument's.
    """
    if not isinstance(given, str | Path) or not str(given) or not may_name_a_file(Path(given)):
        raise ConfigError(f"{name}: {given!a:.80} is no path; give the name of a file or folder")
    return Path(given)


def build_settings(kind: type[Settings], values: dict[str, Any], where: str) -> Settings:
    """Make settings of type `kind` from `values`; ConfigError for an unknown key or a value of the wrong type.

    where: the source of the values, for the message.
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key, value in values.items():
        if key not in fields:
            raise ConfigError(f"{where}: unknown setting '{key}'; known are {', '.join(fields)}")
        allowed = fields[key].type
        if isinstance(value, bool) and allowed is not bool:
            raise ConfigError(f"{where}: '{key}' must be {getattr(allowed, '__name__', allowed)}, not {value!r}")
        if allowed is float and type(value) is int:
            values = {**values, key: float(value)}
        elif isinstance(value, list | tuple) and get_args(allowed) == (str, ...) and _all_text(value):
            values = {**values, key: tuple(value)}
        elif get_args(allowed) == (str, ...):
            raise ConfigError(f"{where}: '{key}' must be a list of texts, not {value!r}")
        elif not isinstance(value, allowed):  # type: ignore[arg-type]
            name = getattr(allowed, "__name__", str(allowed))
            raise ConfigError(f"{where}: '{key}' must be {name}, not {value!r}")
    return kind(**values)


def _all_text(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a text like `a, b`, the form of some options."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def read_values(path: Path) -> dict[str, Any]:
    """Return the values of a TOML file, not yet checked; ConfigError names the file."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a readable TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error}); correct it") from error


def read_settings(kind: type[Settings], path: Path) -> Settings:
    """Read a TOML file of settings; ConfigError names the file and the key."""
    return build_settings(kind, read_values(path), str(path))
