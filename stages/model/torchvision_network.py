"""torchvision's classification networks by name, with a head for our classes."""

import torchvision.models as zoo
from torch import nn

from stages.model.flowernet import DefaultWeights, head_name, unknown_network

HEAD_CLASSES = 1000
"""What torchvision's own heads tell apart, the classes of ImageNet."""


def build_torchvision_network(name: str, classes: int) -> nn.Module:
    """Build a network with random weights.

    The auxiliary heads that two of them have are left out.

    Raises
    ------
    UserError
        If torchvision has no classification network of this name.
    """
    known = zoo.list_models(module=zoo)
    if name not in known:
        raise unknown_network(name, known)
    # transform_input: as their weights were trained, on inputs that the network scales itself
    plain = {"init_weights": True, "aux_logits": False, "transform_input": True}
    options = plain if name in ("googlenet", "inception_v3") else {}
    network: nn.Module = zoo.get_model(name, weights=None, **options)
    replace_layer(network, head_name(network), classes)
    return network


def default_weights(name: str) -> DefaultWeights:
    """Return what torchvision says of a network's weights."""
    entry = zoo.get_model_weights(name).DEFAULT
    transforms = entry.transforms()
    mean, std, (size_px,) = transforms.mean, transforms.std, transforms.crop_size
    return DefaultWeights(entry.url, list(mean), list(std), size_px)


def replace_layer(network: nn.Module, name: str, classes: int) -> None:
    """Put a new layer of the same kind in a head's place, with one output per class."""
    parent_name, _, attribute = name.rpartition(".")
    parent = network.get_submodule(parent_name)
    head = getattr(parent, attribute)
    if isinstance(head, nn.Linear):
        assert head.out_features == HEAD_CLASSES
        setattr(parent, attribute, nn.Linear(head.in_features, classes, head.bias is not None))
    else:
        assert head.out_channels == HEAD_CLASSES
        setattr(parent, attribute, nn.Conv2d(head.in_channels, classes, head.kernel_size))
