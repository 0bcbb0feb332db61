"""What changes from epoch to epoch: the size of the images and the order of the photos."""

import numpy as np
import numpy.typing as npt

STEP_PX = 32
"""Image sizes grow in these steps: five sizes at most would differ too little to pay."""

GROWING_SHARE = 5 / 6
"""Share of the epochs that see smaller images than the full size."""


def image_sizes(first_px: int, full_px: int, epochs: int) -> list[int]:
    """Return the side of the training images in every epoch.

    The size grows in equal stages, since early epochs learn on small images as well and faster, and
    reaches the full size for the last sixth (Touvron et al., "Fixing the train-test resolution
    discrepancy", 2019, on why the last epochs should see the size of the test).
    """
    smaller = list(range(first_px, full_px, STEP_PX))
    growing = int(epochs * GROWING_SHARE)
    return [
        smaller[epoch * len(smaller) // growing] if smaller and epoch < growing else full_px
        for epoch in range(epochs)
    ]


def draw_order(seed: int, epoch: int, photos: int) -> npt.NDArray[np.int64]:
    """Shuffle the positions of the train split's photos for an epoch, int64 of shape (photos,)."""
    return np.random.default_rng([seed, epoch, 0]).permutation(photos)
