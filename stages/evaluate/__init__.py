"""Test the trained model: ``python -m stages.evaluate``."""
