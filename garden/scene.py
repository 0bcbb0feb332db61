"""The scene: the flowers that the photo is of, those far behind, and grass close to the lens."""

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from garden.backdrop import GRASS, backdrop, blades
from garden.light import Light, paint
from garden.plant import Head, Variety, plant
from garden.surface import Floats, Surface, join

FINE = 2  # image pixels per pixel of the photo: drawn larger, then averaged down

SIZES = {1: (0.17, 0.46), 2: (0.145, 0.34), 3: (0.125, 0.27), 4: (0.11, 0.22)}
"""Least and greatest radius of a head, in shorter sides of the photo, by the number of heads."""
OFTEN = (0.55, 0.23, 0.13, 0.09)


def draw_scene(
    variety: Variety, neighbor: Variety, size: tuple[int, int], light: Light, rng: Generator
) -> Image.Image:
    """Draw flowers of a variety, a neighbor's behind them, as an RGB image of `size` pixels."""
    count = int(rng.choice(list(SIZES), p=OFTEN))
    heads = _heads(count, SIZES[count], size, rng)
    far = _heads(int(rng.integers(0, 3)), (0.06, 0.16), size, rng)
    image = backdrop(size, heads, _grow(neighbor, far, rng), light, rng)
    width, height = size
    image = image.resize((FINE * width, FINE * height), Image.Resampling.BILINEAR)
    paint(image, _grow(variety, heads, rng), light, FINE)
    image = image.reduce(FINE)
    if rng.random() < 0.4:
        _draw_foreground(image, light, rng)
    return image


def _heads(
    count: int, sizes: tuple[float, float], size: tuple[int, int], rng: Generator
) -> list[Head]:
    """Place heads: the most spread out of a few draws, each nearer than the one before."""
    draws = rng.uniform(0.16, 0.84, (6, count, 2)) * size
    radii = rng.uniform(*sizes, count) * min(size)
    places = max(draws, key=_least_gap)
    centers = np.column_stack([places, max(size) / 4 * np.arange(count)])
    return [Head(*spot) for spot in zip(centers, radii.tolist(), strict=True)]


def _least_gap(places: Floats) -> float:
    gaps = np.linalg.norm(places[:, None] - places[None], axis=-1)
    return float(gaps[np.triu_indices(len(places), 1)].min(initial=np.inf))


def _grow(variety: Variety, heads: list[Head], rng: Generator) -> Surface:
    nothing = Surface(np.zeros((0, 4, 3)), np.zeros((0, 3)))
    return join(nothing, *(plant(variety, head, rng) for head in heads))


def _draw_foreground(image: Image.Image, light: Light, rng: Generator) -> None:
    """Draw blades so close to the lens that they are blurred."""
    sheet = Image.new("RGBA", image.size, (60, 90, 30, 0))
    paint(sheet, blades(image.size, int(rng.integers(1, 7)), GRASS, rng), light, 1.0)
    blur_px = rng.uniform(1, 2.5) * max(image.size) / 160
    sheet = sheet.filter(ImageFilter.GaussianBlur(blur_px))
    image.paste(sheet, mask=sheet.getchannel("A"))
