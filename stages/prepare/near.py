"""Pairs of alike fingerprints, found without comparing all pairs.

A fingerprint is cut into four bands of 16 bits. Two fingerprints that differ in at most k bits
differ in at most k // 4 bits within one band at least, so only photos that share a band up to that
many flipped bits are compared.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

BANDS = 4
BAND_BITS = 16
BLOCK = 1 << 22

Pairs = npt.NDArray[np.int64]


def near_pairs(fingerprints: npt.NDArray[np.uint64], bits: int) -> Pairs:
    """Find all pairs of fingerprints that differ in at most `bits` bits.

    Parameters
    ----------
    fingerprints : uint64 array of shape (N,)
        All different.
    bits : int

    Returns
    -------
    int64 array of shape (P, 2)
        Positions, the smaller first, in ascending order, each pair once.
    """
    found = [
        pairs
        for band in range(BANDS)
        for pairs in _pairs_in_band(fingerprints, BAND_BITS * band, bits)
    ]
    return np.unique(np.concatenate([np.empty((0, 2), np.int64), *found]), axis=0)


def _pairs_in_band(fingerprints: npt.NDArray[np.uint64], shift: int, bits: int) -> Iterator[Pairs]:
    bands = (fingerprints >> np.uint64(shift)).astype(np.uint16)
    order = np.argsort(bands, kind="stable")
    ordered = bands[order]
    for flips in _flips(bits // BANDS):
        first = np.searchsorted(ordered, bands ^ flips, "left")
        last = np.searchsorted(ordered, bands ^ flips, "right")
        for start, stop in _blocks(last - first):
            counts = (last - first)[start:stop]
            left = np.repeat(np.arange(start, stop), counts)
            within = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
            right = order[np.repeat(first[start:stop], counts) + within]
            pairs = np.stack([left, right], axis=1)[left < right]
            distance = np.bitwise_count(fingerprints[pairs[:, 0]] ^ fingerprints[pairs[:, 1]])
            yield pairs[distance <= bits]


def _flips(count: int) -> list[np.uint16]:
    """Return the masks of 16 bits with at most `count` set."""
    return [
        np.uint16(sum(1 << bit for bit in chosen))
        for size in range(count + 1)
        for chosen in combinations(range(BAND_BITS), size)
    ]


def _blocks(counts: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut positions into runs whose counts add up to about BLOCK, so that memory stays bounded."""
    runs = np.cumsum(counts) // BLOCK
    edges = [0, *(np.flatnonzero(np.diff(runs)) + 1).tolist(), len(counts)]
    yield from pairwise(edges)
