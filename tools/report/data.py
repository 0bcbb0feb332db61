"""The page's section on photos: which ones, how many per class and split, and what was left out."""

from collections.abc import Collection
from typing import Any

from tools.report.comparison import Comparison
from tools.report.markdown import code, listed, plural, table
from tools.report.snapshot import Photos

SPLITS = ("train", "validation", "test")
MOST_CLASSES = 30


def describe_data(comparison: Comparison) -> str:
    """Say which photos were prepared, and where their number changed."""
    before, after = comparison.before, comparison.after
    old, new = before.prepared or {}, after.prepared or {}
    if not new and after.photos is None:
        return "Not prepared yet: run `dvc repro`."
    if (before.photos, old) == (after.photos, new):
        return "Same photos, same splits."
    parts = [_describe_source(before.photos, after.photos)]
    parts += _describe_counts(old.get("photos") or {}, new.get("photos") or {})
    parts += _describe_left_out(
        old.get("rejected_by_reason") or {}, new.get("rejected_by_reason") or {}
    )
    return "\n\n".join(filter(None, parts))


def _describe_source(before: Photos | None, after: Photos | None) -> str:
    if after is None:
        return ""
    if before is None:
        return f"Photos: {_source(after)}."
    if before == after:
        return f"The same photos: {_source(after)}."
    return f"Photos: {_source(after)}; before: {_source(before)}."


def _source(photos: Photos) -> str:
    files = plural(photos.files, "file") if photos.files else "one file"
    size = "" if photos.size_bytes is None else f", {photos.size_bytes / 1e6:,.1f} MB"
    return f"{code(photos.path)} ({files}{size}, md5 {code(photos.digest[:7])})"


def _describe_counts(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return a row per class of which any split has another number of photos, and the sum."""
    names = dict.fromkeys(name for side in (new, old) for split in side.values() for name in split)
    if names and not old:  # nothing to compare with
        return [table(["class", *SPLITS], [[_total(names), *_moved(new, new, list(names))]])]
    changed = [name for name in names if _counts(old, [name]) != _counts(new, [name])]
    if not changed:
        return ["As many photos as before in each class and split."] if names else []
    rows = [[code(name), *_moved(old, new, [name])] for name in changed[:MOST_CLASSES]]
    rows.append([_total(names), *_moved(old, new, list(names))])
    parts = [table(["class", *SPLITS], rows)]
    rest = len(changed) - MOST_CLASSES
    return parts + ([f"{plural(rest, 'more class')} changed."] if rest > 0 else [])


def _total(names: Collection[str]) -> str:
    return f"all {plural(len(names), 'class')}"


def _counts(side: dict[str, Any], names: list[str]) -> list[int]:
    return [sum(side.get(split, {}).get(name, 0) for name in names) for split in SPLITS]


def _moved(old: dict[str, Any], new: dict[str, Any], names: list[str]) -> list[str]:
    return [_arrow(*pair) for pair in zip(_counts(old, names), _counts(new, names), strict=True)]


def _arrow(before: int, after: int) -> str:
    return f"{after:,}" if before == after else f"{before:,} → {after:,}"


def _describe_left_out(old: dict[str, int], new: dict[str, int]) -> list[str]:
    reasons = [name for name in {**new, **old} if old.get(name) != new.get(name)]
    moved = [f"{code(name)} {_arrow(old.get(name, 0), new.get(name, 0))}" for name in reasons]
    return [f"Left out: {listed(moved)}."] if moved else []
