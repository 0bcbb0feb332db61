"""What the benchmarks of the training share: a training as ``python -m stages.train`` sets it up.

Import it before PyTorch, which reads how its threads are to wait when it is loaded.
"""

from typing import TypeVar

from stages.common.device import choose_device
from stages.common.params import Params
from stages.common.store import Store
from stages.train.__main__ import describe_model, first_network
from stages.train.processes import Processes
from stages.train.run import Run

R = TypeVar("R", bound=Run)


def new_run(params: Params, store: Store, kind: type[R]) -> R:
    """Return a training, in this process, from the first weights."""
    device = choose_device(params.train.device, "train.device")
    network = first_network(params, len(store.meta.classes))
    card = describe_model(params, store, None)
    return kind(network, card, store, params.train, Processes(device))
