"""A removal that is proved: the bytes of all files are searched for what was held of the person, before and after."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from facerec.gallery import audit_log, enrolled, erasure, maintenance
from facerec.gallery.connection import Connection
from facerec.gallery.erasure import Removal
from facerec.gallery.schema import scalar, version_of
from facerec.gallery.store import Store, Who

_TEXTS = (("people", "name"), ("templates", "source"), ("vetoes", "source"), ("unknown_faces", "source"))
_TEXTS += (("consent", "note"), ("strangers", "source"), ("gallery", "model_name"), ("gallery", "threshold_source"))
_TEXTS += (("log", "entry"), ("sqlite_master", "sql"))
_SAMPLE, _EVERY = 64, 509  # bytes of a sample of a picture, and from one sample to the next
_SHORT = 5  # bytes; a shorter text may be found by chance among vectors and pictures

Piece = tuple[bytes, ...]
"""Samples of one thing that is held of a person; mostly one, the whole."""
Pieces = dict[str, list[Piece]]


@dataclass(frozen=True, slots=True)
class Trace:
    """What was held of a person, of one kind: vectors, crops, hashes, sources, name or note.

    pieces: how many there were. before, after: how often one of them was in a file. shared: it is a text that is also
    part of what stays, or too short to be told from other bytes. So it may be found.
    """

    kind: str
    pieces: int
    before: int
    after: int
    shared: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found after a removal.

    files, size: how many files were read, and their bytes. encrypted: nothing can be found in them, before or after.
    remains: something prevents the wiping yet. problems: what `check` found. person: their number. entry, hash: of the
    removal in the log.
    """

    removal: Removal
    person: int
    traces: tuple[Trace, ...]
    files: int
    size: int
    encrypted: bool
    remains: bool
    problems: tuple[str, ...]
    entry: int
    hash: str

    @property
    def nothing_left(self) -> bool:
        """Whether no file holds anything of the person any more."""
        return not self.remains and not any(trace.after and not trace.shared for trace in self.traces)


def remove_and_prove(store: Store, who: Who) -> Proof:
    """Remove a person from all files, as `erasure.remove`, and search the files before and after.

    Raises as that does. Time grows with the size of the files and the number of the person's photos.
    """
    with store.lock:
        pieces = _pieces(store, who)
        with store.read() as db:
            person = store.person(db, who)
        before = _searched(store, pieces)[0]
        removal = erasure.remove(store, who)
        report = maintenance.check(store)
        after, sizes = _searched(store, pieces)
        shared = _shared(store, pieces)
        traces = [
            Trace(kind, len(pieces[kind]), found, left, kind in shared)
            for kind, found, left in zip(pieces, before, after, strict=True)
        ]
        with store.read() as db:
            entry = next(each for each in reversed(audit_log.entries(db)) if each.action == "removed")
    remains, encrypted = erasure.data_may_remain(store), store.database.encrypted
    return Proof(
        removal, person, tuple(traces), len(sizes), sum(sizes), encrypted, remains, report.problems, entry.number,
        entry.hash,
    )  # fmt: skip


def _pieces(store: Store, who: Who) -> Pieces:
    """What is held of a person, by kind."""
    photos = enrolled.templates(store, who)
    with store.read() as db:
        person = store.person(db, who)
        query = "SELECT png FROM crops JOIN templates ON id = template WHERE person = ?"
        crops = [png for (png,) in db.execute(query, (person,))] if version_of(db) > 3 else []
        name = scalar(db, "SELECT name FROM people WHERE id = ?", person)
        note = scalar(db, "SELECT note FROM consent WHERE person = ?", person) if version_of(db) > 2 else None
    found = {
        "vectors": [(vector.tobytes(),) for _, vector in photos],
        "crops": [_cut(png) for png in crops],
        "hashes": [(photo.photo_hash.encode(),) for photo, _ in photos],
        "sources": [(source,) for source in {photo.source.encode() for photo, _ in photos}],
        "name": [(name.encode(),)],
        "note": [(note.encode(),)] if note else [],
    }
    return {kind: parts for kind, parts in found.items() if parts}


def _cut(png: bytes) -> Piece:
    """Samples of a picture, without the ends, which are alike in all.

    SQLite lays a large value in pages here and there, so the whole is not found in one place.
    """
    starts = range(_SAMPLE, len(png) - 2 * _SAMPLE, _EVERY)
    return tuple(png[start : start + _SAMPLE] for start in starts) or (png,)


def _searched(store: Store, pieces: Pieces) -> tuple[list[int], list[int]]:
    """How often each kind is in the gallery's files, and the files' sizes.

    Of each piece, the sample that is found most often in a file counts.
    """
    samples = [sample for found in pieces.values() for piece in found for sample in piece]
    times, sizes = dict.fromkeys(pieces, 0), []
    for blocks in store.database.contents():
        counts, size = _counted(blocks, samples)
        sizes.append(size)
        for kind, found in pieces.items():
            times[kind] += sum(max(counts[sample] for sample in piece) for piece in found)
    return list(times.values()), sizes


def _counted(blocks: Iterable[bytes], samples: Sequence[bytes]) -> tuple[dict[bytes, int], int]:
    """How often each sample is in a file, and the file's size. A block and the end of the one before are in memory."""
    counts, size, kept, overlap = dict.fromkeys(samples, 0), 0, b"", max(map(len, samples)) - 1
    for block in blocks:
        size += len(block)
        window = kept + block
        for sample in counts:  # what lies wholly in `kept` was counted with the block before
            counts[sample] += window.count(sample, max(0, len(kept) - len(sample) + 1))
        kept = window[max(0, len(window) - overlap) :]
    return counts, size


def _shared(store: Store, pieces: Pieces) -> set[str]:
    """The kinds of text that are also part of what stays, or too short."""
    texts = [(kind, piece[0].decode()) for kind in ("sources", "name", "note") for piece in pieces.get(kind, ())]
    with store.read() as db:
        columns = [(table, column) for table, column in _TEXTS if _is_there(store, db, table)]
        return {
            kind
            for kind, text in texts
            if len(text.encode()) < _SHORT
            or any(
                scalar(db, f"SELECT 1 FROM {table} WHERE instr({col}, ?) > 0 LIMIT 1", text) for table, col in columns
            )
        }


def _is_there(store: Store, db: Connection, table: str) -> bool:
    """Whether the gallery has a table. A server has none of SQLite's own, and no older format lacks one there."""
    if store.database.on_server:
        return table != "sqlite_master"
    return bool(scalar(db, "SELECT 1 FROM sqlite_master WHERE name = ?1 OR ?1 = 'sqlite_master' LIMIT 1", table))
