"""Petals, leaves and stems as bent surfaces made of small four-cornered facets.

Everything that grows is one of three shapes: a whorl of petals around an axis, a bundle of tubes
along paths, or a disc of florets. A head is made around the origin, looks along +z and is about 1
in radius; ``pose`` turns it and puts it in the photo, where x is right, y is up and z is towards
the viewer, in pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
PERSPECTIVE = 0.13  # how much larger a head's nearest point looks than its middle


@dataclass(frozen=True)
class Surface:
    """Facets, in no order."""

    corners: Floats
    """Array of shape (n_facets, 4, 3): the corners of each, in a ring."""
    albedo: Floats
    """Array of shape (n_facets, 3): the share of each color of light given back, in [0, 1]."""


@dataclass(frozen=True)
class Whorl:
    """Petals around an axis. Arrays hold one value per petal; a float is the same for all."""

    azimuth: Floats
    """Where around the axis each petal stands, in radians; its length is the number of petals."""
    length: Floats | float
    width: Floats | float
    """Half of the petal's width where it is widest."""
    bend: tuple[Floats | float, Floats | float, Floats | float]
    """Angle from the horizontal at foot, middle and tip, in radians; pi / 2 is upright."""
    cup: Floats | float
    """Half angle of the arc that the petal is across, in radians; 0 is flat, below folds away."""
    foot: Floats | float = 0.0
    """Distance from the axis at which the petal begins."""
    taper: tuple[float, float] = (0.5, 0.5)
    """How the width falls to the foot and to the tip: 0.2 is blunt, 0.5 round, 1 pointed."""
    ruffle: float = 0.0
    """Height of the waves of the petal's edge."""
    teeth: float = 0.0
    """Depth of the teeth of the petal's outline, as a share of its width."""
    facets: tuple[int, int] = (5, 2)
    """Facets along and across each petal."""


@dataclass(frozen=True)
class Skin:
    """The colors of a surface."""

    stops: Floats
    """Array of shape (n_stops, 3): albedo from foot to tip."""
    mottle: float = 0.1
    """How much the brightness differs between petals, and half as much within one."""


def join(*surfaces: Surface) -> Surface:
    """Put surfaces together into one."""
    return Surface(
        np.concatenate([surface.corners for surface in surfaces]),
        np.concatenate([surface.albedo for surface in surfaces]),
    )


def petals(whorl: Whorl, skin: Skin, rng: Generator) -> Surface:
    """Grow a whorl.

    Each petal is a midrib that bends as it leaves the axis, widened into an arc across.
    """
    rows, columns = whorl.facets
    count = len(whorl.azimuth)
    along = (1 - np.cos(np.linspace(0.12, 1, rows + 1) * np.pi)) / 2  # closer at the rounded ends
    across = np.linspace(-1, 1, columns + 1)
    radius, height, slope = _midrib(whorl, along)
    width = _column(whorl.width) * _outline(whorl, along)
    cup = _column(whorl.cup) + 1e-6
    arc = _column(whorl.width)[..., None] / cup[..., None]
    turn = (width / arc[..., 0])[..., None] * across
    waves = np.sin(rng.uniform(0, 2 * np.pi, (count, 1, 1)) + 4.5 * across) * along[:, None] ** 2
    rise = arc * (1 - np.cos(turn)) + whorl.ruffle * waves
    outward = radius[..., None] - np.sin(slope)[..., None] * rise
    upward = height[..., None] + np.cos(slope)[..., None] * rise
    sideways = arc * np.sin(turn)
    cos, sin = np.cos(whorl.azimuth)[:, None, None], np.sin(whorl.azimuth)[:, None, None]
    points = np.stack(
        [outward * cos - sideways * sin, outward * sin + sideways * cos, upward], axis=-1
    )
    return _facets(points, skin, rng)


def tubes(paths: Floats, radius: Floats, skin: Skin, rng: Generator, sides: int = 1) -> Surface:
    """Grow stems or blades of grass: the half of a tube that the viewer sees.

    Parameters
    ----------
    paths : ndarray of shape (n_tubes, n_points, 3)
    radius : ndarray of shape (n_tubes, n_points) or one that broadcasts to it
    skin : Skin
    rng : Generator
    sides : int
        Facets across: 1 makes a flat ribbon, 3 a stem.
    """
    step = np.gradient(paths[..., :2], axis=1)
    step /= np.linalg.norm(step, axis=-1, keepdims=True) + 1e-9
    side = np.stack([-step[..., 1], step[..., 0], np.zeros(step.shape[:2])], axis=-1)
    angle = np.linspace(np.pi, 0, sides + 1)[:, None]
    near = np.array([0.0, 0.0, 1.0])
    ring = np.cos(angle) * side[:, :, None] + np.sin(angle) * near
    points = paths[:, :, None] + np.broadcast_to(radius, paths.shape[:2])[..., None, None] * ring
    return _facets(points, skin, rng)


def florets(count: int, radius: float, dome: float, skin: Skin, rng: Generator) -> Surface:
    """Grow the disc of a daisy or a sunflower: small florets in the spiral of a seed head.

    References
    ----------
    Vogel, "A better way to construct the sunflower head", Mathematical Biosciences 44, 1979.
    """
    rank = (np.arange(count) + 0.5) / count
    distance, azimuth = radius * np.sqrt(rank), np.arange(count) * GOLDEN_ANGLE
    center = np.stack(
        [distance * np.cos(azimuth), distance * np.sin(azimuth), dome * (1 - rank)], axis=-1
    )
    size = 1.25 * radius / np.sqrt(count)
    corner = azimuth[:, None] + np.arange(4) * np.pi / 2
    offset = np.stack([np.cos(corner), np.sin(corner), rng.normal(0, 0.4, corner.shape)], axis=-1)
    color = _gradient(skin.stops, rank) * rng.normal(1, skin.mottle, (count, 1))
    return Surface(center[:, None] + size * offset, color.clip(0, 1))


def pose(surface: Surface, axis: Floats, spin: float, scale: float, center: Floats) -> Surface:
    """Turn a surface so that its +z looks along `axis`, and put it in the photo.

    Parameters
    ----------
    surface : Surface
    axis : ndarray of shape (3,), of length 1
    spin : float
        Turn around its own axis, in radians.
    scale : float
        Pixels per unit.
    center : ndarray of shape (3,), pixels
    """
    side = np.array([axis[1], -axis[0], 0.0]) if abs(axis[2]) < 0.999 else np.array([1.0, 0, 0])
    side /= np.linalg.norm(side)
    up = np.cross(axis, side)
    turned_side = np.cos(spin) * side + np.sin(spin) * up
    turned_up = np.cross(axis, turned_side)
    x, y, z = np.moveaxis(surface.corners[..., None], -2, 0)
    points = x * turned_side + y * turned_up + z * axis
    points *= 1 + PERSPECTIVE * points[..., 2:]
    return Surface(center + scale * points, surface.albedo)


def around(count: int, rng: Generator, jitter: float = 0.2) -> Floats:
    """Spread `count` azimuths evenly around the axis, each moved by a share of the gap."""
    return (np.arange(count) + rng.uniform(-jitter, jitter, count)) * 2 * np.pi / count


def _midrib(whorl: Whorl, along: Floats) -> tuple[Floats, Floats, Floats]:
    """Distance from the axis, height and slope of each petal's midrib, each (n_petals, n_rows)."""
    foot, middle, tip = (_column(angle) for angle in whorl.bend)
    slope = foot + (middle - foot) * np.minimum(2 * along, 1)
    slope = slope + (tip - middle) * np.maximum(2 * along - 1, 0)
    slope = np.broadcast_to(slope, (len(whorl.azimuth), len(along)))
    step = _column(whorl.length) * np.diff(along, prepend=0.0)
    radius = _column(whorl.foot) + np.cumsum(step * np.cos(slope), axis=1)
    return radius, np.cumsum(step * np.sin(slope), axis=1), slope


def _outline(whorl: Whorl, along: Floats) -> Floats:
    """Half width along the petal, 1 where it is widest."""
    to_foot, to_tip = whorl.taper
    widest = to_foot / (to_foot + to_tip)
    share = along**to_foot * (1 - along).clip(0) ** to_tip
    smooth: Floats = share / (widest**to_foot * (1 - widest) ** to_tip)
    return smooth * (1 - whorl.teeth * (np.arange(len(along)) % 2))


def _facets(points: Floats, skin: Skin, rng: Generator) -> Surface:
    """Cut grids of points, (n, rows + 1, columns + 1, 3), into facets and color them."""
    rings = [points[:, :-1, :-1], points[:, 1:, :-1], points[:, 1:, 1:], points[:, :-1, 1:]]
    corners = np.stack(rings, axis=3)
    count, rows, columns = corners.shape[:3]
    color = _gradient(skin.stops, (np.arange(rows) + 0.5) / rows)[None, :, None]
    tone = rng.normal(1, skin.mottle, (count, 1, 1, 1))
    tone = tone * rng.normal(1, skin.mottle / 2, (count, 1, columns, 1))
    albedo = np.broadcast_to(color * tone, (count, rows, columns, 3))
    return Surface(corners.reshape(-1, 4, 3), albedo.reshape(-1, 3).clip(0, 1))


def _gradient(stops: Floats, at: Floats) -> Floats:
    """Mix evenly spaced stops, (n_stops, 3), at places in [0, 1]."""
    place = np.clip(at, 0, 1) * (len(stops) - 1)
    left = np.minimum(place.astype(int), max(len(stops) - 2, 0))
    right = np.minimum(left + 1, len(stops) - 1)
    share = (place - left)[:, None]
    mixed: Floats = stops[left] * (1 - share) + stops[right] * share
    return mixed


def _column(value: Floats | float) -> Floats:
    return np.reshape(np.asarray(value, dtype=np.float64), (-1, 1))
