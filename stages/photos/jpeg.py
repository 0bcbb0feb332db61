"""JPEGs, decoded at a fraction of their size; no damage passes unnoticed."""

import math
import threading

import simplejpeg
from PIL import Image

from stages.common.errors import PhotoError

SPARE = 1.5
"""A JPEG is decoded at a half, a quarter or an eighth of its size if that leaves this many times
the pixels per side that are needed. The result then differs less from a full decode (38 to 44 dB)
than the results of two good filters do from each other (35 to 37 dB)."""

NO_DAMAGE = (
    "not implemented",  # arithmetic coding
    "Unsupported color conversion",
    "Unsupported JPEG data precision",
    "Unsupported JPEG process",
    "subsampling level",
    "unknown JFIF revision",
    "Unknown Adobe color transform",
    "Invalid SOS parameters for sequential JPEG",
)
"""What simplejpeg says of JPEGs that are odd but whole: Pillow decodes some of them. Every other
message means damage, so that messages of a later version reject a photo rather than accept it."""

Scaled = tuple[Image.Image, float, float]
"""A decoded photo, scaled down perhaps, and the width and height of it that the content fills."""

MOST_ROOM = 1 << 23
"""Bytes that a thread keeps for the pixels of its next photo."""

_kept = threading.local()


def decode_jpeg(content: bytes, size: tuple[int, int], size_px: int) -> Scaled | None:
    """Decode a JPEG, already scaled down, or return None if only Pillow can decode it.

    It notices damage that Pillow does not: Pillow ignores libjpeg's warnings, so it accepts every
    JPEG that is cut short and closed again, with the rest of the picture gray.
    """
    width, height = size
    enough = min(size) / (SPARE * size_px)
    scale = next((n for n in (8, 4, 2) if n <= enough), 1)
    least = {"min_width": math.ceil(width / scale), "min_height": math.ceil(height / scale)}
    try:
        pixels = simplejpeg.decode_jpeg(
            content, buffer=_room_for(3 * math.prod(least.values())), **least
        )
    except ValueError as error:
        text = str(error)
        if any(words in text for words in NO_DAMAGE):
            return None
        raise PhotoError("truncated" if "remature end" in text else "damaged", text) from error
    # A scaled side is rounded up, but its content ends where the division ends.
    return Image.fromarray(pixels), width / scale, height / scale


def _room_for(size: int) -> bytearray | None:
    """Return memory for decoded pixels, a thread's own; None for very many pixels.

    To allocate and free it for every photo would take a tenth of a small one's time.
    """
    if size > MOST_ROOM:
        return None
    room: bytearray = getattr(_kept, "room", bytearray())
    if len(room) < size:
        _kept.room = room = bytearray(size)
    return room
