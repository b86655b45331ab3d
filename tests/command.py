"""The command in a process of its own that has nothing to import: a start takes 0.1 s of CPU instead of 0.6.

A server imports the command once and forks for each start. The result is a real process with standard streams,
environment, folder and signals of its own, which can be killed; `tests/cli/test_forked_command.py` compares it with
a process that Python started. Limits of a process (`ulimit`) do not reach it: tests of these start Python.
"""

from __future__ import annotations

import atexit
import ctypes
import marshal
import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

PROGRAM = "import sys; from isnotai_async._cli import main; sys.exit(main())"
RUN_MODULE = "import runpy, sys; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
_ROOT = Path(__file__).parent.parent
_OPTIONS = {"stdin", "stdout", "stderr", "text", "encoding", "errors", "bufsize", "cwd", "env"}
_SUBREAPER = 36  # of Linux's <sys/prctl.h>: a process below this one whose parent has ended becomes its child


@cache
def _socket_of_server() -> str:
    """Start the server of this process, which ends with it; return the path of its socket."""
    folder = tempfile.TemporaryDirectory()
    path = f"{folder.name}/commands"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(path)
    listening.listen()
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"}
    program = [sys.executable, "-m", "tests.command_server"]
    server = subprocess.Popen(program, cwd=_ROOT, env=environment, stdin=listening.fileno())
    listening.close()

    def end() -> None:
        server.kill()
        server.wait()
        folder.cleanup()

    atexit.register(end)
    return path


class Command(subprocess.Popen[Any]):
    """A `Popen` of the command.

    Args:
        argv: Its arguments.
        program: What else to run, with these arguments, such as `RUN_MODULE`: as `python -m` would.
        imports: Modules that the server imports first, for all that follow.
        options: As those of `Popen`.
    """

    def __init__(
        self, argv: Sequence[str], *, program: str = PROGRAM, imports: Sequence[str] = (), **options: Any
    ) -> None:
        if ignored := options.keys() - _OPTIONS:
            raise TypeError(f"a forked command does not have {', '.join(sorted(ignored))}; start Python for that")
        self._imports = tuple(imports)
        super().__init__([sys.executable, "-c", program, *argv], **options)

    if sys.platform == "linux":

        def _execute_child(self, args: list[str], *more: Any) -> None:
            cwd, env, pipes = more[4], more[5], more[9:15]
            streams = [theirs if theirs >= 0 else own for own, theirs in enumerate((pipes[0], pipes[3], pipes[5]))]
            environment = dict(os.environ if env is None else env)
            request = (args[2], args[3:], str(cwd or Path.cwd()), environment, (0, 1, 2), self._imports, False)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
                server.settimeout(50)
                server.connect(_socket_of_server())
                socket.send_fds(server, [marshal.dumps(request)], streams)
                self.pid = int(server.recv(100))
            self._child_created = True
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def run_command(
    argv: Sequence[str], *, timeout: float = 60, check: bool = False, capture_output: bool = False, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Run the command to its end, as `subprocess.run` would."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Command(argv, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(argv, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def in_shell(program: str = PROGRAM) -> str:
    """Return what stands for the command in a line of a shell."""
    if sys.platform != "linux":
        return shlex.join([sys.executable, "-c", program])
    client = str(Path(__file__).with_name("command_client.py"))
    return shlex.join([sys.executable, "-IS", client, _socket_of_server(), program])
