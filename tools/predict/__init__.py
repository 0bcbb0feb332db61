"""Classify the flowers in photos: ``python -m tools.predict``, or `Predictor` in Python."""

from collections.abc import Iterable
from pathlib import Path

from stages.model.device import choose_device
from stages.model.folder import MODELS, load_classifier
from tools.predict.photos import Prediction, predict_photos

__all__ = ["Prediction", "Predictor"]


class Predictor:
    """A trained model that classifies photos; several threads may use one.

    Parameters
    ----------
    model : str or Path
        The model's folder.
    """

    def __init__(self, model: str | Path = MODELS) -> None:
        self.classifier = load_classifier(Path(model), choose_device("auto", "device"))

    def predict(self, paths: Iterable[str | Path], top: int = 3) -> list[Prediction]:
        """Return a prediction for each photo's file, in their order.

        A photo that is rejected raises no error: its prediction says why.

        Parameters
        ----------
        paths : iterable of str or Path
        top : int
            Classes per photo, the most probable first.
        """
        paths = [paths] if isinstance(paths, str | Path) else paths
        return list(predict_photos(self.classifier, map(Path, paths), top))
