"""The page: verdict, parameters, data, metrics, classes, photos, loss curves, in this order."""

from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd

from tools.report.comparison import Comparison
from tools.report.markdown import assemble, code, folded, listed, plural, signed, table
from tools.report.metrics import compare_numbers, interval
from tools.report.paired import OUTCOMES
from tools.report.schema import Item
from tools.report.verdict import give_verdict

MARKER = "<!-- flowerbed: report -->"
"""First line of the page; the workflow finds its own comment by it."""

CLASSES, F1 = "classes.", ".f1"
MOST_CLASSES = 20
MOST_PHOTOS = 80
MARKS = {"better": "▲ better", "worse": "▼ worse"}

COLORS = {"orange": "#d55e00", "blue": "#0072b2"}
"""Vermilion and blue of Okabe and Ito, which color-blind readers tell apart."""
MOST_POINTS = 60
"""Of a curve, which GitHub draws 700 pixels wide."""


def write_page(comparison: Comparison) -> str:
    """Return the complete page."""
    title = f"## {code(comparison.here.name)} against {code(comparison.base.name)}"
    sections = {
        title: give_verdict(comparison),
        "### Parameters": describe_params(comparison),
        "### Data": describe_data(comparison),
        "### Test": describe_metrics(comparison),
        "### Classes that changed most": describe_classes(comparison),
        "### Photos whose prediction changed": describe_photos(comparison),
        "### Loss": draw_losses(comparison),
    }
    return assemble(MARKER, sections)


def describe_params(comparison: Comparison) -> str:
    """Return a table of the parameters that changed."""
    old, new = comparison.before.params, comparison.after.params
    if old is None or new is None:
        return "Nothing to compare."
    both = {name: (old.get(name), new.get(name)) for name in {**new, **old}}
    rows = [
        [code(name), *("" if value is None else code(value) for value in values)]
        for name, values in both.items()
        if values[0] != values[1] and repr(values[0]) != repr(values[1])  # NaN is unlike itself
    ]
    return table(["parameter", "before", "after"], rows, "parameter")


def describe_data(comparison: Comparison) -> str:
    """Say which photos were prepared, and which numbers of them changed."""
    before, after = comparison.before, comparison.after
    if after.prepared is None and after.photos is None:
        return "Not prepared yet: run `dvc repro`."
    if (before.photos, before.prepared) == (after.photos, after.prepared):
        return "Same photos, same splits."
    before_that = f"; before: {_source(before.photos)}" if before.photos != after.photos else ""
    numbers = compare_numbers(before.prepared or {}, after.prepared or {})
    moved = numbers[numbers["before"] != numbers["after"]]
    rows = [[code(row.Index), *_numbers(row)[:3]] for row in moved.itertuples()]
    counts = table(["photos", "before", "after", "change"], rows, "number")
    return f"Photos: {_source(after.photos)}{before_that}.\n\n{counts}"


def describe_metrics(comparison: Comparison) -> str:
    """Return the table of the test's metrics, each judged by its direction."""
    sides = (comparison.before.evaluation or {}, comparison.after.evaluation or {})
    rows = [
        [code(row.Index), *_numbers(row, *(interval(side, str(row.Index)) for side in sides))]
        for row in comparison.metrics.itertuples()
        if not str(row.Index).startswith(CLASSES)
    ]
    header = ["metric", "before", "after", "change", ""]
    return table(header, rows, "metric") if rows else "No results on either side."


def describe_classes(comparison: Comparison) -> str:
    """Return the F1 of the classes that are on one side only, then of those that changed most."""
    if not comparison.before.evaluation or not comparison.after.evaluation:
        return "Nothing to compare."
    names = [name for name in comparison.metrics.index if name.startswith(CLASSES)]
    f1 = comparison.metrics.loc[[name for name in names if name.endswith(F1)]]
    f1 = f1[f1["change"] != 0].sort_values("change", key=abs, ascending=False, na_position="first")
    rows = [
        [code(row.Index[len(CLASSES) : -len(F1)]), *_numbers(row)]  # type: ignore[index]
        for row in f1.itertuples()
    ]
    header = ["class", "F1 before", "after", "change", ""]
    return table(header, rows, "class", MOST_CLASSES)


def describe_photos(comparison: Comparison) -> str:
    """Return the photos whose predicted class changed, folded."""
    paired = comparison.paired
    if paired is None:
        return "Nothing to compare."
    if paired.changed.empty:
        return "None."
    counts = paired.changed["outcome"].value_counts()
    summary = listed(f"{counts[outcome]:,} {outcome}" for outcome in OUTCOMES if counts[outcome])
    rows = [
        [code(row.path), code(row.actual), *_predictions(row), str(row.outcome)]
        for row in paired.changed.itertuples()
    ]
    header = ["photo", "actual", "before", "after", ""]
    photos = plural(len(paired.changed), "photo")
    return folded(f"{photos}: {summary}", table(header, rows, "photo", MOST_PHOTOS, len(header)))


def draw_losses(comparison: Comparison) -> str:
    """Return the validation curves as a Mermaid diagram, over the epochs that all sides have.

    Mermaid spreads the points of each line evenly over the whole axis.
    """
    sides = {"orange": (comparison.base, comparison.before.losses)}
    sides |= {"blue": (comparison.here, comparison.after.losses)}
    curves = {color: side[1]["val_loss"] for color, side in sides.items() if side[1] is not None}
    if len(curves) == 2 and curves["orange"].equals(curves["blue"]):
        del curves["orange"]
    if not curves:
        return "No curves on either side."
    epochs = min(map(len, curves.values()))
    if epochs < 2:
        return "One epoch only: no curve to draw."
    palette = ", ".join(COLORS[color] for color in curves)
    lines = [
        f'%%{{init: {{"themeVariables": {{"xyChart": {{"plotColorPalette": "{palette}"}}}}}}}}%%',
        "xychart-beta",
        f'  x-axis "epoch" 1 --> {epochs}',
        '  y-axis "validation loss per photo"',
        *(f"  line {_points(losses, epochs)}" for losses in curves.values()),
    ]
    key = listed(f"{color} {code(sides[color][0].name)}" for color in curves)
    return "\n".join([f"Curves: {key}, to epoch {epochs}:", "", "```mermaid", *lines, "```"])


def _points(losses: "pd.Series[float]", epochs: int) -> str:
    grid = np.linspace(1, epochs, min(epochs, MOST_POINTS))
    values = np.interp(grid, range(1, len(losses) + 1), losses)
    return f"[{', '.join(f'{value:.4f}' for value in values)}]"


def _source(photos: Item | None) -> str:
    if photos is None:
        return "unknown"
    files = f"{plural(photos.nfiles, 'file')}, {photos.size / 1e6:,.1f} MB"
    return f"{code(photos.path)} ({files}, md5 {code(photos.md5[:7])})"


def _numbers(row: Any, *intervals: tuple[float, float] | None) -> list[str]:
    """Return the cells of a row of `compare_numbers`: before, after, change, verdict."""
    cells = [
        "" if np.isnan(value) else f"{value:,.{row.decimals}f}" + _bounds(bounds)
        for value, bounds in zip_longest([row.before, row.after], intervals)
    ]
    change = "" if np.isnan(row.change) else signed(row.change, row.decimals)
    return [*cells, change, MARKS.get(row.verdict, row.verdict)]


def _bounds(bounds: tuple[float, float] | None) -> str:
    return f" ({bounds[0]:.4f} to {bounds[1]:.4f})" if bounds else ""


def _predictions(row: Any) -> list[str]:
    return [
        f"{code(row.predicted_before)} {row.confidence_before:.0%}",
        f"{code(row.predicted_after)} {row.confidence_after:.0%}",
    ]
