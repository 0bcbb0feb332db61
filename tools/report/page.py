"""The page: verdict, parameters, data, figures, classes, photos, loss curves, in this order.

Every table has a limit, so that the page always fits in a comment (65,536 characters on GitHub).
"""

from collections.abc import Callable, Sequence

import pandas as pd

from tools.report.comparison import Comparison
from tools.report.data import describe_data
from tools.report.figures import ClassChange, Figure
from tools.report.markdown import code, folded, listed, plural, signed, table
from tools.report.paired import OUTCOMES
from tools.report.verdict import give_verdict

MARKER = "<!-- flowerbed: report -->"
"""First line of the page; the workflow finds its own comment by it."""

MOST_CLASSES = 5
MOST_NAMES = 30
MOST_PARAMS = 40
MOST_PHOTOS = 80


def write_page(comparison: Comparison, curves: str) -> str:
    """Return the whole page.

    Parameters
    ----------
    curves : str
        Markdown that shows the loss curves.
    """
    title = f"## {code(comparison.here.name)} against {code(comparison.base.name)}"
    sections: list[tuple[str, Callable[[Comparison], str]]] = [
        ("Parameters", describe_params),
        ("Data", describe_data),
        ("Test", describe_figures),
        ("Classes that changed most", describe_classes),
        ("Photos whose prediction changed", describe_photos),
    ]
    parts = [MARKER, title, give_verdict(comparison)]
    parts += [f"### {name}\n\n{describe(comparison)}" for name, describe in sections]
    parts += [f"### Loss\n\n{curves}"]
    return "\n\n".join(parts) + "\n"


def describe_params(comparison: Comparison) -> str:
    """Return a table of the parameters that changed."""
    if not comparison.params:
        return "None changed."
    rows = [(code(name), _value(old), _value(new)) for name, old, new in comparison.params]
    return _first(rows, MOST_PARAMS, ["parameter", "before", "after"], "parameter")


def describe_figures(comparison: Comparison) -> str:
    """Return the table of the test's figures, each judged by its direction."""
    if not comparison.figures:
        return "No results on either side."
    rows = [_figure_row(figure) for figure in comparison.figures]
    return table(["figure", "before", "after", "change", ""], rows)


def describe_classes(comparison: Comparison) -> str:
    """Return the classes with the greatest changes of F1, losses first."""
    if not comparison.before.evaluation or not comparison.after.evaluation:
        return "Nothing to compare."
    moved = [row for row in comparison.classes if row.f1.change]
    lost = [row for row in moved if (row.f1.change or 0) < 0][:MOST_CLASSES]
    gained = [row for row in reversed(moved) if (row.f1.change or 0) > 0][:MOST_CLASSES]
    parts = []
    if moved:
        header = ["class", "test photos", "F1 before", "after", "change", "", "recall", "after"]
        parts.append(table(header, [_class_row(row) for row in lost + gained]))
        rest = len(moved) - len(lost) - len(gained)
        parts += [f"{plural(rest, 'more class')} changed less."] if rest else []
    else:
        parts.append("No class changed.")
    parts += _one_sided("Only before", [row for row in comparison.classes if _is_gone(row)])
    parts += _one_sided("Only after", [row for row in comparison.classes if _is_new(row)])
    return "\n\n".join(parts)


def describe_photos(comparison: Comparison) -> str:
    """Return the photos whose predicted class changed, folded."""
    paired = comparison.paired
    if paired is None:
        return "Nothing to compare."
    if paired.changed.empty:
        return "None."
    counts = paired.changed["outcome"].value_counts()
    summary = listed([f"{counts[outcome]:,} {outcome}" for outcome in OUTCOMES if counts[outcome]])
    rows = [_photo_row(row) for _, row in paired.changed.head(MOST_PHOTOS).iterrows()]
    header = ["photo", "actual", "before", "after", ""]
    content = table(header, rows, left=len(header))
    rest = len(paired.changed) - len(rows)
    if rest:
        content += f"\n\nand {plural(rest, 'more photo')}; metrics/predictions.csv has all."
    return folded(f"{plural(len(paired.changed), 'photo')}: {summary}", content)


def _first(rows: Sequence[Sequence[str]], most: int, header: list[str], noun: str) -> str:
    text = table(header, rows[:most])
    return text + (f"\n\nand {plural(len(rows) - most, f'more {noun}')}." if rows[most:] else "")


def _value(value: object) -> str:
    return "" if value is None else code(value)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else f"{value:,}"


def _figure_row(figure: Figure) -> list[str]:
    sides = [(figure.before, figure.interval_before), (figure.after, figure.interval_after)]
    texts = [
        _number(value) + (f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else "")
        for value, interval in sides
    ]
    return [figure.name, *texts, _change(figure), _judged(figure)]


def _change(figure: Figure) -> str:
    if figure.change is None:
        return ""
    return signed(figure.change, 4 if isinstance(figure.after, float) else 0)


def _judged(figure: Figure) -> str:
    return {"better": "▲ better", "worse": "▼ worse"}.get(figure.verdict, figure.verdict)


def _class_row(row: ClassChange) -> list[str]:
    f1, recall = row.f1, row.recall
    return [
        code(row.name),
        str(row.photos_after),
        *[_number(f1.before), _number(f1.after), _change(f1), _judged(f1)],
        *[_number(recall.before), _number(recall.after)],
    ]


def _is_gone(row: ClassChange) -> bool:
    return row.photos_after is None


def _is_new(row: ClassChange) -> bool:
    return row.photos_before is None


def _one_sided(label: str, rows: list[ClassChange]) -> list[str]:
    if not rows:
        return []
    names = [code(row.name) for row in rows[:MOST_NAMES]]
    rest = len(rows) - len(names)
    return [f"{label}: {listed([*names, *([f'{rest} more'] if rest else [])])}."]


def _photo_row(row: "pd.Series[str]") -> list[str]:
    before, after = (
        f"{code(row[f'predicted_{side}'])} {float(row[f'confidence_{side}']):.0%}"
        for side in ("before", "after")
    )
    return [code(row["path"]), code(row["actual"]), before, after, row["outcome"]]
