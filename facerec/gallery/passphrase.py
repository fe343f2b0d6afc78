"""Where the passphrase of an encrypted gallery comes from: the environment, a file, or whoever sits at the terminal.

Never an argument of a command: every user of the machine can read those of a running program, and shells keep them.
"""

import os
from collections.abc import Callable
from pathlib import Path

from facerec.errors import PassphraseError

Ask = Callable[[str, bool], str]  # the question, and whether to ask twice

_ask: Ask | None = None
_remembered: dict[Path, str] = {}  # folder -> what a program gave for it


def let_ask(ask: Ask | None) -> None:
    """From now on ask somebody for what is not in the environment; None: nobody is there."""
    global _ask
    _ask = ask


def remember(folder: Path, passphrase: str) -> None:
    """Use this passphrase for the gallery in `folder` until `forget`: for programs that ask for it themselves."""
    _remembered[folder.resolve()] = passphrase


def forget(folder: Path) -> None:
    """Undo `remember`."""
    _remembered.pop(folder.resolve(), None)


def present_passphrase(path: Path) -> str:
    """The passphrase of the encrypted database `path`; PassphraseError without any.

    What `remember` was given, $FACEREC_PASSPHRASE, the first line of the file that $FACEREC_PASSPHRASE_FILE names, or
    the answer to a question.
    """
    if (given := _remembered.get(path.parent.resolve())) is not None:
        return given
    return _found("FACEREC_PASSPHRASE", f"Passphrase of {path.parent}", twice=False, without=f"{path}: encrypted")


def new_passphrase(folder: Path, *, replacing: bool) -> str:
    """The passphrase a gallery is to have: as `present_passphrase`, but asked for twice.

    replacing: it is encrypted already; the environment then has it in $FACEREC_NEW_PASSPHRASE or _FILE.
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
    """The first line of the file that a variable names, without its one end (LF, CR LF or CR): blanks are part of it.

    UTF-8; the mark that some editors begin a file with is none of it.
    """
    if not (path := os.environ.get(name)):
        return None
    role = f"${name} names the file of the passphrase"
    try:
        line = Path(path).read_text("utf-8-sig").partition("\n")[0]  # each kind of end is read as "\n"
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        raise PassphraseError(f"{path}: cannot be read ({why}); {role}") from error
    if not line:
        raise PassphraseError(f"{path}: holds no passphrase on its first line; {role}")
    return line
