"""The scene: a backdrop out of focus, the plants, and grass in front of them."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from stages.demo.light import Light, encode, paint
from stages.demo.palette import PETALS, stops
from stages.demo.plant import Variety, plant
from stages.demo.surface import Floats, Skin, Surface, join, tubes

COARSE = 0.5  # image pixels per pixel of the photo, for what will be blurred
FINE = 2.0  # and for what will be sharp: drawn larger, then averaged down

GRASS = stops("#27430f", "#6f9a35")
STRAW = stops("#8a7440", "#c9b878")


@dataclass(frozen=True)
class Ground:
    """What is behind the flowers."""

    top: Floats
    bottom: Floats
    """Colours at the upper and lower edge, linear, shape (3,)."""
    grass: Floats
    """Gradient of the blades that grow there."""
    blades: int
    lights: int
    """Out-of-focus spots: leaves, sky between them, other flowers."""
    blur_px: float
    """At a photo of 160 pixels."""


def _ground(kind: str, rng: Generator) -> Ground:
    dark, blur = rng.uniform(0.5, 1.2), rng.uniform(0.5, 1.5)
    looks = {
        "meadow": (stops("#4f7a2a", "#2c4a14"), GRASS, 150, 8, 1.6),
        "foliage": (stops("#3f6a2a", "#1c3312"), GRASS, 20, 45, 4.0),
        "soil": (stops("#6b513a", "#463222"), GRASS, 14, 40, 1.2),
        "sky": (stops("#7fb2e6", "#d5e3ea"), GRASS, 40, 10, 3.0),
        "haze": (stops("#d9d8cf", "#a8ab98"), GRASS, 12, 12, 4.0),
        "dry": (stops("#b09a62", "#7a6a3a"), STRAW, 130, 10, 1.8),
        "night": (stops("#10140f", "#1c2416"), GRASS, 16, 10, 3.0),
    }
    edges, grass, blades, lights, softness = looks[kind]
    top, bottom = (edges * dark).clip(0, 1)
    return Ground(top, bottom, grass, blades, lights, softness * blur)


def backdrop(size: tuple[int, int], far: Surface, light: Light, rng: Generator) -> Image.Image:
    """Draw what is out of focus behind the flowers, with the flowers `far` away among it.

    Returns
    -------
    PIL.Image.Image
        Of `size` times `FINE`.
    """
    kinds = ["meadow", "foliage", "soil", "sky", "haze", "dry", "night"]
    ground = _ground(str(rng.choice(kinds, p=[0.24, 0.24, 0.12, 0.13, 0.09, 0.1, 0.08])), rng)
    width, height = (round(side * COARSE) for side in size)
    slope = np.linspace(0, 1, height)[:, None, None]
    sheet = np.broadcast_to(ground.top * (1 - slope) + ground.bottom * slope, (height, width, 3))
    image = Image.fromarray(encode(sheet * (light.sun * 0.7 + light.sky)).astype(np.uint8))
    _draw_lights(image, ground, rng)
    paint(image, blades(size, ground.blades, ground.grass, rng), light, COARSE)
    paint(image, far, light, COARSE)
    blurred = image.filter(ImageFilter.GaussianBlur(ground.blur_px * COARSE * max(size) / 160))
    return blurred.resize((round(size[0] * FINE), round(size[1] * FINE)), Image.Resampling.BICUBIC)


def _draw_lights(image: Image.Image, ground: Ground, rng: Generator) -> None:
    """Draw round spots: most like the ground, some in the colours of other flowers."""
    draw = ImageDraw.Draw(image)
    petal = list(PETALS.values())
    for _ in range(ground.lights):
        base = ground.top if rng.random() < 0.5 else ground.bottom
        colour = base * rng.uniform(0.4, 1.9)
        if rng.random() < 0.2:
            colour = petal[rng.integers(len(petal))][1] * rng.uniform(0.4, 0.9)
        x, y = rng.uniform(0, 1, 2) * image.size
        radius = rng.uniform(0.02, 0.09) * max(image.size)
        fill = tuple(encode(colour).astype(int).tolist())
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def blades(size: tuple[int, int], count: int, colours: Floats, rng: Generator) -> Surface:
    """Grow blades of grass from below the photo's edge up into it."""
    width, height = size
    long = max(size)
    root = rng.uniform([-0.1 * width, -0.3 * height], [1.1 * width, 0.7 * height], (count, 2))
    lean = rng.normal(0, 0.25, (count, 1)) * long
    rise = rng.uniform(0.2, 0.6, (count, 1)) * long
    t = np.linspace(0, 1, 6)
    x = root[:, :1] + lean * t**2
    y = root[:, 1:] + rise * t
    z = np.broadcast_to(-root[:, 1:] - 2 * long, y.shape)
    thick = rng.uniform(0.006, 0.014, (count, 1)) * long * (1 - 0.95 * t)
    return tubes(np.stack([x, y, z], axis=-1), thick, Skin(colours, 0.25), rng)


def bouquet(variety: Variety, size: tuple[int, int], rng: Generator) -> tuple[Surface, Surface]:
    """Grow the flowers that the photo is of, and the ones far behind them.

    Returns
    -------
    near, far : Surface
    """
    count = int(rng.choice([1, 2, 3, 5], p=[0.5, 0.22, 0.16, 0.12]))
    least, most = {1: (0.2, 0.46), 2: (0.17, 0.3), 3: (0.14, 0.25), 5: (0.12, 0.19)}[count]
    short = min(size)
    near = []
    for centre in _places(count, size, rng):
        radius = short * rng.uniform(least, most)
        near.append(plant(variety, centre, radius, rng))
    far = [
        plant(variety, centre, short * rng.uniform(0.06, 0.12), rng)
        for centre in _places(int(rng.integers(0, 4)), size, rng)
    ]
    return join(*near), join(_nothing(), *far)


def _places(count: int, size: tuple[int, int], rng: Generator) -> list[Floats]:
    """Pick where the heads are: the best spread of a few draws, each nearer than the one before."""
    spread, best = -1.0, np.zeros((count, 2))
    for _ in range(6):
        drawn = rng.uniform(0.2, 0.8, (count, 2)) * size
        gaps = np.linalg.norm(drawn[:, None] - drawn[None], axis=-1) + 1e9 * np.eye(count)
        if count and gaps.min() > spread:
            spread, best = float(gaps.min()), drawn
    return [np.array([x, y, 40.0 * order]) for order, (x, y) in enumerate(best)]


def _nothing() -> Surface:
    return Surface(np.zeros((0, 4, 3)), np.zeros((0, 3)))


def foreground(size: tuple[int, int], light: Light, rng: Generator) -> Image.Image:
    """Draw blurred blades close to the lens, on a transparent sheet."""
    sheet = Image.new("RGBA", size, (60, 90, 30, 0))
    if rng.random() < 0.45:
        near = blades(size, int(rng.integers(1, 7)), GRASS, rng)
        paint(sheet, near, light, 1.0)
    return sheet.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 2.0) * max(size) / 160))
