"""Sunflower: two rings of pointed rays around a big dark disc of seeds."""

import numpy as np
from numpy.random import Generator

from garden.palette import color, leaf_green, petal_color, stops
from garden.plant import Variety
from garden.surface import Skin, Surface, Whorl, around, florets, join, petals


def variety(rng: Generator) -> Variety:
    """Draw a sunflower's color, its number of rays and the size and ripeness of its disc."""
    rays = int(rng.integers(13, 19))
    skin = Skin(
        petal_color(rng, yellow=2.5, orange=1.5, cream=1.5, red=1.5, white=1, pink=0.7), 0.1
    )
    disc = rng.uniform(0.34, 0.52)
    green = leaf_green(rng)
    heart = color("#5f6a22") * rng.uniform(0.5, 1.1)
    seeds = Skin(np.stack([heart, *stops("#4a2c12", "#2a170b", "#5c3410")]), 0.25)

    def ring(slope: float, turn: float, rng: Generator) -> Whorl:
        return Whorl(
            around(rays, rng, 0.3) + turn,
            length=rng.normal(1.05 - disc, 0.04, rays),
            width=rng.normal(2.1 / rays, 0.01, rays),
            bend=(slope + 0.2, rng.normal(slope, 0.12, rays), rng.normal(slope - 0.2, 0.2, rays)),
            cup=0.6,
            foot=disc * 0.92,
            taper=(0.5, 0.85),
        )

    def head(rng: Generator) -> Surface:
        back, front = ring(0.1, 0.0, rng), ring(0.4, np.pi / rays, rng)
        return join(
            _bracts(disc, Skin(green), rng),
            petals(back, skin, rng),
            petals(front, skin, rng),
            florets(170, disc, 0.1, seeds, rng),
        )

    return Variety(head, leaves, green, 0.085, tilt_deg=(0, 80), leaf_at=0.4)


def _bracts(disc: float, green: Skin, rng: Generator) -> Surface:
    collar = Whorl(
        around(14, rng),
        length=0.45,
        width=0.09,
        bend=(-0.3, -0.1, 0.1),
        cup=0.2,
        foot=disc * 0.8,
        taper=(0.3, 1.0),
    )
    return petals(collar, green, rng)


def leaves(green: Skin, rng: Generator) -> Surface:
    """Grow big heart-shaped leaves."""
    count = 4
    hearts = Whorl(
        around(count, rng, 0.4),
        length=rng.uniform(0.9, 1.4, count),
        width=0.5,
        bend=(0.7, 0.1, -0.4),
        cup=0.4,
        foot=0.3,
        taper=(0.3, 0.8),
        facets=(7, 2),
    )
    return petals(hearts, green, rng)
