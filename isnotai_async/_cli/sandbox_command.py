"""The command `isnotai sandbox`: serve the sandbox until it is interrupted."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Final, Literal

import anyio
from cyclopts import Parameter, validators

from isnotai_async._cli.fault_options import inject_fault, read_latency
from isnotai_async._cli.intervals import SANDBOX_DAYS
from isnotai_async._cli.output import say, write_line
from isnotai_async.errors import ConfigError
from isnotai_async.sandbox import Sandbox

_FAULT: Final = (
    "A fault: a status (503), cut, reset, html, slow, garbage, empty or cursor. The next request meets it; 503:5 is "
    "for the next five, 503:10% for one in ten, 503@list_events for one operation. Give it as often as "
    "needed."
)


class _StderrHandler(logging.Handler):
    """Log handler that writes the sandbox's log, such as malformed requests, to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"# {self.format(record)}")


async def sandbox(
    *,
    port: Annotated[int, Parameter(show_default=False)] = 0,
    seed: str = "isnotai",
    session_count: Annotated[
        int | None, Parameter(name="--sessions", validator=validators.Number(gte=0, lte=1_000_000))
    ] = None,
    data: Path | None = None,
    tier: Literal["free", "pro", "enterprise"] = "enterprise",
    latency: str = "0",
    fault: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False, help=_FAULT)] = (),
) -> None:
    """Serve the sandbox until Ctrl-C: the API on this machine, with made-up people and bots, or with your own data.

    Stdout gets lines for a shell: address and key of region us, and as comments those of eu. The generated sessions
    were created from 2026-06-04 to 2026-06-10, whatever the date is now.

    Parameters
    ----------
    port
        Port of region us; eu gets the next one. Default: two free ones.
    seed
        The same seed makes the same data.
    session_count
        Generated sessions; default 40. Every id from big-0 to big-1000000 is also a session, of that many events.
    data
        An export (a file, or a folder of segments) or the database of a sync to serve. The keys are new each time.
    tier
        Tier of the keys, with its rate limit.
    latency
        Seconds that each answer takes: 0.2, or 0.1-0.4 for a random time between the two.
    """
    if data is not None and session_count is not None:
        raise ConfigError("--data brings its own sessions; leave out --sessions")
    server = Sandbox(
        port=port,
        seed=seed,
        sessions=40 if session_count is None else session_count,
        data=data,
        tier=tier,
        latency=read_latency(latency),
    )
    for text in fault:
        inject_fault(server, text)
    try:
        await server.start()
    except OSError as error:
        raise ConfigError(
            f"cannot listen on port {port} and the next: {os.strerror(error.errno or 0)}; --port 0 takes free ones"
        ) from None
    logging.getLogger("isnotai_async.sandbox").addHandler(_StderrHandler())
    async with server:
        for region, base_url in server.base_urls.items():
            use = "" if region == "us" else "# "  # a shell that reads the lines gets one region
            write_line(f"# region {region}; this key opens nothing else")
            write_line(f"{use}export ISNOTAI_REGION={region} ISNOTAI_BASE_URL={base_url}")
            write_line(f"{use}export ISNOTAI_API_KEY={server.api_keys[region]}")
        if data is None:
            say(f"# the generated sessions were created from {SANDBOX_DAYS}")
        say("# serving until Ctrl-C")
        await anyio.sleep_forever()
