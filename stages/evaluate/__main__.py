"""Test the model on the store's test split: models, data/prepared -> metrics.

Only this stage opens the test split. It writes metrics/evaluation.json and
metrics/predictions.csv. Run it with ``python -m stages.evaluate``, or through ``dvc repro``.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from stages.common.classifier import MODELS, Classifier, load_classifier
from stages.common.device import be_deterministic, choose_device
from stages.common.errors import UserError, run_stage
from stages.common.files import write_csv, write_json
from stages.common.params import load_params
from stages.common.store import Store, open_store
from stages.evaluate.metrics import DECIMALS, Probabilities, measure

EVALUATION_JSON = Path("metrics/evaluation.json")
PREDICTIONS_CSV = Path("metrics/predictions.csv")


def main() -> None:
    """Load the model and the store, predict the test split, write the figures."""
    params = load_params()
    device = choose_device(params.evaluate.device, "evaluate.device")
    be_deterministic(params.evaluate.threads)
    store, classifier = open_store(), load_classifier(MODELS, device)
    check_fit(store, classifier)

    probabilities = predict(classifier, store, params.evaluate.batch_size, device)
    test = store.indices("test")
    evaluation = measure(store.labels[test], probabilities, store.meta.classes)
    write_csv(PREDICTIONS_CSV, tabulate(store, probabilities))
    write_json(EVALUATION_JSON, evaluation)
    print(
        f"test accuracy {evaluation['accuracy']:.1%} of {evaluation['images']} photos "
        f"(95 % interval {evaluation['accuracy_low']:.1%} to {evaluation['accuracy_high']:.1%}, "
        f"the commonest class alone {evaluation['majority_baseline']:.1%})"
    )


def check_fit(store: Store, classifier: Classifier) -> None:
    """Refuse a model that was trained on other classes or another image size than the store's."""
    for name in ("classes", "image_size_px"):
        ours, theirs = getattr(store.meta, name), getattr(classifier.card, name)
        if ours != theirs:
            raise UserError(
                f"{MODELS}/model.json: {name} is {theirs}, but the store has {ours}; "
                "train on this store with `dvc repro`"
            )


def predict(
    classifier: Classifier, store: Store, batch_size: int, device: torch.device
) -> Probabilities:
    """Return the class probabilities of the test split, float64 of shape (N, classes)."""
    test = store.indices("test")
    batches = np.split(test, range(batch_size, len(test), batch_size))
    found = [
        classifier.probabilities(torch.from_numpy(store.images[rows]).to(device)).cpu()
        for rows in batches
    ]
    probabilities = torch.cat(found).double()
    rounded_sums = probabilities.sum(dim=1, keepdim=True)  # 1 but for single precision
    return (probabilities / rounded_sums).numpy()


def tabulate(store: Store, probabilities: Probabilities) -> pd.DataFrame:
    """Return a row per test photo: path, actual and predicted class, confidence from 0 to 1."""
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


if __name__ == "__main__":
    run_stage(main)
