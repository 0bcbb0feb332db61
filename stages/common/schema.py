"""The schema of params.yaml: every hyperparameter with its type, range and meaning.

A value has its one place in params.yaml; there are no defaults here, because a value that is not
in the file is one that ``dvc params diff`` cannot show.
"""

import math
from fractions import Fraction as Exact
from pathlib import Path, PurePath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Fit = Literal["crop", "pad", "stretch"]


def count_folds(test_fraction: float) -> int:
    """Return how many test splits of this size the photos make."""
    return round(1 / Exact(test_fraction))


def hold_each_photo_once(folds: int, test_fraction: float) -> bool:
    """Tell whether so many test splits hold each photo once; a third may be written as 0.333."""
    return abs(folds * Exact(test_fraction) - 1) <= 0.01


class Section(BaseModel):
    """A section of params.yaml: typed without coercion, frozen, without unknown keys."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


GARDEN = "garden"
"""What ``data.photos`` says for the built-in garden: the folder of the package that draws it."""

DRAWN = Path("data/demo")
"""Where its photos are."""


class Data(Section):
    """Where the photos are."""

    photos: Annotated[str, Field(min_length=1)]
    """A folder or a .tar, .tar.gz, .tgz or .zip archive, or ``garden``."""

    @property
    def source(self) -> Path:
        """The folder or archive, also of the garden's photos."""
        return DRAWN if self.photos == GARDEN else Path(self.photos)


class Garden(Section):
    """The built-in garden, which prepare has drawn."""

    seed: Seed
    photos_per_species: Annotated[int, Field(ge=1, le=100_000)]
    image_size_px: Annotated[int, Field(ge=64, le=1024)]
    """Longer side of a drawn photo."""


class Prepare(Section):
    """From photos to the store."""

    seed: Seed
    """Decides, with each photo's content, which split the photo is in."""
    image_size_px: Annotated[int, Field(ge=16, le=1024)]
    """Side of the square images in the store."""
    validation_fraction: Annotated[float, Field(gt=0, lt=1)]
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    fold: Annotated[int, Field(ge=0)]
    """Which of the 1 / test_fraction parts of the photos is the test split, from 0."""
    min_side_px: Annotated[int, Field(ge=1)]
    """A photo with a shorter side than this is rejected."""
    max_megapixels: Annotated[float, Field(gt=0, le=1000)]
    """A photo with more million pixels than this is rejected, undecoded."""
    fit: Fit
    """How a photo becomes a square: the middle of it, or all of it, padded or stretched."""
    max_aspect_ratio: Annotated[float, Field(ge=1)]
    """A photo whose longer side is more than this times its shorter side is rejected."""
    max_rejected_fraction: Annotated[float, Field(ge=0, le=1)]
    """More rejected photos than this share of all is an error."""
    near_duplicate_bits: Annotated[int, Field(ge=0, le=16)] | Literal["off"]
    """Photos whose perceptual hashes differ in at most this many bits stay in one split."""
    mirror_keeps_class: bool
    """Whether a photo's mirror image is one of the same class, in all that the pipeline does."""
    given_splits: Literal["keep", "ignore"]
    """Whether photos that come in train, validation and test folders stay in those splits."""

    @field_validator("fold")
    @classmethod
    def _fit_the_folds(cls, fold: int, info: ValidationInfo) -> int:
        if fold == 0 or "test_fraction" not in info.data:
            return fold
        test = info.data["test_fraction"]
        folds = count_folds(test)
        if not hold_each_photo_once(folds, test):
            raise ValueError(
                f"0 while prepare.test_fraction is {test:g}; set that to {1 / folds:.4g}, so that "
                f"{folds} folds test each photo once"
            )
        if fold >= folds:
            raise ValueError(
                f"below {folds}, the number of folds that prepare.test_fraction = {test:g} makes"
            )
        return fold

    @property
    def folds(self) -> int:
        """How many parts of the photos are tested in a cross-validation, one after another."""
        return count_folds(self.test_fraction)

    @field_validator("test_fraction")
    @classmethod
    def _leave_a_train_split(cls, test: float, info: ValidationInfo) -> float:
        validation = info.data.get("validation_fraction", 0)
        if validation + test >= 1:
            raise ValueError(
                f"below 1 - validation_fraction = {1 - validation:g}, so that photos are left to "
                "train on"
            )
        return test


class Model(Section):
    """The network."""

    name: Annotated[str, Field(min_length=1)]
    """flowernet, or a classification network: one of torchvision, or ``timm/`` and one of timm."""
    width: Annotated[int, Field(ge=8, le=512, multiple_of=8)]
    """Channels after flowernet's stem; each later block has more."""
    weights: Annotated[str, Field(min_length=1)]
    """none for random ones, DEFAULT for the network's own, or a file or folder in data/weights."""

    @field_validator("weights")
    @classmethod
    def _have_default_weights(cls, weights: str, info: ValidationInfo) -> str:
        if weights == "DEFAULT" and info.data.get("name") == "flowernet":
            raise ValueError("none or a folder, since flowernet has no default weights")
        if PurePath(weights).is_absolute() or ".." in PurePath(weights).parts:
            raise ValueError(
                "none, DEFAULT or the name of a file in data/weights, where DVC sees it "
                f"change; copy or link it there: ln -s {weights} data/weights/"
            )
        return weights


class Train(Section):
    """The training loop."""

    seed: Seed
    """Draws the first weights, and every epoch's order and augmentation."""
    device: Literal["auto", "cpu", "cuda", "mps"]
    threads: Annotated[int, Field(ge=1, le=1024)]
    """CPU threads of PyTorch; another number gives other last digits."""
    epochs: Annotated[int, Field(ge=0, le=10_000)]
    """0 fits only the head of a pretrained network (stages/train/probe.py)."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)]
    lr: Annotated[float, Field(gt=0, le=10)]
    """Highest learning rate, reached when the warm-up ends."""
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    warmup_fraction: Fraction
    """Share of all steps in which the learning rate rises from 0."""
    label_smoothing: Fraction
    class_balance: Annotated[float, Field(ge=0, le=1)]
    """Power of a class's inverse frequency that weights its photos in the loss; 0 weights none."""
    ema_decay: Fraction
    """Decay per step of the averaged weights that are validated and kept; 0 averages nothing."""
    first_image_size_px: Annotated[int, Field(ge=16, le=1024)]
    """Side of the first epochs' images; from there it grows to 7/8 of the network's input size."""
    min_crop_area: Annotated[float, Field(gt=0, le=1)]
    """Smallest share of a photo that a training crop shows; 1 crops nothing."""
    color_jitter: Fraction
    """Strength of random changes in brightness, contrast and saturation; 0 changes nothing."""
    distortion: Annotated[float, Field(ge=0, le=1)]
    """Strength of one more change per photo, from rotation to an erased square; 0 makes none."""
    pretrained_lr_factor: Annotated[float, Field(ge=0, le=1)]
    """What the learning rate of pretrained weights is multiplied by; the head has the full one."""
    patience: Annotated[int, Field(ge=0)]
    """Epochs without a lower validation loss that end the training early; 0 never does."""
    precision: Literal["auto", "fp32", "bf16"]
    """Of the training passes; auto is bf16 on a device that is fast at it, fp32 elsewhere."""
    compile: bool
    """Compile the network's passes: slow to start, and on a GPU faster to run."""
    processes: Annotated[int, Field(ge=1, le=65_536)]
    """Processes that train together, each on its part of every batch; with GPUs, one on each."""

    @field_validator("processes")
    @classmethod
    def _a_photo_for_each_process(cls, processes: int, info: ValidationInfo) -> int:
        if processes > info.data.get("batch_size", math.inf):
            raise ValueError(f"at most train.batch_size = {info.data['batch_size']}")
        return processes


class Evaluate(Section):
    """The test of the trained model."""

    second_view_scale: Annotated[float, Field(ge=1, le=2)]
    """Photos are also shown enlarged by this factor, the answers averaged; 1 shows them once."""
    answered_fraction: Annotated[float, Field(gt=0, le=1)]
    """Share of photos to answer; of the others, those of the least confidence, it is unsure."""


class Runtime(Section):
    """What changes at most the last digits: no stage depends on it."""

    save_every_seconds: Annotated[float, Field(gt=0)]
    """Time between checkpoints within an epoch."""
    loader_workers: Annotated[int, Field(ge=0, le=256)]
    """Processes that gather batches ahead of the training loop; 0 gathers in the loop."""


class Params(Section):
    """The whole of params.yaml."""

    data: Data
    garden: Garden
    prepare: Prepare
    model: Model
    train: Train
    evaluate: Evaluate
    runtime: Runtime
