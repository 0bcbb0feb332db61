"""Give the trained model to other programs: ``python -m stages.export``."""

import os

# Read when PyTorch loads OpenMP, so before its import: threads that wait leave the core to others
# instead of spinning, which is three times as fast when another program runs beside this one.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
