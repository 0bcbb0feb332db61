"""models/README.md: what a person reads before using the model.

After Mitchell et al., "Model cards for model reporting" (2019). It has the same bytes every time:
it holds no date, no path and no machine's name.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from stages.common.schema import Prepare
from stages.common.store import SPLITS, Store
from stages.evaluate.calibration import FEWEST_PHOTOS
from stages.evaluate.markdown import code, count_confusions, table
from stages.model.classifier import Calibration, ModelMeta

MOST_CLASSES = 100
"""Rows of a table; a page of thousands is not read."""

MOST_PAIRS = 10
"""Of classes, one taken for the other."""

FEW_TESTED = 5
FEW_PHOTOS = 50
"""A class with fewer photos to learn from is named as a limit."""


def model_card(
    store: Store,
    meta: ModelMeta,
    calibration: Calibration,
    evaluation: dict[str, Any],
    predictions: pd.DataFrame,
    prepare: Prepare,
) -> str:
    """Return the page; `evaluation` is metrics/evaluation.json, `predictions` the test split's."""
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
        f"{meta.architecture}, trained with the parameters below, from {_start(meta)}, in "
        f"{meta.precision}. The SHA-256 of model.safetensors is `{meta.weights_sha256}`.",
        table(["parameter", "value"], _parameters(meta, prepare), "parameter", 2, MOST_CLASSES),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _data(store: Store) -> list[str]:
    meta = store.meta
    rows = [
        [code(name), *(f"{meta.counts[split].get(name, 0):,}" for split in SPLITS)]
        for name in meta.classes
    ]
    totals = ["all", *(f"{sum(meta.counts[split].values()):,}" for split in SPLITS)]
    revision = (
        f"Photos were scaled to squares of {meta.image_size_px} px. Photos that look alike are in "
        "the same split. Revision of the data: SHA-256 of images.npy "
        f"`{meta.images_sha256}`, of manifest.csv `{meta.manifest_sha256}`."
    )
    return [table(["class", *SPLITS], [totals, *rows], "class", most=MOST_CLASSES), revision]


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
    header = ["figure", f"on {evaluation['images']:,} test photos"]
    return [table(header, [*lines.items()], "figure", left=2), class_table(evaluation)]


def class_table(evaluation: dict[str, Any]) -> str:
    """Return a row per class with its figures, as metrics/evaluation.json has them."""
    rows = []
    for name, figures in evaluation["classes"].items():
        scores = (figures[score] for score in ("recall", "precision", "f1"))
        shown = ("" if score is None else f"{score:.3f}" for score in scores)
        rows.append([code(name), *shown, f"{figures['support']:,}"])
    header = ["class", "recall", "precision", "F1", "photos"]
    return table(header, rows, "class", most=MOST_CLASSES)


def _confusions(predictions: pd.DataFrame) -> list[str]:
    pairs = count_confusions(predictions)
    rows = [[code(one), code(other), f"{photos:,}"] for (one, other), photos in pairs.items()]
    header = ["class", "taken for", "photos"]
    return [table(header, rows, "pair", 2, MOST_PAIRS)] if rows else []


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
            f"{', '.join(map(code, few[:MOST_CLASSES]))}."
        )
    scarce = [n for n, r in evaluation["classes"].items() if 0 < r["support"] < FEW_TESTED]
    if scarce:
        yield (
            f"Fewer than {FEW_TESTED} test photos, of which one moves the recall by at least "
            f"{1 / (FEW_TESTED - 1):.0%}: {', '.join(map(code, scarce[:MOST_CLASSES]))}."
        )
    tested = {n: r["recall"] for n, r in evaluation["classes"].items() if r["recall"] is not None}
    weakest = min(tested, key=lambda name: tested[name], default="")
    if weakest and tested[weakest] < 1:
        yield f"The class it recognizes least often is {code(weakest)} ({tested[weakest]:.0%})."
    widest = evaluation["accuracy_high"] - evaluation["accuracy_low"]
    yield f"With so many test photos, the accuracy is known to within {widest / 2:.1%}."


def _start(meta: ModelMeta) -> str:
    weights = meta.parameters.get("model", {}).get("weights", "none")
    return "random weights" if weights == "none" else f"pretrained weights ({code(weights)})"


def _parameters(meta: ModelMeta, prepare: Prepare) -> list[list[str]]:
    sections = {"prepare": prepare.model_dump(), **meta.parameters}
    return [
        [code(f"{section}.{name}"), code(value)]
        for section, values in sections.items()
        for name, value in values.items()
    ]


def _percent(share: float) -> str:
    return f"{share:.1%}"
