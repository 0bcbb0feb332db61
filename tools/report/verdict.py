"""What a reviewer reads first: whether to trust the results, and whether they are better."""

from collections.abc import Iterator

from tools.report.comparison import Comparison
from tools.report.figures import Interval
from tools.report.freshness import Freshness
from tools.report.markdown import code, listed, plural
from tools.report.paired import Paired

CHANCE = 0.05
"""Below this p-value, chance alone is a poor explanation."""


def give_verdict(comparison: Comparison) -> str:
    """Return a list of few sentences."""
    return "\n".join(f"- {line}" for line in _lines(comparison))


def describe_freshness(freshness: Freshness) -> str:
    """Say whether dvc.lock is up to date, and what would run."""
    if freshness.up_to_date:
        return "**dvc.lock is up to date** with the code and the parameters."
    own = [stage for stage in freshness.stale if stage.reasons]
    causes = [f"{code(stage.name)} ({'; '.join(stage.reasons)})" for stage in own]
    follow = [code(stage.name) for stage in freshness.stale if not stage.reasons]
    then = f", then {listed(follow)}" if follow else ""
    return (
        f"**dvc.lock is stale.** `dvc repro` would run {listed(causes)}{then}. "
        "Until then the results below are those of an earlier state."
    )


def _lines(comparison: Comparison) -> Iterator[str]:
    yield describe_freshness(comparison.freshness)
    if comparison.freshness.unchecked:
        names = listed([code(name) for name in comparison.freshness.unchecked])
        yield f"Not checked, since it is not here: {names}."
    yield _describe_accuracy(comparison)
    if comparison.paired:
        yield _describe_chance(comparison.paired)
    if comparison.behind:
        yield (
            f"{code(comparison.base.name)} has {plural(comparison.behind, 'commit')} that "
            "this branch lacks: merge it first, to compare like with like."
        )


def _describe_accuracy(comparison: Comparison) -> str:
    if comparison.after.evaluation is None:
        return "**No results yet:** run `dvc repro` and commit dvc.lock and metrics/."
    accuracy = next((figure for figure in comparison.figures if figure.name == "accuracy"), None)
    if accuracy is None or accuracy.after is None:
        return "**metrics/evaluation.json has no accuracy.**"
    after = _with_interval(accuracy.after, accuracy.interval_after)
    if accuracy.before is None or accuracy.change is None:
        return f"**Accuracy {after}**; {code(comparison.base.name)} has no results yet."
    if accuracy.change == 0:
        return f"**Accuracy as before**: {after}."
    before = _with_interval(accuracy.before, accuracy.interval_before)
    points = f"{abs(accuracy.change) * 100:.1f} points"
    return f"**Accuracy {accuracy.verdict} by {points}**: {after}, before {before}."


def _with_interval(value: float, interval: Interval | None) -> str:
    if interval is None:
        return f"{value:.1%}"
    return f"{value:.1%} (95 % interval {interval[0]:.1%} to {interval[1]:.1%})"


def _describe_chance(paired: Paired) -> str:
    """Say McNemar's test, and on which photos it was made."""
    if not paired.shared:
        return "The two tests have no photo in common, so the models can't be paired."
    photos = f"Of {plural(paired.shared, 'test photo')}"
    if paired.unpaired:
        photos += f" in both tests ({paired.unpaired:,} are in one only)"
    if paired.gained + paired.lost == 0:
        return f"{photos}, none became right or wrong."
    gained, lost = (f"{n:,}" if n else "none" for n in (paired.gained, paired.lost))
    moved = f"{photos}, {gained} became right and {lost} became wrong"
    likely = "well be chance" if paired.p_value >= CHANCE else "hardly be chance"
    return (
        f"{moved}. That can {likely}: equally good models would part at least so far with "
        f"probability {_probability(paired.p_value)} (McNemar's exact test)."
    )


def _probability(p: float) -> str:
    return "below 0.0001" if p < 1e-4 else f"{p:.2g}"
