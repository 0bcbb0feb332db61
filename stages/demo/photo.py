"""One photo of one species, from its own random numbers."""

import numpy as np
from PIL import Image

from stages.demo.lens import expose, jpeg
from stages.demo.light import paint, weather
from stages.demo.scene import FINE, backdrop, bouquet, foreground
from stages.demo.species import SPECIES

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
    near, far = bouquet(SPECIES[species](rng), size, rng)
    image = backdrop(size, far, light, rng)
    paint(image, near, light, FINE)
    image = image.resize(size, Image.Resampling.BOX)
    blurred_grass = foreground(size, light, rng)
    image.paste(blurred_grass, mask=blurred_grass.getchannel("A"))
    return jpeg(expose(image, rng), rng)
