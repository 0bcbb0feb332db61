"""One photo's bytes to the square of pixels that the network sees.

``prepare`` and ``predict`` both come through here, so that a photo has the same pixels in both.
It decodes JPEG, PNG, WebP, AVIF, BMP, TIFF, GIF (its first frame) and, with pillow-heif installed,
HEIC. It tells them apart by content, never by the file's name. A photo's pixels are the same on
every machine: all arithmetic on the way is on integers.
"""

import functools
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from stages.common.errors import PhotoError
from stages.photos.jpeg import Scaled, decode_jpeg

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""What a HEIC file, as phones write it, says at its start; an AVIF file may say the same."""
MATTE = (255, 255, 255)
"""What shows through transparent pixels: white, as paper and most viewers have it."""

ORIENTATION_TAG = 0x0112
SIDEWAYS = range(5, 9)
"""EXIF orientations that exchange width and height."""

JPEG = b"\xff\xd8\xff"
"""How a JPEG starts."""

SCAN = b"\xff\xda"
MOST_SCANS = 100
"""A progressive JPEG has about ten scans; each is a pass over all pixels."""

NAMES_OF_ORIENTATION = (b"Exif", b"tiff:Orientation")
"""One of these is in a JPEG that says which side is up."""


@dataclass(frozen=True)
class Limits:
    """Which photos are accepted, by their size before any scaling."""

    min_side_px: int
    max_megapixels: float
    max_aspect_ratio: float

    @property
    def max_bytes(self) -> int:
        """Bytes of the largest file: no honest photo needs over four channels of 16 bits."""
        return round(self.max_megapixels * 1e6 * 8)


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    Attributes
    ----------
    square : Image
        RGB, upright, S by S pixels.
    width, height : int
        Of the whole photo, upright, in pixels.
    """

    square: Image.Image
    width: int
    height: int

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The square as a uint8 array of shape (S, S, 3)."""
        return np.asarray(self.square)


def decode_photo(content: bytes, size_px: int, limits: Limits) -> Photo:
    """Decode a photo in full and fit it into a square.

    Parameters
    ----------
    content : bytes
    size_px : int
        Side S of the square.
    limits : Limits
        Checked against the header, before any pixel is decoded.

    Raises
    ------
    PhotoError
        With the reason ``empty``, ``not_an_image``, ``too_many_pixels``, ``too_small``,
        ``extreme_aspect``, ``truncated``, ``damaged`` or ``unsupported``.
    """
    if not content:
        raise PhotoError("empty", "the file has no bytes")
    if content.startswith(JPEG) and (scans := content.count(SCAN)) > MOST_SCANS:
        raise PhotoError("damaged", f"{scans:,} scans, which take too long to decode")
    return _from_plain_jpeg(content, size_px, limits) or _from_any(content, size_px, limits)


def _from_plain_jpeg(content: bytes, size_px: int, limits: Limits) -> Photo | None:
    """Decode a JPEG that needs no turning; None for everything else, which Pillow opens.

    To read the header with Pillow would take about a tenth of a small photo's time.
    """
    if not content.startswith(JPEG) or any(name in content for name in NAMES_OF_ORIENTATION):
        return None
    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return None
    if colors not in ("YCbCr", "Gray"):
        return None
    _check_limits((width, height), limits)
    if (decoded := decode_jpeg(content, (width, height), size_px)) is None:
        return None
    return Photo(fit_square(*decoded, size_px), width, height)


def _from_any(content: bytes, size_px: int, limits: Limits) -> Photo:
    with _pillow_unguarded(), _open(content) as image:
        _check_limits(image.size, limits)
        square = fit_square(*_load(image, content, size_px), size_px)
        orientation = _orientation(image)
        width, height = image.size
    if orientation in SIDEWAYS:
        width, height = height, width
    square.info.clear()  # of EXIF data, which may be broken
    square.getexif()[ORIENTATION_TAG] = orientation
    # Turning the small square gives what turning the whole photo would.
    return Photo(ImageOps.exif_transpose(square), width, height)


def fit_square(image: Image.Image, width: float, height: float, size_px: int) -> Image.Image:
    """Scale the shorter side to `size_px` and cut the middle of the longer one.

    The photo fills `width` by `height` pixels of `image`, from the upper left corner.
    """
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((size_px, size_px), Image.Resampling.HAMMING, box=box)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB: 16-bit grays scaled, transparency laid on `MATTE`.

    Numbers without a known white, as float TIFFs hold, are a PhotoError: ``unsupported``.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((gray * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise PhotoError("unsupported", f"mode {image.mode} does not say which value is white")
    if image.has_transparency_data:
        matte = Image.new("RGBA", image.size, MATTE)
        return Image.alpha_composite(matte, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


_lock = threading.Lock()
_inside = 0
_guards = ExitStack()
"""Puts back what the first of several threads inside has switched off."""


@contextmanager
def _pillow_unguarded() -> Iterator[None]:
    """Let Pillow decode without warnings and without its guard against huge photos.

    A photo that a decoder tolerates needs no warning. Pillow's guard warns at one size and raises
    at twice that; here `Limits` is the guard. Both are switched for the whole process, so the last
    thread inside puts them back.
    """
    global _inside
    with _lock:
        if _inside == 0:
            _guards.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            Image.MAX_IMAGE_PIXELS = None
            _guards.enter_context(warnings.catch_warnings(action="ignore"))
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _guards.close()


def _open(content: bytes) -> Image.Image:
    formats = (*FORMATS, "HEIF") if is_heic(content) else FORMATS
    if "HEIF" in formats and not _can_read_heic():
        raise PhotoError(
            "unsupported", "HEIC, which needs `pip install pillow-heif`; or convert it to JPEG"
        )
    try:
        return Image.open(io.BytesIO(content), formats=formats)
    except UnidentifiedImageError as error:
        raise PhotoError("not_an_image", f"none of {', '.join(FORMATS)}") from error
    except Exception as error:  # of broken files, decoders raise anything
        raise _broken(error) from error


def is_heic(content: bytes) -> bool:
    """Tell whether a file says at its start that it is a HEIC photo."""
    return content[4:8] == b"ftyp" and content[8:12] in HEIC_BRANDS and b"avif" not in content[:64]


@functools.cache
def _can_read_heic() -> bool:
    """Let Pillow read HEIC, if the package for it is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _check_limits(size_px: tuple[int, int], limits: Limits) -> None:
    short, long = sorted(size_px)
    size = "{}x{}".format(*size_px)
    # Quotients, not products: 115 / 100 is what 1.15 is read as; 1.15 * 100 is below 115.
    if short * long / 1e6 > limits.max_megapixels:
        raise PhotoError("too_many_pixels", f"{size} is over {limits.max_megapixels:g} megapixels")
    if short < limits.min_side_px:
        raise PhotoError("too_small", f"{size} has a side below {limits.min_side_px} px")
    if long / short > limits.max_aspect_ratio:
        raise PhotoError("extreme_aspect", f"{size} is over {limits.max_aspect_ratio:g} to 1")


def _load(image: Image.Image, content: bytes, size_px: int) -> Scaled:
    """Decode all of an opened photo."""
    if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB"):
        decoded = decode_jpeg(content, image.size, size_px)
        if decoded is not None:
            return decoded
    try:
        image.load()
    except Exception as error:  # as in _open
        raise _broken(error) from error
    return to_rgb(image), image.width, image.height


def _broken(error: Exception) -> PhotoError:
    text = " ".join(str(error).split()) or type(error).__name__
    cut = isinstance(error, EOFError) or "truncated" in text.lower()
    return PhotoError("truncated" if cut else "damaged", text)


def _orientation(image: Image.Image) -> Any:
    """Return what EXIF data say of the orientation: 1 to 8, unless it makes no sense."""
    try:
        return image.getexif().get(ORIENTATION_TAG)
    except Exception:  # broken EXIF data beside good pixels
        return None
