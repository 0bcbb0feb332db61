"""What people run beside the pipeline: predict, export, crossval, report, doctor."""

import stages  # noqa: F401  (how PyTorch's threads wait, and Ctrl-C while PyTorch is imported)
