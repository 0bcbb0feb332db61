"""The heart of the training: a step on one batch, and the validation after an epoch."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.model.classifier import ModelMeta, to_input
from stages.train.data import Batch, to_device
from stages.train.state import TrainState


def train_step(state: TrainState, inputs: Tensor, labels: Tensor, weight: float = 1.0) -> Tensor:
    """Take one step of the optimizers on one batch.

    Parameters
    ----------
    state : TrainState
    inputs : float32 tensor of shape (B, 3, H, W)
    labels : int64 tensor of shape (B,)
    weight : float
        Factor of the loss in the backward pass. With several processes it makes their averaged
        gradient that of the complete batch.

    Returns
    -------
    tensor of shape ()
        The mean cross-entropy of the batch, plain, so that it compares with the validation's.
    """
    state.network.zero_grad()
    with state.autocast():
        logits = state.forward(inputs)
        loss = state.loss_fn(logits, labels)
    (weight * loss).backward()  # type: ignore[no-untyped-call]
    for optimizer, scheduler in zip(state.optimizers, state.schedulers, strict=True):
        optimizer.step()
        scheduler.step()
    state.ema.update_parameters(state.network)
    return F.cross_entropy(logits.detach().float(), labels)


@torch.inference_mode()
def validate(state: TrainState, batches: Iterable[Batch], meta: ModelMeta) -> tuple[float, float]:
    """Return the averaged weights' mean loss per photo, and their accuracy from 0 to 1.

    The loss is plain cross-entropy, whatever label smoothing the training uses: it chooses the
    epoch that is kept.
    """
    world = state.world
    world.broadcast_buffers(state.ema.module)  # each process has averaged its own
    sums = torch.zeros(3, device=world.device)  # losses, photos classified correctly, photos
    for batch in batches:
        images, labels, _ = to_device(batch, world.device)
        with state.autocast():
            logits = state.ema(to_input(images, meta)).float()
        sums[0] += F.cross_entropy(logits, labels, reduction="sum")
        sums[1] += (logits.argmax(dim=1) == labels).sum()
        sums[2] += len(labels)
    loss_sum, n_correct, n_photos = world.sum_over_processes(sums).tolist()
    return loss_sum / n_photos, n_correct / n_photos
