"""Colors of a matrix profile, such as Display P3 or Adobe RGB, as sRGB: the same on every machine.

Tables come from decimal numbers, whose powers are exactly defined, and all else is whole numbers.

References
----------
ICC.1:2022, "Image technology colour management", chapters 9 and 10.
"""

import functools
import struct
from decimal import Decimal, localcontext

import numpy as np
import numpy.typing as npt
from PIL import Image

Table = npt.NDArray[np.float64]

ONE = 1 << 16
"""Full light; all tables and matrices hold whole numbers, which floats multiply exactly."""

FROM_XYZ = np.array(
    [[205380, -105963, -32153], [-64145, 125576, 2192], [4715, -15007, 92094]], np.float64
)
"""From XYZ, as profiles have it, to linear sRGB, times `ONE`."""

SAME = 2
"""Levels by which the many profiles of sRGB itself may differ."""


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Convert an RGB image from its profile's colors; None if the profile has no matrix."""
    conversion = _conversion(profile)
    if conversion is None:
        return None
    tables, matrix = conversion
    return image if tables is None else Image.fromarray(_convert(np.asarray(image), tables, matrix))


def _convert(pixels: npt.NDArray[np.uint8], tables: Table, matrix: Table) -> npt.NDArray[np.uint8]:
    """Convert pixels, uint8 of shape (..., 3)."""
    light = np.stack([tables[channel][pixels[..., channel]] for channel in range(3)], axis=-1)
    seen = (light @ matrix.T + ONE // 2) // ONE
    return _srgb_levels()[seen.clip(0, ONE).astype(np.int64)]


@functools.lru_cache(maxsize=16)
def _conversion(profile: bytes) -> tuple[Table | None, Table] | None:
    """Return a profile's tables, of shape (3, 256), and matrix; no tables if it is that of sRGB."""
    try:
        count = struct.unpack_from(">I", profile, 128)[0]
        entries = struct.iter_unpack(">4sII", profile[132 : 132 + 12 * min(count, 100)])
        tags = {name: profile[offset : offset + size] for name, offset, size in entries}
        if profile[16:24] != b"RGB XYZ ":
            return None
        with localcontext(prec=20):
            tables = np.array([_light(tags[name + b"TRC"]) for name in (b"r", b"g", b"b")])
        columns = [struct.unpack_from(">3i", tags[name + b"XYZ"], 8) for name in (b"r", b"g", b"b")]
    except (struct.error, LookupError, ArithmeticError, ValueError):
        return None
    matrix = (FROM_XYZ @ np.array(columns, np.float64).T + ONE // 2) // ONE
    keeps_white = np.abs(matrix.sum(axis=1) - ONE).max() < ONE / 10
    if not keeps_white or (tables[:, -1] - tables[:, 0]).min() < ONE / 2:
        return None
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    colors = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
    differ = np.abs(_convert(colors, tables, matrix).astype(int) - colors).max()
    return (tables if differ > SAME else None), matrix


def _light(curve: bytes) -> list[int]:
    """Return the light of each of 256 levels by a profile's curve."""
    kind, count = curve[:4], struct.unpack_from(">I", curve, 8)[0]
    if kind == b"curv" and count > 1:
        steps = struct.unpack_from(f">{count}H", curve, 12)
        places = [divmod(level * (count - 1), 255) for level in range(256)]
        sums = [steps[n] * (255 - r) + steps[min(n + 1, count - 1)] * r for n, r in places]
        return [round(Decimal(total * ONE) / (65535 * 255)) for total in sums]
    if kind == b"curv":
        gamma = Decimal(struct.unpack_from(">H", curve, 12)[0]) / 256 if count else Decimal(1)
        g, a, b, c, d, e, f = gamma, *map(Decimal, (1, 0, 0, 0, 0, 0))
    elif kind == b"para":
        form = struct.unpack_from(">H", curve, 8)[0]
        values = struct.unpack_from(f">{(1, 3, 4, 5, 7)[form]}i", curve, 12)
        given = [Decimal(value) / ONE for value in values]
        g, a, b, c, d, e, f = given + [Decimal(1), *[Decimal(0)] * 5][len(given) - 1 :]
        if form in (1, 2):  # below -b/a the light is constant
            c, d, e, f = Decimal(0), -b / a, c, c
    else:
        raise ValueError(kind)
    levels = [Decimal(level) / 255 for level in range(256)]
    light = [max(a * x + b, Decimal(0)) ** g + e if x >= d else c * x + f for x in levels]
    return [round(min(max(y, Decimal(0)), Decimal(1)) * ONE) for y in light]


@functools.cache
def _srgb_levels() -> npt.NDArray[np.uint8]:
    """Return the level of sRGB for each light from 0 to `ONE`."""
    with localcontext(prec=20):
        between = [(Decimal(level) + Decimal("0.5")) / 255 for level in range(255)]
        light = [
            ((x + Decimal("0.055")) / Decimal("1.055")) ** Decimal("2.4")
            if x > Decimal("0.04045")
            else x / Decimal("12.92")
            for x in between
        ]
        borders = [round(y * ONE) for y in light]
    return np.searchsorted(borders, np.arange(ONE + 1), side="right").astype(np.uint8)
