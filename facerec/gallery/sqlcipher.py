"""Encryption of a gallery's databases by SQLCipher 4: every page of the file, its journal and its write-ahead log.

The settings are SQLCipher's defaults: AES-256-CBC and HMAC-SHA512 for each page. The key is derived from the passphrase
and from a salt, the first 16 bytes of the file. So every tool that supports SQLCipher 4 opens a gallery with its
passphrase.
"""

import functools
import hashlib
import importlib
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from facerec.errors import GalleryError, PassphraseError
from facerec.extras import install
from facerec.gallery.layout import salt_of
from facerec.gallery.passphrase import present_passphrase
from facerec.gallery.schema import know_checksums

_LIBRARY = "sqlcipher3.dbapi2"
ITERATIONS = 256_000  # of PBKDF2-HMAC-SHA512; SQLCipher 4's default


def key_of(path: Path, passphrase: str | None = None) -> str | None:
    """Return the key of the databases in the folder of `path`, in SQLCipher's form; None if they are not encrypted.

    passphrase: None for the one that `present_passphrase` finds; PassphraseError if it finds none.
    """
    salt = salt_of(path)
    return None if salt is None else derive(present_passphrase(path) if passphrase is None else passphrase, salt)


@functools.lru_cache(maxsize=16)  # slow to derive, and a command opens several files with the same salt
def derive(passphrase: str, salt: bytes) -> str:
    """Return the key that SQLCipher derives from a passphrase and a file's salt, followed by the salt.

    PassphraseError for a passphrase that is no text.
    """
    try:
        secret = passphrase.encode("utf-8", "surrogateescape")
    except (AttributeError, UnicodeEncodeError) as error:
        raise PassphraseError("a passphrase is a text (str) of Unicode characters; give one") from error
    return f"x'{hashlib.pbkdf2_hmac('sha512', secret, salt, ITERATIONS, 32).hex()}{salt.hex()}'"


class _Formatted:
    """A connection that knows the format of its tables (`connection.Connection`)."""

    @property
    def version(self: Any) -> int:
        """The format; 0 if there are no tables."""
        return self.execute("PRAGMA user_version").fetchone()[0]


class FileConnection(_Formatted, sqlite3.Connection):
    """A connection to a gallery's file. SQLCipher's have the same methods."""


def connect(uri: str, key: str | None, timeout: float) -> FileConnection:
    """Open an existing database file: by SQLite, or with a key by SQLCipher, whose connections work the same way.

    timeout: seconds to wait for a lock. Any thread may use the connection, one at a time.
    """
    if key is None:
        db = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=timeout, check_same_thread=False, factory=FileConnection
        )
    else:
        db = _connect(uri, key, timeout)
    know_checksums(db)
    return db


def rewrite(source: Path, key: str | None, target: Path, new_key: str | None) -> None:
    """Write all tables of a database to an empty file under another key, or unencrypted if `new_key` is None.

    The database must be sound, and nobody else may have it open. GalleryError if the target cannot be written:
    SQLCipher's error for that has no error name, so it is turned into one here.
    """
    with closing(_connect(f"{source.absolute().as_uri()}?mode=rw", key, 0)) as db:
        db.execute("ATTACH ? AS target KEY ?", (f"{target.absolute().as_uri()}?mode=rw", new_key or ""))
        db.execute("PRAGMA target.journal_mode = OFF")  # an unfinished file is never used
        try:
            db.execute("SELECT sqlcipher_export('target')")
        except errors() as error:
            raise GalleryError(
                f"{target}: cannot be written; free some space and run the command again ({error})"
            ) from error
        for number in ("application_id", "user_version"):
            db.execute(f"PRAGMA target.{number} = {db.execute(f'PRAGMA main.{number}').fetchone()[0]}")
        db.execute("DETACH target")


def errors() -> tuple[type[Exception], ...]:
    """The base classes of all errors that connections raise."""
    library = sys.modules.get(_LIBRARY)
    return (sqlite3.Error,) if library is None else (sqlite3.Error, library.Error)


def require_library() -> Any:
    """Import and return SQLCipher's bindings; GalleryError if they are not installed."""
    try:
        return importlib.import_module(_LIBRARY)
    except ImportError as error:
        raise GalleryError(f"an encrypted gallery needs SQLCipher: {install('encryption')}") from error


def _connect(uri: str, key: str | None, timeout: float) -> FileConnection:
    library = require_library()
    kind = type("EncryptedConnection", (_Formatted, library.Connection), {})
    db = library.connect(uri, uri=True, isolation_level=None, timeout=timeout, check_same_thread=False, factory=kind)
    db.execute("PRAGMA cipher_log_level = NONE")  # it logs to stderr what also comes as an error
    if key is not None:
        db.execute(f'PRAGMA key = "{key}"')
    return db
