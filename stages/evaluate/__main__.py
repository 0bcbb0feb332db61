"""Calibrate the model on the validation split, and test it on the test split.

From models, data/prepared and metrics/loss.csv to models/calibration.json, the model's page
models/README.md, data/test_probabilities.csv for tools/crossval and, in metrics/,

    evaluation.json     the figures
    predictions.csv     a row per test photo
    calibration.csv     confidence against accuracy, a row per bin of confidences
    coverage.csv        accuracy among the photos that are answered, by their share
    mistakes.png        the most confident mistakes
    augmented.png       training photos as the network saw them

Of train and evaluate, only this one uses the test split. Run it with ``python -m stages.evaluate``,
or through ``dvc repro``.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from stages.common.errors import run_stage
from stages.common.files import check_output_folders, write_bytes, write_csv, write_json
from stages.common.params import load_params
from stages.common.store import Store, open_store
from stages.drawing import png
from stages.evaluate.augmented import count_epochs, draw_augmented
from stages.evaluate.calibration import (
    FEWEST_PHOTOS,
    bin_by_confidence,
    calibration_error,
    choose_threshold,
    coverage_curve,
    fit_temperature,
    measure_answered,
)
from stages.evaluate.metrics import DECIMALS, Labels, measure
from stages.evaluate.mistakes import draw_mistakes
from stages.evaluate.model_card import model_card
from stages.evaluate.predicting import check_fit, check_view, predict
from stages.model.classifier import Calibration, Classifier, Probabilities, temper
from stages.model.device import choose_device, set_up_torch
from stages.model.folder import CALIBRATION, MODELS, load_classifier

METRICS = Path("metrics")
PROBABILITY_DECIMALS = 6
PROBABILITIES = Path("data/test_probabilities.csv")


def main() -> None:
    """Load the model and the store, predict the test split, write the figures."""
    params = load_params()
    device = choose_device(params.evaluate.device, "evaluate.device")
    set_up_torch(params.runtime.evaluate_threads)
    check_output_folders()
    store, classifier = open_store(), load_classifier(MODELS, device, calibrated=False)
    check_fit(store, classifier)
    scale = params.evaluate.second_view_scale
    plain = Calibration(weights_sha256=classifier.meta.weights_sha256, second_view_scale=scale)
    classifier = replace(classifier, calibration=plain)
    check_view(classifier)

    calibration = calibrate(classifier, store, params.evaluate.answered_fraction)
    untempered = predict(classifier, store, "test")
    probabilities = temper(untempered, calibration.temperature)
    labels = store.labels[store.indices("test")]
    predictions = tabulate(store, probabilities)
    train_labels = store.labels[store.indices("train")]
    evaluation = measure(labels, probabilities, store.meta.classes, train_labels)
    evaluation |= measure_calibration(labels, untempered, probabilities, calibration)
    write_json(MODELS / CALIBRATION, calibration.model_dump())
    write_csv(METRICS / "predictions.csv", predictions)
    write_csv(PROBABILITIES, tabulate_probabilities(predictions, probabilities, store))
    write_csv(METRICS / "calibration.csv", bin_by_confidence(labels, probabilities).round(DECIMALS))
    write_csv(METRICS / "coverage.csv", coverage_curve(labels, probabilities).round(DECIMALS))
    write_bytes(METRICS / "mistakes.png", png(draw_mistakes(predictions, store, classifier)))
    augmented = draw_augmented(store, classifier.meta, params.train, count_epochs())
    write_bytes(METRICS / "augmented.png", png(augmented))
    write_json(METRICS / "evaluation.json", dict(sorted(evaluation.items())))
    page = model_card(store, classifier.meta, calibration, evaluation, predictions, params)
    write_bytes(MODELS / "README.md", page.encode())
    print(
        f"test accuracy {evaluation['accuracy']:.1%} of {evaluation['images']} photos "
        f"(95 % interval {evaluation['accuracy_low']:.1%} to {evaluation['accuracy_high']:.1%}, "
        f"always the commonest class: {evaluation['majority_baseline']:.1%})"
    )


def calibrate(classifier: Classifier, store: Store, answered_fraction: float) -> Calibration:
    """Fit the temperature to the validation split, and choose the threshold on it."""
    labels = store.labels[store.indices("validation")]
    probabilities = predict(classifier, store, "validation")
    if len(labels) < FEWEST_PHOTOS:
        print(
            f"the validation split has {len(labels)} photos, fewer than {FEWEST_PHOTOS}: "
            "probabilities stay as they are, and every photo is answered",
            file=sys.stderr,
        )
        return classifier.calibration
    temperature = fit_temperature(labels, probabilities)
    confidence = temper(probabilities, temperature).max(axis=1)
    found = {
        "temperature": temperature,
        "answered_fraction": answered_fraction,
        "threshold": choose_threshold(confidence, answered_fraction),
    }
    return classifier.calibration.model_copy(update=found)


def measure_calibration(
    labels: Labels, untempered: Probabilities, probabilities: Probabilities, used: Calibration
) -> dict[str, float]:
    """Return what a calibration does on the test split."""
    before = calibration_error(bin_by_confidence(labels, untempered))
    figures = {
        "expected_calibration_error_before": before,
        "temperature": used.temperature,
        **measure_answered(labels, probabilities, used.threshold),
    }
    return {name: round(value, DECIMALS) for name, value in figures.items()}


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


def tabulate_probabilities(
    predictions: pd.DataFrame, probabilities: Probabilities, store: Store
) -> pd.DataFrame:
    """Return a row per test photo: path, actual class, and the probability of every class."""
    names = ["path", "actual", *store.meta.classes]  # a class may be called "path"
    rounded = pd.DataFrame(probabilities.round(PROBABILITY_DECIMALS), predictions.index)
    return pd.concat([predictions[["path", "actual"]], rounded], axis=1).set_axis(names, axis=1)


if __name__ == "__main__":
    run_stage(main)
