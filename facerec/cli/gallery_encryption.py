"""`facerec gallery encrypt` and `decrypt`."""

from pathlib import Path

import click

from facerec.cli import common
from facerec.gallery import encryption
from facerec.gallery.passphrase import new_passphrase
from facerec.gallery.store import Store


# No option takes a passphrase: every user of the machine can read the arguments of a running program, and shells keep
# them in a file.
@common.command()
@common.gallery_option
@common.json_option
def encrypt(gallery_folder: Path, as_json: bool) -> None:
    """Encrypt the gallery, or change its passphrase; one that is not there is made, empty.

    The passphrase is that of $FACEREC_PASSPHRASE or on the first line of the file $FACEREC_PASSPHRASE_FILE, else it is
    asked for. Of that line only its end (LF or CR LF) is taken away: blanks are part of the passphrase. Where the
    gallery is encrypted already, $FACEREC_NEW_PASSPHRASE or $FACEREC_NEW_PASSPHRASE_FILE holds the one it is to have.
    Whoever forgets it has lost the gallery.

    \b
    facerec gallery encrypt
    FACEREC_PASSPHRASE_FILE=~/.facerec-passphrase facerec gallery encrypt --gallery club
    """
    changing = encryption.is_encrypted(gallery_folder)
    if changing:
        Store.open(gallery_folder).close()  # the present passphrase is asked for first
    encryption.encrypt(gallery_folder, new_passphrase(gallery_folder, replacing=changing))
    _say(gallery_folder, "encrypted with the new passphrase" if changing else "encrypted", True, as_json)


@common.command()
@common.gallery_option
@common.json_option
def decrypt(gallery_folder: Path, as_json: bool) -> None:
    """Have an encrypted gallery no longer encrypted.

    \b
    facerec gallery decrypt
    """
    encryption.decrypt(gallery_folder)
    _say(gallery_folder, "no longer encrypted; whoever may read its files can read all of it", False, as_json)


def _say(folder: Path, text: str, encrypted: bool, as_json: bool) -> None:
    if as_json:
        common.emit({"gallery": str(folder), "encrypted": encrypted})
    else:
        click.echo(f"{common.one_line(folder)}: {text}.")
