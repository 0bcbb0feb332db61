"""Make a page to review labels on: ``python -m tools.review``."""
