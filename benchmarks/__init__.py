"""The figures in docs/ and README.md, measured again; ``make bench`` compares the speeds."""

import stages  # noqa: F401  (it says how PyTorch's threads wait, before PyTorch is imported)
