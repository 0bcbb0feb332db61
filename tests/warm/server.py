"""Starts programs in a moment: forks of a process that has imported what takes them seconds.

``python server.py SOCKET`` serves requests of client.py until its standard input ends. A fork takes
over the client's files, folder, environment and arguments, and runs the module as ``python -m``
does; the client ends with its exit code.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import site
import socket
import sys
from pathlib import Path

IMPORTED = (
    "dvc.api",
    "dvc.cli.parser",
    "dvc.parsing",
    "dvc.repo.experiments.queue.tempdir",
    "dvc.repo.plots",
    "dvc.utils.hydra",
    "networkx",
    "pandas",
    "PIL.Image",
    "pydantic",
    "scipy.optimize",
    "sklearn.metrics",
    "torch",
    "tqdm",
)
"""Libraries only: the modules of the project are those of the client's folder."""


def serve(path: str) -> list[str]:
    """Fork for each request; return its words in the fork, and end the server with its parent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(f"{path}~")
        server.listen()
        Path(f"{path}~").rename(path)
        os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process with threads is not safe to fork
        for name in IMPORTED:
            importlib.import_module(name)
        gc.freeze()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
            client, _ = server.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                return take_over(client)
            client.close()
        sys.exit()


def take_over(client: socket.socket) -> list[str]:
    """Become what the client asked for, in a fork of which this process tells the exit code."""
    request, files, _, _ = socket.recv_fds(client, 1 << 20, 3)
    if program := os.fork():
        with contextlib.suppress(BrokenPipeError):
            client.sendall(str(program).encode())
        watched = (client.fileno(), os.pidfd_open(program))
        if watched[0] in select.select(watched, (), ())[0]:
            os.kill(program, signal.SIGKILL)  # as somebody did with the client
        _, status = os.waitpid(program, 0)
        with contextlib.suppress(BrokenPipeError):
            client.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    client.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    folder, environment, words = json.loads(request)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    return list(words)


if __name__ == "__main__":
    socket_path = sys.argv[1]
    words = serve(socket_path)
    sys.executable = str(Path(socket_path).with_name("python"))
    sys.orig_argv[1:] = words
    _, module, *sys.argv[1:] = words
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [str(Path.cwd()), *filter(None, added)]
    sys.modules.pop("sitecustomize", None)  # a system's own
    site.execsitecustomize()  # tests/kill_points
    runpy.run_module(module, run_name="__main__", alter_sys=True)
