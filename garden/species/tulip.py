"""Tulip: a tall cup of six petals on a bare stem, between long leaves."""

import numpy as np
from numpy.random import Generator

from garden.palette import color, leaf_green, petal_color, stops
from garden.plant import Variety
from garden.surface import Skin, Surface, Whorl, around, florets, join, petals

COLORS = {"pink": 2, "red": 2, "yellow": 2, "white": 1.5, "orange": 1.5, "cream": 1, "purple": 1}


def variety(rng: Generator) -> Variety:
    """Draw a tulip's color, its edge, how pointed its petals are and how far it is open."""
    tint = petal_color(rng, **COLORS)
    rim = petal_color(rng, **COLORS)[1] if rng.random() < 0.3 else tint[1]
    foot = 0.5 * tint[0] + 0.5 * color("#c9b84a")
    skin = Skin(np.stack([foot, tint[0], 0.5 * (tint[0] + tint[1]), tint[1], rim]), 0.07)
    green = leaf_green(rng)
    opening = rng.uniform(-0.12, 0.75)
    point = rng.uniform(0.35, 0.75)

    def ring(turn: float, foot: float, rng: Generator) -> Whorl:
        lean = 1.6 - opening + rng.normal(0, 0.05, 3)
        return Whorl(
            around(3, rng, 0.05) + turn,
            length=rng.normal(1.5, 0.04, 3),
            width=0.5,
            bend=(0.2, lean, lean - 0.25 * opening + 0.12),
            cup=1.0,
            foot=foot,
            taper=(0.45, point),
            facets=(9, 6),
        )

    def head(rng: Generator) -> Surface:
        outer, inner = ring(0.0, 0.06, rng), ring(np.pi / 3, 0.0, rng)
        pistil = florets(12, 0.1, 0.5, Skin(stops("#8d8f3a", "#2b2030"), 0.2), rng)
        return join(petals(outer, skin, rng), petals(inner, skin, rng), pistil)

    return Variety(head, leaves, green, 0.075, tilt_deg=(25, 95), leaf_at=0.85, middle=0.75)


def leaves(green: Skin, rng: Generator) -> Surface:
    """Grow two or three long leaves that clasp the stem."""
    count = int(rng.integers(2, 4))
    blades = Whorl(
        around(count, rng, 0.3),
        length=rng.uniform(2.0, 3.4, count),
        width=0.3,
        bend=(1.35, 1.15, rng.uniform(0.1, 1.0, count)),
        cup=0.9,
        foot=0.05,
        taper=(0.35, 0.75),
        facets=(9, 3),
    )
    return petals(blades, green, rng)
