"""Daisy: one ring of many slim rays around a small golden disc."""

from numpy.random import Generator

from garden.palette import leaf_green, petal_color, stops
from garden.plant import Variety
from garden.surface import Skin, Surface, Whorl, around, florets, join, petals


def variety(rng: Generator) -> Variety:
    """Draw a daisy's color, number of rays and size of disc."""
    rays = int(rng.integers(13, 28))
    skin = Skin(petal_color(rng, white=2.5, yellow=2, cream=1, pink=1.5, purple=1, orange=1, red=1))
    dark = rng.random() < 0.4  # as a coneflower's
    eye = Skin(stops("#5a3214", "#2f1a0c") if dark else stops("#e9a800", "#cf7400"), 0.14)
    green = leaf_green(rng)
    disc = rng.uniform(0.22, 0.42)
    droop = rng.uniform(-0.35, 0.5)

    def head(rng: Generator) -> Surface:
        ring = Whorl(
            around(rays, rng, 0.25),
            length=rng.normal(1 - disc, 0.03, rays),
            width=rng.normal(2.7 / rays, 0.008, rays),
            bend=(0.35, rng.normal(droop * 0.5, 0.1, rays), rng.normal(-0.3 * droop, 0.15, rays)),
            cup=-0.5,
            foot=disc * 0.8,
            taper=(0.35, 0.3),
            facets=(6, 2),
        )
        return join(petals(ring, skin, rng), florets(70, disc, 0.16, eye, rng))

    return Variety(head, leaves, green, 0.05, tilt_deg=(0, 80))


def leaves(green: Skin, rng: Generator) -> Surface:
    """Grow the rosette of small spoons at the foot."""
    count = 5
    spoons = Whorl(
        around(count, rng),
        length=rng.uniform(0.5, 0.9, count),
        width=0.14,
        bend=(1.0, 0.5, 0.1),
        cup=0.3,
        taper=(0.9, 0.35),
    )
    return petals(spoons, green, rng)
