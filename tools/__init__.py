"""What people run beside the pipeline: predict, export, report."""

import stages  # noqa: F401  (it says how PyTorch's threads wait, before PyTorch is imported)
