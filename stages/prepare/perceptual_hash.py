"""A perceptual hash: photos that look alike have hashes that differ in few bits.

The hash holds the signs of a photo's lowest spatial frequencies. They survive scaling,
recompression and brightening. All arithmetic is on whole numbers, so that the bits are the same on
every machine.

Pairs of similar hashes are found without comparing all pairs. A hash is cut into m bands. Two
hashes that differ in at most k bits differ in at most k // m bits in one band at least. So photos
are filed under the values of their bands, and each is compared only with those filed under a value
that near to its own. The more photos, the longer the bands, so that few share a value: then the
time grows hardly faster than the number of photos.

References
----------
C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, chapter 3.2.
"""

import math
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

MOST_BANDS, LEAST_BANDS = 16, 3
"""Three bands have up to 22 bits; a table of all values of longer ones would not fit in memory."""
CROWDING = 5
"""How many times as many photos share a value as if values were evenly spread."""
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
    bands = _choose_bands(len(left), bits)
    for first, end in pairwise(len(BITS) * band // bands for band in range(bands + 1)):
        values = (_band(left, first, end), _band(right, first, end))
        for i, j in _candidates(*values, _masks(end - first, bits // bands)):
            near = (i < j) & (np.bitwise_count(left[i] ^ right[j]) <= bits)
            pairs.append(np.stack([i[near], j[near]], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def _choose_bands(photos: int, bits: int) -> int:
    """Return the number of bands with the least work: tables, values looked up, photos compared."""

    def work(bands: int) -> float:
        width, flips = len(BITS) // bands, bits // bands
        values = sum(math.comb(width, count) for count in range(flips + 1))
        return bands * float(2**width + photos * values * (1 + CROWDING * photos / 2**width))

    return min(range(LEAST_BANDS, MOST_BANDS + 1), key=work)


def _band(hashes: Hashes, first: int, end: int) -> npt.NDArray[np.int64]:
    """Return the bits of hashes from one on to before another, as numbers."""
    return (hashes >> np.uint64(first) & np.uint64((1 << end - first) - 1)).astype(np.int64)


def _candidates(
    left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], masks: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Give the positions of all pairs of values that differ by one of the masks, in blocks."""
    filed = np.argsort(right, kind="stable")
    most = masks.max() | max(left.max(initial=0), right.max(initial=0))
    start = np.concatenate([[0], np.cumsum(np.bincount(right, minlength=2 * most + 2))])
    at_once = max(1, BLOCK // max(1, len(left)))
    for first_mask in range(0, len(masks), at_once):
        values = (left ^ masks[first_mask : first_mask + at_once, None]).ravel()
        counts = start[values + 1] - start[values]
        for first, last in _blocks(counts):
            block = counts[first:last]
            asking = np.repeat(np.arange(first, last), block)
            rank = np.arange(len(asking)) - np.repeat(np.cumsum(block) - block, block)
            yield asking % len(left), filed[start[values[asking]] + rank]


def _masks(width: int, flips: int) -> npt.NDArray[np.int64]:
    """Return all values of a band of `width` bits with at most `flips` bits set."""
    chosen = (bits for count in range(flips + 1) for bits in combinations(range(width), count))
    return np.array([sum(1 << bit for bit in bits) for bits in chosen], np.int64)


def _blocks(counts: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut positions into runs whose counts add up to about BLOCK."""
    runs = np.cumsum(counts) // BLOCK
    yield from pairwise([0, *(np.flatnonzero(np.diff(runs)) + 1).tolist(), len(counts)])
