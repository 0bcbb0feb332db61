"""flowernet, a small residual network for small photos.

It is in the manner of He et al., "Deep residual learning for image recognition" (2016), with the
average pooling before a shortcut's projection of He et al., "Bag of tricks for image classification
with convolutional neural networks" (2019).
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn


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
