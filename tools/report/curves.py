"""The loss curves of both sides, one over the other: as a picture, or as text that GitHub draws.

A comment on GitHub can't show a picture that is nowhere on the web, but it draws Mermaid diagrams.
"""

import io
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tools.report.comparison import Comparison
from tools.report.markdown import code

BEFORE, AFTER = "#d55e00", "#0072b2"
COLOR_NAMES = {BEFORE: "orange", AFTER: "blue"}
"""Vermilion and blue of Okabe and Ito, which colour-blind readers tell apart."""

SPLITS = {"train_loss": "train", "val_loss": "validation"}
STYLES = {"train_loss": (0, (2, 1.5)), "val_loss": "solid"}
SIZE_INCHES = (8, 4)
DPI = 120
NAME_LENGTH = 28

MOST_POINTS = 60
"""Of a curve in a Mermaid diagram, which is drawn 700 pixels wide."""


@dataclass(frozen=True)
class Side:
    """One side's curves."""

    time: Literal["before", "after", "before and after"]
    name: str
    losses: pd.DataFrame
    """A row per epoch: epoch, train_loss, val_loss."""
    color: str


def sides_of(comparison: Comparison) -> list[Side]:
    """Return the sides that have curves, the base first; one if both are the same."""
    before, after = (
        pd.DataFrame() if side.losses is None else side.losses
        for side in (comparison.before, comparison.after)
    )
    name = _short(comparison.here.name)
    if before.equals(after):
        sides = [Side("before and after", name, after, AFTER)]
    else:
        base = Side("before", _short(comparison.base.name), before, BEFORE)
        sides = [base, Side("after", name, after, AFTER)]
    return [side for side in sides if not side.losses.empty]


def draw_picture(sides: list[Side]) -> bytes:
    """Draw the curves; return a PNG whose bytes depend on the curves alone."""
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever the user's own matplotlibrc says
        figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
        axes = figure.add_subplot()
        for side in sides:
            _draw_side(axes, side)
        axes.set(xlabel="epoch", ylabel="loss per photo")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="#dddddd")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside upper left", ncols=2, frameon=False)
        content = io.BytesIO()
        figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def write_mermaid(sides: list[Side]) -> str:
    """Return the validation curves as a Mermaid diagram, over the epochs that all sides have.

    Mermaid spreads the points of each line evenly over the whole axis.
    """
    epochs = min(int(side.losses["epoch"].max()) for side in sides)
    if epochs < 2:
        return "One epoch only: no curve to draw."
    colors = ", ".join(side.color for side in sides)
    names = " and ".join(f"{COLOR_NAMES[side.color]} {code(side.name)}" for side in sides)
    lines = [
        f'%%{{init: {{"themeVariables": {{"xyChart": {{"plotColorPalette": "{colors}"}}}}}}}}%%',
        "xychart-beta",
        f'  x-axis "epoch" 1 --> {epochs}',
        '  y-axis "validation loss per photo"',
        *(f"  line {_points(side, epochs)}" for side in sides),
    ]
    key = f"{names[0].upper()}{names[1:]}, to epoch {epochs}:"
    return "\n".join([key, "", "```mermaid", *lines, "```"])


def _draw_side(axes: Axes, side: Side) -> None:
    for column, split in SPLITS.items():
        axes.plot(
            side.losses["epoch"],
            side.losses[column],
            color=side.color,
            linestyle=STYLES[column],
            linewidth=1.8,
            marker="o" if len(side.losses) == 1 else "",
            label=f"{side.time}: {side.name}, {split}".replace("$", r"\$"),
        )


def _points(side: Side, epochs: int) -> str:
    grid = np.linspace(1, epochs, min(epochs, MOST_POINTS))
    losses = np.interp(grid, side.losses["epoch"], side.losses["val_loss"])
    return f"[{', '.join(f'{loss:.4f}' for loss in losses)}]"


def _short(name: str) -> str:
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"
