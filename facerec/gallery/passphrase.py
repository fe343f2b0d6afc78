"""Where the passphrase of an encrypted gallery comes from: the environment, a file, or a question at the terminal.

It is never a command-line argument. Every user of the machine can read a running program's arguments, and shells keep
them in their history.
"""

import os
from collections.abc import Callable
from pathlib import Path

from facerec.errors import PassphraseError
from facerec.gallery.address import Place

Ask = Callable[[str, bool], str]  # arguments: the question, and whether to ask twice; returns the answer

_ask: Ask | None = None


def let_ask(ask: Ask | None) -> None:
    """From now on ask by this function for a passphrase that is not in the environment; None: never ask."""
    global _ask
    _ask = ask


def present_passphrase(path: Path) -> str:
    """Return the passphrase of the encrypted database `path`; PassphraseError if there is none.

    The first of these that exists: $FACEREC_PASSPHRASE; the first line of the file that $FACEREC_PASSPHRASE_FILE names;
    the answer to a question.
    """
    return _found("FACEREC_PASSPHRASE", f"Passphrase of {path.parent}", twice=False, without=f"{path}: encrypted")


def new_passphrase(folder: Place, *, replacing: bool) -> str:
    """Return the passphrase to encrypt a gallery with; PassphraseError if there is none.

    It comes from the environment, a file or a question, as in `present_passphrase`; the question is asked twice.
    replacing: the gallery is encrypted already; the new passphrase is then in $FACEREC_NEW_PASSPHRASE or
    $FACEREC_NEW_PASSPHRASE_FILE.
    """
    name = "FACEREC_NEW_PASSPHRASE" if replacing else "FACEREC_PASSPHRASE"
    without = f"{folder}: {'encrypted already, and no new passphrase' if replacing else 'no passphrase'} is given"
    return _found(name, f"New passphrase of {folder}", twice=True, without=without)


def _found(name: str, question: str, *, twice: bool, without: str) -> str:
    if given := os.environ.get(name) or _in_file(f"{name}_FILE"):
        return given
    if _ask is not None and (answer := _ask(question, twice)):
        return answer
    raise PassphraseError(f"{without}; set ${name}, or ${name}_FILE to a file that holds it")


def _in_file(name: str) -> str | None:
    """Return the first line of the UTF-8 file that an environment variable names; None if the variable is not set.

    The line's end (LF, CR LF or CR) and a byte order mark are dropped. Blanks are part of the passphrase.
    """
    if not (path := os.environ.get(name)):
        return None
    role = f"${name} names the file of the passphrase"
    try:
        line = Path(path).read_text("utf-8-sig").partition("\n")[0]  # Python reads every kind of line end as "\n"
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise PassphraseError(f"{path}: cannot be read ({why}); {role}") from error
    if not line:
        raise PassphraseError(f"{path}: holds no passphrase on its first line; {role}")
    return line
