"""models/README.md: what a person reads before using the model.

After Mitchell et al., "Model cards for model reporting" (2019). It has the same bytes every time,
for it holds no date, no path and no name of a machine.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from stages.common.names import printable_name
from stages.common.schema import Params
from stages.common.store import SPLITS, Store
from stages.evaluate.calibration import FEWEST_PHOTOS
from stages.model.classifier import Calibration, ModelMeta

MOST_CLASSES = 100
"""Rows of a table; a page of thousands is not read."""

FEW_PHOTOS = 50
"""A class with fewer photos to learn from is named as a limit."""


def model_card(
    store: Store,
    meta: ModelMeta,
    calibration: Calibration,
    evaluation: dict[str, Any],
    predictions: pd.DataFrame,
    params: Params,
) -> str:
    """Return the page.

    Parameters
    ----------
    store : Store
        That the model was trained and tested on.
    meta : ModelMeta
    calibration : Calibration
    evaluation : dict
        The content of metrics/evaluation.json.
    predictions : DataFrame
        ``actual, predicted`` of the test split.
    params : Params
    """
    paragraphs = [
        "# Flower classifier",
        f"It names the flower in a photo: one of {len(meta.classes)} classes. "
        f"On {evaluation['images']:,} photos that it did not learn from, "
        f"{_percent(evaluation['accuracy'])} of its answers were right.",
        "    python -m tools.predict photo.jpg",
        "## Data",
        *_data(store),
        "## Test",
        *_test(evaluation, calibration),
        *_confusions(predictions),
        "## Limits",
        "\n".join(f"- {line}" for line in _limits(store, evaluation, calibration)),
        "## How it was made",
        f"{meta.architecture}, trained with the parameters below, from {_start(params)}, in "
        f"{meta.precision}. The SHA-256 of model.safetensors is `{meta.weights_sha256}`.",
        _table(["parameter", "value"], _parameters(params)),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _data(store: Store) -> list[str]:
    meta = store.meta
    rows = [
        [_name(name), *(f"{meta.counts[split].get(name, 0):,}" for split in SPLITS)]
        for name in meta.classes
    ]
    totals = ["all", *(f"{sum(meta.counts[split].values()):,}" for split in SPLITS)]
    revision = (
        f"Photos were scaled to squares of {meta.image_size_px} px. Photos that look alike are in "
        "the same split. Revision of the data: SHA-256 of images.npy "
        f"`{meta.images_sha256}`, of manifest.csv `{meta.manifest_sha256}`."
    )
    return [_table(["class", *SPLITS], [totals, *rows]), revision]


def _test(evaluation: dict[str, Any], calibration: Calibration) -> list[str]:
    low, high = evaluation["accuracy_low"], evaluation["accuracy_high"]
    lines = {
        "accuracy": f"{_percent(evaluation['accuracy'])} "
        f"(95 % interval {_percent(low)} to {_percent(high)})",
        "always the most common class": _percent(evaluation["majority_baseline"]),
        "mean F1 of the classes": f"{evaluation['macro_f1']:.3f}",
        "log loss": f"{evaluation['log_loss']:.3f}",
        "calibration error": f"{_percent(evaluation['expected_calibration_error'])}; before "
        f"calibration {_percent(evaluation['expected_calibration_error_before'])} "
        f"(temperature {calibration.temperature:g})",
        "accuracy of the answered": f"{_percent(evaluation['answered_accuracy'])}, of the "
        f"{_percent(evaluation['answered_fraction'])} with a confidence from "
        f"{calibration.threshold:.3f}",
    }
    classes = [
        [_name(name), *(_figure(row[key]) for key in ("recall", "precision", "f1")), row["support"]]
        for name, row in evaluation["classes"].items()
    ]
    return [
        _table(["figure", f"on {evaluation['images']:,} test photos"], lines.items()),
        _table(["class", "recall", "precision", "F1", "photos"], classes),
    ]


def _confusions(predictions: pd.DataFrame) -> list[str]:
    wrong = predictions[predictions["actual"] != predictions["predicted"]]
    if wrong.empty:
        return []
    pairs = wrong.groupby(["actual", "predicted"]).size().reset_index(name="photos")
    most = pairs.sort_values("photos", ascending=False, kind="stable").head(3)
    shown = [
        f"{_name(str(row.actual))} taken for {_name(str(row.predicted))} ({row.photos})"
        for row in most.itertuples()
    ]
    return [f"Most frequent mistakes: {', '.join(shown)}."]


def _limits(store: Store, evaluation: dict[str, Any], calibration: Calibration) -> Iterable[str]:
    yield (
        "It knows no other answer than its classes: a photo of anything else gets one of them, "
        "sometimes with high confidence."
    )
    yield (
        "The figures hold for photos like those it was tested on, taken from the same collection. "
        "Expect less on photos of other cameras, places and seasons."
    )
    if sum(store.meta.counts["validation"].values()) < FEWEST_PHOTOS:
        yield "Its probabilities are not calibrated: there were too few validation photos."
    train = store.meta.counts["train"]
    few = [name for name in store.meta.classes if train.get(name, 0) < FEW_PHOTOS]
    if few:
        yield (
            f"Fewer than {FEW_PHOTOS} photos to learn from: "
            f"{', '.join(map(_name, few[:MOST_CLASSES]))}."
        )
    tested = {n: r["recall"] for n, r in evaluation["classes"].items() if r["recall"] is not None}
    weakest = min(tested, key=lambda name: tested[name], default="")
    if weakest and tested[weakest] < 1:
        yield f"The class it recognizes least often is {_name(weakest)} ({tested[weakest]:.0%})."
    widest = evaluation["accuracy_high"] - evaluation["accuracy_low"]
    yield f"With so many test photos, the accuracy is known to within {widest / 2:.1%}."


def _start(params: Params) -> str:
    weights = params.model.weights
    return (
        "random weights"
        if weights == "none"
        else f"pretrained weights (`{printable_name(weights)}`)"
    )


def _parameters(params: Params) -> list[list[str]]:
    sections = {"prepare": params.prepare, "model": params.model, "train": params.train}
    return [
        [f"`{section}.{name}`", f"`{printable_name(str(value))}`"]
        for section, values in sections.items()
        for name, value in values.model_dump().items()
    ]


def _table(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [[*map(str, row)] for row in rows]
    hidden = len(lines) - MOST_CLASSES
    rule = ["---"] * len(header)
    shown = [f"| {' | '.join(cells)} |" for cells in [header, rule, *lines[:MOST_CLASSES]]]
    return "\n".join([*shown, *([f"\nand {hidden:,} more"] if hidden > 0 else [])])


def _name(name: str) -> str:
    """Return a name of a class that is only text in Markdown."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>()#+-.!|" else c for c in printable_name(name))


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
