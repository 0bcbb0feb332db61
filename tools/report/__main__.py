"""Write a page on what a change did, for its reviewer.

Compares the working tree with a base, using only what Git holds, so it works in a clone without
DVC's cache. Exit code 0 for a report, 1 for a mistake, 2 for a wrong option; with ``--strict`` 3
when dvc.lock is stale. Run it with ``python -m tools.report --base main``.
"""

import argparse
import sys
from pathlib import Path

from stages.common.errors import run_stage
from stages.common.files import write_bytes
from tools.options import named
from tools.report.comparison import compare_with_base
from tools.report.page import give_verdict, write_page

PAGE = "report.md"
STALE = 3
"""Exit code with --strict when dvc.lock is stale."""


def main() -> None:
    """Compare, write the page, print the verdict."""
    options = parse_options()
    comparison = compare_with_base(options.base)
    page: Path = options.output / PAGE
    write_bytes(page, write_page(comparison).encode())
    print(give_verdict(comparison))
    print(f"\nthe complete report: {page}")
    if options.strict and (comparison.staleness.stale or comparison.staleness.frozen):
        print(
            "dvc.lock is stale: `dvc repro`, then commit dvc.lock and metrics/",
            file=sys.stderr,
        )
        sys.exit(STALE)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.report",
        description="Write a page on what a change did to parameters, data and results.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    base = "branch, tag, commit or experiment to compare with"
    parser.add_argument("--base", default="main", help=base)
    strict = f"exit with code {STALE} when dvc.lock is stale"
    parser.add_argument("--strict", action="store_true", help=strict)
    output = f"folder for {PAGE}"
    parser.add_argument("--output", type=named, default="report", metavar="FOLDER", help=output)
    return parser.parse_args()


if __name__ == "__main__":
    run_stage(main)
