"""A classifier as the bytes of an ONNX file, compared with PyTorch on the test split."""

import json
import logging
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from stages.common.errors import UserError
from stages.common.store import Store
from stages.evaluate.predicting import predict
from stages.model.classifier import (
    PREDICT_BATCH,
    Classifier,
    Probabilities,
    average,
    to_input,
    views,
)
from stages.model.networks import FLOWERNET

HOW_TO_PREPARE = (
    "Turn the photo upright by its EXIF orientation; convert it to RGB, transparency on white, and "
    "its profile's colors to sRGB; {fit}, with a Hamming filter; give the bytes as they are. "
    "Normalization with mean and std{views} and the temperature are in the model. Below the "
    'threshold, the answer is "unsure".'
)
FITS = {
    "crop": "scale its shorter side to image_size_px and crop the middle of the longer one",
    "pad": "scale its longer side to image_size_px and pad the shorter one on both sides, with the "
    "photo's mean color",
    "stretch": "scale both sides to image_size_px",
}


class Graph(nn.Module):
    """What the file holds: from photos as bytes to probabilities.

    Normalization and the other views are inside, to leave other programs little to get wrong.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.network = classifier.network
        self.meta = classifier.meta
        self.calibration = classifier.calibration

    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 (B, S, S, 3) to float32 (B, classes)."""
        inputs = to_input(images, self.meta)
        seen = views(inputs, self.calibration.second_view_scale, self.meta.mirror_keeps_class)
        probabilities = average([self.network(view) for view in seen])
        return (probabilities.log() / self.calibration.temperature).softmax(dim=1)


def convert(classifier: Classifier) -> bytes:
    """Return the ONNX file of a classifier, for any number of photos at once."""
    size = classifier.meta.image_size_px
    images = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, about its own insides
        program = torch.onnx.export(
            Graph(classifier).eval(),
            (images,),
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    forget_origin(model.graph)
    about = describe(classifier)
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in about.items()}
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def forget_origin(graph: onnx.GraphProto) -> None:
    """Remove the exporter's notes: they hold paths of this machine, and make bytes vary."""
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def describe(classifier: Classifier) -> dict[str, Any]:
    """Return the metadata, which is all that using the file takes; in it, they are JSON."""
    meta, calibration = classifier.meta, classifier.calibration
    own = meta.architecture == FLOWERNET  # the others have no width to choose
    return {
        "architecture": meta.architecture + (f", width {meta.width}" if own else ""),
        "classes": meta.classes,
        "fit": meta.fit,
        "image_size_px": meta.image_size_px,
        "input": "images: uint8 (batch, image_size_px, image_size_px, 3), RGB",
        "mean": meta.mean,
        "output": "probabilities: float32 (batch, classes), in the order of classes; rows sum to 1",
        "std": meta.std,
        "temperature": calibration.temperature,
        "threshold": calibration.threshold,
        "transforms": HOW_TO_PREPARE.format(fit=FITS[meta.fit], views=_describe_views(classifier)),
        "weights_sha256": meta.weights_sha256,
    }


def _describe_views(classifier: Classifier) -> str:
    views = ["its mirror image"] if classifier.meta.mirror_keeps_class else []
    if classifier.calibration.second_view_scale > 1:
        views.append("both enlarged" if views else "itself enlarged")
    return f", the average over the photo, {', '.join(views)}," if views else ""


TOLERANCE = 1e-3
"""Of a probability; rounding alone gives about 1e-6."""


def check_agreement(content: bytes, classifier: Classifier, store: Store) -> float:
    """Predict the store's test split with both; return the largest difference of a probability."""
    by_torch, by_onnx = predict(classifier, store, "test"), predict_with_onnx(content, store)
    differences = np.abs(by_torch - by_onnx).max(axis=1)
    agree = (by_torch.argmax(axis=1) == by_onnx.argmax(axis=1)) & (differences <= TOLERANCE)
    disagree = ~agree  # also where a difference is not a number
    if disagree.any():
        path = store.manifest["path"].iloc[store.indices("test")[disagree][0]]
        raise UserError(
            f"{path}: ONNX Runtime and PyTorch do not agree (a probability differs by "
            f"{differences[disagree][0]:.1g}); nothing was written; export with the versions of "
            "requirements.lock"
        )
    return float(differences.max())


def predict_with_onnx(content: bytes, store: Store) -> Probabilities:
    """Return ONNX Runtime's probabilities for the test split, of shape (N, classes)."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    test = store.indices("test")
    batches = np.split(test, range(PREDICT_BATCH, len(test), PREDICT_BATCH))
    return np.concatenate(
        [session.run(["probabilities"], {"images": store.images[rows]})[0] for rows in batches]
    )
