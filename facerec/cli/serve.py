"""`facerec serve`."""

from pathlib import Path
from typing import Any

import click

from facerec.cli import common, detector_options, path_types
from facerec.errors import ConfigError
from facerec.gallery.address import Place
from facerec.server.keys import SCOPES, Keys, add_key, remove_key
from facerec.server.settings import ServerSettings


@common.command(needs="serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen. Any other needs --keys.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any that is free.")
@click.option(
    "--allowed-host", "allowed", multiple=True, metavar="NAME",
    help="Another name by which browsers reach the server, such as that of the proxy in front of it. Needs --keys.",
)  # fmt: skip
@click.option(
    "--keys", "keys_file", type=path_types.PATH, metavar="FILE",
    help="The keys of those who may use the server. Without keys, everybody on this machine may.",
)  # fmt: skip
@click.option("--new-key", metavar="NAME", help="Make a key, print it, and add its hash to --keys. Nothing is served.")
@click.option(
    "--scope", type=click.Choice(SCOPES), default=SCOPES[0], show_default=True,
    help="What the new key may do: ask; enroll and correct, too; remove, merge and set the threshold, too.",
)  # fmt: skip
@click.option("--revoke-key", metavar="NAME", help="Take a key out of --keys. A running server refuses it at once.")
@click.option(
    "--keep-unknown", type=click.IntRange(min=1), metavar="DAYS",
    help="Keep unknown faces for so many days, for review on the page  [default: keep none]",
)  # fmt: skip
@detector_options.detector_options
@common.new_gallery_option
@common.model_option
@common.json_option
def serve(
    host: str,
    port: int,
    allowed: tuple[str, ...],
    keys_file: Path | None,
    new_key: str | None,
    scope: str,
    revoke_key: str | None,
    keep_unknown: int | None,
    gallery_folder: Place,
    model: str | None,
    as_json: bool,
    **looks: Any,
) -> None:
    """Serve the gallery over HTTP: an API for programs, and a page for people.

    The page is at http://127.0.0.1:8000/, the API below /api/v1. Only programs on this machine can reach them. For
    others, make keys, give --host, and put a proxy with TLS in front.

    \b
    facerec serve
    facerec serve --keys keys.toml --new-key phone --scope enroll
    facerec serve --keys keys.toml --host 0.0.0.0 --allowed-host faces.example.org
    """
    if new_key is not None or revoke_key is not None:
        _change_keys(keys_file, new_key, revoke_key, scope, as_json)
        return
    keys = None if keys_file is None else Keys(keys_file)
    settings = ServerSettings(host, port, allowed, keys)
    from facerec.faces.settings import DetectorSettings
    from facerec.server.app import make_app
    from facerec.server.running import listening, return_memory, serve_forever
    from facerec.server.service import Service

    return_memory()
    looks_by = DetectorSettings(**looks)
    with (
        listening(settings) as bound,  # before a gallery is made
        Service.open(gallery_folder, model, looks_by, keep_unknown) as service,
    ):

        def tell(address: str) -> None:
            line = {"address": address, "gallery": str(gallery_folder), "people": len(service.gallery)}
            people = common.photos_of(service.gallery.templates, line["people"])
            common.say(line, f"{address} serves {people}. Ctrl-C ends it.", as_json)

        serve_forever(make_app(service, settings), settings, bound, tell)


def _change_keys(file: Path | None, new: str | None, revoked: str | None, scope: str, as_json: bool) -> None:
    """Make a key or revoke one."""
    if file is None:
        raise ConfigError("which file of keys? Give --keys FILE")
    if revoked is not None:
        remove_key(file, revoked)
        common.say({"revoked": revoked}, f"{revoked} is revoked.", as_json)
    if new is not None:
        text = add_key(file, new, scope)
        said = f"{text}\nThis is the key of {new}, for {scope}. It is shown this once; the file holds its hash."
        common.say({"name": new, "scope": scope, "key": text}, said, as_json)
