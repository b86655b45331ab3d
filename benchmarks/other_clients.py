"""The same work, done by the other clients that one would choose from; see `peers`."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import KEY
from benchmarks.peers import HEADERS, Peer, Walk, events_url, sum_rows

CONTRACT: Final = Path(__file__).parent.parent / "isnotai_async/openapi.json"


@asynccontextmanager
async def open_httpx(base_url: str, concurrency: int) -> AsyncIterator[Walk]:
    """Open `httpx.AsyncClient`: plain dicts."""
    httpx: Any = importlib.import_module("httpx")
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(limits=limits, headers=HEADERS, timeout=60) as client:

        async def walk(session_id: str) -> int:
            return await _walk_dicts(client.get, events_url(base_url, session_id))

        yield walk


@asynccontextmanager
async def open_niquests(base_url: str, concurrency: int) -> AsyncIterator[Walk]:
    """Open `niquests.AsyncSession`: plain dicts."""
    niquests: Any = importlib.import_module("niquests")
    async with niquests.AsyncSession(pool_connections=1, pool_maxsize=concurrency) as session:
        session.headers.update(HEADERS)

        async def walk(session_id: str) -> int:
            return await _walk_dicts(session.get, events_url(base_url, session_id))

        yield walk


async def _walk_dicts(get: Callable[..., Awaitable[Any]], url: str) -> int:
    total, params = 0, dict[str, str]()
    while True:
        page = (await get(url, params=params)).json()
        total += sum_rows(page["data"])
        if not page["pagination"]["hasMore"]:
            return total
        params = {"cursor": page["pagination"]["nextCursor"]}


@asynccontextmanager
async def open_requests(base_url: str, concurrency: int) -> AsyncIterator[Walk]:
    """Open `requests`, as in the vendor's examples: a loop over plain dicts, in a thread for each walk."""
    requests: Any = importlib.import_module("requests")
    own = threading.local()

    def walk_in_thread(session_id: str) -> int:
        if not hasattr(own, "session"):
            own.session = requests.Session()
        total, params = 0, dict[str, str]()
        while True:
            reply = own.session.get(events_url(base_url, session_id), params=params, headers=HEADERS, timeout=60)
            page = reply.json()
            total += sum_rows(page["data"])
            if not page["pagination"]["hasMore"]:
                return total
            params = {"cursor": page["pagination"]["nextCursor"]}

    with ThreadPoolExecutor(concurrency) as threads:
        loop = asyncio.get_running_loop()
        yield lambda session_id: loop.run_in_executor(threads, walk_in_thread, session_id)


@asynccontextmanager
async def open_generated(base_url: str, concurrency: int) -> AsyncIterator[Walk]:
    """Open the client that openapi-python-client makes from the contract: attrs classes, over httpx."""
    with tempfile.TemporaryDirectory() as folder:
        client_module, list_events = _generate(Path(folder))
    httpx: Any = importlib.import_module("httpx")
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with client_module.AuthenticatedClient(
        base_url, KEY, timeout=httpx.Timeout(60), httpx_args={"limits": limits}
    ) as client:

        async def walk(session_id: str) -> int:
            total, options = 0, dict[str, str]()
            while True:
                page = await list_events.asyncio(session_id, client=client, **options)
                looked_at: int = sum(event.payload_size for event in page.data)
                total += looked_at
                if not page.pagination.has_more:
                    return total
                options = {"cursor": page.pagination.next_cursor}

        yield walk


def _generate(folder: Path) -> tuple[Any, Any]:
    package = "generated_client"
    if package not in sys.modules:
        command = [
            sys.executable,
            "-m",
            "openapi_python_client",
            "generate",
            "--meta",
            "none",
            "--path",
            str(CONTRACT),
        ]
        subprocess.run([*command, "--output-path", str(folder / package)], check=True, capture_output=True)
        sys.path.insert(0, str(folder))
    try:
        api = f"{package}.api.sessions.list_events"
        return importlib.import_module(f"{package}.client"), importlib.import_module(api)
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


REQUESTS = Peer("requests, dicts", open_requests, share=0.25)
NIQUESTS = Peer("niquests, dicts", open_niquests, share=0.25)
HTTPX = Peer("httpx, dicts", open_httpx, share=0.25)
GENERATED = Peer("openapi-python-client, attrs", open_generated, share=0.25)
