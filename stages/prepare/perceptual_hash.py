"""A perceptual hash: photos that look alike have hashes that differ in few bits.

The hash holds the signs of a photo's lowest spatial frequencies. They survive scaling,
recompression and brightening. All arithmetic is on whole numbers, so that the bits are the same on
every machine.

References
----------
C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, chapter 3.2.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE_PX = 32
FREQUENCIES = 8


def _cosines() -> npt.NDArray[np.float64]:
    """Return the first rows of the discrete cosine transform, scaled and rounded.

    They and all that is computed with them are whole numbers below 2**53, which floats hold
    exactly, and multiply faster than integers.
    """
    frequency = np.arange(FREQUENCIES)[:, None]
    sample = np.arange(SIDE_PX)[None, :]
    cosines = np.cos(np.pi * frequency * (2 * sample + 1) / (2 * SIDE_PX))
    return np.asarray(np.rint(4096 * cosines), np.float64)


COSINES = _cosines()
BITS = np.uint64(1) << np.arange(FREQUENCIES**2, dtype=np.uint64)
ODD_ACROSS = np.sum(BITS.reshape(FREQUENCIES, FREQUENCIES)[:, 1::2], dtype=np.uint64)
"""The bits of the frequencies that a mirror turns over."""


def perceptual_hash(square: Image.Image) -> int:
    """Return the 64-bit perceptual hash of a square image."""
    small = square.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX, reducing_gap=1.0)
    spectrum = COSINES @ np.asarray(small.convert("L")) @ COSINES.T
    spectrum[0, 0] = 0  # the mean brightness says nothing
    return int(np.packbits(spectrum > 0, bitorder="little").view("<u8")[0])


def mirrored(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the hashes of the mirror images, left for right."""
    return hashes ^ ODD_ACROSS
