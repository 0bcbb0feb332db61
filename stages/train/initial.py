"""The model that a training starts from, with random weights or pretrained ones."""

import sys
from dataclasses import dataclass

import torch
from torch import nn

from stages.common.errors import UserError
from stages.common.schema import Params
from stages.common.store import StoreMeta
from stages.model.classifier import ModelMeta
from stages.model.device import Precision, choose_precision, why_bf16_is_slow
from stages.model.networks import build_network
from stages.train.distributed import World
from stages.train.pretrained import Pretrained, load_pretrained, load_pretrained_into


@dataclass(frozen=True)
class InitialModel:
    """A network with its first weights.

    Attributes
    ----------
    network : Module
    meta : ModelMeta
        What model.json will say of the trained one.
    pretrained : set of str
        Names of the weights that were trained before.
    weights_sha256 : str
        Of the file of pretrained weights; ``none`` without one.
    warnings : tuple of str
        What a user should know of these weights.
    """

    network: nn.Module
    meta: ModelMeta
    pretrained: frozenset[str] = frozenset()
    weights_sha256: str = "none"
    warnings: tuple[str, ...] = ()


def build_initial_model(
    params: Params, store_meta: StoreMeta, device: torch.device
) -> InitialModel:
    """Build the network for a store's classes, with the weights that the parameters ask for.

    The device is only asked which precision is fast on it.
    """
    network = build_initial_network(params, len(store_meta.classes))
    weights = load_pretrained(params.model)
    precision = choose_precision(params.train.precision, device, network)
    meta = model_meta(params, store_meta, weights, precision)
    if weights is None:
        return InitialModel(network, meta)
    pretrained = load_pretrained_into(network, weights)
    warnings = []
    if weights.store_sha256 not in ("", store_meta.manifest_sha256):
        warnings.append(
            "was trained on another store; if that had the same photos, split otherwise, it knows "
            "test photos, and the accuracy is too high"
        )
    if half := {tensor.dtype for tensor in weights.weights.values()} & {torch.half, torch.bfloat16}:
        warnings.append(f"holds weights rounded to {half.pop()}; those in full may be a bit better")
    return InitialModel(network, meta, pretrained, weights.sha256, tuple(warnings))


def build_initial_network(params: Params, n_classes: int) -> nn.Module:
    """Build the network with random weights, which ``train.seed`` decides."""
    with torch.random.fork_rng(devices=[]):  # PyTorch draws them from its global state
        torch.manual_seed(params.train.seed)
        try:
            return build_network(params.model.name, params.model.width, n_classes)
        except UserError as error:
            raise UserError(f"params.yaml: model.name: {error}") from error


def model_meta(
    params: Params, store_meta: StoreMeta, weights: Pretrained | None, precision: Precision
) -> ModelMeta:
    """Return what model.json will say; input size and normalization follow pretrained weights."""
    return ModelMeta(
        architecture=params.model.name,
        width=params.model.width,
        classes=store_meta.classes,
        image_size_px=store_meta.image_size_px,
        input_size_px=weights.size_px if weights else store_meta.image_size_px,
        mean=weights.mean if weights else store_meta.mean,
        std=weights.std if weights else store_meta.std,
        fit=store_meta.fit,
        mirror_keeps_class=store_meta.mirror_keeps_class,
        precision=precision,
        store_images_sha256=store_meta.images_sha256,
        store_manifest_sha256=store_meta.manifest_sha256,
        parameters={"model": params.model.model_dump(), "train": params.train.model_dump()},
    )


def announce(start: InitialModel, n_photos: int, params: Params, world: World) -> None:
    """Say what is about to be trained, and what a user should know before."""
    warn_of_small_photos(start.meta)
    warn_of_slow_precision(start, world.device)
    for warning in start.warnings:
        print(f"warning: model.weights: {params.model.weights} {warning}", file=sys.stderr)
    doing = "training" if params.train.epochs else "fitting only the head of"
    print(
        f"{doing} {params.model.name} on {n_photos} photos, on {world} in {start.meta.precision}",
        flush=True,
    )


def warn_of_small_photos(meta: ModelMeta) -> None:
    """Say so if the store's photos are smaller than what the pretrained weights are made for."""
    if meta.image_size_px < meta.input_size_px:
        print(
            f"warning: photos of {meta.image_size_px} px are scaled up to the {meta.input_size_px} "
            f"px of the weights: set prepare.image_size_px to {meta.input_size_px}",
            file=sys.stderr,
        )


def warn_of_slow_precision(start: InitialModel, device: torch.device) -> None:
    """Say so if bfloat16 was asked for where single precision is as fast, or faster."""
    reason = why_bf16_is_slow(device, start.network)
    if start.meta.precision == "bf16" and reason:
        print(f"warning: train.precision is bf16, but {reason}; set it to auto", file=sys.stderr)
