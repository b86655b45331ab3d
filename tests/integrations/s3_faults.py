"""An S3 server that fails for a while: a proxy in front of moto's."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from aiohttp import ClientSession, web
from attrs import define, field
from yarl import URL

from tests.integrations.delta_processes import open_s3

HOPS = frozenset({"connection", "keep-alive", "transfer-encoding", "content-encoding", "date", "server"})


@define(eq=False)
class FaultyStore:
    """A proxy that answers some requests with an error.

    Attributes:
        options: How to reach it, as storage_options.
        chooses: Called with each request; returns "before" for an error instead of the answer, "after" for one after
            the server has done what was asked for, or None.
        faults: How many errors it has answered.
    """

    options: dict[str, str]
    chooses: Callable[[web.Request], str | None] = lambda request: None
    faults: int = 0
    _dice: random.Random = field(factory=lambda: random.Random(1))

    def fail_at_random(self, share: float) -> None:
        """Answer a share of the requests with an error, before or after the server has done them."""
        self.chooses = lambda request: self._dice.choice(("before", "after")) if self._dice.random() < share else None


@asynccontextmanager
async def open_faulty_s3() -> AsyncGenerator[FaultyStore, None]:
    """Run moto's S3 and a proxy in front of it."""
    async with open_s3() as options, ClientSession(auto_decompress=False) as client:
        behind = URL(options["AWS_ENDPOINT_URL"])
        store = FaultyStore({**options, "backoff_config.init_backoff": "10ms", "backoff_config.max_backoff": "50ms"})

        async def answer(request: web.Request) -> web.Response:
            fault = store.chooses(request)
            if fault == "before":
                store.faults += 1
                return web.Response(status=503, text="<Error><Code>SlowDown</Code></Error>")
            headers = {name: value for name, value in request.headers.items() if name.lower() not in HOPS}
            url = behind.join(URL(request.raw_path, encoded=True))
            body = await request.read()
            async with client.request(request.method, url, headers=headers, data=body) as reply:
                content = await reply.read()
                passed = {name: value for name, value in reply.headers.items() if name.lower() not in HOPS}
            if fault == "after":
                store.faults += 1
                return web.Response(status=500, text="<Error><Code>InternalError</Code></Error>")
            if request.method == "HEAD":
                return web.Response(status=reply.status, headers=passed)
            passed.pop("Content-Length", None)
            return web.Response(status=reply.status, headers=passed, body=content)

        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        store.options["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield store
        finally:
            await runner.cleanup()
