"""A plant: a head on a stem, with its leaves, posed in the photo."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from garden.surface import Floats, Skin, Surface, join, pose, tubes

Grow = Callable[[Generator], Surface]


@dataclass(frozen=True)
class Variety:
    """What all plants of one photo have in common."""

    head: Grow
    leaves: Callable[[Skin, Generator], Surface]
    green: Floats
    """Array of shape (n_stops, 3): colors of stem and leaves, from foot to tip."""
    stem: float
    """How thick the stem is, in radii of its head."""
    tilt_deg: tuple[float, float]
    """Least and greatest angle between the way a head looks and the line of sight."""
    leaf_at: float = 0.7
    """Where on the stem the leaves are: 0 is the head, 1 the foot."""
    middle: float = 0.0
    """How far above its foot a head's middle is, in its radii."""


@dataclass(frozen=True)
class Head:
    """Where a flower's head is in the photo, in pixels."""

    center: Floats
    """Array of shape (3,)."""
    radius: float


def plant(variety: Variety, head: Head, rng: Generator) -> Surface:
    """Grow a whole plant, given where its head is."""
    axis, radius = _look(variety.tilt_deg, rng), head.radius
    foot = head.center - variety.middle * radius * axis
    flower = pose(variety.head(rng), axis, rng.uniform(0, 2 * np.pi), radius, foot)
    path = _stem_path(foot, axis, radius, rng)
    thick = variety.stem * radius * np.linspace(1.0, 1.3, path.shape[1])
    stem = tubes(path, thick[None], Skin(variety.green[::-1], 0.05), rng, sides=3)
    at = round(variety.leaf_at * (path.shape[1] - 1))
    upward = path[0, max(at - 1, 0)] - path[0, at]
    upward /= np.linalg.norm(upward)
    spin = rng.uniform(0, 2 * np.pi)
    leaves = variety.leaves(Skin(variety.green), rng)
    leaves = pose(leaves, upward, spin, rng.uniform(0.8, 1.2) * radius, path[0, at])
    return join(flower, stem, leaves)


def _look(tilt_deg: tuple[float, float], rng: Generator) -> Floats:
    """Draw the way a head looks: tilted from the line of sight, mostly upwards."""
    tilt = np.deg2rad(rng.uniform(*tilt_deg))
    around = np.pi / 2 + rng.normal(0, 0.55)
    return np.array([np.sin(tilt) * np.cos(around), np.sin(tilt) * np.sin(around), np.cos(tilt)])


def _stem_path(head: Floats, axis: Floats, radius: float, rng: Generator) -> Floats:
    """Bend a stem from the head down to the ground, shape (1, n_points, 3)."""
    length = radius * rng.uniform(3.5, 6)
    foot = head + length * np.array([rng.normal(0, 0.15), -1.0, -0.5])
    middle = head - 0.45 * length * axis
    t = np.linspace(0, 1, 12)[:, None]
    return ((1 - t) ** 2 * head + 2 * t * (1 - t) * middle + t**2 * foot)[None]
