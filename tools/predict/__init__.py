"""Classify the flowers in photos: ``python -m tools.predict``."""
