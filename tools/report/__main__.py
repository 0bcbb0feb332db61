"""Write a page on what a change did, for its reviewer.

The working tree is compared with a base: what ``--base`` names, in Git alone, so this works in a
clone without DVC's cache. Exit code 0 for a report, 1 for a mistake, 2 for a wrong option; with
``--strict`` 3 when dvc.lock is stale. Run it with ``python -m tools.report --base main``.
"""

import argparse
import sys
from pathlib import Path

from stages.common.errors import run_stage
from stages.common.files import write_bytes
from tools.report.comparison import compare
from tools.report.curves import draw_picture, sides_of, write_mermaid
from tools.report.page import write_page
from tools.report.verdict import give_verdict

PICTURE = "loss.png"
PAGE = "report.md"
STALE = 3
"""Exit code with --strict when dvc.lock is stale."""


def main() -> None:
    """Compare, write the page and the picture beside it, print the verdict."""
    options = parse_options()
    comparison = compare(options.base)
    sides = sides_of(comparison)
    folder: Path = options.output
    if options.mermaid and sides:
        curves = write_mermaid(sides)
    elif sides:
        write_bytes(folder / PICTURE, draw_picture(sides))
        curves = f"![Loss by epoch, before and after]({PICTURE})"
    else:
        curves = "No curves on either side."
    write_bytes(folder / PAGE, write_page(comparison, curves).encode())
    print(give_verdict(comparison))
    print(f"\nthe whole report: {folder / PAGE}")
    if options.strict and not comparison.freshness.up_to_date:
        print("dvc.lock is stale: `dvc repro`, then commit dvc.lock and metrics/", file=sys.stderr)
        sys.exit(STALE)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.report",
        description="Write a page on what a change did to parameters, data and results.",
    )
    parser.add_argument(
        "--base",
        default="main",
        help="branch, tag, commit or experiment to compare with (default: %(default)s)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help=f"end with exit code {STALE} when dvc.lock is stale",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("report"),
        metavar="FOLDER",
        help=f"folder for {PAGE} and {PICTURE} (default: %(default)s)",
    )
    parser.add_argument(
        "--mermaid",
        action="store_true",
        help="draw the loss curves as Mermaid text, which GitHub shows in a comment",
    )
    return parser.parse_args()


if __name__ == "__main__":
    run_stage(main)
