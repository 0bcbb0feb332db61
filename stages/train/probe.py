"""The linear probe, ``train.epochs: 0``: fit only the head, on features computed once.

The pretrained network stays as it is. It turns each photo, and its mirror image where that keeps
its class, into features, the inputs of its head; the head is then a logistic regression on them.
"""

import copy
import time
import warnings
from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.common.errors import UserError
from stages.common.schema import Runtime, Train
from stages.common.store import Split, Store
from stages.model.classifier import ModelMeta, to_input, views
from stages.model.device import autocast
from stages.model.networks import head_name
from stages.train.checkpoints import Checkpoints, StateDict, misfit
from stages.train.checks import readable_device_errors
from stages.train.clock import Every
from stages.train.data import (
    GpuDataset,
    SplitDataset,
    load_batches,
    split_into_batches,
    to_gpu_if_fits,
)
from stages.train.distributed import World
from stages.train.history import (
    EPOCH_HEADER,
    Epoch,
    best_epoch,
    progress_bar,
    show_epoch,
    write_history,
)
from stages.train.initial import InitialModel
from stages.train.loss import class_weights
from stages.train.stopping import StopRequest

Floats = npt.NDArray[np.float64]

SPLITS: tuple[Split, ...] = ("train", "validation")

PENALTIES = (0.1, 0.03, 0.01, 0.003, 0.001)
"""Weights of half the squared norm in the mean loss; the validation split chooses among them."""

MOST_STEPS = 200
"""Of L-BFGS, for each penalty."""


class Probe:
    """A linear probe, ready to run; used like a `Training`.

    Parameters
    ----------
    start : InitialModel
        Its weights but those of the head are pretrained.
    store : Store
    params : Train
    runtime : Runtime
    world : World
        Of one process.
    """

    def __init__(
        self, start: InitialModel, store: Store, params: Train, runtime: Runtime, world: World
    ) -> None:
        if world.size > 1:
            raise UserError(
                "params.yaml: train.epochs is 0: a linear probe takes one process; start it with "
                "`python -m stages.train`"
            )
        self.meta, self.params, self.runtime, self.world = start.meta, params, runtime, world
        self.network = world.move(start.network).eval()
        self.head = linear_head(self.network, start.meta)
        self.autocast = partial(autocast, start.meta.precision, world.device)
        self.sets = {
            split: to_gpu_if_fits(SplitDataset.of(store, split), world.device) for split in SPLITS
        }
        self.labels = {
            split: torch.from_numpy(store.labels[store.indices(split)]) for split in SPLITS
        }
        self.features: dict[Split, list[Tensor]] = {split: [] for split in SPLITS}
        """Of each batch so far: photos, then their mirror images; float32 (views, B, D)."""

    @property
    def train_set(self) -> SplitDataset | GpuDataset:
        """The photos that the head is fitted to."""
        return self.sets["train"]

    def run(self, checkpoints: Checkpoints, stop: StopRequest) -> nn.Module:
        """Compute the features, fit the head, write row 0 of metrics/loss.csv.

        Returns
        -------
        Module
            The network with the fitted head, in evaluation mode.

        Raises
        ------
        Stopped
            If a signal asked for it; the features so far are saved by then.
        """
        if checkpoint := checkpoints.load():
            self.resume(checkpoint)
        begin, n_before = time.monotonic(), self.n_photos
        for split in SPLITS:
            self.extract(split, checkpoints, stop)
        checkpoints.save(self.state_dict())
        seconds = max(time.monotonic() - begin, 1e-9)
        train, validation = (torch.cat(self.features[split], dim=1) for split in SPLITS)
        # The accuracy of photos as they are, without their mirror images, as in other epochs.
        row = self.fit(train, validation[:1], stop)
        write_history([row])
        images_per_second = len(train) * (self.n_photos - n_before) / seconds
        print(EPOCH_HEADER)
        print(show_epoch([row], 0, images_per_second, seconds_left=0), flush=True)
        return self.network

    def fit(self, train: Tensor, validation: Tensor, stop: StopRequest) -> Epoch:
        """Fit the head with each penalty, keep the one of the lowest validation loss.

        Parameters
        ----------
        train, validation : float32 tensors of shape (views, N, D)
        stop : StopRequest
        """
        labels, val_labels = self.labels["train"], self.labels["validation"]
        balance = class_weights(np.bincount(labels.numpy()), self.params.class_balance)
        rows, heads = [], []
        for head in fit_heads(self.head, train, labels, torch.from_numpy(balance)[labels]):
            stop.leave_if_asked("the fit of the head")
            train_loss, _ = measure(head, train, labels)
            rows.append(Epoch(0, train_loss, *measure(head, validation, val_labels), 0.0))
            heads.append(head)
        best = rows.index(best_epoch(rows))
        self.head.load_state_dict(heads[best].state_dict())
        print(f"fitted with a penalty of {PENALTIES[best]:g} on the head's squared weights")
        return rows[best]

    @torch.inference_mode()
    def extract(self, split: Split, checkpoints: Checkpoints, stop: StopRequest) -> None:
        """Compute the features of a split that are missing; save them when it is time."""
        dataset, done = self.sets[split], self.features[split]
        save_timer = Every(self.runtime.save_every_seconds)
        batches = split_into_batches(np.arange(len(dataset)), self.params.batch_size)
        loader = load_batches(
            dataset, batches[len(done) :], self.runtime.loader_workers, self.world
        )
        size_px, n_done = self.meta.input_size_px, sum(map(len, batches[: len(done)]))
        bar = progress_bar(f"features of {split}", n_done, len(dataset))
        with bar, readable_device_errors(self.params.batch_size, size_px):
            for images, _, _ in loader:
                inputs = to_input(images.to(self.world.device, non_blocking=True), self.meta)
                seen = views(inputs, 1, self.meta.mirror_keeps_class)
                with self.autocast():
                    features = [features_of(self.network, self.head, view) for view in seen]
                done.append(torch.stack(features).float().cpu())
                bar.update(len(images))
                if save_timer.is_due() or stop.is_asked:
                    checkpoints.save(self.state_dict())
                    stop.leave_if_asked(f"photo {self.n_photos + 1}")

    def state_dict(self) -> StateDict:
        """Return what takes long to compute."""
        return {"features": self.features}

    def resume(self, checkpoint: StateDict) -> None:
        """Continue with the features that `state_dict` returned."""
        nothing = torch.empty(1 + self.meta.mirror_keeps_class, 0, self.head.in_features)
        try:
            for split in SPLITS:
                self.features[split] = list(checkpoint["features"][split])
                n_photos = torch.cat([nothing, *self.features[split]], dim=1).shape[1]
                if n_photos > len(self.sets[split]):
                    raise ValueError(f"features of {n_photos} photos")
        except (IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise misfit(error) from error
        print(f"resuming with the features of {self.n_photos} photos", flush=True)

    @property
    def n_photos(self) -> int:
        """How many photos have features by now."""
        return sum(batch.shape[1] for batches in self.features.values() for batch in batches)


def linear_head(network: nn.Module, meta: ModelMeta) -> nn.Linear:
    """Return the linear layer that a network ends in."""
    problem = f"params.yaml: train.epochs is 0, but of {meta.architecture} no head can be fitted"
    remedy = "set train.epochs to at least 1, or choose another network"
    head = network.get_submodule(head_name(network))
    if not isinstance(head, nn.Linear):
        raise UserError(f"{problem}: its last layer is a {type(head).__name__}; {remedy}")
    weight = next(network.parameters())
    inputs = weight.new_ones(1, 3, meta.input_size_px, meta.input_size_px)
    with torch.inference_mode():
        features, logits = features_of(network, head, inputs), network(inputs)
        if features.ndim != 2 or not torch.allclose(head(features), logits, rtol=1e-4, atol=1e-4):
            raise UserError(f"{problem}: it does not end in its last linear layer; {remedy}")
    return head


def features_of(network: nn.Module, head: nn.Module, inputs: Tensor) -> Tensor:
    """Return what a network feeds its head, of shape (B, D), for inputs (B, 3, H, W)."""
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, fed: seen.append(fed[0]))
    try:
        network(inputs)
    finally:
        hook.remove()
    return seen[-1]


def fit_heads(
    like: nn.Linear, features: Tensor, labels: Tensor, weights: Tensor
) -> Iterator[nn.Linear]:
    """Fit a head with each of PENALTIES, each fit starting from the result of the one before.

    Features are standardized for the fit, so that one penalty suits them all; the heads take them
    as they are. One thread computes, so that the bytes do not depend on the machine's cores.

    Parameters
    ----------
    like : Linear
        Of D inputs.
    features : float32 tensor of shape (views, N, D)
    labels : int64 tensor of shape (N,)
    weights : float32 tensor of shape (N,)
        What each photo counts; their mean is 1.
    """
    # Imported here, because it takes a second, which other trainings save.
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    mean, std = features.mean(dim=(0, 1)), features.std(dim=(0, 1)).clamp_min(1e-6)
    inputs = ((features - mean) / std).flatten(0, 1).double().numpy()
    targets, counts = labels.repeat(len(features)).numpy(), weights.repeat(len(features)).numpy()
    regression = LogisticRegression(
        fit_intercept=like.bias is not None, max_iter=MOST_STEPS, warm_start=True
    )
    for penalty in PENALTIES:
        regression.set_params(C=1 / (penalty * len(inputs)))  # it sums the losses
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that more steps would change the last digits
            regression.fit(inputs, targets, counts)
        yield plain_head(like, regression.coef_, regression.intercept_, mean, std)


@torch.no_grad()
def plain_head(
    like: nn.Linear, coefficients: Floats, intercepts: Floats, mean: Tensor, std: Tensor
) -> nn.Linear:
    """Return a head that does to features what a regression does to standardized ones."""
    if len(coefficients) == 1:  # of two classes it knows the difference
        coefficients, intercepts = (np.stack([-x[0], x[0]]) / 2 for x in (coefficients, intercepts))
    head = copy.deepcopy(like)
    head.weight.copy_(torch.from_numpy(coefficients) / std)
    if head.bias is not None:
        head.bias.copy_(torch.from_numpy(intercepts) - head.weight.double() @ mean.double())
    return head


@torch.no_grad()
def measure(head: nn.Linear, features: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy on features of shape (views, N, D)."""
    logits, targets = head(features.flatten(0, 1)), labels.repeat(len(features))
    accuracy = (logits.argmax(dim=1) == targets).float().mean()
    return F.cross_entropy(logits, targets).item(), accuracy.item()
