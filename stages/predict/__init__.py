"""Name the flowers in photos: ``python -m stages.predict``."""

import os

# Read when PyTorch loads OpenMP, so before its import: threads that wait leave the core to others
# instead of spinning, which is three times as fast when another program runs beside this one.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
