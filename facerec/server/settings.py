"""How a server is used, as one object; `facerec serve` fills it in."""

from dataclasses import dataclass

from facerec.errors import ConfigError
from facerec.server.keys import Keys

LOOPBACK = ("127.0.0.1", "localhost", "::1")  # names of this machine that nobody else can reach


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Everything about a server but its gallery and model.

    host, port: where it listens. allowed_hosts: other names by which browsers reach it, such as the proxy's. keys: of
    those who may use it; without keys it serves this machine alone. body_bytes, photo_pixels, photos: the largest body,
    photo, and number of photos in a request. request_seconds: within which a whole request must have arrived.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: tuple[str, ...] = ()
    keys: Keys | None = None
    body_bytes: int = 32_000_000
    photo_pixels: int = 50_000_000
    photos: int = 32
    request_seconds: float = 60.0

    def __post_init__(self) -> None:
        foreign = [name for name in (self.host, *self.allowed_hosts) if name not in LOOPBACK]
        if foreign and self.keys is None:
            raise ConfigError(f"{foreign[0]} can be reached from elsewhere, so `keys` is needed; `new_key` makes one")

    @property
    def hosts(self) -> frozenset[str]:
        """The names in the header Host that are answered."""
        return frozenset(name.lower() for name in (*LOOPBACK, self.host, *self.allowed_hosts))
