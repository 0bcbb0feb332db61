"""Train the network on the store's train split: data/prepared -> models, metrics/loss.csv.

Run it with ``python -m stages.train``, or through ``dvc repro``.
"""

import torch

from stages.common.classifier import Classifier, ModelCard, save_classifier
from stages.common.device import be_deterministic, choose_device
from stages.common.errors import run_stage
from stages.common.network import build_network
from stages.common.params import load_params
from stages.common.store import open_store
from stages.train.run import Run


def main() -> None:
    """Load the parameters and the store, train, write the model."""
    params = load_params()
    device = choose_device(params.train.device, "train.device")
    be_deterministic(params.train.threads)
    store = open_store()
    card = ModelCard(
        architecture=params.model.name,
        width=params.model.width,
        classes=store.meta.classes,
        image_size_px=store.meta.image_size_px,
        mean=store.meta.mean,
        std=store.meta.std,
    )
    with torch.random.fork_rng(devices=[]):  # PyTorch draws first weights from its global state
        torch.manual_seed(params.train.seed)
        network = build_network(card.width, len(card.classes))
    run = Run(network, store, params.train, device)
    print(f"training {card.architecture} on {len(run.photos)} photos, on {device}", flush=True)
    save_classifier(Classifier(run.train(), card))


if __name__ == "__main__":
    run_stage(main)
