"""The page on the model, models/README.md."""

import re

import pandas as pd
import pytest

from stages.common.schema import Params
from stages.common.store import Store
from stages.evaluate.metrics import measure
from stages.evaluate.model_card import model_card
from stages.model.classifier import Calibration
from tests.conftest import meta_of


@pytest.fixture
def page(store: Store, params: Params) -> str:
    return page_of(store, params)


def page_of(store: Store, params: Params) -> str:
    test = store.indices("test")
    labels = store.labels[test]
    probabilities = pd.get_dummies(labels).to_numpy(float) * 0.8 + 0.1
    probabilities[:3] = probabilities[:3, ::-1]  # three mistakes
    figures = measure(labels, probabilities, store.meta.classes, store.labels)
    figures |= {
        "answered_accuracy": 0.9,
        "answered_fraction": 0.8,
        "expected_calibration_error_before": 0.25,
    }
    predictions = pd.DataFrame(
        {
            "actual": [store.meta.classes[label] for label in labels],
            "predicted": [store.meta.classes[row.argmax()] for row in probabilities],
        }
    )
    calibration = Calibration(weights_sha256="", temperature=0.7, threshold=0.6)
    parameters = {"model": params.model.model_dump(), "train": params.train.model_dump()}
    meta = meta_of(store).model_copy(update={"parameters": parameters})
    return model_card(store, meta, calibration, figures, predictions, params.prepare)


def test_the_page_has_the_counts_and_the_figures(page: str, store: Store) -> None:
    assert "| all | 40 | 10 | 10 |" in page
    assert "70.0% (95 % interval 39.7% to 89.2%)" in page
    assert "before calibration 25.0% (temperature 0.7)" in page
    assert "of the 80.0% with a confidence from 0.600" in page
    assert f"`{store.meta.manifest_sha256}`" in page
    assert "| `dark` | `light` | 2 |\n| `light` | `dark` | 1 |\n" in page


def test_totals_stay_when_classes_are_cut(
    store: Store, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.evaluate.model_card.MOST_CLASSES", 2)
    page = page_of(store, params)
    assert "| all | 40 | 10 | 10 |" in page
    assert "| `light` |" not in page.partition("SHA-256 of images.npy")[0]
    assert "and 1 more" in page


def test_the_page_names_its_limits(page: str) -> None:
    assert "there were too few validation photos" in page  # 10 of them, fewer than 20
    assert "a photo of anything else gets one of them" in page
    assert "Fewer than 50 photos to learn from: `dark`, `light`." in page
    assert "Fewer than 5 test photos" not in page  # there are 5 of each
    assert "The class it recognizes least often is `dark` (60%)." in page


def test_classes_of_few_test_photos_are_named(
    store: Store, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.evaluate.model_card.FEW_TESTED", 6)
    named = "Fewer than 6 test photos, of which one moves the recall by at least 20%: `dark`, `li"
    assert named in page_of(store, params)


def test_the_page_has_every_parameter_that_made_the_model(page: str, params: Params) -> None:
    for section in ("prepare", "model", "train"):
        for name, value in getattr(params, section).model_dump().items():
            assert f"| `{section}.{name}` | `{value}` |" in page


def test_a_class_name_stays_text(store: Store, params: Params) -> None:
    name = "da|r`*k* <b>"
    meta = store.meta.model_copy(
        update={
            "classes": [name, "light"],
            "counts": {
                split: {name if key == "dark" else key: count for key, count in counts.items()}
                for split, counts in store.meta.counts.items()
            },
        }
    )
    page = page_of(Store(meta, store.images, store.manifest), params)
    assert name not in page
    assert r"| `da\x7cr\x60*k* <b>` | 20 |" in page
    assert not re.search("<b>|r\\*k", re.sub(r"`[^`\n]+`", "", page))


def test_the_page_is_the_same_every_time_and_has_no_path(
    page: str, store: Store, params: Params
) -> None:
    assert page == page_of(store, params)
    assert "/" not in page.replace("`", "").split("## How it was made")[1].split("|", 1)[1]
