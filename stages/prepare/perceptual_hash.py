"""A perceptual hash: photos that look alike have hashes that differ in few bits.

The hash holds the signs of a photo's lowest spatial frequencies. They survive scaling,
recompression and brightening. All arithmetic is on whole numbers, so that the bits are the same on
every machine.

Pairs of similar hashes are found without comparing all pairs. A hash is cut into four bands of 16
bits. Two hashes that differ in at most k bits differ in at most k // 4 bits in one band at least.
So photos are filed under the values of their bands, and each is compared only with those filed
under a value that near to its own.

References
----------
C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, chapter 3.2.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE_PX = 32
FREQUENCIES = 8
BITS = np.uint64(1) << np.arange(FREQUENCIES**2, dtype=np.uint64)
ODD_ACROSS = np.sum(BITS.reshape(FREQUENCIES, FREQUENCIES)[:, 1::2], dtype=np.uint64)
"""The bits of the frequencies whose sign a mirror changes."""

BANDS = 4
BAND_BITS = 16
BLOCK = 1 << 20
"""Comparisons made at once: bounds the memory."""

Hashes = npt.NDArray[np.uint64]
Pairs = npt.NDArray[np.int64]


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


def perceptual_hash(square: Image.Image) -> int:
    """Return the 64-bit perceptual hash of a square image."""
    small = square.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX, reducing_gap=1.0)
    spectrum = COSINES @ np.asarray(small.convert("L")) @ COSINES.T
    spectrum[0, 0] = 0  # the mean brightness says nothing
    return int(np.packbits(spectrum > 0, bitorder="little").view("<u8")[0])


def mirrored(hashes: Hashes) -> Hashes:
    """Return the hashes of the mirror images, left for right."""
    return hashes ^ ODD_ACROSS


def pairs_within(left: Hashes, right: Hashes, bits: int) -> Pairs:
    """Find all pairs of two photos whose hashes differ in at most `bits` bits.

    Parameters
    ----------
    left, right : uint64 array of shape (N,)
        Of the same photos, `right` perhaps of their mirror images. Equal values in `right` make
        the search slow.
    bits : int
        0 to 64.

    Returns
    -------
    int64 array of shape (P, 2)
        Positions in `left` and in `right`, the first below the second, ascending, each pair once.
    """
    pairs = [np.empty((0, 2), np.int64)]
    for shift in range(0, BANDS * BAND_BITS, BAND_BITS):
        for i, j in _candidates(_band(left, shift), _band(right, shift), bits // BANDS):
            near = (i < j) & (np.bitwise_count(left[i] ^ right[j]) <= bits)
            pairs.append(np.stack([i[near], j[near]], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def _band(hashes: Hashes, shift: int) -> npt.NDArray[np.uint16]:
    return (hashes >> np.uint64(shift)).astype(np.uint16)


def _candidates(
    left: npt.NDArray[np.uint16], right: npt.NDArray[np.uint16], flips: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Give the positions of all pairs of values that differ in at most `flips` bits, in blocks."""
    filed = np.argsort(right, kind="stable")
    start = np.searchsorted(right[filed], np.arange((1 << BAND_BITS) + 1))
    masks = _masks(flips)
    at_once = max(1, BLOCK // max(1, len(left)))
    for first_mask in range(0, len(masks), at_once):
        values = (left ^ masks[first_mask : first_mask + at_once, None]).ravel().astype(np.int64)
        counts = start[values + 1] - start[values]
        for first, last in _blocks(counts):
            block = counts[first:last]
            asking = np.repeat(np.arange(first, last), block)
            rank = np.arange(len(asking)) - np.repeat(np.cumsum(block) - block, block)
            yield asking % len(left), filed[start[values[asking]] + rank]


def _masks(flips: int) -> npt.NDArray[np.uint16]:
    """Return all band values with at most `flips` bits set."""
    chosen = (bits for count in range(flips + 1) for bits in combinations(range(BAND_BITS), count))
    return np.array([sum(1 << bit for bit in bits) for bits in chosen], np.uint16)


def _blocks(counts: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut positions into runs whose counts add up to about BLOCK."""
    runs = np.cumsum(counts) // BLOCK
    yield from pairwise([0, *(np.flatnonzero(np.diff(runs)) + 1).tolist(), len(counts)])
