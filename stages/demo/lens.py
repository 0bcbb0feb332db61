"""The camera: focus, exposure, white balance, vignette, sensor noise and JPEG."""

import io

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.float32]


def expose(image: Image.Image, rng: Generator) -> Image.Image:
    """Take the picture as a hand-held camera would: never quite sharp, neutral or clean."""
    soft = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.7) * max(image.size) / 160))
    pixels = np.asarray(soft, dtype=np.float32)
    pixels *= rng.uniform(0.82, 1.2) * rng.normal(1, 0.06, 3)
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + rng.uniform(0.6, 1.25) * (pixels - grey)
    pixels = 118 + rng.uniform(0.75, 1.2) * (pixels - 118)
    pixels *= _vignette(image.size, rng.uniform(0, 0.35))
    pixels += rng.uniform(0.5, 6) * _noise(pixels.shape, rng)
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, rng: Generator) -> bytes:
    """Save as JPEG, more or less strongly compressed; the bytes hold no metadata."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(70, 96)))
    return file.getvalue()


def _noise(shape: tuple[int, ...], rng: Generator) -> Pixels:
    """Sensor noise: most of it in the brightness, some of it in the colours."""
    grey: Pixels = rng.standard_normal((*shape[:2], 1), dtype=np.float32)
    colour: Pixels = rng.standard_normal(shape, dtype=np.float32)
    return grey + np.float32(0.5) * colour


def _vignette(size: tuple[int, int], depth: float) -> Pixels:
    """Fall of the light from the middle to the corners, shape (height, width, 1)."""
    x, y = (np.linspace(-1, 1, side) for side in size)
    fall = depth * (x[None, :, None] ** 2 + y[:, None, None] ** 2) / 2
    return (1 - fall).astype(np.float32)
