"""Settings: frozen dataclasses, documented field by field and read from TOML. An unknown key is an error."""

import dataclasses
import tomllib
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
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


def path_setting(given: object, name: str) -> Path:
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
    types = {f.name: f.type for f in dataclasses.fields(kind)}
    for key in values:
        if key not in types:
            raise ConfigError(f"{where}: unknown setting '{key}'; known are {', '.join(types)}")
    return kind(**{key: _fitting(value, types[key], f"{where}: '{key}'") for key, value in values.items()})


def require_types(settings: "DataclassInstance") -> None:
    """Raise ConfigError for a field of the wrong type. For `__post_init__` of settings that programs make."""
    for field in dataclasses.fields(settings):
        value = _fitting(getattr(settings, field.name), field.type, f"`{field.name}`")
        object.__setattr__(settings, field.name, value)  # settings are frozen


def require_whole(given: int, name: str, least: int) -> None:
    """Raise ConfigError for an argument that is no whole number from `least` on. name: the argument's."""
    if isinstance(given, bool) or not isinstance(given, Integral) or given < least:
        raise ConfigError(f"`{name}` must be a whole number of at least {least}, not {given!a:.40}")


def _fitting(value: Any, allowed: Any, what: str) -> Any:
    """Return a value as one of type `allowed`, which NumPy's numbers become, too. what: the setting's name."""
    kinds = get_args(allowed) or (allowed,)
    if str in kinds and ... in kinds:
        if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
            return tuple(value)
        raise ConfigError(f"{what} must be a list of texts, not {value!a:.80}")
    if not isinstance(value, bool):
        if int in kinds and isinstance(value, Integral):
            return int(value)
        if float in kinds and isinstance(value, Real):
            return float(value)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise ConfigError(f"{what} must be {' or '.join(_NAMES[kind] for kind in kinds)}, not {value!a:.80}")
    return value


_NAMES = {str: "a text in quotes", int: "a whole number", float: "a number", bool: "true or false", dict: "a table"}
_NAMES |= {NoneType: "None"}


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a text like `a, b`, the form of some options."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def read_values(path: Path) -> dict[str, Any]:
    """Return the values of a TOML file, not yet checked; ConfigError names the file."""
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a readable TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error}); correct it") from error


def read_settings(kind: type[Settings], path: Path) -> Settings:
    """Read a TOML file of settings; ConfigError names the file and the key."""
    return build_settings(kind, read_values(path), str(path))
