"""Report a change to its reviewer: ``python -m tools.report``."""
