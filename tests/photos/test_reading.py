"""images.py: every format and mode read right, everything else refused in one line."""

import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.ImageFilter
import pytest
from toy_images import error_of, scene

from facerec.extras import install
from facerec.photos.reading import read, read_image

# ---- formats and modes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.png", {}, 0),
        ("a.bmp", {}, 0),
        ("a.tif", {"compression": "tiff_lzw"}, 0),
        ("a.webp", {"lossless": True}, 0),
        ("a.jpg", {"quality": 95, "subsampling": 0}, 12),
        ("a.jpg", {"quality": 95, "subsampling": 0, "progressive": True}, 12),
        ("a.gif", {}, 40),
        ("a.avif", {"quality": 100, "subsampling": "4:4:4"}, 12),
        ("a.jp2", {}, 0),
        ("a.ppm", {}, 0),
    ],
)
def test_formats(tmp_path: Path, name: str, options: dict, tolerance: int) -> None:
    path = tmp_path / name
    PIL.Image.fromarray(scene()).save(path, **options)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.shape == (24, 32, 3)
    assert image.flags.writeable
    assert image.flags.c_contiguous
    assert np.abs(image.astype(int) - scene()).max() <= tolerance


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.webp", "a.png", "a.avif"])
def test_of_several_pictures_the_first_that_is_not_blank_is_read(tmp_path: Path, name: str) -> None:
    """A film fades in: black, then dark, then bright. The first is read where all are flat."""
    word = "page" if name == "a.tif" else "frame"
    bright = PIL.Image.fromarray(scene())
    dark, black = PIL.Image.fromarray(scene() // 5), PIL.Image.new("RGB", bright.size)
    for pictures, place in (
        ([bright, black], 1),
        ([black, dark, bright, dark], 3),
        ([black, PIL.Image.new("RGB", bright.size, "navy")], 1),
    ):
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], quality=90)
        image, (remark,), _ = read(tmp_path / name)
        assert remark.startswith(f"{word} {place} of {len(pictures)} was read")
        assert ("blank" in remark) == (place > 1)
        assert np.abs(image.astype(int) - np.asarray(pictures[place - 1])).mean() < 10


def test_an_animation_that_is_damaged_further_on_gives_its_first_picture(tmp_path: Path) -> None:
    bright = PIL.Image.fromarray(scene())
    bright.save(tmp_path / "a.gif", save_all=True, append_images=[bright.rotate(90), bright.rotate(180)])
    data = (tmp_path / "a.gif").read_bytes()
    (tmp_path / "a.gif").write_bytes(data[: len(data) // 2])
    assert np.abs(read_image(tmp_path / "a.gif").astype(int) - scene()).max() <= 40


def test_a_photo_beside_its_copy_for_another_screen_is_one_photo(tmp_path: Path) -> None:
    """Phones write MPO: a JPEG, and after it a smaller one, or a map of brightness."""
    PIL.Image.fromarray(scene()).save(
        tmp_path / "a.jpg", "MPO", save_all=True, append_images=[PIL.Image.new("L", (8, 6))]
    )
    assert PIL.Image.open(tmp_path / "a.jpg").format == "MPO"
    image, remarks, _ = read(tmp_path / "a.jpg")
    assert image.shape == (24, 32, 3)
    assert remarks == ()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
def test_modes(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.tif"
    PIL.Image.new("RGB", (9, 7), "white").convert(mode).save(path)
    assert read_image(path).shape == (7, 9, 3)
    assert read_image(path).min() >= 254


def test_cmyk_jpeg(tmp_path: Path) -> None:
    PIL.Image.fromarray(scene()).convert("CMYK").save(tmp_path / "a.jpg", quality=95, subsampling=0)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - scene()).max() <= 16


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    image = PIL.Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 127))
    image.convert(mode).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [0, 255, 128]


def test_transparent_palette_is_laid_on_white(tmp_path: Path) -> None:
    image = PIL.Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    for name in ("a.png", "a.gif"):
        image.save(tmp_path / name, transparency=1)
        assert read_image(tmp_path / name).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    expected = np.rint(ramp / 257.0)
    for name in ("a.png", "a.tif"):
        PIL.Image.fromarray(ramp).save(tmp_path / name)
        assert np.array_equal(read_image(tmp_path / name)[..., 1], expected)
    big_endian = b"MM\0*" + struct.pack(">I", 8 + ramp.nbytes) + ramp.astype(">u2").tobytes() + _tiff_directory(16, 16)
    (tmp_path / "big.tif").write_bytes(big_endian)
    assert PIL.Image.open(tmp_path / "big.tif").mode == "I;16B"
    assert np.array_equal(read_image(tmp_path / "big.tif")[..., 2], expected)


def _tiff_directory(width: int, height: int) -> bytes:
    """A big-endian directory of one uncompressed 16-bit grey strip at offset 8."""
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 2 * width * height}
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack(">H", len(tags)) + entries + struct.pack(">I", 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 128, 255]], np.int32), [0, 128, 255]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[-5, 0, 2**31 - 1]], np.int32), [0, 0, 127]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.4, 255.0]], np.float32), [0, 100, 255]),
        (np.array([[np.nan, -1.0, 1.0]], np.float32), [0, 0, 255]),
    ],
)
def test_32_bit_and_float_grey(tmp_path: Path, values: np.ndarray, expected: list[int]) -> None:
    PIL.Image.fromarray(values).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == expected


def test_16_bit_colour(tmp_path: Path) -> None:
    pixels = (scene().astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 32, 24, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    assert np.array_equal(read_image(tmp_path / "a.png"), scene())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_exif_orientation(tmp_path: Path, name: str, orientation: int) -> None:
    """The stored pixels are those that, shown by the EXIF rule, give the upright picture (EXIF 2.3, 4.6.4)."""
    upright = scene()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    image = PIL.Image.fromarray(np.ascontiguousarray(stored))
    image.save(tmp_path / name, exif=exif, quality=100, lossless=True)
    assert np.abs(read_image(tmp_path / name).astype(int) - upright).mean() < 3


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\1" * 40]
)
def test_broken_exif_beside_a_sound_photo(tmp_path: Path, exif: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    PIL.Image.fromarray(scene()).save(tmp_path / "a.jpg", exif=exif)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert read_image(tmp_path / "a.jpg").shape == (24, 32, 3)
    assert not caught
    assert capfd.readouterr() == ("", "")


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra `heic` is not installed")
    heif.from_pillow(PIL.Image.fromarray(scene(64, 96))).save(tmp_path / "a.heic", quality=95)
    image = read_image(tmp_path / "a.heic")
    assert image.shape == (64, 96, 3)
    assert np.abs(image.astype(int) - scene(64, 96)).mean() < 8


def test_jpeg_xl(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl", reason="the extra `jxl` is not installed")
    PIL.Image.fromarray(scene()).save(tmp_path / "a.jxl", lossless=True)
    assert np.array_equal(read_image(tmp_path / "a.jxl"), scene())


@pytest.mark.parametrize("start", [b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a"])
def test_jpeg_xl_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    (tmp_path / "a.jpg").write_bytes(start + b"\0" * 100)
    assert f"{install('jxl')}; or give the photo as JPEG" in error_of(tmp_path / "a.jpg")


def test_avif_that_calls_itself_an_image_of_any_kind_needs_no_extra(tmp_path: Path) -> None:
    PIL.Image.fromarray(scene()).save(tmp_path / "a.avif")
    data = (tmp_path / "a.avif").read_bytes()
    assert data[8:12] == b"avif"
    assert b"avif" in data[16 : data[3]], "among the compatible brands"
    (tmp_path / "a.avif").write_bytes(data[:8] + b"mif1" + data[12:])
    assert read_image(tmp_path / "a.avif").shape == (24, 32, 3)


def test_heic_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # what Python itself puts there to forbid an import
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100)
    assert install("heic") in error_of(tmp_path / "a.heic")
