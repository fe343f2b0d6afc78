"""Files that are written whole or not at all, and survive a power cut."""

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows: there, a database that is open cannot be replaced
    fcntl = None


def draft_of(path: Path) -> Path:
    """Where `FlatIndex.save` writes before it replaces `path`."""
    return path.with_name(f"{path.name}.draft")


def replace_file(path: Path, content: bytes) -> None:
    draft = draft_of(path)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def put(draft: Path, target: Path) -> None:
    """Have a draft take the place of `target`, whole and for good once this returns."""
    settle(draft)
    os.replace(draft, target)
    settle(target.parent)


def unlink(paths: list[Path]) -> None:
    """Delete files, for good once this returns."""
    for path in paths:
        path.unlink(missing_ok=True)
    for folder in {path.parent for path in paths}:
        settle(folder)


def may_write(path: Path) -> bool:
    """Whether this process may change a file, or what is in a folder."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def settle(path: Path) -> None:
    """Have a file's content, or a folder's names, survive a power cut. The file must not be an open database."""
    if not fcntl:  # Windows does so for neither
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
