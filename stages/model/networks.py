"""The networks by name: flowernet, torchvision's, and timm's as ``timm/<name>``.

torchvision and timm are imported where they are used, because each takes two seconds, which
flowernet saves. timm is an optional extra: ``pip install timm``.
"""

import difflib
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from types import ModuleType

from torch import Tensor, nn

from stages.common.errors import UserError
from stages.model.flowernet import build_flowernet

FLOWERNET = "flowernet"

TIMM = "timm/"
"""What the name of a network of timm starts with."""

TIMM_FILE = "model.safetensors"
"""What timm's repositories of weights have, unless they say otherwise."""

IMAGENET_CLASSES = 1000
"""What torchvision's own heads tell apart."""


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
    """
    if name == FLOWERNET:
        return build_flowernet(width, classes)
    return (
        _build_timm(name, classes) if name.startswith(TIMM) else _build_torchvision(name, classes)
    )


def default_weights(name: str) -> DefaultWeights:
    """Return what a network's library says of its weights; a name of timm may end in their tag."""
    if name.startswith(TIMM):
        timm = _import_timm()
        entry = timm.get_pretrained_cfg(_timm_name(name)) or timm.models.PretrainedCfg()
        repository = f"{entry.hf_hub_id}/{entry.hf_hub_filename or TIMM_FILE}"
        source = repository if entry.hf_hub_id else ""
        return DefaultWeights(source, list(entry.mean), list(entry.std), entry.input_size[-1])
    import torchvision.models as zoo

    weights = zoo.get_model_weights(name).DEFAULT
    transforms = weights.transforms()
    (size_px,) = transforms.crop_size
    return DefaultWeights(weights.url, list(transforms.mean), list(transforms.std), size_px)


def load_weights(network: nn.Module, weights: dict[str, Tensor], strict: bool = True) -> None:
    """Load weights that are named as the network names them; mnasnet asks for a version, too."""
    state = OrderedDict(weights)
    state._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
    network.load_state_dict(state, strict)


def head_name(network: nn.Module) -> str:
    """Return the dotted name of the layer that gives the logits: the last linear or convolution."""
    kinds = nn.Linear | nn.Conv2d
    layers = [name for name, module in network.named_modules() if isinstance(module, kinds)]
    return str(layers[-1])


def replace_layer(network: nn.Module, name: str, classes: int) -> None:
    """Put a new layer of the same kind in a head's place, with one output per class."""
    parent_name, _, attribute = name.rpartition(".")
    parent = network.get_submodule(parent_name)
    head = getattr(parent, attribute)
    if isinstance(head, nn.Linear):
        assert head.out_features == IMAGENET_CLASSES
        setattr(parent, attribute, nn.Linear(head.in_features, classes, head.bias is not None))
    else:
        assert head.out_channels == IMAGENET_CLASSES
        setattr(parent, attribute, nn.Conv2d(head.in_channels, classes, head.kernel_size))


def _build_torchvision(name: str, classes: int) -> nn.Module:
    """Build a network without the auxiliary heads that two of them have."""
    import torchvision.models as zoo

    known = zoo.list_models(module=zoo)
    if name not in known:
        raise _unknown_network(name, known)
    # transform_input: as their weights were trained, on inputs that the network scales itself
    plain = {"init_weights": True, "aux_logits": False, "transform_input": True}
    options = plain if name in ("googlenet", "inception_v3") else {}
    network: nn.Module = zoo.get_model(name, weights=None, **options)
    replace_layer(network, head_name(network), classes)
    return network


def _build_timm(name: str, classes: int) -> nn.Module:
    network: nn.Module = _import_timm().create_model(
        _timm_name(name), pretrained=False, num_classes=classes
    )
    if not hasattr(network, "get_classifier"):
        raise UserError(f"{name} is an encoder without a head for classes; choose another network")
    return network


def _timm_name(name: str) -> str:
    """Return timm's own name of a network, if there is one."""
    timm = _import_timm()
    known = {*timm.list_models(), *timm.list_models(include_tags=True)}
    if name.removeprefix(TIMM) not in known:
        raise _unknown_network(name, [TIMM + each for each in sorted(known)])
    return name.removeprefix(TIMM)


def _import_timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise UserError(
            f"a network {TIMM}... needs the package timm, which is not installed; install it: "
            "pip install timm"
        ) from error
    return timm


def _unknown_network(name: str, known: Collection[str]) -> UserError:
    """Return the error that there is no network of this name; it shows the nearest ones."""
    near = difflib.get_close_matches(name, known, n=3)
    hint = (
        f"did you mean {' or '.join(near)}?" if near else "docs/fine-tuning.md says where they are"
    )
    return UserError(
        f"there is no network {name!r}; allowed are flowernet, torchvision's classification "
        f"networks, and timm's as {TIMM}<name>; {hint}"
    )
