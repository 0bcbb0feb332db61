"""The figures of two evaluations side by side, each judged by its own direction."""

from dataclasses import dataclass
from typing import Any, Literal

from tools.report.snapshot import flatten

Verdict = Literal["better", "worse", "same", ""]

HIGHER_IS_BETTER = frozenset({"accuracy", "top3_accuracy", "macro_f1", "f1", "recall"})
LOWER_IS_BETTER = frozenset({"log_loss", "brier_score", "expected_calibration_error"})
ORDER = ["accuracy", "top3_accuracy", "macro_f1", "log_loss", "brier_score"]
"""What a reviewer looks for comes first; the others follow in the file's order."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Figure:
    """A figure before and after; None where it is not measured."""

    name: str
    before: float | None
    after: float | None
    interval_before: Interval | None = None
    interval_after: Interval | None = None

    @property
    def change(self) -> float | None:
        """After minus before, without the noise of binary fractions."""
        if self.before is None or self.after is None:
            return None
        return round(self.after - self.before, 10)

    @property
    def verdict(self) -> Verdict:
        """Whether the change is for the better; empty if the figure has no good direction."""
        if self.change is None or self.name not in HIGHER_IS_BETTER | LOWER_IS_BETTER:
            return ""
        if self.change == 0:
            return "same"
        return "better" if (self.change > 0) == (self.name in HIGHER_IS_BETTER) else "worse"


@dataclass(frozen=True)
class ClassChange:
    """A class's F1 and recall before and after; None where the class is not in the test."""

    name: str
    photos_before: int | None
    photos_after: int | None
    f1: Figure
    recall: Figure


def compare_figures(before: dict[str, Any], after: dict[str, Any]) -> list[Figure]:
    """Pair the figures of two evaluation.json; ``x_low`` and ``x_high`` become x's interval.

    Parameters
    ----------
    before : dict
        Empty if there was no evaluation yet.
    """
    old, new = _numbers(before), _numbers(after)
    names = [name for name in {**new, **old} if not _is_bound(name, {**new, **old})]
    names.sort(key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    return [
        Figure(name, old.get(name), new.get(name), _interval(name, old), _interval(name, new))
        for name in names
    ]


def compare_classes(before: dict[str, Any], after: dict[str, Any]) -> list[ClassChange]:
    """Pair the classes of two evaluation.json: the greatest loss in F1 first, then by name."""
    old, new = before.get("classes") or {}, after.get("classes") or {}
    rows = [_compare_class(name, old.get(name, {}), new.get(name, {})) for name in {**new, **old}]
    return sorted(rows, key=lambda row: (row.f1.change or 0, row.name))


def _compare_class(name: str, old: dict[str, Any], new: dict[str, Any]) -> ClassChange:
    return ClassChange(
        name,
        old.get("support"),
        new.get("support"),
        Figure("f1", old.get("f1"), new.get("f1")),
        Figure("recall", old.get("recall"), new.get("recall")),
    )


def _numbers(evaluation: dict[str, Any]) -> dict[str, float]:
    overall = {name: value for name, value in evaluation.items() if name != "classes"}
    return {
        name: value
        for name, value in flatten(overall).items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def _is_bound(name: str, numbers: dict[str, float]) -> bool:
    return name.removesuffix("_low").removesuffix("_high") != name and (
        name.rpartition("_")[0] in numbers
    )


def _interval(name: str, numbers: dict[str, float]) -> Interval | None:
    low, high = numbers.get(f"{name}_low"), numbers.get(f"{name}_high")
    return None if low is None or high is None else (low, high)
