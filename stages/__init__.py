"""The pipeline's stages, each a package that runs as ``python -m stages.<name>``."""

import os
import signal
import sys
import time

STARTED = time.time()
"""Modules saved after this are not those that run."""

# Read when PyTorch loads OpenMP, so it stands here, where it comes before every import of PyTorch.
# A thread that waits for work spins briefly, then sleeps. Sleeping at once would make a training
# step 1.5 times as long; spinning as long as is usual gains nothing more, and costs a third of the
# speed when another program runs beside this one.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

# While `python -m` imports a stage or tool (it is "-m" that long), Ctrl-C ends it without a
# traceback out of PyTorch's insides; run_stage gives Ctrl-C its usual meaning back.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
