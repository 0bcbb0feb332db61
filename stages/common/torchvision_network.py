"""torchvision's classification networks by name, with a head for our classes."""

import difflib
import re
from dataclasses import dataclass

import torchvision.models as zoo
from torch import Tensor, nn

from stages.common.errors import UserError

HEAD_CLASSES = 1000
"""What torchvision's own heads tell apart, the classes of ImageNet."""

OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)")


def build_torchvision_network(name: str) -> nn.Module:
    """Build a network with random weights and torchvision's own head, for 1000 classes.

    The auxiliary heads that two of them have are left out.

    Raises
    ------
    UserError
        If torchvision has no classification network of this name.
    """
    check_name(name)
    # transform_input: as their weights were trained, on inputs that the network scales itself
    plain = {"init_weights": True, "aux_logits": False, "transform_input": True}
    options = plain if name in ("googlenet", "inception_v3") else {}
    network: nn.Module = zoo.get_model(name, weights=None, **options)
    return network


def check_name(name: str) -> None:
    """Raise a UserError that names the nearest networks, if there is none of this name."""
    known = zoo.list_models(module=zoo)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
        raise UserError(
            f"there is no network {name!r}; allowed are flowernet and torchvision's classification "
            f"networks; {hint}"
        )


@dataclass(frozen=True)
class DefaultWeights:
    """Where torchvision has a network's weights, and what photos must be like for them."""

    url: str
    mean: list[float]
    std: list[float]
    size_px: int


def default_weights(name: str) -> DefaultWeights:
    """Return what torchvision says of a network's weights."""
    entry = zoo.get_model_weights(name).DEFAULT
    transforms = entry.transforms()
    mean, std, (size_px,) = transforms.mean, transforms.std, transforms.crop_size
    return DefaultWeights(entry.url, list(mean), list(std), size_px)


def modern_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename what torchvision's files of densenets still call ``norm.1`` instead of ``norm1``."""
    return {OLD_NAME.sub(r"\1\2", name): value for name, value in weights.items()}


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
