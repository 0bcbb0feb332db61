"""One photo's bytes to the square of pixels that the network sees.

``prepare`` and ``predict`` both come through here, so that a photo has the same pixels in both.
It decodes JPEG, PNG, WebP, AVIF, BMP, TIFF, GIF (its first frame) and, with pillow-heif installed,
HEIC. It tells them apart by content, never by the file's name. A photo's pixels are the same on
every machine: all arithmetic on the way is on whole numbers.
"""

import functools
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from stages.common.errors import PhotoError
from stages.photos.jpeg import Scaled, decode_jpeg
from stages.photos.pixels import PHOTOMETRIC, fit_square, tiff_tag, to_rgb
from stages.photos.profile import to_srgb

if TYPE_CHECKING:  # pydantic is slow to import, for every worker process
    from stages.common.schema import Fit

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""What a HEIC file, as phones write it, says at its start; an AVIF file may say the same."""
GRAYS = ("1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L")
ORIENTATION_TAG = 0x0112
SIDEWAYS = range(5, 9)
"""EXIF orientations that exchange width and height."""

JPEG = b"\xff\xd8\xff"
"""How a JPEG starts."""

SCAN = b"\xff\xda"
MOST_SCANS = 100
"""A progressive JPEG has about ten scans; each is a pass over all pixels."""

NOT_PLAIN = (b"Exif", b"tiff:Orientation", b"ICC_PROFILE")
"""One of these is in a JPEG that says which side is up, or has a color profile."""

RAW_SENSOR = (32803, 34892)
"""What PHOTOMETRIC is in a camera's raw file."""
SUBFILE, REDUCED, SUB_IFDS, DNG_VERSION = 254, 1, 330, 50706
"""Of TIFFs: tags and what they say."""

TIFF = (b"II*\0", b"MM\0*")
RAW = "a camera's raw file; develop it, or convert it to JPEG"


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
    profile_ignored : bool
        Whether it has a color profile that cannot be converted.
    """

    square: Image.Image
    width: int
    height: int
    profile_ignored: bool = False

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The square as a uint8 array of shape (S, S, 3)."""
        return np.asarray(self.square)


def decode_photo(content: bytes, size_px: int, fit: "Fit", limits: Limits) -> Photo:
    """Decode a photo in full and fit it into a square.

    Parameters
    ----------
    content : bytes
    size_px : int
        Side S of the square.
    fit : {"crop", "pad", "stretch"}
        See `fit_square`.
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
    return _from_plain_jpeg(content, size_px, fit, limits) or _from_any(
        content, size_px, fit, limits
    )


def _from_plain_jpeg(content: bytes, size_px: int, fit: "Fit", limits: Limits) -> Photo | None:
    """Decode a JPEG that is upright and has no profile; None for all else, which Pillow opens.

    To read the header with Pillow would take about a tenth of a small photo's time.
    """
    if not content.startswith(JPEG) or any(name in content for name in NOT_PLAIN):
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
    return Photo(fit_square(*decoded, size_px, fit), width, height)


def _from_any(content: bytes, size_px: int, fit: "Fit", limits: Limits) -> Photo:
    with _pillow_unguarded(), _open(content) as image:
        _check_raw(image, content)
        _check_limits(image.size, limits)
        profile = image.info.get("icc_profile") if image.mode not in GRAYS else None
        square = fit_square(*_load(image, content, size_px), size_px, fit)
        orientation = _orientation(image)
        width, height = image.size
    if orientation in SIDEWAYS:
        width, height = height, width
    converted = to_srgb(square, profile) if profile else square
    square = converted or square
    square.info.clear()  # of EXIF data, which may be broken
    square.getexif()[ORIENTATION_TAG] = orientation
    # Turning the small square gives what turning the whole photo would.
    return Photo(ImageOps.exif_transpose(square), width, height, profile_ignored=not converted)


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
        if content.startswith(TIFF):
            raise PhotoError("unsupported", f"a TIFF of a rare kind, perhaps {RAW}") from error
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


def _check_raw(image: Image.Image, content: bytes) -> None:
    """Refuse camera raw files that are TIFFs: what Pillow reads of them is a small preview."""
    is_preview = tiff_tag(image, SUBFILE) == REDUCED and tiff_tag(image, SUB_IFDS)
    is_sensor = tiff_tag(image, PHOTOMETRIC) in RAW_SENSOR
    is_cr2 = image.format == "TIFF" and content[8:10] == b"CR"
    if is_preview or is_sensor or is_cr2 or tiff_tag(image, DNG_VERSION):
        raise PhotoError("unsupported", RAW)


def _check_limits(size_px: tuple[int, int], limits: Limits) -> None:
    short, long = sorted(size_px)
    size = "{}x{}".format(*size_px)
    # Quotients, not products: 115 / 100 is what 1.15 is read as; 1.15 * 100 is below 115.
    if short * long / 1e6 > limits.max_megapixels:
        raise PhotoError("too_many_pixels", f"{size} is over {limits.max_megapixels:g} megapixels")
    if short < limits.min_side_px:
        raise PhotoError(
            "too_small", f"{size} has a side below prepare.min_side_px = {limits.min_side_px}"
        )
    if long / short > limits.max_aspect_ratio:
        raise PhotoError(
            "extreme_aspect",
            f"{size} is over prepare.max_aspect_ratio = {limits.max_aspect_ratio:g}; to accept it, "
            "raise that, and set prepare.fit to pad to see all of it",
        )


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
