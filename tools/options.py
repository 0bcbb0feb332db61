"""What the command lines of several tools have in common."""

import argparse
from pathlib import Path


def named(text: str) -> Path:
    """Read a path; an empty one, as of an unset variable, would mean this folder."""
    if not text:
        raise argparse.ArgumentTypeError("must name a file or a folder, got nothing")
    return Path(text)
