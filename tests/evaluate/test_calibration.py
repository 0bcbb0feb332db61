"""A temperature that makes the network as sure as it is right, and a threshold for "unsure"."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.special import softmax
from torch import nn

from stages.common.errors import UserError
from stages.common.store import Store
from stages.evaluate.calibration import (
    bin_by_confidence,
    calibrate,
    calibration_error,
    choose_threshold,
    coverage_curve,
    fit_temperature,
    measure_answered,
)
from stages.evaluate.predicting import check_view
from stages.model.classifier import Calibration, Classifier, Probabilities, temper


def true_model(photos: int, seed: int = 0) -> tuple[npt.NDArray[np.int64], Probabilities]:
    """Return labels drawn from probabilities that are therefore exactly right."""
    random = np.random.default_rng(seed)
    probabilities = softmax(random.normal(0, 2, (photos, 5)), axis=1)
    labels = np.array([random.choice(5, p=row) for row in probabilities])
    return labels, probabilities


@pytest.mark.parametrize("wrong", [0.4, 1, 2.5])
def test_the_temperature_undoes_a_wrong_one(wrong: float) -> None:
    labels, right = true_model(4000)
    shown = temper(right, 1 / wrong)
    assert fit_temperature(labels, shown) == pytest.approx(wrong, rel=0.06)
    mended = temper(shown, fit_temperature(labels, shown))
    assert calibration_error(bin_by_confidence(labels, mended)) < 0.02


@pytest.mark.parametrize("temperature", [0.05, 0.5, 3, 20])
def test_no_temperature_changes_the_predicted_class(temperature: float) -> None:
    _, probabilities = true_model(500)
    probabilities[:50] = np.eye(5)[np.arange(50) % 5]  # zeros, of which there is no logarithm
    tempered = temper(probabilities, temperature)
    assert (tempered.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    np.testing.assert_allclose(tempered.sum(axis=1), 1)
    assert np.isfinite(tempered).all()


def test_a_validation_split_without_a_mistake_does_not_make_it_certain() -> None:
    labels = np.arange(120) % 6
    probabilities = np.full((120, 6), 0.02)
    probabilities[np.arange(120), labels] = 0.9
    temperature = fit_temperature(labels, probabilities)
    confidence = temper(probabilities, temperature).max()
    assert confidence == pytest.approx(121 / 126, abs=0.002)


@pytest.mark.parametrize("fraction", [0.1, 0.29, 0.5, 0.95, 0.999])
def test_the_threshold_answers_at_least_the_wanted_share(fraction: float) -> None:
    confidence = np.random.default_rng(0).uniform(0.2, 1, 100)
    threshold = choose_threshold(confidence, fraction)
    answered = (confidence >= threshold).mean()
    assert fraction <= answered < fraction + 0.01 + 1e-9


def test_all_photos_are_answered_also_those_less_sure_than_any_before() -> None:
    assert choose_threshold(np.array([0.5, 0.9]), 1) == 0


def test_accuracy_of_the_answered_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])
    labels = np.array([0, 0, 0, 1])
    found = measure_answered(labels, probabilities, 0.6)
    assert found == {"answered_accuracy": pytest.approx(2 / 3), "answered_fraction": 0.75}
    assert measure_answered(labels, probabilities, 0.99)["answered_accuracy"] == 0


def test_the_coverage_curve_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.4, 0.6]])
    curve = coverage_curve(np.array([0, 0, 0, 1]), probabilities)
    expected = {
        "answered": [0.25, 0.5, 1],
        "accuracy": [1, 0.5, 0.75],
        "threshold": [0.9, 0.8, 0.6],
    }
    pd.testing.assert_frame_equal(curve, pd.DataFrame(expected), check_dtype=False)


def test_a_long_coverage_curve_is_thinned_but_ends_at_all() -> None:
    labels, probabilities = true_model(5000)
    curve = coverage_curve(labels, probabilities)
    assert len(curve) <= 100
    right = (probabilities.argmax(axis=1) == labels).mean()
    assert curve.iloc[-1][["answered", "accuracy"]].tolist() == [1, pytest.approx(right)]


def test_a_small_validation_split_is_told_and_calibrates_nothing(
    store: Store, classifier: Classifier, capsys: pytest.CaptureFixture[str]
) -> None:
    found = calibrate(classifier, store, 0.9)
    assert found == Calibration()
    assert "validation split has 10 photos, fewer than 20" in capsys.readouterr().err


def test_a_calibration_is_of_predictions_with_the_second_view(
    store: Store, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.evaluate.calibration.FEWEST_PHOTOS", 2)
    twice = replace(classifier, calibration=Calibration(second_view_scale=1.5))
    one, both = (calibrate(each, store, 0.9) for each in (classifier, twice))
    assert (one.second_view_scale, both.second_view_scale) == (1, 1.5)
    assert one.threshold != both.threshold


def test_a_network_for_one_image_size_has_no_second_view(
    store: Store, classifier: Classifier
) -> None:
    fixed = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    check_view(Classifier(fixed, classifier.meta))
    with pytest.raises(
        UserError, match=r"second_view_scale is 1\.25, but flowernet cannot take"
    ) as e:
        check_view(Classifier(fixed, classifier.meta, Calibration(second_view_scale=1.25)))
    assert str(e.value).endswith("set it to 1")
    assert "\n" not in str(e.value)


def test_a_calibration_is_used_by_whoever_predicts(store: Store, classifier: Classifier) -> None:
    plain = classifier.probabilities(store.images)
    calibration = Calibration(weights_sha256="", temperature=0.5)
    sure = Classifier(classifier.network, classifier.meta, calibration)
    np.testing.assert_array_equal(sure.probabilities(store.images), temper(plain, 0.5))


def test_a_network_that_gives_nan_is_an_error(store: Store, classifier: Classifier) -> None:
    classifier.network.get_parameter("head.bias").data[0] = float("nan")
    with pytest.raises(UserError, match="network's output is not finite: the model is broken"):
        classifier.probabilities(store.images)
