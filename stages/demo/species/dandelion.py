"""Dandelion: a cushion of very many narrow florets, or the clock of white parachutes it becomes."""

import numpy as np
from numpy.random import Generator

from stages.demo.palette import petal_colour, stops
from stages.demo.plant import Stem, Variety
from stages.demo.surface import (
    GOLDEN_ANGLE,
    Floats,
    Skin,
    Surface,
    Whorl,
    around,
    florets,
    join,
    petals,
    tubes,
)

CLOCKS = 0.3  # of the photos


def variety(rng: Generator) -> Variety:
    """Draw whether the dandelion is in flower or in seed."""
    stem = Stem(0.06, stops("#7d8f4a", "#9a7a5a"))
    if rng.random() < CLOCKS:
        return Variety(clock, leaves, stem, tilt_deg=(30, 85))
    skin = Skin(petal_colour(rng, yellow=5, orange=1, cream=0.6), 0.12)

    def head(rng: Generator) -> Surface:
        count = int(rng.integers(90, 120))
        rank = (np.arange(count) + 0.5) / count  # 0 is the middle
        upright = 1.5 - 1.45 * rank + rng.normal(0, 0.1, count)
        cushion = Whorl(
            np.arange(count) * GOLDEN_ANGLE + rng.normal(0, 0.1, count),
            length=0.42 + 0.55 * rank + rng.normal(0, 0.03, count),
            width=0.045,
            bend=(upright, upright - 0.1, upright - 0.35),
            cup=0.2,
            foot=0.02 + 0.05 * rank,
            taper=(0.2, 0.15),
            facets=(4, 1),
        )
        return petals(cushion, skin, rng)

    return Variety(head, leaves, stem, tilt_deg=(0, 80), middle=0.15)


def clock(rng: Generator) -> Surface:
    """Grow the ball of seeds: a stalk and a star of hairs for each."""
    count = int(rng.integers(70, 100))
    ends = _sphere(count)
    white = Skin(stops("#d6d3c4", "#f6f4ec"), 0.06)
    stalks = np.stack([0.16 * ends, 0.5 * ends, 0.8 * ends], axis=1)
    hairs = 7
    sway = rng.normal(0, 0.27, (count, hairs, 3))
    tips = 0.95 * ends[:, None] + sway
    tips *= (0.98 / np.linalg.norm(tips, axis=-1))[..., None]
    root = np.broadcast_to(0.8 * ends[:, None], tips.shape)
    stars = np.stack([root, tips], axis=2).reshape(-1, 2, 3)
    core = Skin(stops("#6b4a2a", "#8a6a3c"), 0.2)
    heart = florets(40, 0.2, 0.16, core, rng)
    thin = np.full((1, 1), 0.009)
    return join(heart, tubes(stalks, thin, white, rng), tubes(stars, thin, white, rng))


def leaves(rng: Generator) -> Surface:
    """Grow the rosette of toothed leaves that gave the flower its name, the lion's tooth."""
    count = 7
    lion_teeth = Whorl(
        around(count, rng),
        length=rng.uniform(1.2, 2.0, count),
        width=0.26,
        bend=(0.9, 0.35, -0.1),
        cup=0.35,
        taper=(0.8, 0.4),
        teeth=0.55,
        facets=(12, 2),
    )
    return petals(lion_teeth, Skin(stops("#35591f", "#6b9440")), rng)


def _sphere(count: int) -> Floats:
    """Spread directions evenly over a sphere, shape (count, 3)."""
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    ring, azimuth = np.sqrt(1 - height**2), np.arange(count) * GOLDEN_ANGLE
    return np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), height], axis=-1)
