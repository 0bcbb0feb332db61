"""The camera: focus, exposure, white balance, vignette, sensor noise and JPEG."""

import io

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.float32]


def expose(image: Image.Image, rng: Generator) -> Image.Image:
    """Take the picture as a hand-held camera would: never quite sharp, neutral or clean."""
    soft = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8) * max(image.size) / 160))
    developed = soft.convert("RGB", _color_matrix(rng))
    noise = rng.standard_normal((image.height, image.width, 1), dtype=np.float32)
    pixels = np.asarray(developed) * _vignette(image.size, rng.uniform(0, 0.35))
    pixels += np.float32(rng.uniform(0.5, 7)) * noise
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, rng: Generator) -> bytes:
    """Save as JPEG, more or less strongly compressed; the bytes hold no metadata."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(70, 96)))
    return file.getvalue()


def _color_matrix(rng: Generator) -> tuple[float, ...]:
    """White balance, saturation, contrast, brightness: rows of weights of R, G, B and an offset."""
    gain = rng.uniform(0.8, 1.25) * rng.normal(1, 0.04, 3)
    saturation, contrast = rng.uniform(0.6, 1.25), rng.uniform(0.85, 1.15)
    mixed = contrast * (saturation * np.eye(3) + (1 - saturation) / 3) * gain
    offset = np.full((3, 1), 118 * (1 - contrast))  # around a middle gray
    return tuple(np.hstack([mixed, offset]).ravel().tolist())


def _vignette(size: tuple[int, int], depth: float) -> Pixels:
    """Fall of the light from the middle to the corners, shape (height, width, 1)."""
    x, y = (np.linspace(-1, 1, side) for side in size)
    fall = depth * (x[None, :, None] ** 2 + y[:, None, None] ** 2) / 2
    return (1 - fall).astype(np.float32)
