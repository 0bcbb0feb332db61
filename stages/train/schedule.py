"""What changes from epoch to epoch: the size of the images and the order of the photos."""

import numpy as np
import numpy.typing as npt

STEP_PX = 32
"""Image sizes grow in these steps: sizes nearer to each other would differ too little to pay."""

SMALLEST_UNTIL = 1 / 2
"""Share of the epochs that see the smallest images."""

GROWING_UNTIL = 6 / 7
"""Share of the epochs after which the images are as large as they get."""

LARGEST = 7 / 8
"""The largest training images, in a share of the size of the test: a crop shows a flower larger
than the whole photo does, so that it looks as large in a smaller image."""


def image_sizes(first_px: int, full_px: int, epochs: int) -> list[int]:
    """Return the side of the training images in every epoch.

    Early epochs learn on small images as well, and much faster. The last ones see images of LARGEST
    times the size of the test (Touvron et al., "Fixing the train-test resolution discrepancy",
    2019). With `first_px` at or above the full size, all epochs see the full size.
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


def draw_order(seed: int, epoch: int, photos: int) -> npt.NDArray[np.int64]:
    """Shuffle the positions of the train split's photos for an epoch, int64 of shape (photos,)."""
    return np.random.default_rng([seed, epoch, 0]).permutation(photos)
