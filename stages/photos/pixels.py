"""An opened photo's pixels: any mode to RGB, any shape to a square."""

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from stages.common.errors import PhotoError

if TYPE_CHECKING:  # pydantic is slow to import, for every worker process
    from stages.common.schema import Fit

MATTE = (255, 255, 255)
"""What shows through transparent pixels: white, as paper and most viewers have it."""

LEAST_OPACITY = 32
"""Of 255: below it, nothing of a picture is seen on white."""

PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
"""A tag of TIFFs, and what it says."""


def fit_square(
    image: Image.Image, width: float, height: float, size_px: int, fit: "Fit"
) -> Image.Image:
    """Scale an RGB photo to a square: ``crop`` the middle, ``pad`` it, or ``stretch`` it.

    The photo fills `width` by `height` pixels of `image`, from the upper left corner. It is padded
    with its mean color.
    """
    left, top, size = 0.0, 0.0, (size_px, size_px)
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
    elif fit == "pad":  # on both sides alike, so that it can be turned afterwards
        longer = max(width, height)
        margins = [round(size_px * (1 - side / longer) / 2) for side in (width, height)]
        across, down = (max(size_px - 2 * margin, 1 + (size_px + 1) % 2) for margin in margins)
        size = across, down
    box = (left, top, width - left, height - top)
    scaled = image.resize(size, Image.Resampling.HAMMING, box=box)
    if size == (size_px, size_px):
        return scaled
    square = Image.new("RGB", (size_px, size_px), _mean_color(scaled))
    square.paste(scaled, ((size_px - size[0]) // 2, (size_px - size[1]) // 2))
    return square


def _mean_color(image: Image.Image) -> tuple[int, ...]:
    sums = np.asarray(image).sum(axis=(0, 1), dtype=np.int64)
    pixels = image.width * image.height
    return tuple(((2 * sums + pixels) // (2 * pixels)).tolist())


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB: 16-bit grays scaled, transparency laid on `MATTE`.

    Numbers without a known white, as float TIFFs hold, are a PhotoError: ``unsupported``, as is a
    picture that transparency hides.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.uint32)
        if tiff_tag(image, PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow turns only 8 bits
            gray = 65535 - gray
        return Image.fromarray(((gray * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise PhotoError("unsupported", f"mode {image.mode} does not say which value is white")
    if image.has_transparency_data:
        matte, image = Image.new("RGBA", image.size, MATTE), image.convert("RGBA")
        if np.asarray(image.getchannel("A")).max() < LEAST_OPACITY:
            raise PhotoError("unsupported", "it is transparent: on white, nothing of it is seen")
        return Image.alpha_composite(matte, image).convert("RGB")
    return image.convert("RGB")


def tiff_tag(image: Image.Image, tag: int) -> Any:
    """Return what a TIFF says of itself, None if it does not or is none."""
    try:
        return image.tag_v2.get(tag) if image.format == "TIFF" else None  # type: ignore[attr-defined]
    except Exception:  # broken tags beside good pixels
        return None
