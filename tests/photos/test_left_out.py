"""What walks of folders pass over and say so, and photos that are known by what they hold."""

import logging
import os
import re
from pathlib import Path

import PIL.Image
import pytest
from toy_images import scene

import facerec
from facerec.errors import ImageError
from facerec.photos.folders import by_person, find_photos, identity_folders
from facerec.photos.reading import read_image

SYSTEM_FOLDERS = [
    *("@eaDir", "@Recycle", "@Recently-Snapshot", "@tmp", "#recycle", "#snapshot", ".@__thumb", "~snapshot"),
    *("$RECYCLE.BIN", "$Recycle.Bin", "RECYCLER", "System Volume Information", "FOUND.000", "__MACOSX"),
    *(".AppleDouble", ".Spotlight-V100", ".Trashes", "Network Trash Folder", ".Trash-1000", "lost+found"),
    *(".thumbnails", ".picasaoriginals", "Previews.lrdata", "Photos Library.photoslibrary", "CaptureOne"),
    *("iPod Photo Cache", "Corel Auto-Preserve", ".stversions", ".git", "appdata_oc1x2y", "thumbnails"),
    *("Icon\r", "Config.Msi", "Recycled", "WindowsImageBackup", "_gsdata_", "_vti_cnf", "_vti_pvt", "__pycache__"),
    *(
        "thumbs",
        "LOST.DIR",
        "trashbox",
        "files_trashbin",
        "files_versions",
        "DfsrPrivate",
        "[Originals]",
        "$WinREAgent",
    ),
    *("MSOCache", "NCFLDS", "Recycle Bin", "$WINDOWS.~BT"),
]
SYSTEM_FILES = [
    *("._1.jpg", ".DS_Store", ".hidden.jpg", "Thumbs.db", "ehthumbs_vista.db", "desktop.ini", "Desktop.INI"),
    *("SYNOPHOTO_THUMB_M.jpg", "SYNOFILE_THUMB_XL.png", "1.jpg@SynoEAStream", "1.jpg_original", "1.jpg~", "M.THM"),
    *("AlbumArtSmall.jpg", "AlbumArt_{5F}_Large.jpg", "~$1.jpg", "1.jpg.part", "Unconfirmed 1.crdownload"),
    *("2.jpg.filepart", "2.jpg.partial", "2.jpg.opdownload", "3.jpg.tmp", "~syncthing~6.jpg.tmp"),
]
NAMES = [
    "Originals",
    "digikam",
    "Art",
    "Part",
    "Recy",
    "Ann Lee",
    "O'Ray",
    "Ünal, Çelik",
    "$hort",
    "#1 fan",
    "Trash",
    "Reid.Snapshot",
    "1",
]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A folder of Ann and one photo of her."""
    _photo(tmp_path / "people" / "Ann" / "1.jpg")
    return tmp_path / "people"


def _photo(path: Path, kind: str = "JPEG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(scene()).save(path, kind)
    return path


@pytest.mark.parametrize("name", SYSTEM_FOLDERS)
def test_system_folders_are_passed_over_at_every_depth_and_read_when_named(people: Path, name: str) -> None:
    inside = [_photo(place / name / "deeper" / "1.jpg") for place in (people, people / "Ann")]
    assert find_photos(people) == [people / "Ann" / "1.jpg"]
    assert identity_folders(people) == {"Ann": [people / "Ann" / "1.jpg"]}
    for photo in inside:
        assert find_photos(photo.parent) == find_photos(photo.parents[1]) == [photo]


@pytest.mark.parametrize("name", ["@eaDir", "#recycle", ".Trash-1000", ".thumbnails", "Previews.lrdata", "lost+found"])
def test_links_into_system_folders_are_passed_over(people: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    for place in (people.parent / "far", people):
        photo = _photo(place / name / "Bob" / "1.jpg")
        (people / f"Bob in {place.name}").symlink_to(photo.parent)
        (people / "Ann" / f"more in {place.name}").symlink_to(photo.parent)
        (people / "Ann" / f"{place.name}.jpg").symlink_to(photo)
    for walk in (find_photos, lambda folder: identity_folders(folder)["Ann"]):
        caplog.clear()
        assert walk(people) == [people / "Ann" / "1.jpg"]
        assert "passed over 7 system files and folders" in caplog.messages[0]
    assert list(identity_folders(people)) == ["Ann"]


def test_links_that_lead_through_a_system_folder_are_passed_over(people: Path, tmp_path: Path) -> None:
    """Thumbnails may lie on another disk, and a link may lead to a link."""
    thumbs, share = _photo(tmp_path / "disk" / "thumbs" / "2.jpg").parent, tmp_path / "share"
    share.mkdir()
    (share / "@eaDir").symlink_to(thumbs)
    (share / "small").symlink_to("@eaDir")
    for number, target in enumerate((share / "@eaDir", share / "small", Path("../../share/small"))):
        (people / "Ann" / f"link {number}.jpg").symlink_to(target / "2.jpg")
        (people / "Ann" / f"more {number}").symlink_to(target)
    (people / "Ann" / "round").symlink_to("../Ann/round")
    assert find_photos(people) == identity_folders(people)["Ann"] == [people / "Ann" / "1.jpg"]


def test_other_links_are_followed_though_a_name_above_or_in_them_is_a_systems(tmp_path: Path) -> None:
    people = tmp_path / "@home" / "people"
    for place in ("@home/people/Ann/1.jpg", "@home/far/2.jpg", "far/.git/annex/3.jpg", "far/.album/4.jpg"):
        _photo(tmp_path / place)
    for number, place in ((2, "@home/far"), (3, "far/.git/annex"), (4, "far/.album")):
        (people / "Ann" / f"{number}.jpg").symlink_to(tmp_path / place / f"{number}.jpg")
    (people / "Ann" / "thumb.jpg").symlink_to(_photo(tmp_path / "far" / "SYNOPHOTO_THUMB_M.jpg"))
    assert [path.name for path in find_photos(people)] == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]


@pytest.mark.parametrize("name", SYSTEM_FILES)
def test_system_files_are_passed_over(people: Path, name: str) -> None:
    _photo(people / "Ann" / name)
    _photo(people / name)
    assert find_photos(people) == [people / "Ann" / "1.jpg"]


def test_no_person_is_passed_over(tmp_path: Path) -> None:
    for name in NAMES:
        _photo(tmp_path / name / "1.jpg")
    assert sorted(identity_folders(tmp_path)) == sorted(NAMES)


def test_what_was_passed_over_is_one_warning(people: Path, caplog: pytest.LogCaptureFixture) -> None:
    for walk in (find_photos, identity_folders):
        walk(people)
    assert caplog.messages == [], "nothing was"
    _photo(people / "@eaDir" / "a" / "b.jpg")
    _photo(people / "Ann" / ".hidden.jpg")
    (people / "splits.txt").write_text("Ann", "utf-8")
    find_photos(people)
    assert caplog.messages == [
        f"passed over 2 system files and folders (such as {people / '@eaDir'}), "
        f"1 file that is no photo (such as {people / 'splits.txt'})"
    ]
    assert caplog.records[0].levelno == logging.WARNING
    _photo(people / "loose.jpg")
    identity_folders(people)
    assert caplog.messages[1] == f"{caplog.messages[0]}, 1 photo in no sub-folder (such as {people / 'loose.jpg'})"


def test_nothing_is_said_of_facerec_s_own_files(people: Path, caplog: pytest.LogCaptureFixture) -> None:
    (people / ".facerec-crops").touch()
    assert find_photos(people) == [people / "Ann" / "1.jpg"]
    assert caplog.messages == []


KINDS = {
    **{"noextension": "JPEG", "twitter.jpg_large": "JPEG", "IMG_1.JPG.download": "PNG", "a.txt": "GIF", "b.dat": "BMP"},
    **{"c.": "WEBP", "d.jpg (1)": "TIFF", "e.photo": "JPEG2000", "f": "PPM", "g.mp4": "AVIF", "photo.avif": "AVIF"},
    **{"jp2.jp2": "JPEG2000", "feret.PPM": "PPM"},
}


@pytest.mark.parametrize("name", KINDS)
def test_photos_are_known_by_what_they_hold(tmp_path: Path, name: str) -> None:
    path = _photo(tmp_path / name, KINDS[name])
    assert find_photos(tmp_path) == [path]
    assert read_image(path).shape == (24, 32, 3)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\xff\xd8", b"BMW makes cars and no photos, as everybody knows", b"P1 of the list", b"GIF of a cat"),
        *(b"RIFF\x24\0\0\0WAVEfmt ", b"\0\0\0\x18ftypisom\0\0\0\0mp42", b"%PDF-1.7", b"%!PS-Adobe-3.0 EPSF-3.0"),
    ],
)
def test_other_files_are_no_photos(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert find_photos(tmp_path) == []


def test_a_camera_s_raw_picture_is_no_photo(tmp_path: Path) -> None:
    """It looks like a TIFF, of which only a small copy could be read."""
    for name in ("1.nef", "1.DNG", "1.cr2"):
        _photo(tmp_path / name, "TIFF")
    assert find_photos(tmp_path) == []


def test_what_cannot_be_looked_into_is_no_photo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    assert find_photos(tmp_path) == []
    (tmp_path / "link").symlink_to("nowhere")  # may stand for a person's folder: that it is not there is to be said
    assert find_photos(tmp_path) == [tmp_path / "link"]


def test_links_that_lead_nowhere_are_listed(people: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As to a share that is not mounted: the person, or photos of a person, would vanish in silence."""
    gone, deep, loose = people / "J. Blair", people / "Ann" / "more", people / "2.jpg"
    for link in (gone, deep, loose):
        link.symlink_to("/nowhere/at all")
    for name in (".#1.jpg", "notes~", "Thumbs.db"):
        (people / name).symlink_to("nowhere")
        (people / "Ann" / name).symlink_to("nowhere")
    ann = [people / "Ann" / "1.jpg", deep]
    assert find_photos(people) == sorted([*ann, gone, loose])
    assert by_person(people) == ({"Ann": ann, "J. Blair": [gone]}, [loose], {})
    assert identity_folders(people) == {"Ann": ann, "J. Blair": [gone]}
    assert all("file that is no photo" not in message for message in caplog.messages)
    with pytest.raises(ImageError, match=r"J\. Blair: no such file"):
        read_image(gone)


def test_only_folders_walks() -> None:
    """Whatever else lists a folder lists one that facerec made, or that holds lists and not photos."""
    package = Path(facerec.__file__).parent
    walking = re.compile(r"\bos\.(walk|listdir)|scandir\(|\.(iterdir|r?glob|walk)\(|\bimport glob\b")
    lister = {
        path.relative_to(package).as_posix() for path in package.rglob("*.py") if walking.search(path.read_text())
    }
    assert lister == {
        "photos/folders.py",
        "photos/photo_files.py",  # whether a folder that is given as a photo can be read
        "datasets/splits.py",
        "gallery/database.py",  # whether photos are where a gallery would be made
        "datasets/photo_names.py",  # only for the photos that a list names
        *("albums/links.py", "datasets/prepare.py", "inference/export.py", "training/prefix_cache.py"),  # their own
        *("models/kept_networks.py", "models/converted.py", "inference/shard_work.py"),  # their own
        *("study/grid.py", "search/milvus.py"),  # whether a folder is empty or their own
    }


@pytest.mark.parametrize("text", ["P1 2026 minutes of the club", "P5 7th row", "P3\nfirst", "P2 3"])
def test_a_text_that_begins_nearly_like_a_picture_is_none(people: Path, text: str) -> None:
    (people / "Ann" / "notes.txt").write_text(text, "utf-8")
    assert find_photos(people) == [people / "Ann" / "1.jpg"]
