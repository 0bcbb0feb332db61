"""Train the network: ``python -m stages.train``."""

import os

# Read when PyTorch loads OpenMP, so before its import. A thread that waits for work spins shortly,
# then sleeps. Sleeping at once would make a step 1.5 times as long; spinning as long as is usual
# gains nothing more, and costs a third of the speed when another program runs beside this one.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
