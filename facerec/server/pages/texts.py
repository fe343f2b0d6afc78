"""The page's texts, all in `texts.toml`, so that they can be translated."""

import tomllib
from pathlib import Path
from typing import Any


class Texts:
    """The texts of one language.

    t("identify.title"), t("photos_of", n=3), t("person.since", day="2026-11-30")
    """

    def __init__(self, path: Path) -> None:
        self._texts: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))

    def __call__(self, key: str, **values: Any) -> Any:
        """The text with its braces filled in; a list for a key that holds one. n: chooses between `one` and `other`."""
        found: Any = self._texts
        for part in key.split("."):
            found = found[part]
        if isinstance(found, dict):
            found = found["one" if values["n"] == 1 else "other"]
        return found.format(**values) if values else found
