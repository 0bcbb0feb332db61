"""What a photo costs with each pretrained network on this machine: docs/fine-tuning.md.

``python -m benchmarks.networks [name ...]`` prints a table: parameters, the accuracy on ImageNet
that torchvision states, and milliseconds per photo of a probe (two forward passes) and of
fine-tuning (a forward and a backward pass), in batches as params.yaml says.
"""

import argparse
from collections.abc import Callable

import torch
import torchvision.models as zoo
from torch import nn
from torch.nn import functional as F

from benchmarks.common import seconds
from stages.common.errors import run_stage
from stages.common.params import load_params
from stages.common.schema import Params
from stages.model.device import autocast, choose_device, choose_precision, set_up_torch
from stages.model.networks import build_network, default_weights

NETWORKS = [
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "mobilenet_v2",
    "resnet18",
    "efficientnet_b0",
    "regnet_y_800mf",
    "resnet50",
    "convnext_tiny",
]

REPEATS = 5

ROW = "| {:18} | {:>10} | {:>17} | {:>14} | {:>15} |"


def shortest(work: Callable[[], object], device: torch.device) -> float:
    """Return the shortest of a few times, in seconds; the first call is not counted."""
    return min([seconds(work, device) for _ in range(REPEATS + 1)][1:])


def imagenet_accuracy(name: str) -> str:
    """Return what torchvision states for a network's default weights."""
    if name not in zoo.list_models(module=zoo):
        return ""
    metrics = zoo.get_model_weights(name).DEFAULT.meta["_metrics"]["ImageNet-1K"]
    return f"{metrics['acc@1']:.1f} %"


def measure(name: str, params: Params) -> str:
    """Return a network's row of the table."""
    device = choose_device(params.train.device, "train.device")
    network: nn.Module = build_network(name, width=32, classes=5)
    size_px, batch_size = default_weights(name).size_px, params.train.batch_size
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand(batch_size, 3, size_px, size_px, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    small = F.interpolate(images, size=[7 * size_px // 8] * 2)
    precision = choose_precision(params.train.precision, device, network)
    labels = torch.zeros(batch_size, dtype=torch.int64, device=device)

    def probe() -> None:
        network.eval()
        with torch.inference_mode(), autocast(precision, device):
            network(images)
            network(images.flip(3))

    def passes() -> None:
        network.train()
        network.zero_grad()
        with autocast(precision, device):
            loss = F.cross_entropy(network(small), labels)
        loss.backward()  # type: ignore[no-untyped-call]

    times = [f"{1000 * shortest(work, device) / batch_size:.1f} ms" for work in (probe, passes)]
    millions = sum(weight.numel() for weight in network.parameters()) / 1e6
    return ROW.format(name, f"{millions:.1f} M", imagenet_accuracy(name), *times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=NETWORKS)
    names = parser.parse_args().names
    params = load_params()
    set_up_torch(params.train.threads)
    columns = "network", "parameters", "ImageNet accuracy", "probe, a photo", "passes, a photo"
    print(ROW.format(*columns) + "\n|---|---|---|---|---|")
    for name in names:
        print(measure(name, params), flush=True)


if __name__ == "__main__":
    run_stage(main)
