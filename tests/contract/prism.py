"""Prism beside this package: its mock in place of the API, and its validating proxy before the sandbox.

Outside CI, because it takes npm: ``npm install @stoplight/prism-cli``, then
``python -m tests.contract.prism node_modules/.bin/prism``. Prints a line for each operation that ended in an error,
and the counts of each part. Exit code 1 if there was one.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anyio

import isnotai_async as isnotai
from isnotai_async.sandbox import Sandbox
from tests.contract.contract import PATH

_ROUNDS: Final = 10
_KEPT: Final = {
    "data", "pagination", "hasMore", "nextCursor", "error",
    "id", "userId", "eventId", "timestamp", "messageId", "payloadSize",
}  # fmt: skip
"""What has to be there: what a page is made of, what identifies a record, and the numbers of an event."""

Ask = Callable[[isnotai.Client], Awaitable[object]]

OPERATIONS: Final[dict[str, Ask]] = {
    "health": lambda client: client.health(),
    "get_integration": lambda client: client.get_integration(),
    "list_sessions": lambda client: client.list_sessions(bot_only=True, start_date="2026-06-01"),
    "get_session": lambda client: client.get_session("big-1"),
    "get_session_details": lambda client: client.get_session_details("big-1"),
    "list_events": lambda client: client.list_events("big-1000", type="0x07", start_time=0, page_size=20),
    "list_users": lambda client: client.list_users(search="a"),
    "get_user_sessions": lambda client: client.get_user_sessions("u-1000"),
    "list_courses": lambda client: client.list_courses(),
    "get_analytics": lambda client: client.get_analytics(period="7d", group_by="hour"),
    "get_stats": lambda client: client.get_stats(),
    "get_usage": lambda client: client.get_usage(metric="events"),
}


@contextmanager
def running(prism: str, *arguments: str) -> Iterator[str]:
    """Run Prism on a free port, and give its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [prism, *arguments, "-h", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "is listening" in line:
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.stdout.read()
        process.wait(timeout=30)


async def ask_all(base_url: str, key: str, part: str, *, rounds: int = 1) -> int:
    """Ask each operation, and print what went wrong. Returns how many errors there were."""
    failures: Counter[str] = Counter()
    retry = isnotai.Retry(attempts=1)
    async with isnotai.Client(key, base_url=base_url, limiter=isnotai.Unlimited(), retry=retry) as client:
        for name, ask in [*OPERATIONS.items()] * rounds:
            try:
                await ask(client)
            except isnotai.IsNotAIError as error:
                failures[f"{name}: {type(error).__name__}: {str(error)[:300]}"] += 1
    for line, times in failures.items():
        print(f"  {times:3} x {line}")
    errors = sum(failures.values())
    print(f"{part}: {len(OPERATIONS) * rounds - errors} of {len(OPERATIONS) * rounds} answers read")
    return errors


def with_cursors() -> dict[str, Any]:
    """The contract, with a cursor on each page: that there is one if `hasMore` is true, a schema cannot say."""
    contract: dict[str, Any] = json.loads(PATH.read_bytes())
    pagination = contract["components"]["schemas"]["Pagination"]
    pagination["properties"]["nextCursor"] = {"type": "string", "minLength": 1}
    pagination["required"] = ["nextCursor"]
    return contract


def bare_contract() -> dict[str, Any]:
    """The contract, in which every field that may be absent is absent."""
    contract: dict[str, Any] = json.loads(PATH.read_bytes())
    _strip(contract["components"]["schemas"])
    return contract


def _strip(node: object) -> None:
    if isinstance(node, list):
        for value in node:
            _strip(value)
    if not isinstance(node, dict):
        return
    properties = node.get("properties")
    if isinstance(properties, dict):
        node["properties"] = {name: value for name, value in properties.items() if name in _KEPT}
    for value in node.values():
        _strip(value)


async def main(prism: str) -> int:
    """Run all parts."""
    errors = 0
    key = f"aik_v1_{'A' * 40}"
    with tempfile.TemporaryDirectory() as folder:
        full, bare = Path(folder) / "full.json", Path(folder) / "bare.json"
        full.write_text(json.dumps(with_cursors()))
        bare.write_text(json.dumps(bare_contract()))
        with running(prism, "mock", str(PATH)) as base_url:
            errors += await ask_all(base_url, key, "mock, static")
        with running(prism, "mock", "-d", str(full)) as base_url:
            errors += await ask_all(base_url, key, "mock, dynamic", rounds=_ROUNDS)
        with running(prism, "mock", str(bare)) as base_url:
            errors += await ask_all(base_url, key, "mock, optional fields left out")
    async with Sandbox(rate_limit=None) as sandbox:
        with running(prism, "proxy", "--errors", str(PATH), sandbox.base_url) as base_url:
            part = "validating proxy before the sandbox"
            errors += await ask_all(base_url, sandbox.api_key, part, rounds=_ROUNDS)
    return 1 if errors else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore", isnotai.IsNotAIWarning)  # Prism's dates are of any time
    sys.exit(anyio.run(main, sys.argv[1]))
