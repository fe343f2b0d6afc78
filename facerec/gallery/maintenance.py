"""Looking after a gallery: check it, rebuild its search index, and choose whether it keeps the crops of photos."""

from dataclasses import dataclass

from facerec.files import unlink
from facerec.gallery import audit_log, people_cache
from facerec.gallery.audit_log import record
from facerec.gallery.connection import Connection
from facerec.gallery.erasure import purge
from facerec.gallery.integrity import (
    broken_crops,
    broken_people,
    broken_strangers,
    broken_unknown_faces,
    broken_vectors,
    broken_vetoes,
)
from facerec.gallery.layout import caches_of, codes_of, people_of
from facerec.gallery.leftovers import drop_drafts, finish, remains, wipe
from facerec.gallery.queries import count_rows, generation_of, keeps_crops, owners_of_all
from facerec.gallery.schema import scalar
from facerec.gallery.store import Store
from facerec.search.people import PeopleIndex
from facerec.search.rows import DamagedRowsError


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of `check`: the numbers of people and templates, and one line for each problem found.

    A gallery without problems is sound.
    """

    people: int
    templates: int
    problems: tuple[str, ...]


def check(store: Store) -> CheckReport:
    """Check every page, row and vector, the log and the index file, and look for leftovers of removals.

    An index file of another generation is not checked: it is never used.
    """
    finish(store.database)
    _drop_free_pages(store)
    with store.read() as db:
        problems = [
            *store.database.faults(db),
            *broken_people(db),
            *broken_vectors(db),
            *broken_crops(db),
            *broken_strangers(db),
            *broken_vetoes(db),
            *broken_unknown_faces(db),
            *_broken_index(store, db),
            *audit_log.faults(db),
            *remains(store.database, db),
        ]
        people, templates = count_rows(db, "people"), count_rows(db, "templates")
    problems += [f"{draft}: left unfinished by a killed process; delete it" for draft in drop_drafts(store.database)]
    return CheckReport(people, templates, tuple(problems))


def rebuild(store: Store) -> int:
    """Rewrite the database and make the index again from it; return the number of templates."""
    store.database.compact()
    with store.read() as db:
        generation = generation_of(db)
        people = people_cache.from_database(db, store.folder, scalar(db, "SELECT dimension FROM gallery") or 0)
    people_cache.save(store, people, generation)
    unlink([codes_of(store.database.path)])  # the next search learns codes anew
    store.engine.renew()
    return len(people.ids)


def keep_crops(store: Store, keep: bool) -> None:
    """Choose whether the aligned crops of photos enrolled, and of faces vetoed, from now on are kept.

    With `keep` false, the crops already kept, and unknown faces, are deleted and wiped as in a removal.
    """
    with store.write() as db:
        if keep != keeps_crops(db):
            crops = count_rows(db, "crops") + scalar(db, "SELECT count(png) FROM vetoes")
            number = record(db, "crops kept" if keep else "crops dropped", crops=crops)
            db.execute("UPDATE keeping SET crops = ?", (int(keep),))
            if not keep:
                db.execute("DELETE FROM crops")
                db.execute("DELETE FROM renewed_crops")
                db.execute("UPDATE vetoes SET png = NULL")
                db.execute("DELETE FROM unknown_faces")  # without a crop nobody can say whose they are
                purge(store, db, number)
    wipe(store.database)


def _drop_free_pages(store: Store) -> None:
    """Rewrite an encrypted database that has free pages: `check` cannot read them, so there must be none."""
    if not store.database.encrypted or not store.database.writable:
        return
    with store.read() as db:
        free = scalar(db, "PRAGMA freelist_count")
    if free:
        store.database.compact()


def _broken_index(store: Store, db: Connection) -> list[str]:
    if store.database.encrypted:
        caches = [path for path in caches_of(store.database.path) if path.exists()]
        return [f"{path}: not encrypted, as the gallery is; delete it" for path in caches]
    kept = _kept(store, generation_of(db))
    if kept is None:
        return []  # the next search makes it again
    stored, owners = dict(db.execute("SELECT id, vector FROM templates ORDER BY id")), owners_of_all(db)[1]
    vectors = b"".join(stored.values())
    if (list(stored), owners, vectors) == (kept.ids.tolist(), kept.owners(), kept.vectors.tobytes()):
        return []
    return [f"{people_of(store.database.path)}: not the people of the database; run `facerec gallery rebuild`"]


def _kept(store: Store, generation: str) -> PeopleIndex | None:
    kept = people_cache.from_file(store, generation)
    try:
        return kept and kept.in_memory()
    except DamagedRowsError:
        return None
