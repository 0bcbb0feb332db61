"""What changes in the course of a training: image size, order of the photos, learning rate."""

import math

import numpy as np
import numpy.typing as npt

from stages.train.randomness import ORDER, epoch_generator

STEP_PX = 32
"""Image sizes grow in these steps; a smaller step gains too little to be worth its epochs."""

SMALLEST_UNTIL = 1 / 2
"""This share of the epochs sees the smallest images."""

GROWING_UNTIL = 6 / 7
"""After this share of the epochs, the images stop growing."""

LARGEST = 7 / 8
"""The largest training images as a share of the test size: a crop magnifies the flower, so that in
a smaller image it looks as large as in the test."""


def image_sizes(first_px: int, full_px: int, epochs: int) -> list[int]:
    """Return the side of the training images in every epoch.

    Early epochs learn almost as well on small images, and much faster. The last ones see images of
    LARGEST times the test size. With `first_px` at or above the full size, all epochs see the full
    size.

    References
    ----------
    Touvron et al., "Fixing the train-test resolution discrepancy" (2019).
    """
    if first_px >= full_px:
        return [full_px] * epochs
    last_px = max(first_px, round(full_px * LARGEST))
    growing = [*range(first_px + STEP_PX, last_px, STEP_PX)] or [first_px]
    start, end = int(epochs * SMALLEST_UNTIL), int(epochs * GROWING_UNTIL)
    return [
        *[first_px] * start,
        *[growing[i * len(growing) // (end - start)] for i in range(end - start)],
        *[last_px] * (epochs - end),
    ]


def draw_order(seed: int, epoch: int, n_photos: int) -> npt.NDArray[np.int64]:
    """Shuffle the positions of the train split for an epoch, int64 of shape (n_photos,)."""
    return epoch_generator(seed, epoch, ORDER).permutation(n_photos)


def warmup_cosine(step: int, warmup_steps: float, steps: int) -> float:
    """Return the learning rate of a step, counted from 0, as a share of the highest one.

    It rises in a line, then falls along half a cosine. The rate of a step is that at its middle: at
    its start the first one would be 0, and at its end the last one.
    """
    middle = step + 0.5
    if middle < warmup_steps:
        return middle / warmup_steps
    share = (middle - warmup_steps) / (steps - warmup_steps)
    return (1 + math.cos(math.pi * min(share, 1))) / 2
