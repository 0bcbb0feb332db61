"""Dandelion: a cushion of very many narrow florets, or the clock of white parachutes it becomes."""

import numpy as np
from numpy.random import Generator

from garden.palette import leaf_green, petal_color, stops
from garden.plant import Variety
from garden.surface import (
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

CLOCKS = 0.25  # of the photos


def variety(rng: Generator) -> Variety:
    """Draw whether the dandelion is in flower or in seed."""
    green = leaf_green(rng)
    if rng.random() < CLOCKS:
        return Variety(clock, leaves, green, 0.06, tilt_deg=(30, 85))
    skin = Skin(petal_color(rng, yellow=2.5, orange=1.5, cream=1, pink=1, white=0.7, red=0.7), 0.12)
    count = int(rng.integers(130, 170))

    def head(rng: Generator) -> Surface:
        rank = (np.arange(count) + 0.5) / count  # 0 is the middle
        upright = 1.55 - 1.5 * rank + rng.normal(0, 0.1, count)
        cushion = Whorl(
            np.arange(count) * GOLDEN_ANGLE + rng.normal(0, 0.1, count),
            length=0.5 + 0.4 * np.sqrt(rank) + rng.normal(0, 0.03, count),
            width=0.055,
            bend=(upright, upright - 0.1, upright - 0.3),
            cup=0.2,
            foot=0.02 + 0.1 * rank,
            taper=(0.25, 0.12),
            facets=(3, 1),
        )
        heart = florets(50, 0.36, 0.5, skin, rng)
        return join(petals(cushion, skin, rng), heart, _bracts(Skin(green), rng))

    return Variety(head, leaves, green, 0.06, tilt_deg=(0, 85), middle=0.15)


def _bracts(green: Skin, rng: Generator) -> Surface:
    collar = Whorl(
        around(12, rng),
        length=0.6,
        width=0.08,
        bend=(0.5, 0.0, -0.9),
        cup=0.2,
        taper=(0.3, 0.7),
        facets=(4, 1),
    )
    return petals(collar, green, rng)


def clock(rng: Generator) -> Surface:
    """Grow the ball of seeds: a stalk and an umbrella of hairs for each."""
    out = _sphere(int(rng.integers(70, 95)))
    side = np.cross(out, rng.normal(0, 1, out.shape))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    turn = np.arange(8)[:, None, None] * np.pi / 4
    spokes = np.cos(turn) * side + np.sin(turn) * np.cross(out, side)  # (8, n_seeds, 3)
    tips = 0.96 * out + 0.2 * spokes * rng.uniform(0.8, 1.2, (*spokes.shape[:2], 1))
    hairs = np.stack([np.broadcast_to(0.84 * out, tips.shape), tips], axis=2).reshape(-1, 2, 3)
    stalks = np.stack([0.16 * out, 0.84 * out], axis=1)
    thin, white = np.array([[0.011]]), Skin(stops("#d6d3c4", "#f8f6ee"), 0.06)
    seeds = florets(40, 0.2, 0.16, Skin(stops("#6b4a2a", "#8a6a3c"), 0.2), rng)
    return join(seeds, tubes(stalks, thin, white, rng), tubes(hairs, thin, white, rng))


def leaves(green: Skin, rng: Generator) -> Surface:
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
    return petals(lion_teeth, green, rng)


def _sphere(count: int) -> Floats:
    """Spread directions evenly over a sphere, shape (count, 3)."""
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    ring, azimuth = np.sqrt(1 - height**2), np.arange(count) * GOLDEN_ANGLE
    return np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), height], axis=-1)
