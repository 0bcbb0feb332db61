"""The classifier's predictions on a split of the store, and the tables that hold them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from stages.common.errors import UserError, first_line
from stages.common.schema import Params
from stages.common.store import SPLITS, STORE, Split, Store
from stages.model.classifier import (
    Calibration,
    Classifier,
    ModelMeta,
    Probabilities,
    to_input,
    views,
)
from stages.model.folder import MODELS

PROBABILITIES = Path("data/test_probabilities.csv")
"""The probability of every class for each test photo; tools/crossval reads it."""

PROBABILITY_DECIMALS = 6
DECIMALS = 4
"""Of everything in metrics/."""


def check_fit(
    store: Store, classifier: Classifier, folder: Path = STORE, model: Path = MODELS
) -> None:
    """Refuse a model of other classes or another image size, or trained on another store."""
    for name in ("classes", "image_size_px"):
        stored, learned = getattr(store.meta, name), getattr(classifier.meta, name)
        if stored != learned:
            raise UserError(
                f"{model}/model.json: {name} is {learned}, but the store has {stored}; "
                "train on this store with `dvc repro`"
            )
    here = store.meta.images_sha256, store.meta.manifest_sha256
    trained_on = classifier.meta.store_images_sha256, classifier.meta.store_manifest_sha256
    if trained_on != here:
        raise UserError(
            f"{model}/model.json: the model was trained on a different store from {folder} (sha256 "
            f"of manifest.csv {trained_on[1][:12] or 'unknown'}, here {here[1][:12]}), so it may "
            "have seen these test photos; train on this store with `dvc repro`"
        )


def check_trained_with(meta: ModelMeta, params: Params) -> None:
    """Refuse a model that was trained with other parameters than those that DVC would record."""
    now = {"model": params.model.model_dump(), "train": params.train.model_dump()}
    for section, values in meta.parameters.items():
        for name, value in values.items():
            if now[section][name] != value:
                raise UserError(
                    f"{MODELS}/model.json: was trained with {section}.{name} = {value}, but "
                    f"params.yaml says {now[section][name]}; `dvc repro -f train` trains with that"
                )


def with_second_view(classifier: Classifier, scale: float) -> Classifier:
    """Return an uncalibrated classifier that also sees each photo enlarged; 1 enlarges none."""
    calibration = Calibration(
        weights_sha256=classifier.meta.weights_sha256, second_view_scale=scale
    )
    classifier = replace(classifier, calibration=calibration)
    check_view(classifier)
    return classifier


@torch.inference_mode()
def check_view(classifier: Classifier) -> None:
    """Refuse a second view that the network cannot take: some are made for images of one size."""
    meta, scale = classifier.meta, classifier.calibration.second_view_scale
    side = meta.image_size_px
    black = torch.zeros(1, side, side, 3, dtype=torch.uint8, device=classifier.device)
    *_, largest = views(to_input(black, meta), scale, meta.mirror_keeps_class)
    try:
        classifier.network(largest)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = first_line(error)
        raise UserError(
            f"params.yaml: evaluate.second_view_scale is {scale:g}, but {meta.architecture} cannot "
            f"take images of {largest.shape[3]} px: {reason:.100}; set it to 1"
        ) from error


def predict(classifier: Classifier, store: Store, split: Split) -> Probabilities:
    """Return the class probabilities of a split, float64 of shape (N, classes)."""
    return classifier.probabilities(store.images, store.indices(split))


def tabulate(store: Store, probabilities: Probabilities) -> pd.DataFrame:
    """Return a row per test photo: path, actual and predicted class, confidence from 0 to 1.

    Its index holds the photos' rows in the store.
    """
    rows = store.manifest.iloc[store.indices("test")]
    names = np.array(store.meta.classes)
    return pd.DataFrame(
        {
            "path": rows["path"],
            "actual": rows["class"],
            "predicted": names[probabilities.argmax(axis=1)],
            "confidence": probabilities.max(axis=1).round(DECIMALS),
        }
    )


def tabulate_classes(store: Store, figures: dict[str, Any]) -> pd.DataFrame:
    """Return a row per class: its photos in each split, and its figures on the test split."""
    photos = pd.DataFrame(store.meta.counts).reindex(store.meta.classes, columns=SPLITS)
    scores = pd.DataFrame.from_dict(figures, orient="index").drop(columns="support")
    return photos.join(scores).rename_axis("class").reset_index()


def tabulate_probabilities(
    predictions: pd.DataFrame, probabilities: Probabilities, store: Store
) -> pd.DataFrame:
    """Return a row per test photo: path, actual class, and the probability of every class."""
    names = ["path", "actual", *store.meta.classes]  # a class may be called "path"
    rounded = pd.DataFrame(probabilities.round(PROBABILITY_DECIMALS), predictions.index)
    return pd.concat([predictions[["path", "actual"]], rounded], axis=1).set_axis(names, axis=1)
