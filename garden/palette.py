"""Colors as a gardener names them, in linear light.

Most species share the same few petal colors on purpose: a color alone must not tell the species.
"""

import numpy as np
from numpy.random import Generator

from garden.surface import Floats


def color(code: str) -> Floats:
    """Turn ``#rrggbb`` into linear red, green and blue, an ndarray of shape (3,) in [0, 1]."""
    channels = [int(code[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return np.array(channels) ** 2.2


def stops(*codes: str) -> Floats:
    """Turn colors into a gradient's stops, an ndarray of shape (n_stops, 3)."""
    return np.stack([color(code) for code in codes])


PETALS = {
    "white": stops("#e3e6d2", "#fbfaf4"),
    "cream": stops("#e8d58c", "#fbf1d0"),
    "yellow": stops("#eda90c", "#fbd92c"),
    "orange": stops("#d95a0c", "#f98f26"),
    "red": stops("#8f0a14", "#d81f26"),
    "pink": stops("#d0487e", "#f5a9c6"),
    "magenta": stops("#8d1560", "#cf4f9f"),
    "purple": stops("#55257f", "#a273cf"),
}

LEAVES = stops("#2f5a1e", "#5d8f36")
SEA_GREEN = stops("#3c6a4c", "#78a07a")


def petal_color(rng: Generator, **weights: float) -> Floats:
    """Pick a petal gradient by weight, and vary it a little, as plants do.

    Returns
    -------
    ndarray of shape (2, 3)
        Albedo at the foot and at the tip.
    """
    shares = np.array(list(weights.values()))
    name = list(weights)[rng.choice(len(shares), p=shares / shares.sum())]
    varied: Floats = PETALS[name] * rng.uniform(0.85, 1.1, (1, 3))
    return varied.clip(0, 1)


def leaf_green(rng: Generator) -> Floats:
    """Mix a green between grassy and bluish, fresh or dark, shape (2, 3)."""
    share = rng.uniform(0, 0.8)
    mixed: Floats = ((1 - share) * LEAVES + share * SEA_GREEN) * rng.uniform(0.5, 1.15)
    return mixed
