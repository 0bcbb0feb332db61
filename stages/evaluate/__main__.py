"""Calibrate the model on the validation split, and test it on the test split.

From models, data/prepared and metrics/loss.csv to models/calibration.json, the model's page
models/README.md, data/test_probabilities.csv for tools/crossval and, in metrics/,

    evaluation.json     the figures
    classes.csv         photos and figures of each class
    predictions.csv     a row per test photo
    calibration.csv     confidence against accuracy, a row per bin of confidences
    coverage.csv        accuracy among the photos that are answered, by their share
    mistakes.png        the most confident mistakes
    augmented.png       training photos as the network saw them

Of train and evaluate, only this one uses the test split. Run it with ``python -m stages.evaluate``,
or through ``dvc repro``.
"""

from pathlib import Path

from stages.common.errors import run_stage
from stages.common.files import (
    check_output_folders,
    write_bytes,
    write_csv,
    write_guarded,
    write_json,
)
from stages.common.inputs import Inputs
from stages.common.params import load_params
from stages.common.store import STORE, open_store
from stages.drawing import png
from stages.evaluate.augmented import LOSS_CSV, count_epochs, draw_augmented
from stages.evaluate.calibration import (
    bin_by_confidence,
    calibrate,
    coverage_curve,
    measure_calibration,
)
from stages.evaluate.metrics import describe_coin_tosses, measure
from stages.evaluate.mistakes import draw_mistakes
from stages.evaluate.model_card import model_card
from stages.evaluate.predicting import (
    DECIMALS,
    PROBABILITIES,
    check_fit,
    check_trained_with,
    predict,
    tabulate,
    tabulate_classes,
    tabulate_probabilities,
    with_second_view,
)
from stages.model.classifier import temper
from stages.model.device import choose_device, set_up_torch
from stages.model.folder import CALIBRATION, MODELS, load_classifier

METRICS = Path("metrics")

SECTIONS = ("evaluate", "model", "prepare", "train")
CODE = (
    "stages/__init__.py",
    "stages/drawing.py",
    "stages/common",
    "stages/model",
    "stages/evaluate",
    "stages/train/augment.py",
    "stages/train/schedule.py",
)
"""What DVC records of params.yaml and of modules; see dvc.yaml."""


def main() -> None:
    """Load the model and the store, predict the test split, write the figures."""
    inputs = Inputs(SECTIONS, CODE)
    params = load_params()
    inputs.add(STORE, LOSS_CSV, MODELS / "model.json", MODELS / "model.safetensors")
    device = choose_device(params.train.device, "train.device")
    set_up_torch(params.train.threads)
    check_output_folders()
    store, classifier = open_store(), load_classifier(MODELS, device, calibrated=False)
    check_fit(store, classifier)
    check_trained_with(classifier.meta, params)
    classifier = with_second_view(classifier, params.evaluate.second_view_scale)

    calibration = calibrate(classifier, store, params.evaluate.answered_fraction)
    untempered = predict(classifier, store, "test")
    probabilities = temper(untempered, calibration.temperature)
    labels = store.labels[store.indices("test")]
    predictions = tabulate(store, probabilities)
    train_labels = store.labels[store.indices("train")]
    evaluation = measure(labels, probabilities, store.meta.classes, train_labels)
    evaluation |= measure_calibration(labels, untempered, probabilities, calibration)

    write_guarded(MODELS / CALIBRATION, calibration)
    write_csv(METRICS / "predictions.csv", predictions)
    write_csv(PROBABILITIES, tabulate_probabilities(predictions, probabilities, store))
    write_csv(METRICS / "calibration.csv", bin_by_confidence(labels, probabilities).round(DECIMALS))
    write_csv(METRICS / "coverage.csv", coverage_curve(labels, probabilities).round(DECIMALS))
    write_bytes(METRICS / "mistakes.png", png(draw_mistakes(predictions, store, classifier)))
    epochs = count_epochs(params.train.epochs)
    augmented = draw_augmented(store, classifier.meta, params.train, epochs)
    write_bytes(METRICS / "augmented.png", png(augmented))
    card = model_card(store, classifier.meta, calibration, evaluation, predictions, params.prepare)
    write_bytes(MODELS / "README.md", card.encode())
    write_csv(METRICS / "classes.csv", tabulate_classes(store, evaluation.pop("classes")))
    write_json(METRICS / "evaluation.json", dict(sorted(evaluation.items())))
    for line in describe_coin_tosses(labels, probabilities, store.meta):
        print(line)
    print(
        f"test accuracy {evaluation['accuracy']:.1%} of {evaluation['images']} photos "
        f"(95 % interval {evaluation['accuracy_low']:.1%} to {evaluation['accuracy_high']:.1%}, "
        f"always the commonest class: {evaluation['majority_baseline']:.1%})",
        flush=True,
    )
    inputs.check()


if __name__ == "__main__":
    run_stage(main)
