"""Imports the command once, and forks for each start of it: see `tests.command`."""

from __future__ import annotations

import gc
import io
import marshal
import os
import pkgutil
import random
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

import isnotai_async._cli

# What it would import as it works.
MORE = [
    "anyio._backends._asyncio", "anyio.to_thread", "cattrs.v", "cyclopts.completion", "cyclopts.config",
    "cyclopts.help.help", "docstring_parser", "isnotai_async.export", "isnotai_async.sandbox.http_app",
    "rich._emoji_codes", "rich.panel", "rich.progress", "sqlite3",
]  # fmt: skip
ENCODING, ERRORS = sys.stdin.encoding, sys.stdin.errors  # of the locale


def import_all() -> None:
    for module in pkgutil.iter_modules(isnotai_async._cli.__path__, "isnotai_async._cli."):
        import_module(module.name)
    for name in MORE:
        with suppress(ImportError):  # other versions have other modules
            import_module(name)
    gc.freeze()


def next_start() -> tuple[str, list[str]]:
    """Serve until there is a process to be the command; return its program and arguments, in that process."""
    listening, parent = socket.socket(fileno=os.dup(0)), os.getppid()
    listening.settimeout(5)
    while True:
        try:
            caller, _ = listening.accept()
        except TimeoutError:
            if os.getppid() == parent:
                continue
            os._exit(0)  # the tests were killed
        message, streams, _, _ = socket.recv_fds(caller, 1 << 20, 3)
        program, argv, folder, environment, numbers, imports, waits = marshal.loads(message)
        for name in imports:
            import_module(name)
        if fork_and_reply(caller, waits=waits):
            listening.close()
            take_over(dict(zip(numbers, streams, strict=True)), environment)
            os.chdir(folder)
            return program, argv
        for stream in streams:
            os.close(stream)


def fork_and_reply(caller: socket.socket, *, waits: bool) -> bool:
    """Fork, and return whether this is the new process; send its number, or its exit code if the caller waits.

    A process in between forks it. That one ends at once, so that the new process is the caller's child and not ours;
    or it waits, because two commands of one pipe have to run at the same time.
    """
    ours, theirs = os.pipe()
    between = os.fork()
    if between == 0:
        number = os.fork()
        if number and waits:
            code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
            caller.send(str(code if code >= 0 else 128 - code).encode())
        elif number:
            os.write(theirs, str(number).encode())
        if number:
            os._exit(0)
    elif not waits:
        os.waitpid(between, 0)
        caller.send(os.read(ours, 100))
    for end in (ours, theirs):
        os.close(end)
    caller.close()
    return between == 0


def take_over(streams: dict[int, int], environment: dict[str, str]) -> None:
    """Make the process what Python would have made of it."""
    # First all away from the numbers that they get.
    streams = {number: os.dup(stream) for number, stream in streams.items()}
    for number in range(3):
        if number in streams:
            os.dup2(streams[number], number)
        else:
            os.close(number)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin, sys.stdout, sys.stderr = open_stream(0, "r"), open_stream(1, "w"), open_stream(2, "w")
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    random.seed()


def open_stream(number: int, mode: str) -> Any:
    """Open a standard stream as Python does; return None if it is closed."""
    try:
        os.fstat(number)
    except OSError:
        return None
    is_unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "").partition(":")
    buffering = 0 if is_unbuffered and mode == "w" else -1
    return io.TextIOWrapper(
        open(number, f"{mode}b", buffering=buffering, closefd=False),
        encoding=encoding or ENCODING,
        errors="backslashreplace" if number == 2 else errors or ("strict" if encoding else ERRORS),
        newline=None if mode == "r" else "\n",
        line_buffering=not is_unbuffered and mode == "w" and (number == 2 or os.isatty(number)),
        write_through=is_unbuffered,
    )


if __name__ == "__main__":
    import_all()
    program, argv = next_start()
    sys.argv = ["isnotai", *argv]
    exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
