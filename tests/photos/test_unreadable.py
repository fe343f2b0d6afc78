"""Photos that are damaged, cut off, huge, oddly named or none at all."""

import hashlib
import io
import math
import os
import platform
import re
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.ImageFilter
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_images import error_of, scene

from facerec.errors import ImageError
from facerec.photos import reading
from facerec.photos.folders import find_photos, photo_hash
from facerec.photos.memory import photo_of, read_photo
from facerec.photos.reading import HALVED, read, read_image


def test_missing_empty_folder_text_and_odd_files(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "text.jpg").write_text("this is a text, not a photo")
    (tmp_path / "page.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "no such file" in error_of(tmp_path / "missing.jpg")
    assert "empty" in error_of(tmp_path / "empty.jpg")
    assert "a folder" in error_of(tmp_path / "folder.jpg")
    assert "not an image" in error_of(tmp_path / "text.jpg")
    assert "not an image" in error_of(tmp_path / "page.png")
    assert "not a regular file" in error_of(tmp_path / "pipe.jpg")
    assert "File name too long" in error_of(tmp_path / ("x" * 300 + ".jpg"))
    assert "no file has such a name" in error_of(tmp_path / "a\0b.jpg")


def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    PIL.Image.fromarray(scene()).save(path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert "Permission denied" in error_of(path)
    with pytest.raises(ImageError, match="Permission denied"):
        photo_hash(path)


def test_threads_that_read_tiffs_leave_stderr_and_warnings_alone(tmp_path: Path) -> None:
    """libtiff's complaints are kept from stderr by redirecting it, for the whole process, for a moment."""
    PIL.Image.fromarray(scene()).save(tmp_path / "a.tif", compression="tiff_lzw")
    before, filters = os.fstat(2), list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(read_image, [tmp_path / "a.tif"] * 300))) == 300
    after = os.fstat(2)
    assert (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino)
    assert warnings.filters == filters


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp", "a.tif", "a.gif"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_cut_off(tmp_path: Path, name: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    assert "cut off" in error_of(tmp_path / name) or "damaged" in error_of(tmp_path / name)


JPEGS = [{"subsampling": 0, "quality": 95}, {"optimize": True}, {"restart_marker_rows": 1}]


@pytest.mark.parametrize("options", JPEGS)
def test_a_jpeg_is_used_if_only_its_last_rows_are_missing(tmp_path: Path, options: dict) -> None:
    """No row that is said to be there depends on what is missing."""
    whole = PIL.Image.fromarray(scene(400, 300)).filter(PIL.ImageFilter.BoxBlur(1))
    whole.save(tmp_path / "whole.jpg", **options)
    data, true = (tmp_path / "whole.jpg").read_bytes(), read_image(tmp_path / "whole.jpg")
    used = 0
    for cut in (*range(1, 40, 3), len(data) // 90, len(data) // 50, len(data) // 10, len(data) // 3):
        (tmp_path / "a.jpg").write_bytes(data[:-cut])
        try:
            image, remarks, _ = read(tmp_path / "a.jpg")
        except ImageError:
            assert cut > 2
            continue
        used += 1
        wrong = int((image != true).any(axis=(1, 2)).sum())
        assert wrong <= _lost(remarks) <= 0.05 * 400
    assert 10 <= used <= 15


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.ppm", "a.tif"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_other_photos_are_used_if_only_their_last_rows_are_missing(tmp_path: Path, name: str, mode: str) -> None:
    noise = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (100, 50, 3), np.uint8)).convert(mode)
    noise.save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: -len(data) // 35])
    image, (remark,), _ = read(tmp_path / name)
    assert remark == f"the file's end is missing, {_lost((remark,))} of 100 rows are lost"
    assert int((image != np.asarray(noise.convert("RGB"))).any(axis=(1, 2)).sum()) == _lost((remark,)) in (3, 4)
    (tmp_path / name).write_bytes(data[: -len(data) // 10])
    assert "truncated" in error_of(tmp_path / name)
    assert PIL.ImageFile.LOAD_TRUNCATED_IMAGES is False


def _lost(remarks: tuple[str, ...]) -> int:
    """How many rows a remark says are lost."""
    return sum(int(rows) for remark in remarks for rows in re.findall(r"(\d+) of \d+ rows", remark))


@pytest.mark.parametrize("share", [0.01, 0.03, 0.05])
def test_a_progressive_jpeg_is_used_if_only_lowest_bits_are_missing(tmp_path: Path, share: float) -> None:
    whole = PIL.Image.fromarray(scene(400, 300)).filter(PIL.ImageFilter.BoxBlur(1))
    whole.save(tmp_path / "a.jpg", progressive=True)
    data, true = (tmp_path / "a.jpg").read_bytes(), read_image(tmp_path / "a.jpg").astype(int)
    (tmp_path / "a.jpg").write_bytes(data[: -int(share * len(data))])
    image, (remark,), _ = read(tmp_path / "a.jpg")
    rows = _lost((remark,))
    assert remark == f"the file's end is missing, {rows} of 400 rows are a little less sharp"
    assert 0 < int((image != true).any(axis=(1, 2)).sum()) <= rows
    assert np.abs(image - true).mean() < 2


def test_a_progressive_jpeg_without_its_last_scans_is_refused(tmp_path: Path) -> None:
    """All its rows are there, but they are coarse."""
    PIL.Image.fromarray(scene(64, 64)).save(tmp_path / "a.jpg", progressive=True)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: data.rfind(b"\xff\xda")])
    assert "truncated" in error_of(tmp_path / "a.jpg")


def test_a_raw_picture_is_refused(tmp_path: Path) -> None:
    PIL.Image.fromarray(scene()).save(tmp_path / "a.nef", "TIFF")
    assert "a camera's raw picture; give it as JPEG" in error_of(tmp_path / "a.nef")


def test_a_damaged_tiff_leaves_nothing_on_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    PIL.Image.fromarray(scene(64, 64)).save(tmp_path / "a.tif", compression="tiff_lzw")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[8:400] = b"\xff" * 392
    (tmp_path / "a.tif").write_bytes(data)
    assert "damaged" in error_of(tmp_path / "a.tif")
    os.write(2, b"still there")
    assert capfd.readouterr() == ("", "still there")


def _encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(scene()).save(buffer, kind, **({"exif": b"Exif\0\0II*\0\x08\0\0\0"} if kind == "JPEG" else {}))
    return buffer.getvalue()


SOUND = {kind: _encoded(kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM")}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(sorted(SOUND)), data=st.data())
def test_damaged_bytes_give_a_picture_or_one_line(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    changed = bytearray(SOUND[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged"
    path.write_bytes(changed[: data.draw(st.integers(1, len(changed)))])
    try:
        outcome = read_image(path).shape[2:]
    except ImageError as error:
        outcome = str(error)
    assert outcome == (3,) or len(str(outcome).splitlines()) == 1


def _huge_png(side: int) -> bytes:
    """A PNG of a few bytes that says it is side x side."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("side", [11_000, 14_000, 60_000])
def test_decompression_bombs(tmp_path: Path, side: int, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bomb.png").write_bytes(_huge_png(side))
    assert f"more than {reading.MAX_PIXELS // 1_000_000} megapixels" in error_of(tmp_path / "bomb.png")
    assert capfd.readouterr() == ("", "")


ODD_NAMES = [
    "two words.png",
    'it\'s "quoted".png',
    "line\nbreak\r\x1b[31m.png",
    "Ærøskøbing 東京 محمد.png",
    "line\u2028sep.png",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    PIL.Image.fromarray(scene()).save(path)
    assert np.array_equal(read_image(path), scene())
    assert find_photos(tmp_path) == [path]
    path.write_bytes(b"no image")
    error_of(path)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    path.write_bytes(b"no image")
    assert "caf\\udce9.png" in error_of(path)
    error_of(path).encode()


def test_photo_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"some bytes")
    assert photo_hash(tmp_path / "a") == hashlib.sha256(b"some bytes").hexdigest()
    with pytest.raises(ImageError, match="no such file"):
        photo_hash(tmp_path / "b")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back when asked")
def test_a_large_photo_is_decoded_once_memory_was_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PIL.Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    held = [b"x" * 65_536 for _ in range(3200)]  # 200 MB of small blocks
    pin = held[-1]
    del held
    used = []
    for large in (1201, 1200):  # pixels
        monkeypatch.setattr(reading, "_LARGE", large)
        read_image(tmp_path / "a.png")
        used.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    assert used[0] - used[1] > 150e6
    assert len(pin) == 65_536


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("turned", [1, 6, 3])
def test_a_very_large_photo_is_halved_where_that_is_allowed(tmp_path: Path, name: str, turned: int) -> None:
    """A red square of 8 x 8, in a photo of an odd number of rows, lies where its pixels divided by 2 say."""
    picture = np.full((41, HALVED, 3), 128, np.uint8)
    picture[16:24, 1000:1008] = (255, 0, 0)
    exif = PIL.Image.Exif()
    exif[0x0112] = turned
    PIL.Image.fromarray(picture).save(tmp_path / name, exif=exif, quality=95, subsampling=0)
    whole, halved = read(tmp_path / name), read(tmp_path / name, may_halve=True)
    assert (whole.scale, halved.scale) == (1, 2)
    assert halved.image.shape == (*(math.ceil(side / 2) for side in whole.image.shape[:2]), 3)
    centres = [
        np.argwhere(image[..., 0].astype(int) - image[..., 1] > 128).mean(0) for image in (whole.image, halved.image)
    ]
    np.testing.assert_allclose(2 * (centres[1] + 0.5) - 0.5, centres[0], atol=1)  # a turn may begin with the odd row
    mean = whole.image[:40, :40].reshape(20, 2, 20, 2, 3).mean((1, 3))
    if turned == 1:
        np.testing.assert_allclose(halved.image[:20, :20], mean, atol=2)


def test_other_photos_are_read_whole(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (HALVED - 1, 8)).save(tmp_path / "a.jpg")
    found = read(tmp_path / "a.jpg", may_halve=True)
    assert (found.image.shape, found.scale) == ((8, HALVED - 1, 3), 1)
    assert read_photo(photo_of(np.zeros((8, HALVED, 3), np.uint8)), may_halve=True).scale == 1


def test_an_avif_whose_colours_are_spoiled_is_one_line(tmp_path: Path) -> None:
    """Pillow's decoder raises RuntimeError for it."""
    path, content = tmp_path / "a.avif", bytearray(SOUND["AVIF"])
    begin = content.index(b"mdat") + 4
    content[begin:] = bytes(len(content) - begin)
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.avif: damaged"):
        read_image(path)
