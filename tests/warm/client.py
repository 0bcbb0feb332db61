"""Stands in for `python`: lets a fork of the server run a module, and anything else python itself.

``python -SI client.py SOCKET PYTHON [ARGUMENT ...]``
"""

import contextlib
import json
import os
import signal
import socket
import sys

PASSED_ON = (signal.SIGINT, signal.SIGTERM)


def pass_on(number, _):
    with contextlib.suppress(ProcessLookupError):
        os.kill(program, number)


path, python, *words = sys.argv[1:]
"""Where the server listens, the interpreter, what it is to run."""
if words[:1] != ["-m"]:
    os.execv(python, [python, *words])
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect(path)
    folder = os.getcwd()  # noqa: PTH109  # importing pathlib takes longer than all of this
    request = json.dumps([folder, dict(os.environ), words])
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # until it is known whom to pass them on
    socket.send_fds(server, [request.encode()], [0, 1, 2])
    program = int(server.recv(16))
    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    code = int(server.recv(16))
if code < 0:
    if -code in PASSED_ON:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
