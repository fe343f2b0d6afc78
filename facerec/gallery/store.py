"""The care of a gallery, for which no model is needed: who is in it, consent, the log, removal, copies, and checks."""

import difflib
import logging
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from facerec.errors import GalleryError, UnknownPersonError
from facerec.files import unlink
from facerec.gallery import audit_log
from facerec.gallery.archive import Export, Imported, gather, merge_in, read_export, write_export
from facerec.gallery.audit_log import LogEntry, record
from facerec.gallery.backup import Copy, keep_copy, list_copies, restore
from facerec.gallery.database import Database
from facerec.gallery.encryption import decrypt, encrypt
from facerec.gallery.erasure import pending, remains
from facerec.gallery.integrity import broken_crops, broken_people, broken_strangers, broken_vectors, faults
from facerec.gallery.layout import copies_of, drafts_of, index_of, salt_of
from facerec.gallery.names import clean_day, clean_name, clean_note
from facerec.gallery.queries import (
    PersonSummary,
    StoredTemplate,
    consent_of,
    count_rows,
    crop_of,
    generation_of,
    id_of,
    keeps_crops,
    photos_of,
    summaries,
    write_consent,
)
from facerec.gallery.schema import scalar
from facerec.gallery.sqlcipher import require_library
from facerec.gallery.strangers import forget_strangers
from facerec.search.index import FlatIndex
from facerec.text import same_form
from facerec.types import Image

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `Gallery.check` looked at and, one line each, what is wrong; no problems: the gallery is sound."""

    people: int
    templates: int
    problems: tuple[str, ...]


class Care:
    """An open gallery folder. Every method raises a GalleryError of one line if the folder or database fails it."""

    def __init__(self, folder: Path, database: Database) -> None:
        """Use `open`."""
        self.folder = folder
        self._database = database
        self._index_path = index_of(database.path)

    @classmethod
    def open(cls, folder: Path, *, create: bool = False) -> Self:
        """Open the gallery in `folder`; `create` makes an empty one (readable by the owner only) where there is none.

        A folder that may only be read can be searched and listed. What a killed process left undone of a removal or
        restore is finished. Raises GalleryError if there is no gallery, it cannot be opened or a newer facerec wrote
        it; DamagedGalleryError if the database is none of facerec's.
        """
        opened = cls(folder, Database(folder / "gallery.db", create=create))
        opened._tidy()
        return opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; first keep a copy of the database if it was changed here, or has none.

        A copy that cannot be made undoes nothing of what was done before: it is logged as a warning.
        """
        try:
            if self._database.copy_due:
                self._database.copy_due = False
                keep_copy(self._database)
        except GalleryError as error:
            log.warning("no backup was made: %s. The next command that changes the gallery makes one", error)
        finally:
            self._database.close()

    # ------------------------------------------------------------------------------------------------ who is in it

    def __len__(self) -> int:
        """Return the number of people."""
        with self._database.read() as db:
            return count_rows(db, "people")

    @property
    def templates(self) -> int:
        """The number of enrolled photos."""
        with self._database.read() as db:
            return count_rows(db, "templates")

    def people(self) -> list[PersonSummary]:
        """Return everybody, by name."""
        with self._database.read() as db:
            return summaries(db)

    def show(self, name: str) -> list[StoredTemplate]:
        """Return the photos of one person in the order they were enrolled; UnknownPersonError if there is none."""
        with self._database.read() as db:
            return photos_of(db, self._person(db, name))

    def crops(self, name: str) -> list[Image | None]:
        """Return the crops kept of one person's photos, in the order of `show`; None where none is kept.

        UnknownPersonError if there is none of the name.
        """
        with self._database.read() as db:
            query = "SELECT id FROM templates WHERE person = ? ORDER BY id"
            return [crop_of(db, number) for (number,) in db.execute(query, (self._person(db, name),)).fetchall()]

    def name_of(self, name: str) -> str:
        """Return a person's name as the gallery keeps it: stripped, NFC; UnknownPersonError if nobody has it."""
        with self._database.read() as db:
            return scalar(db, "SELECT name FROM people WHERE id = ?", self._person(db, name))

    def rename(self, old: str, new: str) -> None:
        """Give a person another name; GalleryError if somebody has it, UnknownPersonError if nobody is called `old`."""
        name = clean_name(new)
        with self._database.write() as db:
            person = self._person(db, old)
            if id_of(db, name) not in {None, person}:
                raise GalleryError(
                    f"{self.folder}: '{name}' is enrolled already (`facerec gallery merge` makes one of the two); "
                    "choose another name"
                )
            db.execute("UPDATE people SET name = ? WHERE id = ?", (name, person))
            record(db, "renamed", person)

    def merge(self, source: str, target: str) -> int:
        """Make one person of two: the photos of `source` become `target`'s; return how many.

        `target`'s consent note stays, or is `source`'s where there is none; of two last days the earlier one counts.
        UnknownPersonError if nobody is called so, GalleryError if both are the same.
        """
        with self._database.write() as db:
            gone, kept = self._person(db, source), self._person(db, target)
            if gone == kept:
                raise GalleryError(f"{self.folder}: '{source}' and '{target}' are one person already; give two")
            notes, days = zip(consent_of(db, kept), consent_of(db, gone), strict=True)
            count = db.execute("UPDATE templates SET person = ? WHERE person = ?", (kept, gone)).rowcount
            db.execute("DELETE FROM people WHERE id = ?", (gone,))
            write_consent(db, kept, notes[0] or notes[1], min(filter(None, days), default=None))
            record(db, "merged", kept, merged=gone, templates=count)
        return count

    def consent(self, name: str) -> tuple[str | None, str | None]:
        """Return the note on what a person agreed to and the last day they may be kept; UnknownPersonError if none."""
        with self._database.read() as db:
            return consent_of(db, self._person(db, name))

    def set_consent(self, name: str, note: str | None = None, until: str | None = None) -> None:
        """Note what a person agreed to, and the last day (UTC, YYYY-MM-DD) they may be kept; "" deletes, None leaves.

        GalleryError for a note or day that is none, UnknownPersonError if nobody is called `name`.
        """
        with self._database.write() as db:
            person = self._person(db, name)
            old_note, old_day = consent_of(db, person)
            new_note = old_note if note is None else clean_note(note)
            new_day = old_day if until is None else clean_day(until)
            write_consent(db, person, new_note, new_day)
            record(db, "consent set", person)

    # ------------------------------------------------------------------------------------------------ removal

    def remove(self, name: str) -> int:
        """Forget a person, leaving no trace of them in the folder's files; return how many templates they had.

        Copies are deleted; closing keeps a new one. Where another process or a full disk keeps traces in the database,
        a warning is logged, `traces_left` says so, and whoever opens the gallery next wipes them. UnknownPersonError if
        nobody is called `name`.
        """
        with self._database.write() as db:
            count = self._forget(db, self._person(db, name), "removed")
        self._wipe()
        return count

    def expired(self, today: str | None = None) -> list[PersonSummary]:
        """Return everybody whose last day is before `today` (YYYY-MM-DD; unless given, now in UTC), by name."""
        with self._database.read() as db:
            return _past(db, today)

    def expire(self, today: str | None = None) -> list[PersonSummary]:
        """Remove everybody who is `expired`, as `remove` does, in one transaction; return who it was."""
        with self._database.write() as db:
            gone = _past(db, today)
            for person in gone:
                self._forget(db, self._person(db, person.name), "expired")
        self._wipe()
        return gone

    @property
    def traces_left(self) -> bool:
        """Whether traces of somebody removed may still be in the files."""
        with self._database.read() as db:
            return bool(pending(db))

    def keep_crops(self, keep: bool) -> None:
        """From now on keep the aligned crops of what is enrolled; or keep none, and delete, as `remove` does, all."""
        with self._database.write() as db:
            if keep != keeps_crops(db):
                number = record(db, "crops kept" if keep else "crops dropped", crops=count_rows(db, "crops"))
                db.execute("UPDATE keeping SET crops = ?", (keep,))
                if not keep:
                    db.execute("DELETE FROM crops")
                    self._purge(db, number)
        self._wipe()

    def _forget(self, db: sqlite3.Connection, person: int, action: str) -> int:
        count = scalar(db, "SELECT count(*) FROM templates WHERE person = ?", person)
        if (strangers := forget_strangers(db, person)) is not None:
            record(db, "strangers set", strangers=strangers)
        db.execute("DELETE FROM people WHERE id = ?", (person,))
        self._purge(db, record(db, action, person, templates=count))
        return count

    def _purge(self, db: sqlite3.Connection, removal: int) -> None:
        """The files go before the commit: once somebody is removed no copy can bring them back."""
        db.execute("UPDATE traces SET removal = ?", (removal,))
        path = self._database.path
        unlink([self._index_path, *drafts_of(path), *copies_of(path)])

    def _wipe(self) -> None:
        """Write the database anew if somebody was removed from it since it last was."""
        try:
            with self._database.read() as db:
                removal = pending(db)
            if removal and not self._database.compact():
                raise GalleryError(f"{self.folder}: another process is reading it; wait until it is done")
            if removal:
                with self._database.write() as db:
                    db.execute("UPDATE traces SET wiped = max(wiped, ?)", (removal,))
        except GalleryError as error:
            log.warning("traces of who was removed are left: %s. After that `facerec gallery check` wipes them", error)

    def _tidy(self) -> None:
        """Finish what killed processes left undone, where anything may be written."""
        self._unfinished()
        if self._database.writable:
            self._wipe()

    def _unfinished(self) -> list[Path]:
        """Delete the drafts that killed processes left; returns what cannot be deleted."""
        path = self._database.path
        if not drafts_of(path) or not self._database.writable:
            return drafts_of(path)
        with suppress(GalleryError), self._database.write():  # whoever is writing a draft holds this lock
            unlink(drafts_of(path))
            return []
        return drafts_of(path)

    # ------------------------------------------------------------------------------------------------ to and fro

    def export(self, path: Path) -> Export:
        """Write everybody, with their vectors, to a new file (see `transfer`); returns what it holds.

        Removal does not reach that file, so it may not lie in the gallery's folder. GalleryError if it does, is there
        already or cannot be written, or nobody is enrolled.
        """
        self.require_elsewhere(self.folder, path, path.parent)
        with self._database.write() as db:
            export = gather(db, self.folder)
            record(db, "exported", people=len(export.people), templates=count_rows(db, "templates"))
            write_export(path, export)
        return export

    @staticmethod
    def require_elsewhere(gallery: Path, path: Path, folder: Path) -> None:
        """GalleryError, about `path`, if a folder is that of `gallery`, or in it: removal reaches nothing put there."""
        place = folder.resolve()
        if gallery.resolve() in (place, *place.parents):
            raise GalleryError(f"{path}: in the gallery's own folder, where removal would leave it; give another place")

    @staticmethod
    def read_export(path: Path) -> Export:
        """Read and check a file of `export`'s; GalleryError of one line for any other, and a damaged one."""
        return read_export(path)

    def import_people(self, export: Export) -> list[Imported]:
        """Enroll the people of an export in one transaction; returns what became of each. See `transfer.merge_in`."""
        with self._database.write() as db:
            return merge_in(db, export, self.folder)

    # ------------------------------------------------------------------------------------------------ keeping it safe

    def log(self) -> tuple[list[LogEntry], str]:
        """Return what was done to the gallery, the oldest first, and the hash that stands for all of it."""
        with self._database.read() as db:
            return audit_log.entries(db), audit_log.head(db)

    def check(self) -> CheckReport:
        """Look at every page, row and vector, the log, the index file if it claims to be up to date, and for traces."""
        self._tidy()
        self._drop_free_pages()
        with self._database.read() as db:
            problems = [*faults(db), *broken_people(db), *broken_vectors(db), *broken_crops(db), *broken_strangers(db)]
            problems += [*self._broken_index(db), *audit_log.faults(db), *remains(db, self._database.path)]
            people, templates = count_rows(db, "people"), count_rows(db, "templates")
        problems += [f"{draft}: left unfinished by a killed process; delete it" for draft in self._unfinished()]
        return CheckReport(people, templates, tuple(problems))

    @staticmethod
    def copies(folder: Path) -> list[Copy]:
        """The copies of the gallery in `folder`, the newest first."""
        return list_copies(folder / "gallery.db")

    @staticmethod
    def restore(folder: Path, kind: str | None = None) -> Copy:
        """Put a copy in the place of the database; see `backup.restore`."""
        return restore(folder / "gallery.db", kind)

    @classmethod
    def encrypt(cls, folder: Path, passphrase: str) -> None:
        """Encrypt the gallery in `folder`, with all of its files, or give it another passphrase; see `encryption`.

        An empty one is made where there is none. Afterwards `open` finds the passphrase where `passphrase` says.
        """
        require_library()
        cls.open(folder, create=True).close()
        encrypt(folder / "gallery.db", passphrase)

    @classmethod
    def decrypt(cls, folder: Path) -> None:
        """Have the gallery in `folder` no longer encrypted; GalleryError if it is not."""
        cls.open(folder).close()
        decrypt(folder / "gallery.db")

    @staticmethod
    def is_encrypted(folder: Path) -> bool:
        """Whether the gallery in `folder` is encrypted; DamagedGalleryError if its mark is damaged."""
        return salt_of(folder / "gallery.db") is not None

    def _drop_free_pages(self) -> None:
        """What is on the free pages of an encrypted file cannot be seen: `check` wants none there."""
        with self._database.read() as db:
            free = scalar(db, "PRAGMA freelist_count")
        if free and self._database.encrypted and self._database.writable:
            self._database.compact()

    def _broken_index(self, db: sqlite3.Connection) -> list[str]:
        if self._database.encrypted and self._index_path.exists():
            return [f"{self._index_path}: not encrypted, as the gallery is; delete it"]
        index = FlatIndex.load(self._index_path, generation_of(db))
        if index is None:
            return []  # the next search makes it again
        stored = dict(db.execute("SELECT id, vector FROM templates ORDER BY id"))
        if list(stored) == index.ids.tolist() and b"".join(stored.values()) == index.vectors(index.ids).tobytes():
            return []
        return [f"{self._index_path}: not the vectors of the database; run `facerec gallery rebuild`"]

    def _person(self, db: sqlite3.Connection, name: str) -> int:
        try:
            person = id_of(db, same_form(name).strip())
        except UnicodeEncodeError:  # bytes of a command line that are no UTF-8, which every name in a gallery is
            person = None
        if person is None:
            known = {row[0].casefold(): row[0] for row in db.execute("SELECT name FROM people")}
            close = [known[match] for match in difflib.get_close_matches(name.casefold(), known)]
            remedy = f"did you mean {' or '.join(close)}?" if close else "`facerec gallery list` shows who is"
            raise UnknownPersonError(f"{self.folder}: nobody called {name!r} is enrolled; {remedy}")
        return person


def _past(db: sqlite3.Connection, today: str | None) -> list[PersonSummary]:
    day = datetime.now(UTC).date().isoformat() if today is None else today
    return [person for person in summaries(db) if person.until is not None and person.until < day]
