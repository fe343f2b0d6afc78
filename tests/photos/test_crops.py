"""images.py: what is cut out of a photo, the aligned crop and the centre picture."""

import numpy as np
import PIL.Image
import pytest
from torchvision.transforms import v2
from toy_images import scene

from facerec.errors import ImageError
from facerec.photos.crops import aligned_crop, centre_picture


def test_aligned_crop() -> None:
    small, stored = scene(112, 112), scene(128, 128)
    assert np.array_equal(aligned_crop(small), small)
    assert np.array_equal(aligned_crop(small, 128)[8:120, 8:120], small)
    assert not aligned_crop(small, 128)[:8].any()
    assert np.array_equal(aligned_crop(small, 160), np.asarray(PIL.Image.fromarray(small).resize((160, 160))))
    assert np.array_equal(aligned_crop(stored), stored[8:120, 8:120])
    assert np.array_equal(aligned_crop(stored, 128), stored)
    with pytest.raises(ImageError, match="100x120 is not an aligned crop"):
        aligned_crop(scene(120, 100))


@pytest.mark.parametrize("side", [1, 80, 160, 300, 512])
def test_aligned_crop_of_another_size_is_resized_to_the_128_template(side: int) -> None:
    smooth = np.repeat((np.arange(side) * 255 // side).astype(np.uint8)[None, :, None], side, 0).repeat(3, 2)
    crop = aligned_crop(smooth)
    assert crop.shape == (112, 112, 3)
    expected = ((np.arange(112) + 8 + 0.5) / 128 - 0.5 / side) * 255
    assert np.abs(crop[56, :, 0] - expected)[1:-1].max() <= 3 or side == 1


def test_aligned_crop_does_not_alias() -> None:
    checks = np.indices((512, 512)).sum(0) % 2 * 255
    crop = aligned_crop(np.repeat(checks[..., None], 3, 2).astype(np.uint8))
    assert np.abs(crop.astype(int) - 128).max() <= 4


@pytest.mark.parametrize(("height", "width", "size"), [(300, 300, 224), (90, 90, 224), (80, 80, 56)])
def test_centre_picture_is_torchvision_s_evaluation_transform(height: int, width: int, size: int) -> None:
    picture = scene(height, width)
    prepare = v2.Compose([v2.Resize(size * 256 // 224), v2.CenterCrop(size)])
    assert np.array_equal(centre_picture(picture, size), np.asarray(prepare(PIL.Image.fromarray(picture))))


@pytest.mark.parametrize(("height", "width"), [(400, 200), (200, 400), (201, 400), (37, 1000)])
def test_centre_picture_keeps_the_middle_and_the_proportions(height: int, width: int) -> None:
    """Ramps in x and y: the colour of a pixel says where it came from."""
    y, x = np.mgrid[:height, :width]
    ramps = np.stack([x * 255 / (width - 1), y * 255 / (height - 1), 0 * x], axis=2)
    crop = centre_picture(np.rint(ramps).astype(np.uint8), 112)
    assert (crop.shape, crop.dtype) == ((112, 112, 3), np.uint8)
    step = min(height, width) / 128  # pixels of the picture per pixel of the crop
    places = (np.arange(112) - 55.5) * step
    assert np.abs(crop[56, :, 0] - 255 * (0.5 + places / (width - 1))).max() <= 1.5
    assert np.abs(crop[:, 56, 1] - 255 * (0.5 + places / (height - 1))).max() <= 1.5


def test_centre_picture_of_next_to_nothing() -> None:
    colour = np.array([10, 200, 30], np.uint8)
    for shape in ((1, 1), (1, 100_000), (3, 2), (100_000, 2)):
        assert (centre_picture(np.broadcast_to(colour, (*shape, 3)), 224) == colour).all()


def test_centre_picture_does_not_alias() -> None:
    checks = np.indices((512, 768)).sum(0) % 2 * 255
    crop = centre_picture(np.repeat(checks[..., None], 3, 2).astype(np.uint8), 112)
    assert np.abs(crop.astype(int) - 128).max() <= 8
