"""Numbers before and after, each judged by its own direction."""

import numpy as np
import pandas as pd

Numbers = dict[str, int | float]
"""Dotted name, such as ``classes.rose.f1``, to number."""

DIRECTIONS = {
    **dict.fromkeys(["accuracy", "top3_accuracy", "macro_f1", "f1", "recall", "precision"], 1),
    **dict.fromkeys(["log_loss", "brier_score", "expected_calibration_error"], -1),
}
"""Last part of a name to 1 where higher is better, -1 where lower is."""
VERDICTS = {1: "better", -1: "worse", 0: "same"}
DECIMALS = 4
FIRST = ["accuracy", "top3_accuracy", "macro_f1", "log_loss", "brier_score"]
"""What a reviewer looks for; the others follow in the file's order."""


def compare_numbers(before: Numbers, after: Numbers) -> pd.DataFrame:
    """Pair numbers by name; bounds of an interval, ``x_low`` and ``x_high``, have no row.

    Returns
    -------
    DataFrame
        A row per name: before, after and change, NaN where there is none; verdict, which is
        better, worse or same, or empty where a number has no good direction; and the decimals to
        show, 0 for a count.
    """
    both = dict.fromkeys([*FIRST, *after, *before])
    bounds = {f"{name}_{end}" for name in both for end in ("low", "high")}
    names = [name for name in both if name not in bounds]
    sides = {"before": pd.Series(before, names, float), "after": pd.Series(after, names, float)}
    table = pd.DataFrame(sides, names).dropna(how="all")
    change = (table["after"] - table["before"]).round(10)  # without the noise of binary fractions
    directions = (DIRECTIONS.get(name.rpartition(".")[2], 0) for name in table.index)
    verdict = [_judge(*pair) for pair in zip(change, directions, strict=True)]
    counts = [
        all(isinstance(side.get(name, 0), int) for side in (before, after)) for name in table.index
    ]
    decimals = np.where(counts, 0, DECIMALS)
    return table.assign(change=change, verdict=verdict, decimals=decimals)


def _judge(change: float, direction: int) -> str:
    if direction == 0 or np.isnan(change):
        return ""
    return VERDICTS[int(np.sign(change)) * direction]


def interval(numbers: Numbers, name: str) -> tuple[float, float] | None:
    """Return the bounds of a number, None if it has none."""
    low, high = numbers.get(f"{name}_low"), numbers.get(f"{name}_high")
    return None if low is None or high is None else (low, high)
