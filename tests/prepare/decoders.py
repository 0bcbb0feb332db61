"""Decoders that fail, in a module that fresh worker processes can import."""

import errno
import multiprocessing
import os
import signal
import time

from stages.prepare.decoder import Decoder


class DyingDecoder(Decoder):
    def __call__(self, chunk):
        assert multiprocessing.parent_process() is not None
        os.kill(os.getpid(), signal.SIGKILL)


class FullDiskDecoder(Decoder):
    def __call__(self, chunk):
        raise OSError(errno.ENOSPC, "No space left on device")


class SleepingDecoder(Decoder):
    def __call__(self, chunk):
        os.write(1, f"{os.getpid()}\n".encode())  # at once: so do others
        time.sleep(60)
