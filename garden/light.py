"""Light: where it comes from, and what it makes of a surface."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from garden.surface import Floats, Surface

TRANSLUCENCY = 0.45  # of the sunlight that falls on the far side of a petal or leaf
WRAP = 0.4  # petals scatter light, so their shading is softer than a stone's


@dataclass(frozen=True)
class Light:
    """The sun and the sky of one photo, each linear red, green, blue."""

    towards_sun: Floats
    """Array of shape (3,), of length 1."""
    sun: Floats
    sky: Floats


def weather(rng: Generator) -> Light:
    """Draw a light: from overcast to bright, from cool noon to warm evening, also from behind."""
    around, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.9)
    low = np.sqrt(1 - height**2)
    towards_sun = np.array([low * np.cos(around), height, low * np.sin(around) + 0.1])
    towards_sun /= np.linalg.norm(towards_sun)
    brightness = rng.uniform(0.3, 1.0)
    evening = np.array([1.0, 0.86, 0.66]) ** rng.uniform(0, 1.2)
    shade = np.array([0.86, 0.94, 1.0]) ** rng.uniform(0, 1.5)
    return Light(towards_sun, brightness * evening, (0.85 - 0.4 * brightness) * shade)


def lit(surface: Surface, light: Light) -> Floats:
    """Color that the viewer sees of each facet, linear, shape (n_facets, 3)."""
    corners = surface.corners
    normal = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    normal *= np.where(normal[:, 2:] < 0, -1, 1)  # a petal has two faces: take the one we see
    towards = (normal @ light.towards_sun + WRAP) / (1 + WRAP)
    sun = np.where(towards > 0, towards, -TRANSLUCENCY * towards)[:, None] * light.sun
    sky = (0.72 + 0.28 * normal[:, 1:2]) * light.sky
    return surface.albedo * (sun + sky)


def encode(linear: Floats) -> Floats:
    """Turn linear light into the numbers of an sRGB picture, floats in [0, 255]."""
    return np.asarray(255 * np.clip(linear, 0, 1) ** (1 / 2.2))


def paint(image: Image.Image, surface: Surface, light: Light, scale: float) -> None:
    """Draw a surface into an image of `scale` pixels per pixel of the photo, far facets first."""
    order = np.argsort(surface.corners[:, :, 2].mean(axis=1), kind="stable")
    rings = surface.corners[order, :, :2] * [scale, -scale] + [0, image.height]
    inside = ((rings.max(axis=1) > 0) & (rings.min(axis=1) < image.size)).all(axis=1)
    colors = encode(lit(surface, light)[order[inside]]).astype(int)
    inks = 255 << 24 | colors @ [1, 1 << 8, 1 << 16]  # as Pillow packs a pixel: opaque, B, G, R
    draw = ImageDraw.Draw(image)
    for ring, ink in zip(rings[inside].reshape(-1, 8).tolist(), inks.tolist(), strict=True):
        draw.polygon(ring, fill=ink)
