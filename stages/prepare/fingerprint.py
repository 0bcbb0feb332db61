"""A perceptual hash: photos that look alike have hashes that differ in few bits.

The hash holds the signs of a photo's lowest spatial frequencies. They survive scaling,
recompression and brightening. All arithmetic is on integers, so that the bits are the same on every machine.

References
----------
C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, chapter 3.2.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 32
FREQUENCIES = 8


def _cosines() -> npt.NDArray[np.int64]:
    """Return the first rows of the discrete cosine transform, scaled and rounded to integers."""
    frequency = np.arange(FREQUENCIES)[:, None]
    sample = np.arange(SIDE)[None, :]
    cosines = 4096 * np.cos(np.pi * frequency * (2 * sample + 1) / (2 * SIDE))
    return np.asarray(np.rint(cosines), dtype=np.int64)


COSINES = _cosines()
BITS = np.left_shift(np.uint64(1), np.arange(FREQUENCIES**2, dtype=np.uint64))


def fingerprint(square: Image.Image) -> int:
    """Return the 64-bit perceptual hash of a square image."""
    grey = square.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    spectrum = COSINES @ np.asarray(grey, dtype=np.int64) @ COSINES.T
    spectrum[0, 0] = 0  # the brightness
    return int(BITS[spectrum.ravel() > 0].sum())
