"""Test the model on the store's test split: models, data/prepared, metrics/loss.csv -> metrics.

Of train and evaluate, only this one uses the test split. It writes into metrics/

    evaluation.json     the figures
    predictions.csv     a row per test photo
    calibration.csv     confidence against accuracy, a row per bin of confidences
    mistakes.png        the most confident mistakes
    augmented.png       training photos as the network saw them

Run it with ``python -m stages.evaluate``, or through ``dvc repro``.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from stages.common.classifier import MODELS, load_classifier
from stages.common.device import choose_device, set_up_torch
from stages.common.drawing import png
from stages.common.errors import run_stage
from stages.common.files import write_bytes, write_csv, write_json
from stages.common.params import load_params
from stages.common.store import Store, open_store
from stages.evaluate.augmented import count_epochs, draw_augmented
from stages.evaluate.calibration import bin_by_confidence
from stages.evaluate.metrics import DECIMALS, Probabilities, measure
from stages.evaluate.mistakes import draw_mistakes
from stages.evaluate.predicting import check_fit, predict

METRICS = Path("metrics")


def main() -> None:
    """Load the model and the store, predict the test split, write the figures."""
    params = load_params()
    device = choose_device(params.evaluate.device, "evaluate.device")
    set_up_torch(params.runtime.evaluate_threads)
    store, classifier = open_store(), load_classifier(MODELS, device)
    check_fit(store, classifier)

    probabilities = predict(classifier, store)
    labels = store.labels[store.indices("test")]
    predictions = tabulate(store, probabilities)
    train_labels = store.labels[store.indices("train")]
    evaluation = measure(labels, probabilities, store.meta.classes, train_labels)
    write_csv(METRICS / "predictions.csv", predictions)
    write_csv(METRICS / "calibration.csv", bin_by_confidence(labels, probabilities).round(DECIMALS))
    write_bytes(METRICS / "mistakes.png", png(draw_mistakes(predictions, store)))
    augmented = draw_augmented(store, classifier.card, params.train, count_epochs())
    write_bytes(METRICS / "augmented.png", png(augmented))
    write_json(METRICS / "evaluation.json", evaluation)
    print(
        f"test accuracy {evaluation['accuracy']:.1%} of {evaluation['images']} photos "
        f"(95 % interval {evaluation['accuracy_low']:.1%} to {evaluation['accuracy_high']:.1%}, "
        f"always the commonest class: {evaluation['majority_baseline']:.1%})"
    )


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


if __name__ == "__main__":
    run_stage(main)
