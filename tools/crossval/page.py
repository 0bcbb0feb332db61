"""What a person reads of a cross-validation, as Markdown, and what programs read, as JSON."""

from typing import Any

import numpy as np

from stages.evaluate.metrics import DECIMALS, accuracy_interval, measure
from tools.crossval.pool import Pool
from tools.report.comparison import GAINED, LOST, Paired, mcnemar_exact, show_p_value
from tools.report.markdown import code, listed, plural, table


def measure_pool(pool: Pool) -> dict[str, Any]:
    """Return the figures of all photos together, as in metrics/evaluation.json, and of each fold.

    The baseline is the most common class of all photos.
    """
    figures = measure(pool.labels, pool.probabilities, pool.classes, pool.labels)
    return {**figures, "folds": measure_folds(pool)}


def measure_folds(pool: Pool) -> dict[str, dict[str, float | int]]:
    """Return each fold's accuracy with its interval, and its number of photos."""
    right = pool.photos["actual"] == pool.photos["predicted"]
    found = {}
    for fold, of_fold in right.groupby(pool.photos["fold"]):
        low, high = accuracy_interval(int(of_fold.sum()), len(of_fold))
        accuracy = {"accuracy": of_fold.mean(), "accuracy_low": low, "accuracy_high": high}
        rounded = {name: round(float(value), DECIMALS) for name, value in accuracy.items()}
        found[str(fold)] = {**rounded, "images": len(of_fold)}
    return found


def write_page(figures: dict[str, Any], suspects: int, against: str, paired: Paired | None) -> str:
    """Return the Markdown page; `against` names what `paired` compares with."""
    lines = [
        "# Cross-validation",
        summarize(figures),
        *([compare(against, paired)] if paired else []),
        f"The network confidently doubts {plural(suspects, 'label')}: suspects.csv and "
        "suspects.png, most doubtful first.",
        "## Figures of all photos",
        table(["figure", "value"], _figures(figures), "figure"),
        "## Folds",
        table(["fold", "accuracy", "95 % interval", "photos"], _folds(figures), "fold"),
        "## Classes",
        table(["class", "recall", "precision", "F1", "photos"], _classes(figures), "class"),
    ]
    return "\n\n".join(lines) + "\n"


def summarize(figures: dict[str, Any]) -> str:
    """Return the sentence with the accuracy and its interval."""
    accuracies = [fold["accuracy"] for fold in figures["folds"].values()]
    spread = np.std(accuracies, ddof=1) if len(accuracies) > 1 else 0
    return (
        f"**Accuracy {figures['accuracy']:.1%}** of {figures['images']:,} photos, each tested by a "
        f"network that never saw it (95 % interval {figures['accuracy_low']:.1%} to "
        f"{figures['accuracy_high']:.1%}); {plural(len(accuracies), 'fold')} from "
        f"{min(accuracies):.1%} to {max(accuracies):.1%}, standard deviation {100 * spread:.1f} "
        "points."
    )


def compare(against: str, paired: Paired) -> str:
    """Return the sentence on another revision's pool: McNemar's test on the photos of both."""
    lost, gained = paired.count(LOST), paired.count(GAINED)
    shown = show_p_value(mcnemar_exact(lost, gained))
    return (
        f"Against {code(against)}, on {plural(paired.shared, 'photo')} of both: {gained:,} became "
        f"right, {lost:,} became wrong. Two equally good recipes would differ by at least this "
        f"much with probability {shown} (McNemar's exact test)."
    )


def _figures(figures: dict[str, Any]) -> list[list[str]]:
    numbers = {name: value for name, value in figures.items() if not isinstance(value, dict)}
    return [[code(name), f"{value:,}"] for name, value in numbers.items()]


def _folds(figures: dict[str, Any]) -> list[list[str]]:
    return [
        [
            fold,
            f"{row['accuracy']:.1%}",
            f"{row['accuracy_low']:.1%} to {row['accuracy_high']:.1%}",
            f"{row['images']:,}",
        ]
        for fold, row in figures["folds"].items()
    ]


def _classes(figures: dict[str, Any]) -> list[list[str]]:
    return [
        [
            code(name),
            *(
                "" if row[key] is None else f"{row[key]:.3f}"
                for key in ("recall", "precision", "f1")
            ),
            f"{row['support']:,}",
        ]
        for name, row in figures["classes"].items()
    ]


def describe_missing(missing: list[int], folds: int, reasons: list[str], command: str) -> str:
    """Say which folds are missing, why runs that are there don't count, and what makes them."""
    names = listed([str(fold) for fold in missing])
    lines = [
        f"{plural(len(missing), 'fold')} of {folds} missing: {names}; run them with",
        f"  {command}",
    ]
    return "\n".join([*lines, *(f"  ({reason})" for reason in reasons)])
