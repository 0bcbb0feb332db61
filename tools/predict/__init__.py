"""Classify the flowers in photos: ``python -m tools.predict``, or `Predictor` in Python."""

from collections.abc import Iterable
from pathlib import Path

from stages.model.device import choose_device
from stages.model.folder import MODELS, load_classifier
from tools.predict.photos import Prediction, predict_photos


class Predictor:
    """The model of a folder, which classifies photos; several threads may share it."""

    def __init__(self, model: str | Path = MODELS) -> None:
        self.classifier = load_classifier(Path(model), choose_device("auto", "device"))

    def predict(self, paths: Iterable[str | Path], top: int = 3) -> list[Prediction]:
        """Return a prediction for each photo, in their order; that of a rejected one says why."""
        paths = [paths] if isinstance(paths, str | Path) else paths
        return list(predict_photos(self.classifier, map(Path, paths), top))
