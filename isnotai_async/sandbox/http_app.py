"""The HTTP listener of one region.

`aiohttp.web.Server` and not an `Application`: one handler, no router and no middlewares, which saves a third of the
server's time per request; `routes` has the table.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from aiohttp import web
from attrs import define, field

from isnotai_async.sandbox.delivery import deliver
from isnotai_async.sandbox.dispatch import Call, respond
from isnotai_async.sandbox.faults import Delivery
from isnotai_async.sandbox.region import Region
from isnotai_async.sandbox.responses import accepted_coding, worth_compressing

# Seconds given to running answers when the sandbox closes; its own delays must not hold a test up.
_SHUTDOWN: Final = 0.1


@define(eq=False)
class Listener:
    """One region on one port.

    Args:
        region: The region.
    """

    region: Region
    _runner: web.ServerRunner | None = field(default=None, init=False)

    async def start(self, host: str, port: int) -> str:
        """Listen.

        Args:
            host: Loopback address.
            port: Port, or 0 for a free one.

        Returns:
            The base URL.

        Raises:
            OSError: The port is taken.
        """
        # Cancelling what a client has left keeps slow faults from answering nobody.
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        address = self._runner.addresses[0]
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{address[1]}"

    async def close(self) -> None:
        """Stop listening and close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        stats = self.region.stats
        stats.begin(request.rel_url.raw_path)
        status = 0
        try:
            inward, outward = self.region.latency()
            if inward:
                await asyncio.sleep(inward)
            call = Call(request.method, request.rel_url.raw_path, request.query, request.headers)
            answer, fault = respond(self.region, call, asyncio.get_running_loop().time())
            if outward:
                await asyncio.sleep(outward)
            # What a fault sends instead goes out exactly as it was given.
            own = fault is None or fault.answer is None
            coding = accepted_coding(request.headers.get("Accept-Encoding", ""))
            if own and coding and self.region.edge.compress and worth_compressing(answer):
                answer = answer.compressed(coding)
            if fault is None or fault.delivery is not Delivery.RESET:
                status = answer.status
            with suppress(ConnectionError):  # the client has gone
                return await deliver(request, answer, fault)
            return web.Response()
        finally:
            stats.end(status)
