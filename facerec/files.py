"""Files that are written whole or not at all, and survive a power cut. Nothing else in facerec does this by itself.

What is written goes to a draft beside its target first. The draft's bytes are synced to the disk, the draft takes the
target's name in one step, and the folder is synced. So at any moment the target is the old file or the new one. A
process that is killed leaves at most a draft behind. Every function raises OSError, which the caller translates.
"""

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # not on Windows: there, a database that is open cannot be replaced
    fcntl = None

# ------------------------------------------------------------------------------------------------------------ writing


def write_bytes(path: Path, content: bytes, *, private: bool = False, unique: bool = False) -> None:
    """Write a file as `replacing` does."""
    with replacing(path, private=private, unique=unique) as draft:
        draft.write_bytes(content)


def write_text(path: Path, text: str, *, private: bool = False, unique: bool = False) -> None:
    """Write a UTF-8 file as `replacing` does."""
    write_bytes(path, text.encode("utf-8"), private=private, unique=unique)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON in UTF-8, as `replacing` does."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def replacing(path: Path, *, private: bool = False, unique: bool = False) -> Iterator[Path]:
    """Give the path of an empty draft to write to. It takes the place of `path` at the end, and is deleted on an error.

    private: for the owner alone (mode 0600); otherwise the mode is what the umask leaves of 0666.
    unique: give the draft a random name. Do so in a folder of the user's, who may have a file called PATH.draft there.
    In a folder of facerec's own the name is fixed, so the next draft takes the place of one that a kill left.
    """
    draft = _draft(path, unique)
    create_draft(draft, private=private)
    try:
        yield draft
        put(draft, path)
    except BaseException:  # Ctrl-C, too
        draft.unlink(missing_ok=True)
        raise


def require_writable(path: Path, *, unique: bool = False) -> None:
    """Make a draft as `replacing` does and delete it, so that an OSError comes before long work and not after it."""
    draft = _draft(path, unique)
    create_draft(draft)
    draft.unlink()


def cache_folder(kind: str) -> Path:
    """Where caches of a kind lie: in $FACEREC_CACHE, else in the user's cache folder. It need not exist."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("FACEREC_CACHE") or user_cache_path("facerec")) / kind


# ------------------------------------------------------------------------------------------------------------- drafts


def draft_of(path: Path) -> Path:
    """The fixed name of the draft of `path`."""
    return path.parent / f"{path.name}.draft"


def create_draft(draft: Path, *, private: bool = False) -> None:
    """Make an empty file, in the place of one that a killed process left."""
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666))


def _draft(path: Path, unique: bool) -> Path:
    return path.parent / f"facerec-{secrets.token_hex(8)}.draft" if unique else draft_of(path)


def put(draft: Path, target: Path) -> None:
    """Let a whole draft take the place of `target`; a power cut cannot undo it once this returns."""
    settle(draft)
    os.replace(draft, target)
    settle(target.parent)


def unlink(paths: list[Path]) -> None:
    """Delete files that may be missing; a power cut cannot undo it once this returns."""
    for path in paths:
        path.unlink(missing_ok=True)
    for folder in {path.parent for path in paths}:
        settle(folder)


def may_name_a_file(path: Path) -> bool:
    """Whether the operating system takes this for a name at all: no NUL, and nothing that is not Unicode text."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def may_write(path: Path) -> bool:
    """Whether this process may change a file, or what is in a folder."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def settle(path: Path) -> None:
    """Sync a file's bytes, or a folder's list of names, to the disk. The file must not be a database that is open here:
    closing it would take away the locks that SQLite holds on it.
    """
    if not fcntl:  # Windows lets nobody do this to a file opened for reading, nor to a folder
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems sync no folders
            raise
    finally:
        os.close(file)
