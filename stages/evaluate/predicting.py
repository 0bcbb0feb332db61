"""The classifier's predictions on the test split."""

from stages.common.classifier import MODELS, Classifier
from stages.common.errors import UserError
from stages.common.store import Store
from stages.evaluate.metrics import Probabilities


def check_fit(store: Store, classifier: Classifier) -> None:
    """Refuse a model that was trained on other classes or another image size than the store's."""
    for name in ("classes", "image_size_px"):
        ours, theirs = getattr(store.meta, name), getattr(classifier.card, name)
        if ours != theirs:
            raise UserError(
                f"{MODELS}/model.json: {name} is {theirs}, but the store has {ours}; "
                "train on this store with `dvc repro`"
            )


def predict(classifier: Classifier, store: Store) -> Probabilities:
    """Return the class probabilities of the test split, float64 of shape (N, classes)."""
    return classifier.probabilities(store.images, store.indices("test"))
