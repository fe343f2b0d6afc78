"""The keys of programs and people who use a server: who may do what. A file holds their hashes.

    [phone]
    scope = "enroll"
    sha256 = "0b1c..."
    made = "2026-11-30T20:15:00Z"
    per_minute = 600

A key is 256 random bits, so one SHA-256 of it is enough: nobody can try out so many keys, however quick the hash is. A
slow hash (bcrypt, Argon2) protects what people make up and remember, and would cost every request a tenth of a second.
"""

import hashlib
import hmac
import re
import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from facerec.errors import ConfigError
from facerec.files import write_text
from facerec.gallery.audit_log import utc_now
from facerec.settings import build_settings, read_values, setting
from facerec.text import printable

SCOPES = ("read", "enroll", "admin")
"""What a key may do: ask; also enroll and correct; also remove, merge, set the threshold and read the log."""

PER_MINUTE = 600
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the file holds of a key."""

    scope: str = setting("read", "what it may do", SCOPES)
    sha256: str = ""
    made: str = ""
    per_minute: int = PER_MINUTE


@dataclass(frozen=True, slots=True)
class Key:
    """A key: its name, what it may do, the hash of its text, and how many requests it may make a minute."""

    name: str
    scope: str
    sha256: str
    per_minute: int = PER_MINUTE

    def may(self, scope: str) -> bool:
        """Whether it may do what needs this scope."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


class Keys:
    """The keys of a file, which is read again when it changes: a key that is taken out of it is refused at once."""

    def __init__(self, path: Path) -> None:
        """Read the file. ConfigError if it cannot be read, is no file of keys, or holds none."""
        self.path = path
        self._lock = Lock()
        self._read_at: tuple[int, int] | None = None
        self._keys: dict[str, Key] = {}
        if not self.all():
            raise ConfigError(f"{printable(path)}: holds no key; make one with `new_key`")

    def all(self) -> dict[str, Key]:
        """Every key by its name."""
        with self._lock:
            if self._read_at != (now := _changed(self.path)):
                self._keys, self._read_at = read_keys(self.path), now
            return self._keys

    def find(self, text: str) -> Key | None:
        """The key with this text. Every key is compared, each in constant time."""
        digest = hash_key(text)
        found = [key for key in self.all().values() if hmac.compare_digest(key.sha256, digest)]
        return found[0] if found else None


def hash_key(text: str) -> str:
    """SHA-256 of a key's text, 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def read_keys(path: Path) -> dict[str, Key]:
    """The keys of a file; ConfigError names the file and what is wrong in it."""
    where, found = printable(path), {}
    for name, values in read_values(path).items():
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: '{name}' must be a table, [{name}]; correct it")
        found[name] = _key(name, build_settings(_Entry, values, f"{where}, [{name}]"), where)
    return found


def add_key(path: Path, name: str, scope: str) -> str:
    """Make a key, add it to the file, and return its text, which is kept nowhere.

    ConfigError for a name that is taken or unfit, and for an unknown scope.
    """
    keys, text = read_keys(path) if path.exists() else {}, secrets.token_urlsafe(32)
    if name in keys:
        raise ConfigError(f"{printable(path)}: there is a key '{name}'; choose another name, or `revoke_key` it first")
    made = _key(name, _Entry(scope, hash_key(text)), printable(path))
    entry = f'[{name}]\nscope = "{scope}"\nsha256 = "{made.sha256}"\nmade = "{utc_now()}"\n'
    _write(path, "\n".join(filter(None, [path.read_text("utf-8") if keys else "", entry])))
    return text


def remove_key(path: Path, name: str) -> None:
    """Take a key out of the file, and leave the rest of it as it is.

    ConfigError where there is no such key, or it is written so that it must be taken out by hand.
    """
    keys = read_values(path)
    if name not in read_keys(path):
        raise ConfigError(f"{printable(path)}: there is no key '{name}'")
    head = re.compile(rf"""[ \t]*\[[ \t]*(["']?){re.escape(name)}\1[ \t]*\]""")
    parts = re.split(r"(?m)^(?=[ \t]*\[)", path.read_text("utf-8-sig"))
    left = "".join(part for part in parts if not head.match(part))
    del keys[name]
    if not _says(left, keys):
        raise ConfigError(f"{printable(path)}: the key '{name}' holds still; take its lines out of the file by hand")
    _write(path, left)


def _says(text: str, keys: dict[str, Any]) -> bool:
    """Whether a file of this text would hold just these keys."""
    try:
        return tomllib.loads(text) == keys
    except tomllib.TOMLDecodeError:
        return False


def _key(name: str, entry: _Entry, where: str) -> Key:
    """The key, if it is sound."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: {name!a:.60} cannot be a key's name; give 1 to 40 letters, digits, - and _")
    if entry.scope not in SCOPES:
        raise ConfigError(f"{where}: `scope` of '{name}' must be {', '.join(SCOPES[:-1])} or {SCOPES[-1]}")
    if not re.fullmatch("[0-9a-f]{64}", entry.sha256) or entry.per_minute < 1:
        raise ConfigError(f"{where}: the key '{name}' is damaged; revoke it and make another")
    return Key(name, entry.scope, entry.sha256, entry.per_minute)


def _changed(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigError(f"{printable(path)}: cannot be read ({error.strerror}); `new_key` makes one") from error
    return found.st_mtime_ns, found.st_ino


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text, private=True, unique=True)
    except OSError as error:
        raise ConfigError(f"{printable(path)}: cannot be written ({error.strerror}); choose another file") from error
