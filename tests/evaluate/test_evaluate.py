import json
import warnings

import numpy as np
import pytest

from stages.common.errors import UserError
from stages.common.store import Store
from stages.evaluate.calibration import bin_by_confidence, calibration_error
from stages.evaluate.metrics import (
    accuracy_interval,
    brier_score,
    describe_coin_tosses,
    measure,
    measure_classes,
)
from stages.evaluate.predicting import check_fit, predict, tabulate
from stages.model.classifier import Classifier

LABELS = np.array([0, 0, 0, 1, 1, 2])
PROBABILITIES = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.6, 0.2, 0.2],
        [0.2, 0.7, 0.1],
        [0.1, 0.8, 0.1],
        [0.2, 0.6, 0.2],
        [0.5, 0.3, 0.2],
    ]
)
"""Predicted: 0 0 1 1 1 0, so 4 of 6 are right."""


def test_figures_by_hand() -> None:
    figures = measure(LABELS, PROBABILITIES, ["daisy", "rose", "tulip"], LABELS)
    assert next(iter(figures)) == "accuracy"
    assert list(figures) == sorted(figures)
    assert figures["accuracy"] == round(4 / 6, 4)
    assert figures["images"] == 6
    assert figures["majority_baseline"] == 0.5
    squares = [0.06, 0.24, 1.14, 0.06, 0.24, 0.98]  # distances from (1, 0, 0), (1, 0, 0), ...
    assert figures["brier_score"] == round(sum(squares) / 6, 4)
    # Right at 0.8, 0.6, 0.8 and 0.6, wrong at 0.7 and 0.5: each confidence has a bin of its own.
    gaps = [0.5, 2 * 0.4, 0.7, 2 * 0.2]
    assert figures["expected_calibration_error"] == round(sum(gaps) / 6, 4)
    true_class = np.array([0.8, 0.6, 0.2, 0.8, 0.6, 0.2])
    assert figures["log_loss"] == round(-np.log(true_class).mean(), 4)
    daisy, rose, tulip = figures["classes"].values()
    assert daisy == {"precision": 0.6667, "recall": 0.6667, "f1": 0.6667, "support": 3}
    assert rose == {"precision": 0.6667, "recall": 1.0, "f1": 0.8, "support": 2}
    assert tulip == {"precision": None, "recall": 0.0, "f1": 0.0, "support": 1}
    assert figures["macro_f1"] == round((2 / 3 + 0.8 + 0) / 3, 4)


def test_a_class_without_test_photos_has_null_recall_and_f1() -> None:
    figures = measure(LABELS[:5], PROBABILITIES[:5], ["daisy", "rose", "tulip"], LABELS)
    assert figures["classes"]["tulip"] == {
        "precision": None,
        "recall": None,
        "f1": None,
        "support": 0,
    }
    assert figures["macro_f1"] == round((0.8 + 0.8) / 2, 4)


def test_figures_are_json_without_lists_or_nan() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = measure(LABELS, PROBABILITIES, ["daisy", "rose", "tulip"], LABELS)
    text = json.dumps(figures, allow_nan=False)
    assert "[" not in text


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_of_published_examples(
    correct: int, total: int, low: float, high: float
) -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3
    assert accuracy_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


def test_f1_of_a_published_example() -> None:
    # Shmueli, "Multi-class metrics made simple" (2019): rows of the confusion matrix are the actual
    # cats, fish and hens, columns the predicted ones.
    confusion = np.array([[4, 1, 1], [6, 2, 2], [3, 0, 6]])
    labels, predicted = (
        np.repeat(axis, confusion.ravel()) for axis in np.indices((3, 3)).reshape(2, 9)
    )
    table = measure_classes(labels, predicted, ["cat", "fish", "hen"])
    assert table["precision"].round(3).tolist() == [0.308, 0.667, 0.667]
    assert table["recall"].round(3).tolist() == [0.667, 0.2, 0.667]
    assert table["f1"].round(3).tolist() == [0.421, 0.308, 0.667]
    assert table["support"].tolist() == [6, 10, 9]
    assert round(table["f1"].mean(), 3) == 0.465


def test_brier_score_by_hand() -> None:
    # Twice (rain and no rain) the mean of 0.49, 0.01, 0.04, 0.36, 0.04, four zeros and 0.01.
    rain = np.array([0.7, 0.9, 0.8, 0.4, 0.2, 0, 0, 0, 0, 0.1])
    rained = np.array([0, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    assert brier_score(rained, np.stack([1 - rain, rain], axis=1)) == pytest.approx(0.19)


CALIBRATED_LABELS = np.array([0, 1, 2, 0])
CALIBRATED = np.array(
    [[0.25, 0.20, 0.55], [0.55, 0.05, 0.40], [0.10, 0.30, 0.60], [0.90, 0.05, 0.05]]
)


def test_calibration_error_of_a_published_example() -> None:
    # The example in the documentation of torchmetrics' MulticlassCalibrationError, norm "l1"
    bins = bin_by_confidence(CALIBRATED_LABELS, CALIBRATED, bins=3)
    assert calibration_error(bins) == pytest.approx(0.2)
    assert bins["bin"].tolist() == ["0.333 to 0.667", "0.667 to 1"]
    assert bins["photos"].tolist() == [3, 1]
    assert bins["confidence"].tolist() == pytest.approx([1.7 / 3, 0.9])
    assert bins["accuracy"].tolist() == pytest.approx([1 / 3, 1])


def test_a_confidence_on_a_border_is_in_the_lower_bin() -> None:
    bins = bin_by_confidence(np.array([0, 0]), np.array([[0.5, 0.5], [1, 0]]), bins=2)
    assert bins["bin"].tolist() == ["0 to 0.5", "0.5 to 1"]


def test_top_3_accuracy_is_told_from_six_classes_on() -> None:
    names = list("abcdef")
    probabilities = np.array([[0.3, 0.25, 0.2, 0.15, 0.06, 0.04]] * 4)
    figures = measure(np.array([0, 1, 2, 3]), probabilities, names, np.arange(4))
    assert figures["top3_accuracy"] == 0.75
    assert "top3_accuracy" not in measure(LABELS, PROBABILITIES, ["daisy", "rose", "tulip"], LABELS)


def test_predictions_are_of_the_test_split_in_its_order(
    store: Store, classifier: Classifier
) -> None:
    probabilities = predict(classifier, store, "test")
    assert probabilities.shape == (10, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    table = tabulate(store, probabilities)
    assert list(table) == ["path", "actual", "predicted", "confidence"]
    assert list(table["path"]) == list(store.manifest.query("split == 'test'")["path"])
    assert table["confidence"].between(0.5, 1).all()


def test_a_model_of_other_classes_is_refused(store: Store, classifier: Classifier) -> None:
    check_fit(store, classifier)
    other = Classifier(
        classifier.network, classifier.meta.model_copy(update={"classes": ["oak", "elm"]})
    )
    with pytest.raises(UserError, match=r"classes is \['oak', 'elm'\], but the store has"):
        check_fit(store, other)


def test_a_model_of_another_store_may_have_seen_the_test_photos(
    store: Store, classifier: Classifier
) -> None:
    meta = classifier.meta.model_copy(update={"store_manifest_sha256": "ab" * 32})
    with pytest.raises(
        UserError, match=r"different store from data/prepared \(.* ababababab.*seen"
    ):
        check_fit(store, Classifier(classifier.network, meta))


def test_the_baseline_knows_the_train_split_only() -> None:
    """Of three test photos two are tulips, but most train photos are roses."""
    test, train = np.array([1, 2, 2]), np.array([1, 1, 2])
    figures = measure(test, np.full((3, 3), 1 / 3), ["daisy", "rose", "tulip"], train)
    assert figures["majority_baseline"] == 0.3333


def test_two_classes_that_are_not_told_apart_are_named(store: Store) -> None:
    labels = np.repeat([0, 1, 2], 10)
    probabilities = np.full((30, 3), 0.1)
    probabilities[20:, 2] = 0.8
    sure = np.linspace(0.3, 0.7, 10)
    probabilities[:20, 0], probabilities[:20, 1] = np.tile(sure, 2), np.tile(1 - sure, 2)
    meta = store.meta.model_copy(update={"classes": ["left", "right", "up"]})
    other = meta.model_copy(update={"mirror_keeps_class": False})
    line = "note: left and right are told apart as by tossing a coin"
    hint = "; if left and right tell them apart, set prepare.mirror_keeps_class to false"
    assert describe_coin_tosses(labels, probabilities, meta) == [line + hint]
    assert describe_coin_tosses(labels, probabilities, other) == [line]
    one_for_both = np.clip(probabilities + np.array([0.4, 0, 0]), 0, 1)
    assert describe_coin_tosses(labels, one_for_both, other) == [line]
    probabilities[10:20, 1] += 0.4
    assert describe_coin_tosses(labels, probabilities, meta) == []
