"""Does the network know what it does not know? Leave out a species, then show it.

After ``dvc repro prepare``, ``python -m benchmarks.unknown_species`` trains on all classes but one,
for each in turn, as params.yaml says. Then it compares the confidence on test photos of the known
classes with that on photos of the class left out. The area under the ROC curve is the probability
that a known photo gets the higher confidence: 0.5 is chance.
"""

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.common import train_classifier
from stages.common.params import load_params
from stages.common.store import Store, open_store
from stages.model.device import set_up_torch


def without(store: Store, name: str) -> Store:
    """Return a store in which no split has photos of a class."""
    classes = [each for each in store.meta.classes if each != name]
    labels = store.manifest["class"].map({each: i for i, each in enumerate(classes)}).fillna(0)
    splits = store.manifest["split"].where(store.manifest["class"] != name, "none")
    manifest = store.manifest.assign(label=labels.astype(int), split=splits)
    return Store(store.meta.model_copy(update={"classes": classes}), store.images, manifest)


def main() -> None:
    """Train without each class, and print the areas."""
    params = load_params()
    set_up_torch(params.train.threads)
    store, areas = open_store(), []
    for name in store.meta.classes:
        known = without(store, name)
        classifier = train_classifier(params, known)
        unknown = np.flatnonzero(store.manifest["class"] == name)
        test = known.indices("test")
        sure, unsure = (
            classifier.probabilities(store.images, rows).max(axis=1) for rows in (test, unknown)
        )
        is_known = np.repeat([1, 0], [len(sure), len(unsure)])
        areas.append(roc_auc_score(is_known, np.concatenate([sure, unsure])))
        print(f"{name}: {areas[-1]:.3f}", flush=True)
    print(f"mean: {np.mean(areas):.3f}")


if __name__ == "__main__":
    main()
