"""What a reviewer reads first: whether to trust the results, and whether they are better."""

from collections.abc import Iterator

from tools.report.comparison import Comparison
from tools.report.markdown import code, listed, plural, shortened
from tools.report.metrics import interval
from tools.report.paired import Paired
from tools.report.snapshot import Snapshot
from tools.report.staleness import Staleness

CHANCE = 0.05
"""Below this p-value, chance alone is a poor explanation."""
MOST_REASONS = 5


def give_verdict(comparison: Comparison) -> str:
    """Return a list of few sentences."""
    return "\n".join(f"- {line}" for line in _lines(comparison))


def describe_staleness(staleness: Staleness) -> str:
    """Say whether dvc.lock is up to date, and what would run."""
    if staleness.up_to_date:
        return "**dvc.lock is up to date** with the code and the parameters."
    causes = listed(
        f"{code(stage)} ({'; '.join(shortened(reasons, MOST_REASONS))})"
        for stage, reasons in staleness.stale.items()
    )
    return (
        f"**dvc.lock is stale.** `dvc repro` would run {causes}, and what depends on it. "
        "The results below are those of an earlier state."
    )


def _lines(comparison: Comparison) -> Iterator[str]:
    yield describe_staleness(comparison.staleness)
    if comparison.staleness.unchecked:
        names = listed(code(name) for name in comparison.staleness.unchecked)
        yield f"Not checked, since it is not here: {names}."
    yield _describe_accuracy(comparison)
    if comparison.paired and comparison.comparable:
        yield _describe_chance(comparison.paired)
    if comparison.behind:
        yield (
            f"{code(comparison.base.name)} has {plural(comparison.behind, 'commit')} that "
            "this branch lacks: merge it first, to compare like with like."
        )
    for line in [*comparison.before.odd, *comparison.after.odd]:
        yield f"**Odd content is not used.** {line}."


def _describe_accuracy(comparison: Comparison) -> str:
    if comparison.after.evaluation is None:
        return "**No results yet:** run `dvc repro` and commit dvc.lock and metrics/."
    after = _accuracy(comparison.after)
    if not after:
        return "**metrics/evaluation.json has no accuracy.**"
    before = _accuracy(comparison.before)
    if not before:
        what = "results yet" if comparison.before.evaluation is None else "accuracy"
        return f"**Accuracy {after}**; {code(comparison.base.name)} has no {what}."
    if not comparison.comparable:
        return f"**Not comparable: other test photos.** Accuracy {after}, before {before}."
    row = comparison.metrics.loc["accuracy"]
    if row["verdict"] == "same":
        return f"**Accuracy as before**: {after}."
    points = f"{abs(row['change']) * 100:.1f} points"
    return f"**Accuracy {row['verdict']} by {points}**: {after}, before {before}."


def _accuracy(side: Snapshot) -> str:
    """Return a side's accuracy with its interval; empty if it has none."""
    numbers = side.evaluation or {}
    accuracy, bounds = numbers.get("accuracy"), interval(numbers, "accuracy")
    if accuracy is None or bounds is None:
        return "" if accuracy is None else f"{accuracy:.1%}"
    return f"{accuracy:.1%} (95 % interval {bounds[0]:.1%} to {bounds[1]:.1%})"


def _describe_chance(paired: Paired) -> str:
    """Say what McNemar's test finds, and on which photos."""
    photos = f"Of {plural(paired.shared, 'test photo')}"
    if paired.unpaired:
        photos += f" in both tests ({paired.unpaired:,} are in only one)"
    if paired.gained + paired.lost == 0:
        return f"{photos}, none became right or wrong."
    gained, lost = (f"{n:,}" if n else "none" for n in (paired.gained, paired.lost))
    likely = "could well be" if paired.p_value >= CHANCE else "is hardly"
    p = "below 0.0001" if paired.p_value < 1e-4 else f"{paired.p_value:.2g}"
    return (
        f"{photos}, {gained} became right and {lost} became wrong. That {likely} chance: two "
        f"equally good models would differ by at least this much with probability {p} "
        "(McNemar's exact test)."
    )
