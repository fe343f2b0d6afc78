"""The Python face with a passphrase: galleries that are encrypted, and those that are not."""

from pathlib import Path

import pytest
import toy_model

from facerec import FacerecError, Recogniser
from facerec.errors import GalleryError, PassphraseError
from facerec.faces.detector import AlignedDetector


def test_an_encrypted_gallery_takes_its_passphrase(
    toy: Path, crops: Path, tmp_path: Path, encrypted: str, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from running import run

    folder = tmp_path / "secret"
    with Recogniser(folder, create=True, model=toy, detector=AlignedDetector()) as club:
        club.enroll(crops / "people")
    assert run("gallery", "encrypt", gallery=folder).exit_code == 0
    monkeypatch.delenv("FACEREC_PASSPHRASE")
    with pytest.raises(PassphraseError):
        Recogniser(folder, model=toy)
    with pytest.raises(FacerecError):
        Recogniser(folder, model=toy, passphrase="wrong")
    with Recogniser(folder, model=toy, detector=AlignedDetector(), passphrase=encrypted) as club:
        assert [face.person for face in club.identify(crops / "ann.png")] == [toy_model.NAMES[0]]
        club.enroll({"Dan": [crops / "stranger.png"]})
    with pytest.raises(PassphraseError):
        Recogniser(folder, model=toy)


def test_a_passphrase_is_for_the_gallery_that_was_opened_with_it(
    toy: Path, crops: Path, tmp_path: Path, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    def opened(passphrase: str | None) -> Recogniser:
        return Recogniser(tmp_path / "g", model=toy, detector=AlignedDetector(), passphrase=passphrase)

    Recogniser(tmp_path / "g", create=True, model=toy, passphrase="secret").close()
    with opened("secret") as club:
        for other in (None, "wrong"):
            with pytest.raises(GalleryError):
                opened(other)
        opened("secret").close()
        club.enroll({"Ann": [crops / "ann.png"]})
        assert club.gallery.check().problems == ()
    assert caplog.messages == []
    assert (tmp_path / "g" / "gallery.db.backup").exists()
    with opened("secret") as club:
        assert club.gallery.check().problems == ()


def test_what_is_made_with_a_passphrase_is_encrypted(toy: Path, crops: Path, tmp_path: Path, quick: None) -> None:
    with Recogniser(tmp_path / "g", create=True, model=toy, detector=AlignedDetector(), passphrase="secret") as club:
        club.enroll({"Ann Lee": [crops / "ann.png"]})
    assert not any(b"Ann Lee" in path.read_bytes() for path in (tmp_path / "g").iterdir())


@pytest.mark.parametrize("passphrase", ["", 7, b"secret", "\ud800"])
def test_nothing_is_made_with_what_is_no_passphrase(passphrase: str, toy: Path, tmp_path: Path) -> None:
    with pytest.raises(PassphraseError):
        Recogniser(tmp_path / "g", create=True, model=toy, passphrase=passphrase)
    assert not (tmp_path / "g").exists()


def test_a_passphrase_for_a_gallery_that_is_not_encrypted_is_refused(club: Recogniser, toy: Path) -> None:
    with pytest.raises(PassphraseError, match="not encrypted"):
        Recogniser(club.gallery.folder, model=toy, passphrase="secret")
