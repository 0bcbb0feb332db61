"""Give the trained model to other programs: ``python -m tools.export``."""
