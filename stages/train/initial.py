"""The model that a training starts from, with random weights or pretrained ones."""

from dataclasses import dataclass

import torch
from torch import nn

from stages.model.classifier import ModelMeta
from stages.model.device import Precision, choose_precision
from stages.common.errors import UserError
from stages.model.flowernet import build_network
from stages.common.schema import Params
from stages.common.store import StoreMeta
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
    may_know_test_photos : bool
        Whether the weights were trained here on another store.
    """

    network: nn.Module
    meta: ModelMeta
    pretrained: frozenset[str] = frozenset()
    weights_sha256: str = "none"
    may_know_test_photos: bool = False


def build_initial_model(
    params: Params, store_meta: StoreMeta, device: torch.device
) -> InitialModel:
    """Build the network for a store's classes, with the weights that the parameters ask for.

    The device is only asked which precision is fast on it.

    Raises
    ------
    UserError
        If there is no such network, or no such weights.
    """
    network = build_initial_network(params, len(store_meta.classes))
    weights = load_pretrained(params.model)
    precision = choose_precision(params.train.precision, device, network)
    meta = model_meta(params, store_meta, weights, precision)
    if weights is None:
        return InitialModel(network, meta)
    pretrained = load_pretrained_into(network, weights)
    other_store = weights.store_sha256 not in ("", store_meta.manifest_sha256)
    return InitialModel(network, meta, pretrained, weights.sha256, other_store)


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
        precision=precision,
        store_images_sha256=store_meta.images_sha256,
        store_manifest_sha256=store_meta.manifest_sha256,
    )
