"""One photo of one species, from its own random numbers."""

import numpy as np

from garden.lens import expose, jpeg
from garden.light import weather
from garden.scene import draw_scene
from garden.species import SPECIES

SHAPES = ((1.0, 0.75), (0.75, 1.0), (1.0, 1.0), (1.0, 0.67))


def photograph(species: str, number: int, seed: int, image_size_px: int) -> bytes:
    """Draw photo `number` of a species.

    The random numbers come from (seed, species, number) alone, so that a photo is the same however
    many others are drawn, and in whatever order.

    Returns
    -------
    bytes
        A JPEG whose longer side is `image_size_px`.
    """
    rng = np.random.default_rng([seed, number, *species.encode()])
    width, height = SHAPES[rng.integers(len(SHAPES))]
    size = round(width * image_size_px), round(height * image_size_px)
    light = weather(rng)
    variety, neighbor = (SPECIES[name](rng) for name in (species, str(rng.choice(list(SPECIES)))))
    image = draw_scene(variety, neighbor, size, light, rng)
    return jpeg(expose(image, rng), rng)
