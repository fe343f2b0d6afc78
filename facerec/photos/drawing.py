"""Pictures for people to look at: photos with the faces framed and named, and contact sheets.

Names are set in DejaVu Sans, which matplotlib brings along: Latin, Greek, Cyrillic, Arabic and more; letters it lacks
(Chinese, Japanese, Korean among them) are drawn as empty frames.
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
from facerec.photos.folders import photo_hash
from facerec.photos.reading import read_image
from facerec.text import UNKNOWN, printable
from facerec.types import Box, Image

TILE, LABEL = 160, 28  # of a contact sheet: the side of a face, and the height of its name, in pixels
_NAMED, _STRANGER, _INK = (0, 110, 60), (176, 32, 32), (255, 255, 255)
_PAPER, _EMPTY, _TEXT = (255, 255, 255), (224, 224, 224), (40, 40, 40)
_LONGEST = 65_000  # of a side: JPEG counts to 65,535
_STEM_BYTES = 200  # of a file's name, which may have 255


def annotated(image: Image, boxes: Sequence[Box], names: Sequence[str | None]) -> Image:
    """A copy of an (H, W, 3) uint8 RGB photo with a box around each face and its name, or "unknown" for None.

    Boxes are in pixels of the photo as `read_image` returned it and may reach past its border. Known people are framed
    in green, unknown ones in red.
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
    """The faces in `boxes` of photos, side by side over their names, (H, W, 3) uint8 RGB; one photo is held at a time.

    hashes: each photo's `photo_hash`: a file of another, which took its name since, is not it. Of a photo that is
    missing, or cannot be read, the crop is shown, if one is given for each; without, it is an empty tile with its name.
    Without photos the sheet is one.
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
    """JPEG or PNG, by the file's ending; raises DataError for another."""
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{printable(path)}: a contact sheet is a picture; give a name that ends in .jpg or .png")
    return kind


def write_sheet(sheet: Image, path: Path) -> None:
    """Write a picture (H, W, 3) to a new file, as JPEG or PNG by its ending.

    Raises DataError for another ending, a file that is there already, or one that cannot be written.
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
    """Make `folder` if need be and see that pictures can be written to it; raises DataError if not."""
    probe = folder / f".facerec-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise _unwritable(folder, error) from error


def save_annotated(path: Path, boxes: Sequence[Box], names: Sequence[str | None], folder: Path) -> Path:
    """Write an annotated copy of the photo at `path` to `folder`, as a JPEG of the photo's name; returns where.

    Nothing is ever written over: where `party.jpg` is taken, the copy is `party-2.jpg`. Raises ImageError for a photo
    that cannot be read (any more), DataError where the copy cannot be written.
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
    """Write a file, whole or not at all; FileExistsError for a name that is taken, by a link too."""
    with path.open("xb") as file:
        try:
            file.write(data)
            file.flush()
        except OSError:
            path.unlink()
            raise


def _short(stem: str) -> str:
    """A file name's stem, cut so that a number and an ending have room."""
    return os.fsencode(stem)[:_STEM_BYTES].decode("utf-8", "ignore") if len(os.fsencode(stem)) > _STEM_BYTES else stem


def _unwritable(path: Path, error: OSError | ValueError) -> DataError:
    reason = error.strerror if isinstance(error, OSError) else error
    return DataError(f"{printable(path)}: cannot be written ({reason}); give another folder for the pictures")


def _face(path: Path, box: Box, digest: str | None) -> PIL.Image.Image | None:
    """What is in the box, and a fifth of it around, at most TILE a side; None without a photo to cut it from."""
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
    """The box's corners within a photo of `size`, the lower right never above or left of the other."""
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
    """The name above the box, or in it where there is no room above; always within the photo."""
    font = _font(size)
    text = _fitted(name, font, picture[0] - 4)
    x1, y1, x2, y2 = draw.textbbox((0, 0), text, font)
    wide, high = x2 - x1 + 6, y2 - y1 + 6
    left = max(0.0, min(corners[0], picture[0] - wide))
    top = corners[1] - high if corners[1] >= high else corners[1]
    draw.rectangle((left, top, left + wide, top + high), colour)
    draw.text((left + 3 - x1, top + 3 - y1), text, _INK, font)


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """`text` on one line, cut with dots where it is wider than so many pixels."""
    line = printable(text)
    if font.getlength(line) <= width:
        return line
    fits = [n for n in range(min(len(line), width)) if font.getlength(f"{line[:n]}…") <= width]
    return f"{line[: fits[-1]]}…" if fits else ""


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)
