"""timm's classification networks by name, as ``timm/<name>``, with a head for our classes.

timm is an optional extra: ``pip install timm``.
"""

from torch import nn

from stages.common.errors import UserError
from stages.model.flowernet import TIMM, DefaultWeights, unknown_network

try:
    import timm
    from timm.models import PretrainedCfg
except ImportError as error:
    raise UserError(
        f"a network {TIMM}... needs the package timm, which is not installed; install it: "
        "pip install timm"
    ) from error

WEIGHTS_FILE = "model.safetensors"
"""What timm's repositories of weights have, unless they say otherwise."""


def build_timm_network(name: str, classes: int) -> nn.Module:
    """Build a network with random weights; `name` starts with ``timm/``.

    Raises
    ------
    UserError
        If timm has no classification network of this name.
    """
    plain_name = _known_name(name)
    network: nn.Module = timm.create_model(plain_name, pretrained=False, num_classes=classes)
    if not hasattr(network, "get_classifier"):
        raise UserError(f"{name} is an encoder without a head for classes; choose another network")
    return network


def default_weights(name: str) -> DefaultWeights:
    """Return what timm says of a network's weights; `name` may end in a tag, ``.a1_in1k``."""
    entry = timm.get_pretrained_cfg(_known_name(name)) or PretrainedCfg()
    repository = f"{entry.hf_hub_id}/{entry.hf_hub_filename or WEIGHTS_FILE}"
    return DefaultWeights(
        source=repository if entry.hf_hub_id else "",
        mean=list(entry.mean),
        std=list(entry.std),
        size_px=entry.input_size[-1],
    )


def _known_name(name: str) -> str:
    """Return timm's own name of a network, if there is one."""
    known = {*timm.list_models(), *timm.list_models(include_tags=True)}
    if name.removeprefix(TIMM) not in known:
        raise unknown_network(name, [TIMM + each for each in sorted(known)])
    return name.removeprefix(TIMM)
