import json
import warnings

import numpy as np
import pytest
import torch

from stages.common.classifier import Classifier, ModelCard
from stages.common.errors import UserError
from stages.common.network import build_network
from stages.common.store import Store
from stages.evaluate.__main__ import check_fit, predict, tabulate
from stages.evaluate.metrics import accuracy_interval, measure

CPU = torch.device("cpu")


@pytest.fixture
def classifier(store: Store) -> Classifier:
    torch.manual_seed(0)
    meta = store.meta
    card = ModelCard(
        architecture="flowernet",
        width=8,
        classes=meta.classes,
        image_size_px=meta.image_size_px,
        mean=meta.mean,
        std=meta.std,
    )
    return Classifier(build_network(8, 2).eval(), card)


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
    figures = measure(LABELS, PROBABILITIES, ["daisy", "rose", "tulip"])
    assert next(iter(figures)) == "accuracy"
    assert figures["accuracy"] == round(4 / 6, 4)
    assert figures["images"] == 6
    assert figures["majority_baseline"] == 0.5
    true_class = np.array([0.8, 0.6, 0.2, 0.8, 0.6, 0.2])
    assert figures["log_loss"] == round(-np.log(true_class).mean(), 4)
    daisy, rose, tulip = figures["classes"].values()
    assert daisy == {"precision": 0.6667, "recall": 0.6667, "f1": 0.6667, "support": 3}
    assert rose == {"precision": 0.6667, "recall": 1.0, "f1": 0.8, "support": 2}
    assert tulip == {"precision": None, "recall": 0.0, "f1": 0.0, "support": 1}
    assert figures["macro_f1"] == round((2 / 3 + 0.8 + 0) / 3, 4)


def test_a_class_without_test_photos_has_null_recall_and_f1() -> None:
    figures = measure(LABELS[:5], PROBABILITIES[:5], ["daisy", "rose", "tulip"])
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
        figures = measure(LABELS, PROBABILITIES, ["daisy", "rose", "tulip"])
    text = json.dumps(figures, allow_nan=False)
    assert "[" not in text


def test_wilson_interval_of_a_published_example() -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I,
    # method 3: 81 of 263 has the 95 % interval 0.2553 to 0.3662, and 0 of 20 has 0 to 0.1611.
    assert accuracy_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert accuracy_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


def test_predictions_are_of_the_test_split_in_its_order(
    store: Store, classifier: Classifier
) -> None:
    probabilities = predict(classifier, store, batch_size=3, device=CPU)
    assert probabilities.shape == (10, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    table = tabulate(store, probabilities)
    assert list(table) == ["path", "actual", "predicted", "confidence"]
    assert list(table["path"]) == list(store.manifest.query("split == 'test'")["path"])
    assert table["confidence"].between(0.5, 1).all()


def test_batch_size_changes_no_figure(store: Store, classifier: Classifier) -> None:
    by_3, by_10 = (predict(classifier, store, size, CPU) for size in (3, 10))
    np.testing.assert_allclose(by_3, by_10, atol=1e-5)


def test_a_model_of_other_classes_is_refused(store: Store, classifier: Classifier) -> None:
    check_fit(store, classifier)
    other = Classifier(
        classifier.network, classifier.card.model_copy(update={"classes": ["oak", "elm"]})
    )
    with pytest.raises(UserError, match=r"classes is \['oak', 'elm'\], but the store has"):
        check_fit(store, other)
