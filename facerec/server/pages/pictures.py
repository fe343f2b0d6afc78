"""Pictures for the page: photos and crops as data URIs, frames around faces, and bars of distances."""

import base64
import io
from dataclasses import dataclass

import PIL.Image

from facerec.photos.crops import encode_png
from facerec.photos.memory import AnyPhoto, read_photo
from facerec.types import Box, Image

LARGEST = 1280  # pixels of the longer side of a photo as it is shown
ROOM = (640, 600)  # units that a photo with its frames fills, one way or the other: pixels on a wide screen
_BAR, _FAR = 400, 2.5  # units of a bar, and the distance at its end
_LINE = 26  # units above a face that its name needs


@dataclass(frozen=True, slots=True)
class Preview:
    """A photo as it is shown. uri: of a JPEG. width, height: of the drawing, in units. scale: units per pixel."""

    uri: str
    width: float
    height: float
    scale: float


def preview(photo: AnyPhoto) -> Preview:
    """Show a photo; ImageError if it cannot be read."""
    found = read_photo(photo, may_halve=True)
    height, width = (side * found.scale for side in found.image.shape[:2])
    image = PIL.Image.fromarray(found.image)
    image.thumbnail((LARGEST, LARGEST))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=85)
    scale = min(ROOM[0] / width, ROOM[1] / height)
    uri = f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
    return Preview(uri, round(width * scale, 1), round(height * scale, 1), scale)


def crop_uri(crop: Image) -> str:
    """A crop as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(encode_png(crop)).decode()}"


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a face and its name are drawn, in units of the drawing over the photo."""

    x: float
    y: float
    w: float
    h: float
    text_x: float
    text_y: float
    anchor: str


def frame(box: Box, shown: Preview) -> Frame:
    """The frame of a face; its name is above it, or below where there is no room, and never beyond the right edge."""
    x1, y1, x2, y2 = (side * shown.scale for side in box)
    x1, y1, x2, y2 = max(x1, 2), max(y1, 2), min(x2, shown.width - 2), min(y2, shown.height - 2)
    left, below = (x1 + x2) / 2 < 0.6 * shown.width, y1 < _LINE
    w, h, text_x, anchor = max(x2 - x1, 1), max(y2 - y1, 1), x1 if left else x2, "start" if left else "end"
    text_y = y2 + 0.8 * _LINE if below else y1 - 0.3 * _LINE
    return Frame(round(x1, 1), round(y1, 1), round(w, 1), round(h, 1), round(text_x, 1), round(text_y, 1), anchor)


@dataclass(frozen=True, slots=True)
class Bar:
    """A distance against the threshold. at, limit, label: places on the bar. said, limit_said: in words."""

    at: float
    limit: float
    label: float
    anchor: str
    said: str
    limit_said: str
    within: bool


def bar(distance: float, threshold: float) -> Bar:
    """Draw a distance, 0 to 4, against a threshold."""
    at, limit = (min(max(value / _FAR, 0.0), 1.0) * _BAR for value in (distance, threshold))
    anchor = "start" if limit < 60 else "end" if limit > _BAR - 60 else "middle"
    said, limit_said = f"{distance:.2f}", f"{threshold:.2f}"
    return Bar(
        round(min(max(at, 7), _BAR - 7), 1),
        round(limit, 1),
        round(limit, 1),
        anchor,
        said,
        limit_said,
        distance <= threshold,
    )
