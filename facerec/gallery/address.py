"""Where a gallery is: in a folder, or at an address on a PostgreSQL server.

An address may hold a password. So it is shown by `shown_address` only, which is what `str` returns: no message, log or
JSON has the password, whoever writes them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from facerec.errors import ConfigError, GalleryError
from facerec.extras import require_extra

_SCHEME = re.compile(r"postgres(ql)?:/", re.IGNORECASE)
_SECRETS = ("password", "sslpassword")
HIDDEN = "***"


@dataclass(frozen=True, slots=True, repr=False)
class ServerAddress:
    """The address of a gallery on a server, `postgresql://user@host/database`, as libpq takes it.

    conninfo: the whole of it; never show it.
    """

    conninfo: str

    def __str__(self) -> str:
        return shown_address(self.conninfo)

    __repr__ = __str__

    @property
    def name(self) -> str:
        """The name of the server's database, or of the server."""
        parts = urlsplit(str(self))
        return parts.path.strip("/") or parts.netloc.rpartition("@")[2] or "postgresql"


Place = Path | ServerAddress
"""Where a gallery is."""


def shown_address(address: str) -> str:
    """Return an address with *** in place of each password."""
    scheme, found, rest = address.partition("://")
    if not found:
        return address
    before, at, after = rest.rpartition("@")  # a password may hold any character, so it ends at the last @
    user, colon, _ = before.partition(":")
    shown = f"{user}:{HIDDEN}@{after}" if at and colon else rest
    body, question, query = shown.partition("?")
    pairs = (_shown(pair) for pair in query.split("&"))
    return f"{scheme}://{body}{question}{'&'.join(pairs)}"


def _shown(pair: str) -> str:
    key, equals, _ = pair.partition("=")
    return f"{key}{equals}{HIDDEN}" if unquote(key).lower() in _SECRETS else pair


def is_address(given: object) -> bool:
    """Whether a text is meant as the address of a server."""
    return isinstance(given, ServerAddress) or bool(_SCHEME.match(str(given)))


def folder_of(place: Place, instead: str) -> Path:
    """Return the folder of a gallery that must be in one; GalleryError for a server, with what to do `instead`."""
    if isinstance(place, ServerAddress):
        raise GalleryError(f"{place}: on a server; {instead}")
    return place


def place_of(given: str | Place) -> Place:
    """Return the folder or the address that a text means.

    ConfigError for an address that has become a path: it has lost a slash, so nobody can tell its host.
    MissingExtraError for an address where the extra `postgres` is not installed.
    """
    if isinstance(given, ServerAddress) or not is_address(given):
        return given if isinstance(given, ServerAddress) else Path(given)
    if isinstance(given, Path) or "://" not in given:
        raise ConfigError("`gallery`: an address as a path; give it as a text, postgresql://user@host/database")
    require_extra("postgres", "a gallery on a server")  # here, before anything imports psycopg
    return ServerAddress(given)
