"""What is behind the flowers, out of focus: ground or sky, spots of light, shadows and grass."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from garden.light import Light, encode, paint
from garden.palette import PETALS, stops
from garden.plant import Head
from garden.surface import Floats, Skin, Surface, tubes

COARSE = 0.5  # image pixels per pixel of the photo: what will be blurred needs no more

GRASS = stops("#27430f", "#6f9a35")
STRAW = stops("#8a7440", "#c9b878")
EARTH = stops("#3c2a1c", "#7d644c")


@dataclass(frozen=True)
class Ground:
    """A kind of place. Lengths are in pixels of a photo that is 160 pixels long."""

    often: float
    """Share of the photos."""
    edges: Floats
    """Array of shape (2, 3): colors at the upper and the lower edge."""
    growth: Floats
    """Array of shape (n_stops, 3): colors from foot to tip of what grows or lies there."""
    blades: int
    spots: int
    """Blurred discs: leaves, gaps of sky between them, other flowers."""
    blur_px: float
    shadow: float
    """How dark the flowers' shadows are; 0 where they fall out of the photo."""


GROUNDS = {
    "meadow": Ground(0.24, stops("#4f7a2a", "#2c4a14"), GRASS, 90, 10, 1.8, 0.6),
    "foliage": Ground(0.24, stops("#3f6a2a", "#1c3312"), GRASS, 20, 45, 5.0, 0.0),
    "earth": Ground(0.12, stops("#6b513a", "#463222"), EARTH, 60, 20, 1.8, 0.7),
    "sky": Ground(0.13, stops("#7fb2e6", "#d5e3ea"), GRASS, 40, 10, 3.0, 0.0),
    "haze": Ground(0.09, stops("#d9d8cf", "#a8ab98"), GRASS, 12, 12, 5.0, 0.0),
    "hay": Ground(0.10, stops("#b09a62", "#7a6a3a"), STRAW, 80, 10, 2.0, 0.6),
    "dusk": Ground(0.08, stops("#10140f", "#1c2416"), GRASS, 16, 10, 3.0, 0.0),
}


def backdrop(
    size: tuple[int, int], heads: list[Head], far: Surface, light: Light, rng: Generator
) -> Image.Image:
    """Draw what is out of focus behind the flowers.

    Parameters
    ----------
    size : tuple of int
        Width and height of the photo, in pixels.
    heads : list of Head
        What throws a shadow.
    far : Surface
        The flowers that are out of focus, too.
    light : Light
    rng : Generator

    Returns
    -------
    PIL.Image.Image
        An RGB image of `size` times `COARSE`.
    """
    often = [ground.often for ground in GROUNDS.values()]
    ground = GROUNDS[str(rng.choice(list(GROUNDS), p=often))]
    pixel = COARSE * max(size) / 160
    image = _slope(size, ground.edges * rng.uniform(0.5, 1.2), light)
    _draw_spots(image, ground, rng)
    _draw_shadows(image, ground, heads, light)
    image = image.filter(ImageFilter.GaussianBlur(3 * pixel))
    paint(image, blades(size, ground.blades, ground.growth, rng), light, COARSE)
    paint(image, far, light, COARSE)
    return image.filter(ImageFilter.GaussianBlur(ground.blur_px * rng.uniform(0.6, 1.5) * pixel))


def blades(size: tuple[int, int], count: int, colors: Floats, rng: Generator) -> Surface:
    """Grow blades of grass, rooted from below the lower edge to 70 % of the height."""
    width, height = size
    long = max(size)
    root = rng.uniform([-0.1 * width, -0.3 * height], [1.1 * width, 0.7 * height], (count, 2))
    lean = rng.normal(0, 0.25, (count, 1)) * long
    rise = rng.uniform(0.2, 0.6, (count, 1)) * long
    t = np.linspace(0, 1, 4)
    x = root[:, :1] + lean * t**2
    y = root[:, 1:] + rise * t
    z = np.broadcast_to(-root[:, 1:] - 2 * long, y.shape)
    thick = rng.uniform(0.006, 0.014, (count, 1)) * long * (1 - 0.95 * t)
    return tubes(np.stack([x, y, z], axis=-1), thick, Skin(colors, 0.25), rng)


def _slope(size: tuple[int, int], edges: Floats, light: Light) -> Image.Image:
    """Fill a sheet with the ground's colors, from the upper edge to the lower."""
    width, height = (round(side * COARSE) for side in size)
    down = np.linspace(0, 1, height)[:, None, None]
    sheet = (edges[0] * (1 - down) + edges[1] * down) * (0.7 * light.sun + light.sky)
    return Image.fromarray(np.broadcast_to(encode(sheet), (height, width, 3)).astype(np.uint8))


def _draw_spots(image: Image.Image, ground: Ground, rng: Generator) -> None:
    """Draw discs: most as the ground is, but lighter or darker, some like other flowers."""
    petal = np.stack([tint[1] for tint in PETALS.values()])
    count = ground.spots
    colors = ground.edges[rng.integers(2, size=count)] * rng.uniform(0.4, 1.9, (count, 1))
    other = rng.random(count) < 0.12
    colors[other] = petal[rng.integers(len(petal), size=count)][other] * 0.7
    fills = encode(colors).astype(int).tolist()
    middles = rng.uniform(0, 1, (count, 2)) * image.size
    radii = rng.uniform(0.02, 0.09, count) * max(image.size)
    draw = ImageDraw.Draw(image)
    for (x, y), radius, fill in zip(middles.tolist(), radii.tolist(), fills, strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tuple(fill))


def _draw_shadows(image: Image.Image, ground: Ground, heads: list[Head], light: Light) -> None:
    """Darken the ground where a head is between it and the sun."""
    clear = Image.new("L", image.size, 255)
    draw = ImageDraw.Draw(clear)
    depth = round(255 * (1 - ground.shadow * light.sun.max()))
    for head in heads:
        x, y = head.center[:2] - head.radius * light.towards_sun[:2] / light.towards_sun[2]
        x, y, radius = COARSE * x, image.height - COARSE * y, COARSE * 0.9 * head.radius
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=depth)
    image.paste(ImageChops.multiply(image, clear.convert("RGB")))
