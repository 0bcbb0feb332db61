"""Where in a photo the network found the class that it predicts: class activation maps.

References
----------
Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
localization", 2017.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from stages.model.classifier import PREDICT_BATCH, Classifier, to_input

DIMMED = 0.2
"""How bright a photo stays where the network did not look."""

Images = npt.NDArray[np.uint8]
Maps = npt.NDArray[np.float32]


def activation_maps(classifier: Classifier, images: Images, classes: npt.NDArray[np.int64]) -> Maps:
    """Return where the network found a class in each photo.

    The last feature maps of the network are summed, each weighted by the mean gradient of the
    class's logit; evidence against the class is left out.

    Parameters
    ----------
    classifier : Classifier
        Its network must be convolutional to the end: other maps say little.
    images : uint8 array of shape (N, S, S, 3)
    classes : int64 array of shape (N,)
        The class to look for in each photo.

    Returns
    -------
    float32 array of shape (N, S, S)
        From 0 to 1, the highest of a photo; all 0 where nothing indicates the class.
    """
    maps = np.empty(images.shape[:3], np.float32)
    for start in range(0, len(images), PREDICT_BATCH):
        batch = slice(start, start + PREDICT_BATCH)
        small = _small_maps(classifier, images[batch], classes[batch])
        maps[batch] = [_enlarge(each, images.shape[1]) for each in small]
    return maps


def spotlight(image: Images, activation: Maps) -> Images:
    """Return a photo, uint8 (S, S, 3), dimmed where its map (S, S) is low."""
    light = DIMMED + (1 - DIMMED) * activation[..., None]
    return (image * light).round().astype(np.uint8)


def _small_maps(classifier: Classifier, images: Images, classes: npt.NDArray[np.int64]) -> Maps:
    """Return the maps in the size of the network's last feature maps, (N, h, w)."""
    inputs = to_input(torch.from_numpy(np.array(images)).to(classifier.device), classifier.meta)
    with torch.enable_grad():
        features, logits = _last_features(classifier.network, inputs.requires_grad_())
        of_class = logits.gather(1, torch.from_numpy(classes[:, None]).to(logits.device))
        (gradients,) = torch.autograd.grad(of_class.sum(), features)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    maps: Maps = (weights * features).sum(dim=1).relu().detach().float().cpu().numpy()
    return maps


def _last_features(network: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the last output of a module that still has height and width, and the logits."""
    seen: list[Tensor] = []

    def watch(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
            seen[:] = [output]

    hooks = [module.register_forward_hook(watch) for module in network.modules()]
    try:
        logits = network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return seen[-1], logits


def _enlarge(small: Maps, side: int) -> Maps:
    """Scale a map (h, w) to (side, side), and its highest value to 1."""
    large = np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BILINEAR))
    highest = large.max()
    return large / highest if highest > 0 else np.zeros_like(large)
