"""Poppy: a bowl of a few wide crumpled petals, with a seed capsule and a ring of stamens inside."""

import numpy as np
from numpy.random import Generator

from stages.demo.palette import colour, petal_colour, stops
from stages.demo.plant import Stem, Variety
from stages.demo.surface import Skin, Surface, Whorl, around, florets, join, petals

GREEN = stops("#4f6f45", "#7f9b6a")


def variety(rng: Generator) -> Variety:
    """Draw a poppy's colour, how far it is open, and whether its petals have a dark foot."""
    tint = petal_colour(rng, red=5, orange=2, yellow=1, white=1, pink=1)
    dark = rng.random() < 0.55
    blotch = colour("#1c1020") if dark else 0.75 * tint[0]
    skin = Skin(np.stack([blotch, tint[0], tint[1], tint[1], 0.93 * tint[1]]), 0.07)
    dust = Skin(stops("#2a2230", "#17121c") if dark else stops("#e2b93a", "#c58f1a"), 0.2)
    open_by = rng.uniform(0.1, 0.75)  # the bowl's slope, in radians

    def head(rng: Generator) -> Surface:
        count = int(rng.integers(2, 4))
        outer = _bowl(count, open_by, 0.0, rng)
        inner = _bowl(count, open_by + 0.3, np.pi / count, rng)
        stamens = Whorl(
            around(36, rng, 0.5),
            length=rng.uniform(0.18, 0.34, 36),
            width=0.022,
            bend=(1.2, 0.8, 0.6),
            cup=0.1,
            foot=0.08,
            taper=(0.9, 0.1),
            facets=(2, 1),
        )
        capsule = florets(30, 0.12, 0.28, Skin(GREEN, 0.12), rng)
        return join(
            petals(outer, skin, rng), petals(inner, skin, rng), petals(stamens, dust, rng), capsule
        )

    return Variety(head, leaves, Stem(0.04, GREEN), tilt_deg=(5, 70), middle=0.25)


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


def leaves(rng: Generator) -> Surface:
    """Grow feathery grey-green leaves."""
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
    return petals(feathers, Skin(GREEN), rng)
