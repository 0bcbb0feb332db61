"""Augmentation of a whole batch on the training device: crop, mirror, color.

What happens to each photo in an epoch is drawn beforehand as a table from (seed, epoch) with a row
per photo, so that it depends neither on the batch size, nor on the order, nor on a resume.
"""

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.common.classifier import ModelCard
from stages.common.params import Train
from stages.train.randomness import AUGMENTATION, epoch_generator

CROP_ASPECT = 4 / 3
"""A crop's width to its height is drawn between 1 / CROP_ASPECT and CROP_ASPECT."""

GRAY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""


class Augmentation:
    """The augmentation of one epoch.

    Parameters
    ----------
    params : Train
    card : ModelCard
        For mean and standard deviation per channel.
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
        card: ModelCard,
        n_photos: int,
        epoch: int,
        size_px: int,
        device: torch.device | None = None,
    ) -> None:
        self._size_px = size_px
        self._draws = draw_augmentation(params, epoch, n_photos).to(device)
        self._mean = 255 * torch.tensor(card.mean).to(self._draws)
        self._std = 255 * torch.tensor(card.std).to(self._draws)

    def __call__(self, images: Tensor, positions: Tensor) -> Tensor:
        """Crop, mirror, recolor and normalize a batch.

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
        draws = self._draws[positions.to(images.device, non_blocking=True)]
        images = images.permute(0, 3, 1, 2).to(draws.dtype)
        crops = crop(images, draws[:, :4], self._size_px)
        inputs = recolor(crops, draws[:, 4:], self._mean, self._std)
        return inputs.contiguous(memory_format=torch.channels_last)


def draw_augmentation(params: Train, epoch: int, n_photos: int) -> Tensor:
    """Draw an epoch's augmentation of every photo of the train split.

    Returns
    -------
    float32 tensor of shape (n_photos, 7)
        Columns: horizontal and vertical scale and shift of the sampling grid in the photo's
        coordinates from -1 to 1 (a negative horizontal scale mirrors); factors of brightness,
        contrast and saturation.
    """
    random = epoch_generator(params.seed, epoch, AUGMENTATION)
    area = random.uniform(params.min_crop_area, 1, n_photos)
    root_aspect = np.exp(random.uniform(-1, 1, n_photos) * np.log(CROP_ASPECT) / 2)
    width = np.minimum(np.sqrt(area) * root_aspect, 1)
    height = np.minimum(np.sqrt(area) / root_aspect, 1)
    shift_x, shift_y = random.uniform(-1, 1, (2, n_photos)) * (1 - np.stack([width, height]))
    mirror = random.choice([-1, 1], n_photos)
    color = 1 + random.uniform(-1, 1, (3, n_photos)) * params.color_jitter
    table = np.stack([width * mirror, height, shift_x, shift_y, *color], axis=1)
    return torch.from_numpy(table.astype(np.float32))


def crop(images: Tensor, draws: Tensor, size_px: int) -> Tensor:
    """Sample each image's crop, (B, 3, S, S) to (B, 3, size_px, size_px), in one grid sample."""
    scale_x, scale_y, shift_x, shift_y = draws[:, :, None].unbind(1)  # (B, 1)
    places = torch.arange(size_px, dtype=draws.dtype, device=draws.device)
    centers = (places + 0.5) * (2 / size_px) - 1
    x = (centers * scale_x + shift_x)[:, None, :].expand(-1, size_px, -1)  # (B, size_px, size_px)
    y = (centers * scale_y + shift_y)[:, :, None].expand(-1, -1, size_px)
    grid = torch.stack([x, y], dim=3)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


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
