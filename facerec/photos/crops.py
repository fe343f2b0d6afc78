"""Square crops: cutting, scaling, and storing as PNG."""

import io

import numpy as np
import PIL.Image
from PIL.Image import Resampling

from facerec.errors import ImageError
from facerec.photos.photo_files import one_line
from facerec.photos.pixels import DECODING_ERRORS
from facerec.types import Image

_LARGEST_CROP = 4096  # pixels a side


def aligned_crop(image: Image, size: int = 112) -> Image:
    """An aligned crop (S, S, 3) -> (size, size, 3) uint8 RGB on the ArcFace template.

    A 112x112 input fills the template exactly. Any other square (128x128, 80x80) is taken to have a margin of 8/128 of
    its side around the template, as training crops do; it is first resized to 128x128 (antialiased). The result is cut
    out of the centre, or padded with black where the input is smaller. Sizes other than 112 and 128 have no margin:
    the 112 crop is scaled. Raises ImageError for an input that is not square.
    """
    height, width = image.shape[:2]
    if height != width:
        raise ImageError(f"{width}x{height} is not an aligned crop: give square crops, or leave out `aligned`")
    if width not in (112, 128):
        image = np.asarray(PIL.Image.fromarray(image).resize((128, 128), Resampling.BICUBIC))
    if size not in (112, 128):
        return np.asarray(PIL.Image.fromarray(aligned_crop(image)).resize((size, size), Resampling.BICUBIC))
    margin = (image.shape[0] - size) // 2
    if margin < 0:
        return np.pad(image, ((-margin, -margin), (-margin, -margin), (0, 0)))
    return np.ascontiguousarray(image[margin : margin + size, margin : margin + size])


def fitted_crop(crop: Image, size: int) -> Image:
    """A detector's aligned crop (S, S, 3) -> (size, size, 3) uint8 RGB. Each size has its own `alignment.template`.

    The template of 128 is that of 112 with a margin; all others are that of 112, scaled.
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
    """The (S, S, 3) uint8 RGB crop that `encode_png` was given; raises ImageError for damaged or other bytes."""
    try:
        with PIL.Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.verify()  # every chunk's checksum; reading the pixels would check the header's alone
        with PIL.Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.mode != "RGB" or not 0 < image.width == image.height <= _LARGEST_CROP:
                raise ImageError(f"a {image.mode} picture of {image.width}x{image.height} instead of a crop")
            return np.array(image)
    except DECODING_ERRORS as error:
        raise ImageError(f"not a sound PNG ({one_line(error)})") from error


def centre_picture(image: Image, size: int) -> Image:
    """The middle of a picture (H, W, 3) -> (size, size, 3) uint8 RGB, for networks that read whole pictures.

    This is torchvision's usual evaluation transform (He et al. 2016): resize the shorter side to size * 256 / 224
    (antialiased, bilinear), then cut out the centre. Small pictures are enlarged.
    """
    height, width = image.shape[:2]
    side = min(height, width) * size / round(size * 256 / 224)
    left, top = (width - side) / 2, (height - side) / 2
    # Only the centre is computed, so a picture of 1 x 100,000 pixels costs no more than any other.
    box = (left, top, width - left, height - top)
    return np.array(PIL.Image.fromarray(image).resize((size, size), Resampling.BILINEAR, box))
