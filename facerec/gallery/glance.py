"""The names in a gallery, for a shell that completes a word: quick, and without opening the gallery."""

import sqlite3
from contextlib import closing
from pathlib import Path

from facerec.errors import FacerecError
from facerec.gallery.address import Place, ServerAddress
from facerec.gallery.layout import database_of, restoring_of


def names_at_a_glance(place: Place) -> list[str]:
    """Return everybody's name, sorted; none where they cannot be read, such as in an encrypted gallery.

    Nothing is asked, made, changed or brought up to date, and no error is raised.
    """
    if isinstance(place, ServerAddress):
        return _names_on_server(place)
    path = database_of(place)
    try:
        if not path.is_file() or restoring_of(path).exists():
            return []
        in_use = Path(f"{path}-wal").exists()  # if not, SQLite would make that file to read the database
        uri = f"{path.resolve().as_uri()}?mode=ro{'' if in_use else '&immutable=1'}"
        with closing(sqlite3.connect(uri, uri=True, timeout=0.2)) as db:
            return [name for (name,) in db.execute("SELECT name FROM people ORDER BY name")]
    except (OSError, sqlite3.Error):
        return []


def _names_on_server(place: ServerAddress) -> list[str]:
    try:
        from facerec.gallery.server_connection import names_at

        return names_at(place)
    except (FacerecError, ImportError):
        return []
