"""Square crops: cut, scaled, and kept as PNG."""

import io

import numpy as np
import PIL.Image
from PIL.Image import Resampling

from facerec.errors import ImageError
from facerec.photos.reading import DECODING_ERRORS, one_line
from facerec.types import Image

_LARGEST_CROP = 4096  # pixels a side


def aligned_crop(image: Image, size: int = 112) -> Image:
    """A crop that is aligned already -> (size, size, 3) uint8 RGB on the ArcFace template.

    A 112x112 input is the 112 template itself. Any other square (128x128, 80x80) is the template with 8/128 of its
    side as margin all around; it is resized to 128x128 (antialiased) first. Then the centre is cut out, or black put
    around it where there is less; for a `size` that is neither 112 nor 128 the template is scaled. Raises ImageError
    when it is not square.
    """
    height, width = image.shape[:2]
    if height != width:
        raise ImageError(f"{width}x{height} is not an aligned crop: give square crops, or leave out --aligned")
    if width not in (112, 128):
        image = np.asarray(PIL.Image.fromarray(image).resize((128, 128), Resampling.BICUBIC))
    if size not in (112, 128):
        return np.asarray(PIL.Image.fromarray(aligned_crop(image)).resize((size, size), Resampling.BICUBIC))
    margin = (image.shape[0] - size) // 2
    if margin < 0:
        return np.pad(image, ((-margin, -margin), (-margin, -margin), (0, 0)))
    return np.ascontiguousarray(image[margin : margin + size, margin : margin + size])


def fitted_crop(crop: Image, size: int) -> Image:
    """The aligned crop a detector made at its own size (`detect.template`) -> (size, size, 3), on that size's template.

    The 128 template has a margin around the 112 one, the others are the 112 one scaled.
    """
    side, scaled = crop.shape[0], 112 if size == 128 else size
    if side not in (112, 128, scaled):
        crop = np.asarray(PIL.Image.fromarray(crop).resize((scaled, scaled), Resampling.BICUBIC))
    return crop if crop.shape[0] == size else aligned_crop(crop, size)


def encode_png(image: Image) -> bytes:
    """An (H, W, 3) uint8 RGB image as a PNG file's bytes, without loss."""
    data = io.BytesIO()
    PIL.Image.fromarray(image).save(data, "PNG")
    return data.getvalue()


def decode_png(data: bytes) -> Image:
    """The (S, S, 3) uint8 RGB crop `encode_png` was given; ImageError for bytes that are none, or not the same."""
    try:
        with PIL.Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.verify()  # the checksum of each chunk; reading the pixels asks for that of the header only
        with PIL.Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.mode != "RGB" or not 0 < image.width == image.height <= _LARGEST_CROP:
                raise ImageError(f"a {image.mode} picture of {image.width}x{image.height} instead of a crop")
            return np.array(image)
    except DECODING_ERRORS as error:
        raise ImageError(f"not a sound PNG ({one_line(error)})") from error


def centre_picture(image: Image, size: int) -> Image:
    """The middle of a picture -> (size, size, 3) uint8 RGB, for networks that look at whole pictures.

    As if the shorter side were resized (antialiased bilinear) to size * 256 / 224 and the centre cut out: torchvision's
    usual evaluation transform (He et al. 2016). Small pictures are enlarged alike.
    """
    height, width = image.shape[:2]
    side = min(height, width) * size / round(size * 256 / 224)
    left, top = (width - side) / 2, (height - side) / 2
    # Only the centre is ever computed: a picture of 1 x 100,000 pixels costs no more than any other.
    box = (left, top, width - left, height - top)
    return np.array(PIL.Image.fromarray(image).resize((size, size), Resampling.BILINEAR, box))
