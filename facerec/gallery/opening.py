"""Which kind of database a gallery has: a file in its folder, or one on a server."""

from facerec.gallery.address import Place, ServerAddress
from facerec.gallery.connection import AnyDatabase
from facerec.gallery.database import Database
from facerec.gallery.layout import database_of


def open_database(place: Place, *, create: bool = False, passphrase: str | None = None) -> AnyDatabase:
    """Open the database of the gallery at a place; see `Database` and `ServerDatabase`."""
    if isinstance(place, ServerAddress):
        from facerec.gallery.server_database import ServerDatabase  # so that psycopg is loaded for a server only

        return ServerDatabase(place, create=create, passphrase=passphrase)
    return Database(database_of(place), create=create, passphrase=passphrase)
