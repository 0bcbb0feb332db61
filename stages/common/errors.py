"""Errors that the user can fix, and how a stage reports them."""

import atexit
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stages.common.names import printable_name


class UserError(Exception):
    """A mistake that the user can fix: only its message is shown, without a traceback.

    The message says what is wrong, where, what was found, what is allowed and how to fix it.
    Several problems found at once are several lines.
    """


class PhotoError(Exception):
    """A photo that cannot be used: a reason code and, for people, a detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@contextmanager
def about(subject: object) -> Iterator[None]:
    """Begin the message of a UserError in the block with what it is about."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{subject}: {error}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of a library's message, which says what is wrong."""
    return str(error).strip().partition("\n")[0]


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's ``main`` and end the process.

    The exit code is 0 when it returned, 1 for a user's mistake and 130 for Ctrl-C.
    A bug keeps its traceback. What the terminal or log cannot print is escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # since the imports began
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main()
        _leave()
    except UserError as error:
        # A name in it may be a stranger's, and hold what acts in a terminal.
        sys.exit("\n".join(map(printable_name, str(error).split("\n"))))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has left, as `| head` does
        _discard_output()
        sys.exit(141)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename:
            raise
        _discard_output()
        sys.exit(f"the output cannot be written: {error.strerror}")


def _leave() -> None:
    """End the process at once: PyTorch takes seconds to unload.

    After a stage's last look at its inputs, DVC hashes them, the sooner the better.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream:  # it may be closed from the start
            stream.flush()
    os._exit(0)


def _discard_output() -> None:
    """Send what is still to be printed nowhere, or Python would fail on it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
