"""Pictures for people to look at: photos with framed and named faces, and contact sheets.

Names are set in DejaVu Sans, which lies beside this file. It has Latin, Greek, Cyrillic, Arabic and other letters. The
letters it lacks, such as Chinese, Japanese and Korean, are drawn as empty frames.
"""

import io
import math
import os
from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np
import PIL.Image
from PIL import ImageDraw, ImageFont

from facerec.errors import DataError, ImageError
from facerec.files import require_writable
from facerec.photos.folders import photo_hash
from facerec.photos.reading import read_image
from facerec.text import UNKNOWN, printable
from facerec.types import Box, Image

FONT = Path(__file__).with_name("DejaVuSans.ttf")
TILE, LABEL = 160, 28  # pixels of a contact sheet: the side of a face, and the height of the name below it
_NAMED, _STRANGER, _INK = (0, 110, 60), (176, 32, 32), (255, 255, 255)
_PAPER, _EMPTY, _TEXT = (255, 255, 255), (224, 224, 224), (40, 40, 40)
_LONGEST = 65_000  # pixels a side: JPEG takes 65,535
_STEM_BYTES = 200  # of a file name: file systems take 255, and a number and an ending follow


def annotated(image: Image, boxes: Sequence[Box], names: Sequence[str | None]) -> Image:
    """A copy of an (H, W, 3) uint8 RGB photo with a box around each face, and its name above.

    boxes: in pixels of the photo as `read_image` returns it; they may reach past its border. names: one for each box;
    None is written as "unknown". Known people are framed in green, unknown ones in red.
    """
    picture = PIL.Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    width = max(2, round(min(picture.size) / 200))
    for box, name in zip(boxes, names, strict=True):
        colour = _STRANGER if name is None else _NAMED
        corners = _visible(box, picture.size)
        draw.rectangle(corners, outline=colour, width=width)
        size = max(12, min(round(min(picture.size) / 25), round((box[2] - box[0]) / 4)))
        _label(draw, corners, UNKNOWN if name is None else name, size, colour, picture.size)
    return np.asarray(picture)


def contact_sheet(
    photos: Sequence[Path],
    boxes: Sequence[Box],
    names: Sequence[str],
    crops: Sequence[Image | None] = (),
    hashes: Sequence[str | None] = (),
) -> Image:
    """(H, W, 3) uint8 RGB: faces side by side, each over its name. Only one photo is held in memory at a time.

    photos, boxes, names: for each face its photo, its box there and its name. crops: shown where the photo is missing
    or cannot be read; without a crop the tile says "no photo". hashes: each photo's `photo_hash`; a file with another
    hash took the photo's name later and counts as missing. Without photos the sheet is one empty tile.
    """
    columns = max(1, math.ceil(math.sqrt(len(photos))))
    rows = max(1, math.ceil(len(photos) / columns))
    sheet = PIL.Image.new("RGB", (columns * TILE, rows * (TILE + LABEL)), _PAPER)
    draw, font = ImageDraw.Draw(sheet), _font(14)
    spare, known = crops or [None] * len(photos), hashes or [None] * len(photos)
    for place, (path, box, name, crop, digest) in enumerate(zip(photos, boxes, names, spare, known, strict=True)):
        left, top = place % columns * TILE, place // columns * (TILE + LABEL)
        face = _face(path, box, digest) or (None if crop is None else _tile(crop))
        if face is None:
            draw.rectangle((left + 2, top + 2, left + TILE - 3, top + TILE - 3), _EMPTY)
            draw.text((left + 10, top + TILE // 2), "no photo", _TEXT, font)
        else:
            sheet.paste(face, (left + (TILE - face.width) // 2, top + (TILE - face.height) // 2))
        draw.text((left + 4, top + TILE + 4), _fitted(name, font, TILE - 8), _TEXT, font)
    return np.asarray(sheet)


def save_sheet(
    photos: Sequence[Path],
    boxes: Sequence[Box],
    names: Sequence[str],
    path: Path,
    crops: Sequence[Image | None] = (),
    hashes: Sequence[str | None] = (),
) -> None:
    """Write a contact sheet to a new file; raises as `write_sheet`."""
    sheet_format(path)
    write_sheet(contact_sheet(photos, boxes, names, crops, hashes), path)


def sheet_format(path: Path) -> str:
    """ "JPEG" or "PNG", by the file's ending; raises DataError for any other ending."""
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{printable(path)}: a contact sheet is a picture; give a name that ends in .jpg or .png")
    return kind


def write_sheet(sheet: Image, path: Path) -> None:
    """Write an (H, W, 3) uint8 RGB picture to a new file, as JPEG or PNG by its ending.

    Raises DataError for any other ending, for a file that exists, and for one that cannot be written.
    """
    data = io.BytesIO()
    PIL.Image.fromarray(sheet).save(data, sheet_format(path))
    try:
        _write_new(path, data.getvalue())
    except FileExistsError as error:
        raise DataError(f"{printable(path)}: is there already; give another name for the sheet") from error
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


def ready_folder(folder: Path) -> None:
    """Make `folder` if it is missing, and raise DataError if no pictures can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        require_writable(folder / "picture.jpg", unique=True)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise _unwritable(folder, error) from error


def save_annotated(path: Path, boxes: Sequence[Box], names: Sequence[str | None], folder: Path) -> Path:
    """Write an annotated copy of a photo to `folder`, as a JPEG of the photo's name; return the copy's path.

    No file is overwritten: where `party.jpg` exists, the copy is called `party-2.jpg`. Raises ImageError if the photo
    cannot be read, DataError if the copy cannot be written. boxes, names: as for `annotated`.
    """
    picture = PIL.Image.fromarray(annotated(read_image(path), boxes, names))
    picture.thumbnail((_LONGEST, _LONGEST))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=92)
    return _write_beside(folder, _short(path.stem), data.getvalue())


def _write_beside(folder: Path, stem: str, data: bytes) -> Path:
    for number in count(1):
        target = folder / (f"{stem}.jpg" if number == 1 else f"{stem}-{number}.jpg")
        try:
            _write_new(target, data)
            return target
        except FileExistsError:
            continue
        except OSError as error:
            raise _unwritable(target, error) from error
    raise AssertionError("numbers do not end")


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that must not exist yet, not even as a link (FileExistsError). After an error nothing is left of it.

    A process that is killed may leave half a picture. It is a copy in a folder of the user's, and nobody relies on it.
    """
    with path.open("xb") as file:
        try:
            file.write(data)
            file.flush()
        except OSError:
            path.unlink()
            raise


def _short(stem: str) -> str:
    """A file name's stem, cut to leave room for a number and an ending."""
    return os.fsencode(stem)[:_STEM_BYTES].decode("utf-8", "ignore") if len(os.fsencode(stem)) > _STEM_BYTES else stem


def _unwritable(path: Path, error: OSError | ValueError) -> DataError:
    reason = error.strerror if isinstance(error, OSError) else error
    return DataError(f"{printable(path)}: cannot be written ({reason}); give another folder for the pictures")


def _face(path: Path, box: Box, digest: str | None) -> PIL.Image.Image | None:
    """What the box and a fifth of its side around it show, scaled to a side of TILE; None without a readable photo."""
    try:
        if digest is not None and photo_hash(path) != digest:
            return None
        image = read_image(path)
    except ImageError:
        return None
    room = 0.2 * max(box[2] - box[0], box[3] - box[1], 1)
    left, top, right, bottom = box[0] - room, box[1] - room, box[2] + room, box[3] + room
    rows = slice(max(0, math.floor(top)), max(0, math.ceil(bottom)))
    columns = slice(max(0, math.floor(left)), max(0, math.ceil(right)))
    part = image[rows, columns]
    return _tile(part if part.size else image)


def _tile(image: Image) -> PIL.Image.Image:
    face = PIL.Image.fromarray(np.ascontiguousarray(image))
    scale = TILE / max(face.size)
    return face.resize((max(1, round(face.width * scale)), max(1, round(face.height * scale))), reducing_gap=3.0)


def _visible(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box's corners (left, top, right, bottom), moved into a photo of `size`, with left <= right, top <= bottom."""
    left, right = (min(max(side, 0.0), size[0] - 1.0) for side in (box[0], box[2]))
    top, bottom = (min(max(side, 0.0), size[1] - 1.0) for side in (box[1], box[3]))
    return left, top, max(left, right), max(top, bottom)


def _label(
    draw: ImageDraw.ImageDraw,
    corners: tuple[float, float, float, float],
    name: str,
    size: int,
    colour: tuple[int, int, int],
    picture: tuple[int, int],
) -> None:
    """Write the name above the box, or into it where the photo ends above; never outside the photo."""
    font = _font(size)
    text = _fitted(name, font, picture[0] - 4)
    x1, y1, x2, y2 = draw.textbbox((0, 0), text, font)
    wide, high = x2 - x1 + 6, y2 - y1 + 6
    left = max(0.0, min(corners[0], picture[0] - wide))
    top = corners[1] - high if corners[1] >= high else corners[1]
    draw.rectangle((left, top, left + wide, top + high), colour)
    draw.text((left + 3 - x1, top + 3 - y1), text, _INK, font)


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """`text` on one line, cut and ended with dots where it is wider than `width` pixels."""
    line = printable(text)
    if font.getlength(line) <= width:
        return line
    fits = [n for n in range(min(len(line), width)) if font.getlength(f"{line[:n]}…") <= width]
    return f"{line[: fits[-1]]}…" if fits else ""


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT, size)
