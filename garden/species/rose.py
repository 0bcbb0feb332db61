"""Rose: a spiral of overlapping petals, tight in the middle and turned back at the rim."""

import numpy as np
from numpy.random import Generator

from garden.palette import leaf_green, petal_color
from garden.plant import Variety
from garden.surface import GOLDEN_ANGLE, Skin, Surface, Whorl, around, join, petals


def variety(rng: Generator) -> Variety:
    """Draw a rose's color, its number of petals and how far it is open."""
    tint = petal_color(rng, red=2, pink=2, white=1.5, yellow=1.5, orange=1, cream=1, purple=0.5)
    skin = Skin(np.stack([0.3 * tint[0], 0.75 * tint[0], tint[0], tint[1]]), 0.06)
    green = leaf_green(rng)
    count, opening = int(rng.integers(18, 27)), rng.uniform(0.55, 1.0)

    def head(rng: Generator) -> Surface:
        rank = np.arange(count) / (count - 1)  # 0 is the innermost petal
        upright = 1.62 - 1.15 * opening * rank + rng.normal(0, 0.05, count)
        spiral = Whorl(
            np.arange(count) * GOLDEN_ANGLE + rng.normal(0, 0.12, count),
            length=0.62 + 0.32 * rank,
            width=0.2 + 0.36 * rank + rng.normal(0, 0.02, count),
            bend=(upright - 0.5 * rank, upright, upright - 1.1 * rank**2 + 0.1),
            cup=1.35 - 0.5 * rank,
            foot=0.06 + 0.16 * rank,
            taper=(0.45, 0.22),
            ruffle=0.012,
            facets=(6, 5),
        )
        return join(petals(spiral, skin, rng), _sepals(Skin(green), rng))

    return Variety(head, leaves, green, 0.055, tilt_deg=(0, 80), leaf_at=0.25, middle=0.4)


def _sepals(green: Skin, rng: Generator) -> Surface:
    star = Whorl(
        around(5, rng),
        length=0.75,
        width=0.1,
        bend=(0.1, -0.2, -0.5),
        cup=0.3,
        taper=(0.3, 0.9),
    )
    return petals(star, green, rng)


def leaves(green: Skin, rng: Generator) -> Surface:
    """Grow dark toothed oval leaves just below the flower."""
    count = 7
    ovals = Whorl(
        around(count, rng, 0.4),
        length=rng.uniform(0.8, 1.2, count),
        width=0.3,
        bend=(0.5, 0.1, -0.4),
        cup=0.35,
        foot=rng.uniform(0.1, 0.6, count),
        taper=(0.5, 0.6),
        teeth=0.1,
        facets=(10, 2),
    )
    return petals(ovals, green, rng)
