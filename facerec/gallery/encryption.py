"""Encrypting a gallery, changing its passphrase, and decrypting it. Each rewrites the whole database under another key.

The new file is written beside the database and checked. Then every copy is deleted, and the new file replaces the
database as a restored copy does. If the process is killed, the gallery is either as before (perhaps without its
copies), or the change is finished when somebody next opens it.
"""

import logging
import os
import shutil
from contextlib import closing
from pathlib import Path

from facerec.errors import GalleryError, PassphraseError
from facerec.files import put, unlink
from facerec.gallery import sqlcipher
from facerec.gallery.address import Place, folder_of
from facerec.gallery.audit_log import record
from facerec.gallery.backup import require_whole
from facerec.gallery.database import connect, explained
from facerec.gallery.layout import (
    KINDS,
    SALT_SIZE,
    copies_of,
    copy_of,
    database_of,
    drafts_of,
    new_draft,
    restoring_of,
    salt_of,
)
from facerec.gallery.locking import alone, swap_in
from facerec.gallery.store import Store

log = logging.getLogger(__name__)


def encrypt(place: Place, passphrase: str) -> None:
    """Encrypt the gallery in the folder `place` with all of its files, or change its passphrase.

    Makes an empty gallery if there is none. From then on `Store.open` needs the passphrase; the module `passphrase`
    says where it looks. GalleryError if another process has the gallery open or anything is wrong with it.
    PassphraseError if the passphrase is empty.
    """
    folder = require_encryptable(place)
    sqlcipher.require_library()
    path = database_of(folder)
    if not passphrase:
        raise PassphraseError(f"{path}: an empty passphrase keeps nothing secret; give another")
    key = sqlcipher.derive(passphrase, os.urandom(SALT_SIZE))
    with Store.open(folder, create=True) as store:  # after all that may be wrong with the passphrase
        store.engine.leave()
    _rewrite(path, key, "passphrase changed" if is_encrypted(folder) else "encrypted")


def decrypt(place: Place) -> None:
    """Decrypt the gallery in the folder `place`; GalleryError as for `encrypt`, and if the gallery is not encrypted."""
    folder = require_encryptable(place)
    Store.open(folder).close()
    path = database_of(folder)
    if not is_encrypted(folder):
        raise GalleryError(f"{path}: not encrypted; nothing to do")
    _rewrite(path, None, "decrypted")


def require_encryptable(place: Place) -> Path:
    """Return the folder of a gallery that facerec can encrypt; GalleryError for one on a server."""
    return folder_of(place, "encrypt the server's disk, and connect with sslmode=verify-full")


def is_encrypted(place: Place) -> bool:
    """Whether the gallery in the folder `place` is encrypted; a server's disk is its administrator's.

    DamagedGalleryError if `gallery.encrypted` is damaged."""
    return isinstance(place, Path) and salt_of(database_of(place)) is not None


def _rewrite(path: Path, key: str | None, action: str) -> None:
    with explained(path), alone(path.parent):
        swap_in(path)
        with closing(connect(path, "mode=rw")) as db:
            require_whole(db, path)
        try:
            draft = new_draft(restoring_of(path))
            sqlcipher.rewrite(path, sqlcipher.key_of(path), draft, key)
            with closing(sqlcipher.connect(f"{draft.absolute().as_uri()}?mode=rw", key, 0)) as db:
                db.execute("PRAGMA journal_mode = WAL")  # as the database has it
                record(db, action)
                require_whole(db, path)
            unlink(copies_of(path))
            put(draft, restoring_of(path))
        finally:
            unlink(drafts_of(path))
        swap_in(path)
        _keep_copy(path)


def _keep_copy(path: Path) -> None:
    """Copy a database that nobody has open. If that fails, whoever opens the gallery next makes the copy."""
    copy = copy_of(path, KINDS[0])
    try:
        draft = new_draft(copy)
        shutil.copyfile(path, draft)
        put(draft, copy)
    except OSError as error:
        log.warning("no backup was made: %s: %s", copy, error.strerror)
