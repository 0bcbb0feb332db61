"""Write a page on what a change did, for its reviewer.

The working tree is compared with a base, which ``--base`` names, in Git only. So this works in a
clone without DVC's cache. Exit code 0 for a report, 1 for a mistake, 2 for a wrong option; with
``--strict`` 3 when dvc.lock is stale. Run it with ``python -m tools.report --base main``.
"""

import argparse
import sys
from pathlib import Path

from stages.common.errors import run_stage
from stages.common.files import write_bytes
from tools.report.comparison import compare
from tools.report.page import write_page
from tools.report.verdict import give_verdict

PAGE = "report.md"
STALE = 3
"""Exit code with --strict when dvc.lock is stale."""


def main() -> None:
    """Compare, write the page, print the verdict."""
    options = parse_options()
    comparison = compare(options.base)
    page: Path = options.output / PAGE
    write_bytes(page, write_page(comparison).encode())
    print(give_verdict(comparison))
    print(f"\nthe complete report: {page}")
    if options.strict and not comparison.staleness.up_to_date:
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
        help=f"folder for {PAGE} (default: %(default)s)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    run_stage(main)
