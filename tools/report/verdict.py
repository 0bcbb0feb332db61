"""What a reviewer reads first: whether to trust the results, and whether they are better."""

from collections.abc import Iterator

from tools.report.comparison import Comparison
from tools.report.markdown import code, listed, plural
from tools.report.metrics import Numbers, interval
from tools.report.paired import GAINED, LOST, Paired, mcnemar_exact, show_p_value
from tools.report.staleness import Staleness

CHANCE = 0.05
"""Below this p-value, chance alone is a poor explanation."""
MOST_REASONS = 5


def give_verdict(comparison: Comparison) -> str:
    """Return a list of a few sentences."""
    return "\n".join(f"- {line}" for line in _lines(comparison))


def _lines(comparison: Comparison) -> Iterator[str]:
    yield _describe_staleness(comparison.staleness)
    if comparison.staleness.unchecked:
        names = listed(code(name) for name in comparison.staleness.unchecked)
        yield f"Not in this clone, so not checked: {names}."
    yield _describe_accuracy(comparison)
    if comparison.paired and comparison.comparable:
        yield _describe_chance(comparison.paired)
    if comparison.behind:
        yield (
            f"{code(comparison.base)} has {plural(comparison.behind, 'commit')} that this branch "
            "lacks: merge it first, to compare like with like."
        )
    for problem in [*comparison.before.problems, *comparison.after.problems]:
        yield f"**Ignored:** {problem}."


def _describe_staleness(staleness: Staleness) -> str:
    if not staleness.stale:
        return "**dvc.lock is up to date** with the code and the parameters."
    stages = listed(
        f"{code(stage)} ({listed(reasons, MOST_REASONS)})"
        for stage, reasons in staleness.stale.items()
    )
    return (
        f"**dvc.lock is stale.** `dvc repro` would run {stages}, and what depends on it. "
        "The results below are those of an earlier state."
    )


def _describe_accuracy(comparison: Comparison) -> str:
    before = _accuracy(comparison.before.evaluation or {})
    after = _accuracy(comparison.after.evaluation or {})
    if not after:
        return "**No accuracy:** run `dvc repro`, then commit dvc.lock and metrics/."
    if not before:
        return f"**Accuracy {after}**; {code(comparison.base)} has none."
    if not comparison.comparable:
        return f"**Not comparable: other test photos.** Accuracy {after}, before {before}."
    accuracy = comparison.metrics["accuracy"]
    if not accuracy.difference:
        return f"**Accuracy unchanged**: {after}."
    points = f"{abs(accuracy.difference) * 100:.1f} points"
    return f"**Accuracy {accuracy.verdict} by {points}**: {after}, before {before}."


def _accuracy(numbers: Numbers) -> str:
    """Return the accuracy with its interval; empty if there is none."""
    if "accuracy" not in numbers:
        return ""
    bounds = interval(numbers, "accuracy")
    between = f" (95 % interval {bounds[0]:.1%} to {bounds[1]:.1%})" if bounds else ""
    return f"{numbers['accuracy']:.1%}{between}"


def _describe_chance(paired: Paired) -> str:
    """Say what McNemar's test finds, and on which photos."""
    photos = f"Of {plural(paired.shared, 'test photo')}"
    if paired.unpaired:
        photos += f" in both tests ({paired.unpaired:,} are in only one)"
    lost, gained = paired.count(LOST), paired.count(GAINED)
    if gained + lost == 0:
        return f"{photos}, none became right or wrong."
    p_value = mcnemar_exact(lost, gained)
    likely = "could well be" if p_value >= CHANCE else "is hardly"
    return (
        f"{photos}, {gained or 'none'} became right and {lost or 'none'} became wrong. "
        f"That {likely} chance: two equally good models would differ by at least this much with "
        f"probability {show_p_value(p_value)} (McNemar's exact test)."
    )
