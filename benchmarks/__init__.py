"""What docs/measurements.md says, measured again: ``make bench``."""

import stages  # noqa: F401  (it says how PyTorch's threads wait, before PyTorch is imported)
