"""Cross-validation over DVC experiments: ``python -m tools.crossval``."""
