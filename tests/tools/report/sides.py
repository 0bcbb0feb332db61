"""What a report compares, written in a line: the sides before and after, and their predictions."""

import csv
import json
from collections.abc import Mapping

import pandas as pd

from tools.report.comparison import Comparison
from tools.report.snapshot import Snapshot, read_snapshot
from tools.report.staleness import Staleness

EMPTY = read_snapshot(lambda path: None)
PREDICTIONS = "path,actual,predicted,confidence\n"
LOSSES = "epoch,train_loss,val_loss\n"


def predictions(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["path", "actual", "predicted"]).assign(confidence=0.5)


def written(*rows: tuple[str, str, str]) -> str:
    return predictions(*rows).to_csv(index=False, quoting=csv.QUOTE_ALL)


def snapshot(files: Mapping[str, object]) -> Snapshot:
    """Read a side from text or bytes, and from anything else as JSON."""
    contents = {
        path: content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
        for path, content in files.items()
    }
    return read_snapshot(contents.get, "here:")


def comparison(before: Snapshot, after: Snapshot, **changes: object) -> Comparison:
    sides = {"base": "main", "here": "wide"}
    others = {"behind": 0, "before": before, "after": after, "staleness": Staleness()}
    return Comparison(**{**sides, **others, **changes})  # type: ignore[arg-type]


def classes(**f1: float | None) -> str:
    rows = "".join(f"{name},{'' if score is None else score}\n" for name, score in f1.items())
    return f"class,f1\n{rows}"


def taken(*rows: tuple[str, str, str, str]) -> str:
    table = pd.DataFrame(rows, columns=["path", "class", "split", "sha256"])
    return table.to_csv(index=False)


def evaluation(accuracy: float, **more: object) -> dict[str, object]:
    return {"accuracy": accuracy, "accuracy_low": 0.1, "accuracy_high": 0.9, **more}
