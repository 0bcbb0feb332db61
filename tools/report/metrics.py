"""Numbers before and after, each judged by its own direction."""

from typing import NamedTuple

from tools.report.markdown import MINUS

Numbers = dict[str, int | float]
"""Dotted name, such as ``classes.rose.f1``, to number; an int is a count."""

DIRECTIONS = {
    **dict.fromkeys(["accuracy", "top3_accuracy", "macro_f1", "f1", "recall", "precision"], 1),
    "answered_accuracy": 1,
    **dict.fromkeys(["log_loss", "brier_score", "expected_calibration_error"], -1),
}
"""Last part of a name to 1 where higher is better, -1 where lower is."""


class Change(NamedTuple):
    """A number before and after, as the page shows it: empty where a side has no such number."""

    before: str
    after: str
    difference: int | float | None
    """After minus before; None if one side has no such number."""
    verdict: str
    """Better, worse or same; empty if that can't be said of this number."""


def compare_numbers(before: Numbers, after: Numbers, judged: bool = True) -> dict[str, Change]:
    """Pair numbers by name; the bounds of an interval, ``x_low`` and ``x_high``, go with ``x``."""
    names = {**after, **before}
    bounds = {f"{name}_{end}" for name in names for end in ("low", "high")}
    changes = {}
    for name in names:
        if name in bounds:
            continue
        difference = None
        if name in before and name in after:
            # Rounded, without the noise of binary fractions.
            difference = round(after[name] - before[name], 10)
        verdict = _judge(name, difference) if judged else ""
        changes[name] = Change(_show(before, name), _show(after, name), difference, verdict)
    return changes


def interval(numbers: Numbers, name: str) -> tuple[float, float] | None:
    """Return the bounds of a number, None if it has none."""
    low, high = numbers.get(f"{name}_low"), numbers.get(f"{name}_high")
    return None if low is None or high is None else (low, high)


def signed(change: int | float) -> str:
    """Return a change with its sign, a true minus; 0 without one."""
    text = f"{change:+,}" if isinstance(change, int) else f"{change:+,.4f}"
    return text.replace("-", MINUS) if text.strip("+-0.") else "0"


def _judge(name: str, difference: int | float | None) -> str:
    direction = DIRECTIONS.get(name.rpartition(".")[2], 0)
    if difference is None or not direction:
        return ""
    gain = difference * direction
    return "better" if gain > 0 else "worse" if gain < 0 else "same"


def _show(numbers: Numbers, name: str) -> str:
    if name not in numbers:
        return ""
    number, bounds = numbers[name], interval(numbers, name)
    text = f"{number:,}" if isinstance(number, int) else f"{number:,.4f}"
    return text + (f" ({bounds[0]:.4f} to {bounds[1]:.4f})" if bounds else "")
