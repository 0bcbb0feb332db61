"""Say in ten lines whether this machine and this clone are fine, and what to do where not.

Each line is ``ok``, ``note`` for what is worth knowing, or ``BAD`` for what keeps the pipeline from
running; with one of those the exit code is 1. It changes nothing. Run it with ``make doctor``.
"""

import sys

from stages.common.errors import UserError, first_line, run_stage
from tools.doctor.checks import CHECKS, Check, Finding


def main() -> None:
    """Print a line for each check."""
    findings = [examine(check) for check in CHECKS.values()]
    told: set[str] = set()
    for subject, finding in zip(CHECKS, findings, strict=True):
        text = "as above" if finding.text in told else finding.text
        told.add(finding.text)
        print(f"{finding.level:4}  {subject:12}{text}", flush=True)
    if any(finding.level == "BAD" for finding in findings):
        sys.exit(1)


def examine(check: Check) -> Finding:
    """Return what a check finds; a doctor does not fall ill himself."""
    try:
        return check()
    except ImportError as error:
        return Finding("BAD", f"{error}; make the environment again: rm -r .venv; make setup")
    except UserError as error:
        return Finding("BAD", first_line(error))
    except Exception as error:
        return Finding("BAD", f"this check failed: {type(error).__name__}: {error!s:.200}")


if __name__ == "__main__":
    run_stage(main)
