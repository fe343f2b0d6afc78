"""The detector that cut a gallery's crops. Another one cuts them a little differently, which moves every vector.

A gallery knows it by its name (`faces.detector.name_of`). None: not known, since nobody is enrolled, all were enrolled
as aligned crops, or the detector has no name. Such a gallery may be used with every detector.
"""

from facerec.errors import ForeignDetectorError
from facerec.gallery.address import Place
from facerec.gallery.audit_log import record
from facerec.gallery.connection import Connection
from facerec.gallery.schema import scalar, version_of

_ENROLLED = "(SELECT max(id) FROM templates) IS NOT NULL"  # somebody is; SQLite looks up one row for it


def detector_of(db: Connection) -> str | None:
    """The name of the detector. In formats before 8 it was MTCNN."""
    if version_of(db) < 8:
        return scalar(db, f"SELECT 'mtcnn' WHERE {_ENROLLED}")
    return scalar(db, f"SELECT detector FROM cutting WHERE {_ENROLLED}")


def require_detector(db: Connection, folder: Place, name: str | None) -> None:
    """Raise ForeignDetectorError if another detector than `name` cut the crops."""
    stored = detector_of(db)
    if None not in (stored, name) and stored != name:
        raise ForeignDetectorError(
            f"{folder}: its faces were cut by {stored}, not by {name}; give `detector={stored}`, another `gallery`, or "
            f"have this one changed by `facerec gallery migrate --model MODEL --detector {name}`"
        )


def adopt_detector(db: Connection, folder: Place, name: str | None) -> None:
    """Make a detector the gallery's own if it has none; otherwise as `require_detector`. Call it before enrolling."""
    require_detector(db, folder, name)
    if name is not None and detector_of(db) is None:
        write_detector(db, name)
        record(db, "detector bound", detector=name)


def write_detector(db: Connection, name: str) -> None:
    """Replace the gallery's detector."""
    db.execute("UPDATE cutting SET detector = ?", (name,))
