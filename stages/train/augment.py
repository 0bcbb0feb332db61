"""Augmentation of a whole batch on the training device: crop, mirror, color, one distortion.

What happens to each photo in an epoch is drawn beforehand as a table from (seed, epoch) with a row
per photo, so that it depends neither on the batch size, nor on the order, nor on a resume. All
photos of a batch go through the same few operations; what is not meant for a photo changes nothing
of it.

References
----------
Müller and Hutter, "TrivialAugment: tuning-free yet state-of-the-art data augmentation" (2021): one
distortion per photo, of a strength drawn evenly.
"""

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.common.schema import Train
from stages.model.classifier import ModelMeta
from stages.train.schedule import AUGMENTATION, epoch_generator

CROP_ASPECT = 4 / 3
"""A crop's width to its height is drawn between 1 / CROP_ASPECT and CROP_ASPECT."""

GRAY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""

DISTORTIONS = {
    "none": 0,
    "rotate": np.pi / 6,  # radians
    "shear_x": 0.3,  # horizontal shift per vertical distance
    "shear_y": 0.3,  # vertical shift per horizontal distance
    "brightness": 0.6,
    "contrast": 0.6,
    "saturation": 0.9,
    "sharpness": 1.5,  # of the difference to a blurred image that is added
    "posterize": 5,  # bits that a color loses
    "erase": 0.4,  # side of a square in the mean color, as a share of the image's
}
"""What is drawn for each photo, and how much of it there is at full strength."""

Floats = npt.NDArray[np.float64]


class Draws(NamedTuple):
    """What happens to photos, a row each; float32 tensors."""

    grid: Tensor
    """(N, 2, 3): maps places in the crop to places in the photo, both from -1 to 1."""
    color: Tensor
    """(N, 3): factors of brightness, contrast and saturation."""
    sharpness: Tensor
    """(N,): how much of the difference to a blurred image is added."""
    levels: Tensor
    """(N,): of each color, 256 for all."""
    hole: Tensor
    """(N, 3): center and half the side of a square that is erased, in places from -1 to 1."""

    def of(self, positions: Tensor) -> "Draws":
        """Return the rows of some photos."""
        return Draws(*(column[positions] for column in self))


class Augmentation:
    """The augmentation of one epoch.

    Parameters
    ----------
    params : Train
    meta : ModelMeta
        For mean and standard deviation per channel, and whether photos may be mirrored.
    n_photos : int
        Photos in the train split.
    epoch : int
        Its number, from 1.
    size_px : int
        Side of the images that the network sees in this epoch.
    device : torch.device, optional
        Where the batches will be; the CPU when not given.
    """

    def __init__(
        self,
        params: Train,
        meta: ModelMeta,
        n_photos: int,
        epoch: int,
        size_px: int,
        device: torch.device | None = None,
    ) -> None:
        self._size_px = size_px
        self._distorts = params.distortion > 0
        draws = draw_augmentation(params, epoch, n_photos, meta.mirror_keeps_class)
        self._draws = Draws(*(column.to(device) for column in draws))
        self._mean = 255 * torch.tensor(meta.mean).to(self._draws.color)
        self._std = 255 * torch.tensor(meta.std).to(self._draws.color)

    def __call__(self, images: Tensor, positions: Tensor) -> Tensor:
        """Crop, mirror, distort, recolor and normalize a batch.

        Parameters
        ----------
        images : uint8 tensor of shape (B, S, S, 3)
        positions : int64 tensor of shape (B,)
            The photos' positions in the train split.

        Returns
        -------
        float32 tensor of shape (B, 3, size_px, size_px)
            In channels-last memory format.
        """
        draws = self._draws.of(positions)
        images = images.permute(0, 3, 1, 2).to(draws.color.dtype)
        inputs = crop(images, draws.grid, self._size_px)
        if self._distorts:
            inputs = posterize(sharpen(inputs, draws.sharpness), draws.levels)
        inputs = recolor(inputs, draws.color, self._mean, self._std)
        if self._distorts:
            inputs = erase(inputs, draws.hole)
        return inputs.contiguous(memory_format=torch.channels_last)


def draw_augmentation(
    params: Train, epoch: int, n_photos: int, mirror_keeps_class: bool = True
) -> Draws:
    """Draw an epoch's augmentation of every photo of the train split."""
    random = epoch_generator(params.seed, epoch, AUGMENTATION)
    area = random.uniform(params.min_crop_area, 1, n_photos)
    root_aspect = np.exp(random.uniform(-1, 1, n_photos) * np.log(CROP_ASPECT) / 2)
    width = np.minimum(np.sqrt(area) * root_aspect, 1)
    height = np.minimum(np.sqrt(area) / root_aspect, 1)
    shift_x, shift_y = random.uniform(-1, 1, (2, n_photos)) * (1 - np.stack([width, height]))
    mirror = random.choice([-1, 1] if mirror_keeps_class else [1], n_photos)
    color = 1 + random.uniform(-1, 1, (3, n_photos)) * params.color_jitter
    amount = draw_distortions(random, n_photos, params.distortion)
    cos, sin = np.cos(amount["rotate"]), np.sin(amount["rotate"])
    grid = [
        [width * mirror * cos, width * mirror * (amount["shear_x"] - sin), shift_x],
        [height * (amount["shear_y"] + sin), height * cos, shift_y],
    ]
    color += np.stack([amount[name] for name in ("brightness", "contrast", "saturation")])
    hole_x, hole_y = random.uniform(-1, 1, (2, n_photos))
    hole = np.stack([hole_x, hole_y, np.abs(amount["erase"])])
    levels = 2 ** (8 - np.abs(amount["posterize"]))
    return Draws(
        _tensor(np.moveaxis(np.array(grid), 2, 0)),
        _tensor(color.T),
        _tensor(amount["sharpness"]),
        _tensor(levels),
        _tensor(hole.T),
    )


def draw_distortions(
    random: np.random.Generator, n_photos: int, strength: float
) -> dict[str, Floats]:
    """Draw one distortion for each photo; return how much of each it gets, 0 of all the others."""
    chosen = random.integers(len(DISTORTIONS), size=n_photos)
    amount = random.uniform(-strength, strength, n_photos)
    return {
        name: np.where(chosen == number, amount * largest, 0.0)
        for number, (name, largest) in enumerate(DISTORTIONS.items())
    }


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def crop(images: Tensor, grid: Tensor, size_px: int) -> Tensor:
    """Sample each image's crop, (B, 3, S, S) to (B, 3, size_px, size_px), in one grid sample.

    What lies outside of the photo is its mirror image there.
    """
    shape = [len(images), 3, size_px, size_px]
    places = F.affine_grid(grid, shape, align_corners=False)  # (B, size_px, size_px, 2)
    return F.grid_sample(images, places, padding_mode="reflection", align_corners=False)


def sharpen(images: Tensor, amount: Tensor) -> Tensor:
    """Add to each image (B, 3, H, W) its difference to a blurred one; less than 0 blurs it."""
    blurred = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    return torch.lerp(blurred, images, 1 + amount[:, None, None, None]).clamp(0, 255)


def posterize(images: Tensor, levels: Tensor) -> Tensor:
    """Round the colors of each image (B, 3, H, W), from 0 to 255, down to so many levels."""
    step = 256 / levels[:, None, None, None]
    rounded = (images / step).floor() * step + (step - 1) / 2
    return torch.where(step > 1, rounded, images)


def erase(images: Tensor, hole: Tensor) -> Tensor:
    """Give a square in each normalized image (B, 3, H, W) the mean color, which is 0."""
    height, width = images.shape[2:]
    x, y, half = hole[:, :, None].unbind(1)  # (B, 1)
    across = (_places(width, images) - x).abs() < half
    down = (_places(height, images) - y).abs() < half
    return images.masked_fill((down[:, :, None] & across[:, None, :])[:, None], 0)


def _places(count: int, like: Tensor) -> Tensor:
    """Return the centers of pixels in a row, from -1 to 1."""
    return (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) * (2 / count) - 1


def recolor(images: Tensor, factors: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Normalize images and change each one's brightness, contrast and saturation.

    Saturation scales a pixel's distance from its gray, contrast its distance from the image's mean;
    brightness shifts by as many standard deviations as its factor is away from 1. All of it is one
    affine map of the colors per photo.

    Parameters
    ----------
    images : tensor of shape (B, 3, H, W)
    factors : tensor of shape (B, 3)
    mean, std : tensor of shape (3,)
        Per channel, of values in the range of the images.
    """
    brightness, contrast, saturation = factors[:, :, None].unbind(1)  # (B, 1)
    gray = _gray(images.device, images.dtype)
    unit = torch.eye(3, dtype=images.dtype, device=images.device)
    saturate = saturation[:, :, None] * unit + (1 - saturation[:, :, None]) * gray  # (B, 3, 3)
    linear = contrast[:, :, None] * saturate / std
    average = images.mean(dim=(2, 3)) - mean  # (B, 3)
    level = (saturate / std @ average[:, :, None]).mean(dim=1)  # (B, 1)
    shift = (1 - contrast) * level + (brightness - 1) - linear @ mean  # (B, 3)
    return torch.baddbmm(shift[:, :, None], linear, images.flatten(2)).view_as(images)


@functools.cache
def _gray(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Keep GRAY on the device: bringing it there for each batch would make a GPU wait."""
    return torch.tensor(GRAY, device=device, dtype=dtype)
