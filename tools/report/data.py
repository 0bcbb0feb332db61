"""What happened to the photos: added, removed, relabeled, moved to another split."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from stages.evaluate.markdown import code, listed, plural, table

RELABELED, ADDED, REMOVED, MOVED = "relabeled", "added", "removed", "moved to another split"

CHANGES = [RELABELED, ADDED, REMOVED, MOVED]
"""What can happen to a photo, in the order of the page."""

MOST_PAIRS = 5


def compare_photos(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Pair two data sets photo by photo: by content, whatever a photo is called.

    Parameters
    ----------
    before, after : DataFrame
        ``path, class, split, sha256``, each content once.

    Returns
    -------
    DataFrame
        A row per photo that changed: path, class_before, class_after, split_before, split_after,
        change; empty text where a side has no such photo; in the order of CHANGES.
    """
    both = before.merge(after, how="outer", on="sha256", suffixes=("_before", "_after"))
    both = both.fillna("")
    kinds = {
        ADDED: both["path_before"] == "",
        REMOVED: both["path_after"] == "",
        RELABELED: both["class_before"] != both["class_after"],
        MOVED: both["split_before"] != both["split_after"],
    }
    both["change"] = np.select([*kinds.values()], [*kinds], "")
    both["path"] = both["path_after"].where(both["path_after"] != "", both["path_before"])
    both = both[both["change"] != ""]
    both = both.assign(change=pd.Categorical(both["change"], CHANGES))
    return both.sort_values(["change", "path"], ignore_index=True)


def describe_changes(photos: pd.DataFrame) -> str:
    """Return a line for each kind of change, and a table of photos that opens with a click."""
    lines = [
        f"- **{plural(len(rows), 'photo')} {kind}**: {_pairs(rows, str(kind))}."
        for kind, rows in photos.groupby("change", observed=True)
    ]
    rows = [
        [code(row.path), str(row.change), _place(row, "before"), _place(row, "after")]
        for row in photos.itertuples()
    ]
    header = ["photo", "", "before", "after"]
    content = table(header, rows, "photo", left=len(header))
    title = plural(len(rows), "photo")
    details = f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"
    return "\n".join([*lines, "", details])


def _pairs(rows: pd.DataFrame, kind: str) -> str:
    """Count what the photos came from and went to: classes, or splits."""
    what = "split" if kind == MOVED else "class"
    counts = Counter(zip(rows[f"{what}_before"], rows[f"{what}_after"], strict=True))
    return listed(
        (
            f"{count:,} from {code(was)} to {code(now)}"
            if was and now
            else f"{count:,} {code(was or now)}"
            for (was, now), count in counts.most_common()
        ),
        MOST_PAIRS,
    )


def _place(row: Any, side: str) -> str:
    """Return a photo's class and split on one side."""
    name, split = getattr(row, f"class_{side}"), getattr(row, f"split_{side}")
    return f"{code(name)}, {code(split)}" if name else ""
