"""What prepare found, in numbers: for a person and for ``dvc metrics diff``."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from stages.prepare.stage import Outcome
from stages.prepare.writing import count


def summarize(outcome: Outcome) -> dict[str, Any]:
    """Return the content of metrics/prepare.json: nested dicts, which a metrics diff can follow."""
    reasons = outcome.rejected["reason"].value_counts().sort_index()
    accepted, rejected = len(outcome.accepted), len(outcome.rejected)
    return {
        "scanned": accepted + rejected + outcome.skipped,
        "accepted": accepted,
        "rejected": rejected,
        "skipped": outcome.skipped,
        "photos": count(outcome.accepted, outcome.classes),
        "rejected_by_reason": {str(reason): int(number) for reason, number in reasons.items()},
        "near_duplicates": near_duplicates(outcome.accepted),
    }


def near_duplicates(accepted: pd.DataFrame) -> dict[str, int]:
    """Count groups of more than one photo, their photos, and the groups across classes."""
    groups = accepted.groupby("group")["class"].agg(["size", "nunique"])
    several = groups[groups["size"] > 1]
    return {
        "groups": len(several),
        "photos": int(several["size"].sum()),
        "groups_across_classes": int((several["nunique"] > 1).sum()),
    }


def describe(summary: dict[str, Any], notes: Sequence[str] = ()) -> str:
    """Say the summary in a few lines."""
    counts = "scanned {scanned} = accepted {accepted} + rejected {rejected} + skipped {skipped}"
    lines = [counts.format(**summary)]
    lines += [
        f"{split}: " + ", ".join(f"{name} ({number})" for name, number in classes.items())
        for split, classes in summary["photos"].items()
    ]
    lines += [
        f"rejected: {number} {reason}" for reason, number in summary["rejected_by_reason"].items()
    ]
    near = summary["near_duplicates"]
    lines.append(
        f"near-duplicates: {near['photos']} photos in {near['groups']} groups, "
        f"{near['groups_across_classes']} of them across classes"
    )
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])
