"""Poppy: a bowl of a few wide crumpled petals, with a seed capsule and a ring of stamens inside."""

import numpy as np
from numpy.random import Generator

from garden.palette import color, leaf_green, petal_color, stops
from garden.plant import Variety
from garden.surface import Skin, Surface, Whorl, around, florets, join, petals

BLOTCH = color("#1c1020")
STAMENS = Skin(stops("#2a2230", "#17121c"), 0.2)


def variety(rng: Generator) -> Variety:
    """Draw a poppy's color and how far it is open."""
    tint = petal_color(rng, red=2, orange=1.5, yellow=1.5, white=1.5, pink=1.5, cream=1, purple=0.7)
    skin = Skin(np.stack([BLOTCH, 0.6 * tint[0], tint[1], tint[1], 0.93 * tint[1]]), 0.07)
    green = leaf_green(rng)
    open_by = rng.uniform(0.1, 0.75)  # the bowl's slope, in radians

    def head(rng: Generator) -> Surface:
        count = int(rng.integers(2, 4))
        outer = _bowl(count, open_by, 0.0, rng)
        inner = _bowl(count, open_by + 0.3, np.pi / count, rng)
        stamens = Whorl(
            around(44, rng, 0.5),
            length=rng.uniform(0.22, 0.38, 44),
            width=0.022,
            bend=(1.2, 0.8, 0.6),
            cup=0.1,
            foot=0.08,
            taper=(0.9, 0.1),
            facets=(2, 1),
        )
        capsule = florets(30, 0.12, 0.28, Skin(green, 0.12), rng)
        return join(
            petals(outer, skin, rng),
            petals(inner, skin, rng),
            petals(stamens, STAMENS, rng),
            capsule,
        )

    return Variety(head, leaves, green, 0.04, tilt_deg=(5, 85), middle=0.25)


def _bowl(count: int, slope: float, turn: float, rng: Generator) -> Whorl:
    return Whorl(
        around(count, rng, 0.1) + turn,
        length=rng.normal(1.0, 0.05, count),
        width=rng.normal(1.1 - 0.16 * count, 0.05, count),
        bend=(slope + 0.15, slope, slope + rng.normal(0.25, 0.2, count)),
        cup=0.85,
        foot=0.03,
        taper=(0.6, 0.2),
        ruffle=0.055,
        facets=(7, 10),
    )


def leaves(green: Skin, rng: Generator) -> Surface:
    """Grow feathery gray-green leaves."""
    count = 6
    feathers = Whorl(
        around(count, rng),
        length=rng.uniform(0.7, 1.3, count),
        width=0.2,
        bend=(1.0, 0.5, 0.2),
        cup=0.2,
        taper=(0.7, 0.8),
        teeth=0.75,
        facets=(12, 2),
    )
    return petals(feathers, green, rng)
