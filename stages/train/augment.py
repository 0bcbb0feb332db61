"""Augmentation of a whole batch on the training device: crop, mirror, colour.

What happens to each photo in an epoch is drawn beforehand as a table from (seed, epoch) with a row
per photo, so that it depends neither on the batch size, nor on the order, nor on a resume.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.common.classifier import ModelCard, normalise
from stages.common.params import Train

CROP_ASPECT = 4 / 3
"""A crop's width to its height is drawn between 1 / CROP_ASPECT and CROP_ASPECT."""

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""


class Augmentation:
    """The augmentation of one epoch.

    Parameters
    ----------
    params : Train
    card : ModelCard
        For mean and standard deviation per channel.
    photos : int
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
        photos: int,
        epoch: int,
        size_px: int,
        device: torch.device | None = None,
    ) -> None:
        self._card = card
        self._size_px = size_px
        self._draws = draw_augmentation(params, epoch, photos).to(device)

    def __call__(self, images: Tensor, positions: Tensor) -> Tensor:
        """Crop, mirror, recolour and normalise a batch.

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
        photos = normalise(images, self._card.mean, self._card.std)
        draws = self._draws[positions.to(images.device, non_blocking=True)]
        return recolor(crop(photos, draws[:, :4], self._size_px), draws[:, 4:])


def draw_augmentation(params: Train, epoch: int, photos: int) -> Tensor:
    """Draw an epoch's augmentation of every photo of the train split.

    Returns
    -------
    float32 tensor of shape (photos, 7)
        Columns: horizontal and vertical scale and shift of the sampling grid in the photo's
        coordinates from -1 to 1 (a negative horizontal scale mirrors); factors of brightness,
        contrast and saturation.
    """
    random = np.random.default_rng([params.seed, epoch, 1])
    area = random.uniform(params.min_crop_area, 1, photos)
    root_aspect = np.exp(random.uniform(-1, 1, photos) * np.log(CROP_ASPECT) / 2)
    width = np.minimum(np.sqrt(area) * root_aspect, 1)
    height = np.minimum(np.sqrt(area) / root_aspect, 1)
    shift_x, shift_y = random.uniform(-1, 1, (2, photos)) * (1 - np.stack([width, height]))
    mirror = random.choice([-1, 1], photos)
    color = 1 + random.uniform(-1, 1, (3, photos)) * params.color_jitter
    table = np.stack([width * mirror, height, shift_x, shift_y, *color], axis=1)
    return torch.from_numpy(table.astype(np.float32))


def crop(photos: Tensor, draws: Tensor, size_px: int) -> Tensor:
    """Sample each photo's crop, (B, 3, S, S) to (B, 3, size_px, size_px), in one grid sample."""
    scale, shift = draws[:, :2], draws[:, 2:]
    theta = torch.cat([torch.diag_embed(scale), shift[:, :, None]], dim=2)  # (B, 2, 3)
    grid = F.affine_grid(theta, [len(photos), 3, size_px, size_px], align_corners=False)
    crops = F.grid_sample(photos, grid, padding_mode="reflection", align_corners=False)
    return crops.contiguous(memory_format=torch.channels_last)


def recolor(photos: Tensor, factors: Tensor) -> Tensor:
    """Change each photo's brightness, contrast and saturation, (B, 3, H, W) by (B, 3).

    Saturation scales a pixel's distance from its grey, contrast its distance from the photo's mean;
    brightness shifts by as many standard deviations as its factor is away from 1.
    """
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)  # (B, 1, 1, 1)
    grey = (photos * photos.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)  # (B, 1, H, W)
    photos = grey + (photos - grey) * saturation
    level = photos.mean(dim=(1, 2, 3), keepdim=True)
    return (photos - level) * contrast + level + (brightness - 1)
