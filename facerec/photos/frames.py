"""Which picture of an animation or of a file of many pages is the photo: an animation may begin with a blank one."""

import PIL.Image

from facerec.photos.pixels import DECODING_ERRORS, rgb

_SEVERAL = {"GIF": "frame", "WEBP": "frame", "PNG": "frame", "AVIF": "frame", "TIFF": "page"}
_CONTRAST = 16.0  # standard deviation of grey values; a blank picture has 0, a dim photo 20, most have 40 to 80
_BLANK = 2.0  # less is what compression leaves of one colour
_LOOKED_AT = 50  # pictures at most
_SMALL = (64, 64)


def choose_frame(image: PIL.Image.Image, most_pixels: int) -> tuple[str, ...]:
    """Move an opened image to the picture that is the photo. Returns a remark where there are several.

    It is the first one, unless that is blank; then the first that has half the contrast of the clearest one. Pictures
    after a damaged one do not count. most_pixels: how many may be decoded to find it.
    """
    word = _SEVERAL.get(image.format or "")
    count = _count(image) if word else 1
    if count == 1:
        return ()
    place = _first_with_content(image, count, most_pixels)
    image.seek(place)
    blank = ", those before it are blank or dim" if place else ""
    return (f"{word} {place + 1} of {count} was read{blank}",)


def _count(image: PIL.Image.Image) -> int:
    try:
        return getattr(image, "n_frames", 1)
    except DECODING_ERRORS:
        return 1


def _first_with_content(image: PIL.Image.Image, count: int, most_pixels: int) -> int:
    contrasts: list[float] = []
    for place in range(min(count, _LOOKED_AT)):
        try:
            image.seek(place)
            most_pixels -= image.width * image.height
            if most_pixels < 0:
                break
            contrasts.append(_contrast(image))
        except DECODING_ERRORS:
            break
        if contrasts[0] >= _CONTRAST:
            return 0
    enough = max(contrasts, default=0.0) / 2
    if enough < _BLANK:
        return 0
    return next((place for place, contrast in enumerate(contrasts) if contrast >= enough), 0)


def _contrast(image: PIL.Image.Image) -> float:
    """The standard deviation of a picture's grey values, 0 to 127."""
    grey = rgb(image).convert("L").resize(_SMALL).histogram()
    total = sum(grey)
    mean = sum(value * often for value, often in enumerate(grey)) / total
    return (sum(often * (value - mean) ** 2 for value, often in enumerate(grey)) / total) ** 0.5
