"""The trained model, and how it is asked: the views of a photo, and what becomes of its outputs."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional as F

from stages.common.errors import UserError
from stages.common.files import Guarded
from stages.common.schema import Fit
from stages.model.device import Precision

Probabilities = npt.NDArray[np.float64]

PREDICT_BATCH = 32
"""Photos in each forward pass; a smaller rest is padded with black ones.

PyTorch chooses its kernels by the shape of the input, and they round differently: a photo's
probabilities by itself differed by up to 1.2e-7 from those in a batch. In passes of one shape they
are the same, whatever photos come along, in whatever order.
"""


class ModelMeta(Guarded):
    """The content of model.json."""

    schema_version: Literal[1, 2] = 2
    architecture: str
    """flowernet, or the name of a network of torchvision or timm."""
    width: Annotated[int, Field(ge=1, le=512)]
    """Of flowernet; it means nothing to others."""
    classes: Annotated[list[str], Field(min_length=2, max_length=100_000)]
    """In the order of the logits."""
    image_size_px: Annotated[int, Field(ge=1, le=1024)]
    """Side of the square that a photo is decoded to, as in the store."""
    input_size_px: Annotated[int, Field(ge=1, le=2048)]
    """Side of what the network sees: the square is scaled to it."""
    mean: Annotated[list[Annotated[float, Field(ge=-10, le=10)]], Field(min_length=3, max_length=3)]
    """Per channel, of values in [0, 1]."""
    std: Annotated[
        list[Annotated[float, Field(ge=0.001, le=10)]], Field(min_length=3, max_length=3)
    ]
    fit: Fit = "crop"
    """How a photo becomes that square; see `Prepare`."""
    mirror_keeps_class: bool = True
    """Whether a photo's mirror image is one of the same class; see `views`."""
    precision: Precision = "fp32"
    """That it was trained in; it is used in single precision."""
    weights_sha256: str = ""
    store_images_sha256: str = ""
    """Of the store that it was trained on, as is the next one."""
    store_manifest_sha256: str = ""
    parameters: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """What it was trained with, by section of params.yaml."""


class Calibration(Guarded):
    """The content of calibration.json: how the network's outputs become an answer.

    It is not in model.json, because that is an output of train, and what is decided after the
    training must not train again.
    """

    schema_version: Literal[1, 2] = 2
    weights_sha256: str = ""
    """Of the weights that it belongs to."""
    second_view_scale: Annotated[float, Field(ge=1, le=2)] = 1.0
    """See `views`."""
    temperature: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    """See `temper`."""
    answered_fraction: Annotated[float, Field(gt=0, le=1)] = 1
    """The share of photos that is to be answered."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0
    """Below this confidence the answer is "unsure"."""


@dataclass(frozen=True)
class Classifier:
    """A trained network and what it takes to use it; without calibration, it is as trained."""

    network: nn.Module
    meta: ModelMeta
    calibration: Calibration = field(default_factory=Calibration)

    @property
    def device(self) -> torch.device:
        """Where the weights are; inputs must go there."""
        return next(self.network.parameters()).device

    def probabilities(
        self, images: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64] | None = None
    ) -> Probabilities:
        """Return each photo's class probabilities, averaged over its views, see `views`.

        Parameters
        ----------
        images : uint8 array of shape (N, S, S, 3)
            RGB; may be a store's memory map, of which only a batch is read at a time.
        rows : int64 array of shape (M,), optional
            Which of the images are meant; all of them when not given.

        Returns
        -------
        float64 array of shape (M, classes)
            Rows sum to 1. A row depends on its photo only, to the last digit.
        """
        rows = np.arange(len(images)) if rows is None else rows
        averages = np.empty((len(rows), len(self.meta.classes)))
        for start in range(0, len(rows), PREDICT_BATCH):
            batch = images[rows[start : start + PREDICT_BATCH]]
            averages[start : start + len(batch)] = self._predict_batch(batch)[: len(batch)]
        if not np.isfinite(averages).all():
            raise UserError(
                "the network's output is not finite: the model is broken; train it again with "
                "`dvc repro --force train`, and with a lower train.lr if it happens again"
            )
        return temper(averages, self.calibration.temperature)

    @torch.inference_mode()
    def _predict_batch(self, images: npt.NDArray[np.uint8]) -> Probabilities:
        """Return the probabilities of a padded batch, float64 of shape (PREDICT_BATCH, classes)."""
        padded = np.zeros((PREDICT_BATCH, *images.shape[1:]), np.uint8)
        padded[: len(images)] = images
        inputs = to_input(torch.from_numpy(padded).to(self.device), self.meta)
        seen = views(inputs, self.calibration.second_view_scale, self.meta.mirror_keeps_class)
        return average([self.network(view).cpu().double() for view in seen]).numpy()


def temper(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Divide logarithms of probabilities by a temperature; the order of the classes stays.

    The logarithms are those of the mean over a photo's views, so that no temperature changes which
    class is the most probable.

    Parameters
    ----------
    probabilities : float64 array of shape (N, classes)
        Rows sum to 1, before and after.
    temperature : float
        Above 1 for less sure, below 1 for surer.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017.
    """
    if temperature == 1:
        return probabilities
    smallest = np.finfo(np.float64).tiny  # of 0 there is no logarithm
    return np.asarray(softmax(np.log(np.maximum(probabilities, smallest)) / temperature, axis=1))


def views(inputs: Tensor, second_scale: float, mirror_keeps_class: bool) -> list[Tensor]:
    """Return what a network sees of photos: (B, 3, H, H), their mirror images, and both enlarged.

    With a `second_scale` of 1 there is no second size; mirror images only if they keep their class.
    """
    sizes = [inputs]
    if second_scale != 1:
        size_px = round(second_scale * inputs.shape[3])
        sizes.append(F.interpolate(inputs, size=[size_px] * 2, mode="bilinear"))
    if not mirror_keeps_class:
        return sizes
    return [view for size in sizes for view in (size, size.flip(3))]


def average(logits: list[Tensor]) -> Tensor:
    """Return the mean probabilities of photos over their views; all (B, classes)."""
    return torch.stack(logits).softmax(dim=2).mean(dim=0)


def to_input(images: Tensor, meta: ModelMeta) -> Tensor:
    """Turn images, uint8 (B, S, S, 3), into the network's inputs, float32 (B, 3, H, H)."""
    inputs = normalize(images, meta.mean, meta.std)
    if meta.input_size_px == meta.image_size_px:
        return inputs
    return F.interpolate(inputs, size=[meta.input_size_px] * 2, mode="bilinear")


def normalize(images: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """Give images zero mean and unit variance per channel, as a network wants them.

    Parameters
    ----------
    images : tensor of shape (B, H, W, 3)
        RGB values from 0 to 255.

    Returns
    -------
    float32 tensor of shape (B, 3, H, W)
        In channels-last memory format, which is the order the photos have in the store.
    """
    center = 255 * torch.tensor(mean, device=images.device)
    scale = 1 / (255 * torch.tensor(std, device=images.device))
    return ((images - center) * scale).permute(0, 3, 1, 2)
