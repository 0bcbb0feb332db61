"""Train the network: ``python -m stages.train``."""
