"""`facerec gallery encrypt` and `decrypt`."""

import click

from facerec.cli import common
from facerec.gallery.address import Place
from facerec.gallery.passphrase import new_passphrase


# No option takes a passphrase. Every user of the machine can read the arguments of a running program, and shells keep
# them in a file.
@common.command()
@common.new_gallery_option
@common.json_option
def encrypt(gallery_folder: Place, as_json: bool) -> None:
    """Encrypt the gallery, or change its passphrase.

    If there is no gallery, an empty one is made. The passphrase comes from $FACEREC_PASSPHRASE, else from the first
    line of the file named by $FACEREC_PASSPHRASE_FILE, else it is asked for. Blanks in that line are part of it. To
    change the passphrase, put the new one into $FACEREC_NEW_PASSPHRASE or the file $FACEREC_NEW_PASSPHRASE_FILE. If
    you forget the passphrase, the gallery is lost.

    \b
    facerec gallery encrypt
    FACEREC_PASSPHRASE_FILE=~/.facerec-passphrase facerec gallery encrypt --gallery club
    """
    from facerec.gallery import encryption
    from facerec.gallery.store import Store

    encryption.require_encryptable(gallery_folder)  # before a passphrase is asked for
    changing = encryption.is_encrypted(gallery_folder)
    if changing:
        Store.open(gallery_folder).close()  # the present passphrase is asked for first
    encryption.encrypt(gallery_folder, new_passphrase(gallery_folder, replacing=changing))
    _say(gallery_folder, "encrypted with the new passphrase" if changing else "encrypted", True, as_json)


@common.command()
@common.gallery_option
@common.json_option
def decrypt(gallery_folder: Place, as_json: bool) -> None:
    """Turn an encrypted gallery back into a plain one.

    \b
    facerec gallery decrypt
    """
    from facerec.gallery import encryption

    encryption.decrypt(gallery_folder)
    _say(gallery_folder, "no longer encrypted; whoever may read its files can read all of it", False, as_json)


def _say(folder: Place, text: str, encrypted: bool, as_json: bool) -> None:
    if as_json:
        common.emit({"gallery": str(folder), "encrypted": encrypted})
    else:
        click.echo(f"{common.one_line(folder)}: {text}.")
