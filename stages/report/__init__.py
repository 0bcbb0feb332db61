"""Report a change to its reviewer: ``python -m stages.report``."""
