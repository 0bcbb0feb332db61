"""Where the random numbers of a training come from: generators seeded by (seed, epoch, purpose).

None comes from a global state, but for what PyTorch's own layers draw, and that state is seeded
before every batch. So a resumed training draws what the uninterrupted one would have drawn.
"""

import numpy as np
import torch

ORDER = 0
AUGMENTATION = 1
DROPOUT = 2
"""The purposes: each has its own stream."""


def epoch_generator(seed: int, epoch: int, purpose: int) -> np.random.Generator:
    """Return the generator of an epoch, from 1, for one purpose."""
    return np.random.default_rng([seed, epoch, purpose])


def seed_dropout(seed: int, epoch: int, batch: int, rank: int) -> None:
    """Seed PyTorch's global state, from which dropout draws, for one batch of one process."""
    sequence = np.random.SeedSequence([seed, epoch, DROPOUT, batch, rank])
    torch.manual_seed(int(sequence.generate_state(1)[0]))
