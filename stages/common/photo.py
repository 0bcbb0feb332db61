"""One photo's bytes to the square of pixels that the network sees.

``prepare`` and ``predict`` both come through here, so that a photo has the same pixels in both.
JPEG, PNG, WebP, BMP, TIFF and GIF (its first frame) are decoded, told apart by content and never by
the file's name.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MATTE = (255, 255, 255)
"""What shows through transparent pixels: white, as paper and most viewers have it."""

ORIENTATION_TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation."""

# Pillow's own guard warns at one size and raises at twice that; `Limits` is the one guard here.
Image.MAX_IMAGE_PIXELS = None


class PhotoError(Exception):
    """A photo that cannot be used: a reason code and, for people, a detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Limits:
    """Which photos are accepted, by their size before any scaling."""

    min_side_px: int
    max_megapixels: float
    max_aspect_ratio: float


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    Attributes
    ----------
    pixels : uint8 array of shape (S, S, 3)
        RGB, upright.
    width, height : int
        Of the whole photo, upright, in pixels.
    """

    pixels: npt.NDArray[np.uint8]
    width: int
    height: int


def decode_photo(content: bytes, size_px: int, limits: Limits) -> Photo:
    """Decode a photo in full and fit it into a square.

    Parameters
    ----------
    content : bytes
        The photo's file.
    size_px : int
        Side S of the square.
    limits : Limits
        Checked against the header, before any pixel is decoded.

    Raises
    ------
    PhotoError
        If the bytes are no photo, are cut or broken, or are outside of `limits`. Reasons:
        ``empty``, ``not_an_image``, ``too_many_pixels``, ``too_small``, ``extreme_aspect``,
        ``truncated``, ``unsupported``, ``unreadable``.
    """
    if not content:
        raise PhotoError("empty", "the file has no bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a decoder tolerates is no news for the user
        with _open(content) as image:
            _check_limits(image, limits)
            _load(image)
            width, height = image.size
            orientation = _orientation(image)
            square = fit_square(to_rgb(image), size_px)
    if orientation in TURNS:  # turning the small square gives what turning the whole photo would
        square = square.transpose(TURNS[orientation])
    if orientation >= 5:
        width, height = height, width
    return Photo(np.asarray(square), width, height)


def fit_square(image: Image.Image, size_px: int) -> Image.Image:
    """Scale the shorter side to `size_px` and cut the middle of the longer one."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize(
        (size_px, size_px), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB: 16-bit greys scaled, transparency laid on `MATTE`.

    Raises
    ------
    PhotoError
        With the reason ``unsupported`` for numbers without a known white, as float TIFFs hold.
    """
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((grey * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise PhotoError("unsupported", f"mode {image.mode} does not say which value is white")
    if image.has_transparency_data:
        matte = Image.new("RGBA", image.size, MATTE)
        return Image.alpha_composite(matte, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise PhotoError("not_an_image", f"none of {', '.join(FORMATS)}") from error
    except Exception as error:  # a decoder fed with anything raises anything
        raise _broken(error) from error


def _check_limits(image: Image.Image, limits: Limits) -> None:
    short, long = sorted(image.size)
    size = f"{image.width}x{image.height}"
    if short * long > limits.max_megapixels * 1e6:
        raise PhotoError("too_many_pixels", f"{size} is over {limits.max_megapixels:g} megapixels")
    if short < limits.min_side_px:
        raise PhotoError("too_small", f"{size} has a side below {limits.min_side_px} px")
    if long > limits.max_aspect_ratio * short:
        raise PhotoError("extreme_aspect", f"{size} is over {limits.max_aspect_ratio:g} to 1")


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except Exception as error:  # as in _open
        raise _broken(error) from error


def _broken(error: Exception) -> PhotoError:
    text = " ".join(str(error).split()) or type(error).__name__
    cut = isinstance(error, EOFError) or "truncated" in text.lower()
    return PhotoError("truncated" if cut else "unreadable", text)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none or it makes no sense."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # broken EXIF data beside good pixels
        return 1
    return value if value in TURNS else 1
