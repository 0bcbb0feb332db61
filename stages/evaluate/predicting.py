"""The classifier's predictions on a split of the store."""

from pathlib import Path

import torch

from stages.common.errors import UserError, first_line
from stages.common.store import STORE, Split, Store
from stages.model.classifier import Classifier, Probabilities, to_input, views
from stages.model.folder import MODELS


def check_fit(
    store: Store, classifier: Classifier, folder: Path = STORE, model: Path = MODELS
) -> None:
    """Refuse a model of other classes or another image size, or trained on another store."""
    for name in ("classes", "image_size_px"):
        ours, theirs = getattr(store.meta, name), getattr(classifier.meta, name)
        if ours != theirs:
            raise UserError(
                f"{model}/model.json: {name} is {theirs}, but the store has {ours}; "
                "train on this store with `dvc repro`"
            )
    meta, store_meta = classifier.meta, store.meta
    theirs = meta.store_images_sha256, meta.store_manifest_sha256
    if theirs != (store_meta.images_sha256, store_meta.manifest_sha256):
        raise UserError(
            f"{model}/model.json: the model was trained on a different store from {folder} (sha256 "
            f"of manifest.csv {theirs[1][:12] or 'unknown'}, here "
            f"{store_meta.manifest_sha256[:12]}), so it may have seen these test "
            "photos; train on this store with `dvc repro`"
        )


@torch.inference_mode()
def check_view(classifier: Classifier) -> None:
    """Refuse a second view that the network cannot take: some are made for images of one size."""
    meta, scale = classifier.meta, classifier.calibration.second_view_scale
    side = meta.image_size_px
    black = torch.zeros(1, side, side, 3, dtype=torch.uint8, device=classifier.device)
    *_, largest = views(to_input(black, meta), scale)
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
