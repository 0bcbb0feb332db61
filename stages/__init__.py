"""The pipeline's stages, each a package that runs as ``python -m stages.<name>``."""
