"""What changes in the course of a training: image size, order of the photos, learning rate.

Random numbers come from generators seeded by (seed, epoch, purpose). None comes from a global
state, except what PyTorch's own layers draw, and that state is seeded before every batch. So a
resumed training draws what the uninterrupted one would have drawn.
"""

import math

import numpy as np
import numpy.typing as npt
import torch

STEP_PX = 32
"""Image sizes grow in these steps; a smaller step gains too little to be worth its epochs."""

SMALLEST_UNTIL = 1 / 2
"""This share of the epochs sees the smallest images."""

GROWING_UNTIL = 6 / 7
"""After this share of the epochs, the images stop growing."""

LARGEST = 7 / 8
"""The largest training images as a fraction of the test size: a crop magnifies the flower, so that
in a smaller image it looks as large as in the test."""


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
    """Return the learning rate of a step, counted from 0, as a fraction of the highest one.

    It rises in a line, then falls along half a cosine. The rate of a step is that at its middle: at
    its start the first one would be 0, and at its end the last one.
    """
    middle = step + 0.5
    if middle < warmup_steps:
        return middle / warmup_steps
    progress = (middle - warmup_steps) / (steps - warmup_steps)
    return (1 + math.cos(math.pi * min(progress, 1))) / 2


ORDER = 0
AUGMENTATION = 1
DROPOUT = 2
"""The purposes: each has its own stream."""


def epoch_generator(seed: int, epoch: int, purpose: int) -> np.random.Generator:
    """Return the generator of an epoch, from 1, for one purpose."""
    return np.random.default_rng([seed, epoch, purpose])


def seed_dropout(seed: int, epoch: int, batch: int, rank: int) -> None:
    """Seed PyTorch's global state, from which dropout draws, for one batch of one process."""
    sequence = np.random.SeedSequence([seed, epoch, DROPOUT, batch, rank])
    torch.manual_seed(int(sequence.generate_state(1)[0]))
