"""The networks: flowernet, a small residual network for small photos; torchvision's and timm's.

flowernet is in the manner of He et al., "Deep residual learning for image recognition" (2016), with
the average pooling before a shortcut's projection of He et al., "Bag of tricks for image
classification with convolutional neural networks" (2019).
"""

import difflib
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stages.common.errors import UserError

FLOWERNET = "flowernet"

TIMM = "timm/"
"""What the name of a network of timm starts with."""


@dataclass(frozen=True)
class DefaultWeights:
    """Where a library has a network's weights, and what photos must be like for them."""

    source: str
    """torchvision's address, or timm's repository and file on the Hugging Face Hub, or nothing."""
    mean: list[float]
    std: list[float]
    """Per channel, of values in [0, 1]."""
    size_px: int


def build_network(name: str, width: int, classes: int) -> nn.Module:
    """Build a network with random weights.

    Parameters
    ----------
    name : str
        ``flowernet``, or a classification network of torchvision, or ``timm/`` and one of timm.
    width : int
        Channels after flowernet's stem; others have widths of their own.
    classes : int

    Raises
    ------
    UserError
        If there is no network of this name.
    """
    if name == FLOWERNET:
        return build_flowernet(width, classes)
    # Imported here, because each takes two seconds, which flowernet can save.
    if name.startswith(TIMM):
        from stages.model.timm_network import build_timm_network

        return build_timm_network(name, classes)
    from stages.model.torchvision_network import build_torchvision_network

    return build_torchvision_network(name, classes)


def default_weights(name: str) -> DefaultWeights:
    """Return what a network's library says of its weights; flowernet has none."""
    if name.startswith(TIMM):
        from stages.model import timm_network

        return timm_network.default_weights(name)
    from stages.model import torchvision_network

    return torchvision_network.default_weights(name)


def unknown_network(name: str, known: Collection[str]) -> UserError:
    """Return the error that there is no network of this name; it shows the nearest ones."""
    near = difflib.get_close_matches(name, known, n=3)
    hint = (
        f"did you mean {' or '.join(near)}?" if near else "docs/fine-tuning.md says where they are"
    )
    return UserError(
        f"there is no network {name!r}; allowed are flowernet, torchvision's classification "
        f"networks, and timm's as {TIMM}<name>; {hint}"
    )


def build_flowernet(width: int, classes: int) -> nn.Module:
    """Build a flowernet with PyTorch's usual random weights.

    It maps normalized photos, float (B, 3, H, W), to logits, float (B, classes). H and W may be any
    size from 16 px up.
    """
    layers = {
        "stem": nn.Sequential(convolution(3, width, stride=2), nn.ReLU(inplace=True)),
        "block1": ResidualBlock(width, width, stride=1),
        "block2": ResidualBlock(width, 2 * width, stride=2),
        "block3": ResidualBlock(2 * width, 4 * width, stride=2),
        "block4": ResidualBlock(4 * width, 8 * width, stride=2),
        "pool": MeanAndMaximum(),
        "head": nn.Linear(2 * 8 * width, classes),
    }
    return nn.Sequential(OrderedDict(layers))


def head_name(network: nn.Module) -> str:
    """Return the dotted name of the layer that gives the logits: the last linear or convolution."""
    kinds = nn.Linear | nn.Conv2d
    layers = [name for name, module in network.named_modules() if isinstance(module, kinds)]
    return str(layers[-1])


def convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    """Return a 3 x 3 convolution and its batch norm."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
    )


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; the shortcut halves and projects where they do."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels_in, channels_out, stride),
            nn.ReLU(inplace=True),
            convolution(channels_out, channels_out),
        )
        self.shortcut = nn.Sequential()
        if channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False),
                nn.Conv2d(channels_in, channels_out, 1, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H / stride, W / stride)."""
        return torch.relu(self.body(images) + self.shortcut(images))


class MeanAndMaximum(nn.Module):
    """The mean of each channel over height and width, and its maximum.

    The mean tells how much of something is in a photo, the maximum whether it is there at all.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, 2 C)."""
        return torch.cat([images.mean(dim=(2, 3)), images.amax(dim=(2, 3))], dim=1)
