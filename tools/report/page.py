"""The page: verdict, parameters, data, metrics, classes, photos, loss curves, in this order.

The verdict is what a reviewer reads first: can the results be trusted, and are they better?
"""

import math
from collections.abc import Iterator

from stages.evaluate.markdown import code, count_confusions, listed, plural, table
from tools.report.comparison import (
    GAINED,
    LOST,
    OUTCOMES,
    Change,
    Comparison,
    Paired,
    compare_numbers,
    interval,
    mcnemar_exact,
    show_p_value,
    signed,
)
from tools.report.data import describe_changes
from tools.report.snapshot import WEIGHTS, Item, Numbers
from tools.report.staleness import Staleness

MARKER = "<!-- flowerbed: report -->"
"""First line of the page; the workflow finds its own comment by it."""

LONGEST_PAGE = 65_000
"""Bytes; a comment on GitHub holds 65,536 characters."""

MOST_PAIRS = 10
"""Of classes, one taken for the other."""

MARKS = {"better": "▲ better", "worse": "▼ worse"}

WORDS_FOR_WEIGHTS = {str(WEIGHTS / word): word for word in ("none", "DEFAULT")}

COLORS = {"orange": "#d55e00", "blue": "#0072b2"}
"""Vermilion and blue of Okabe and Ito, which color-blind readers tell apart."""


def write_page(comparison: Comparison) -> str:
    """Return the complete page."""
    title = f"## {code(comparison.here)} against {code(comparison.base)}"
    sections = {
        title: give_verdict(comparison),
        "### Parameters": describe_params(comparison),
        "### Data": describe_data(comparison),
        "### Test": describe_metrics(comparison),
        "### Classes whose F1 changed most": describe_classes(comparison),
        "### Classes most often confused": describe_confusions(comparison),
        "### Photos whose prediction changed": describe_photos(comparison),
        "### Loss": draw_losses(comparison),
    }
    return assemble(MARKER, sections)


def assemble(marker: str, sections: dict[str, str]) -> str:
    """Join headings and contents; the longest contents give way until the page fits."""
    contents = dict(sections)
    while True:
        parts = (f"{heading}\n\n{content}" for heading, content in contents.items())
        page = "\n\n".join([marker, *parts]) + "\n"
        if len(page.encode()) <= LONGEST_PAGE:
            return page
        longest = max(contents, key=lambda heading: len(contents[heading].encode()))
        contents[longest] = f"Too long to show here: {len(contents[longest]):,} characters."


def describe_params(comparison: Comparison) -> str:
    """Return a table of the parameters that changed."""
    old, new = comparison.before.params, comparison.after.params
    if old is None or new is None:
        return "Nothing to compare."
    both = {name: (old.get(name), new.get(name)) for name in {**new, **old}}
    rows = [
        [code(name), *("" if value is None else code(value) for value in (was, now))]
        for name, (was, now) in both.items()
        if was != now and repr(was) != repr(now)  # NaN differs from itself
    ]
    return _table(["parameter", "before", "after"], rows, "parameter") + describe_weights(
        comparison
    )


def describe_weights(comparison: Comparison) -> str:
    """Say which weights the training started from, if they are or were pretrained."""
    before, after = comparison.before.weights, comparison.after.weights
    if all(item is None or item.path == str(WEIGHTS / "none") for item in (before, after)):
        return ""
    source = f"First weights: {_source(after)}"
    if before != after:
        source += f"; before: {_source(before)}"
    return f"\n\n{source}."


def describe_data(comparison: Comparison) -> str:
    """Say which photos were prepared, and which numbers of them changed."""
    before, after = comparison.before, comparison.after
    if after.prepared is None and after.photos is None and after.taken is None:
        return "Not prepared yet: run `dvc repro`."
    source = f"Photos: {_source(after.photos)}"
    if before.photos != after.photos:
        source += f"; before: {_source(before.photos)}"
    numbers = compare_numbers(before.prepared or {}, after.prepared or {}, judged=False)
    moved = {name: change for name, change in numbers.items() if change.difference != 0}
    changed = comparison.changed_photos
    if (before.photos, before.prepared) == (after.photos, after.prepared) and not len(changed):
        if before.store == after.store:
            return "Same photos, same splits."
        return "Same photos, but another store: other splits, or another image size."
    parts = [f"{source}.", describe_changes(changed) if len(changed) else ""]
    parts += [_tabulate("number", moved) if moved or not len(changed) else ""]
    return "\n\n".join(filter(None, parts))


def describe_metrics(comparison: Comparison) -> str:
    """Return the table of the test's metrics, each judged by its direction."""
    metrics = comparison.metrics
    return _tabulate("metric", metrics) if metrics else "No results on either side."


def describe_classes(comparison: Comparison) -> str:
    """Return the F1 of the classes that are on one side only, then of those that changed most."""
    before, after = comparison.before.classes, comparison.after.classes
    if before is None or after is None:
        return "Nothing to compare."
    changes = compare_numbers(before, after, judged=comparison.comparable)
    scores = {
        name.removesuffix(".f1"): change
        for name, change in changes.items()
        if change.difference != 0
    }
    order = sorted(scores, key=lambda name: -abs(scores[name].difference or math.inf))
    return _tabulate("class", {name: scores[name] for name in order})


def describe_confusions(comparison: Comparison) -> str:
    """Return the pairs of classes that are confused most, and in how many photos."""
    if comparison.after.predictions is None:
        return "Nothing to compare."
    before, after = (
        {} if side is None else count_confusions(side)
        for side in (comparison.before.predictions, comparison.after.predictions)
    )
    rows = [
        [code(one), code(other), f"{before.get((one, other), 0):,}", f"{photos:,}"]
        for (one, other), photos in after.items()
    ]
    header = ["class", "taken for", "before", "after"]
    return table(header, rows, "pair", 2, MOST_PAIRS) if rows else "None."


def describe_photos(comparison: Comparison) -> str:
    """Return the photos whose predicted class changed, in a table that opens with a click."""
    paired = comparison.paired
    if paired is None:
        return "Nothing to compare."
    if paired.changed.empty:
        return "None."
    counts = {outcome: paired.count(outcome) for outcome in OUTCOMES}
    summary = listed(f"{count:,} {outcome}" for outcome, count in counts.items() if count)
    rows = [
        [
            code(row.path),
            code(row.actual),
            f"{code(row.predicted_before)} {row.confidence_before:.0%}",
            f"{code(row.predicted_after)} {row.confidence_after:.0%}",
            str(row.outcome),
        ]
        for row in paired.changed.itertuples()
    ]
    header = ["photo", "actual", "before", "after", ""]
    content = table(header, rows, "photo", left=len(header))
    title = f"{plural(len(rows), 'photo')}: {summary}"
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def draw_losses(comparison: Comparison) -> str:
    """Return the validation curves as a Mermaid diagram, over the epochs that all sides have.

    Mermaid spreads the points of each line evenly over the whole axis.
    """
    curves = {"orange": comparison.before.losses, "blue": comparison.after.losses}
    if curves["orange"] == curves["blue"]:
        del curves["orange"]
    lines = {color: losses for color, losses in curves.items() if losses}
    if not lines:
        return "No curves on either side."
    epochs = min(map(len, lines.values()))
    if epochs < 2:
        return "One epoch only: no curve to draw."
    names = {"orange": comparison.base, "blue": comparison.here}
    key = listed(f"{color} {code(names[color])}" for color in lines)
    palette = ", ".join(COLORS[color] for color in lines)
    diagram = [
        f'%%{{init: {{"themeVariables": {{"xyChart": {{"plotColorPalette": "{palette}"}}}}}}}}%%',
        "xychart-beta",
        f'  x-axis "epoch" 1 --> {epochs}',
        '  y-axis "validation loss per photo"',
        *(f"  line [{', '.join(f'{y:.4f}' for y in ys[:epochs])}]" for ys in lines.values()),
    ]
    return "\n".join([f"Curves: {key}, to epoch {epochs}:", "", "```mermaid", *diagram, "```"])


def _source(item: Item | None) -> str:
    """Name a file or folder, its size and its content; a word for weights has no content."""
    if item is None:
        return "unknown"
    if item.path in WORDS_FOR_WEIGHTS:
        return code(WORDS_FOR_WEIGHTS[item.path])
    files = f"{plural(item.nfiles, 'file')}, {item.size / 1e6:,.1f} MB"
    return f"{code(item.path)} ({files}, md5 {code(item.md5[:7])})"


def _tabulate(noun: str, changes: dict[str, Change]) -> str:
    """Return a table of numbers before and after."""
    rows = [
        [
            code(name),
            change.before,
            change.after,
            "" if change.difference is None else signed(change.difference),
            MARKS.get(change.verdict, change.verdict),
        ]
        for name, change in changes.items()
    ]
    return _table([noun, "before", "after", "change", ""], rows, noun)


def _table(header: list[str], rows: list[list[str]], noun: str) -> str:
    return table(header, rows, noun) if rows else f"No {noun} changed."


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
    for stage, other in comparison.staleness.frozen.items():
        yield (
            f"**{code(stage)} is frozen** in dvc.yaml, so `dvc repro` passes it over. It ran with "
            f"other values of {listed(map(code, other), MOST_REASONS)}."
        )
    yield from _describe_accuracy(comparison)
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


def _describe_accuracy(comparison: Comparison) -> Iterator[str]:
    """Say how the accuracy changed; over other test photos or labels, on what both tests share."""
    before = _accuracy(comparison.before.evaluation or {})
    after = _accuracy(comparison.after.evaluation or {})
    paired = comparison.paired
    if not after:
        yield "**No accuracy:** run `dvc repro`, then commit dvc.lock and metrics/."
    elif not before:
        yield f"**Accuracy {after}**; {code(comparison.base)} has none."
    elif paired is None or comparison.comparable:
        difference = comparison.metrics["accuracy"].difference or 0
        earlier = f", before {before}" if difference else ""
        yield f"**Accuracy {_by_points(difference)}**: {after}{earlier}."
    elif not paired.shared:
        what = "photos" if paired.relabeled.empty else "photos or labels"
        yield f"**Not comparable: other test {what}.** Accuracy {after}, before {before}."
    else:
        yield from _describe_other_test(paired)
        yield (
            f"On all test photos ({paired.unpaired:,} in one test only) accuracy is {after}, "
            f"before {before}."
        )
    if paired and comparison.comparable:
        yield f"Of {plural(paired.shared, 'test photo')}, {_describe_chance(paired)}"


def _by_points(difference: float) -> str:
    """Say whether an accuracy, from 0 to 1, rose or fell."""
    if not difference:
        return "unchanged"
    return f"{'better' if difference > 0 else 'worse'} by {abs(difference) * 100:.1f} points"


def _describe_other_test(paired: Paired) -> Iterator[str]:
    """Compare two tests of different photos, or labels, on what they share."""
    was, now = (right / paired.shared for right in paired.right)
    yield (
        f"**On the {plural(paired.shared, 'test photo')} that both have under the same label, "
        f"accuracy {_by_points(now - was)}**: {now:.1%}, before {was:.1%}."
    )
    yield f"Of these, {_describe_chance(paired)}"
    relabeled = paired.relabeled
    if not relabeled.empty:
        fits = [
            int((relabeled[f"predicted_{side}"] == relabeled["actual_after"]).sum())
            for side in ("before", "after")
        ]
        yield (
            f"Of {plural(len(relabeled), 'test photo')} with another label now, the prediction is "
            f"the new label of {fits[1]:,}, before of {fits[0]:,}."
        )


def _accuracy(numbers: Numbers) -> str:
    """Return the accuracy with its interval; empty if there is none."""
    if "accuracy" not in numbers:
        return ""
    bounds = interval(numbers, "accuracy")
    between = f" (95 % interval {bounds[0]:.1%} to {bounds[1]:.1%})" if bounds else ""
    return f"{numbers['accuracy']:.1%}{between}"


def _describe_chance(paired: Paired) -> str:
    """Say what McNemar's test finds."""
    lost, gained = paired.count(LOST), paired.count(GAINED)
    if gained + lost == 0:
        return "none became right or wrong."
    p_value = mcnemar_exact(lost, gained)
    likely = "could well be" if p_value >= CHANCE else "is hardly"
    return (
        f"{gained or 'none'} became right and {lost or 'none'} became wrong. "
        f"That {likely} chance: two equally good models would differ by at least this much with "
        f"probability {show_p_value(p_value)} (McNemar's exact test)."
    )
