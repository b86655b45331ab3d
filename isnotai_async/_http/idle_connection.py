"""Asks the system whether an idle connection received something, because the event loop may not have read it yet."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Final

from aiohttp.client_proto import ResponseHandler

_POLL: Final = getattr(select, "poll", None)  # None on Windows, whose select() takes any socket number


def watch(protocol: ResponseHandler) -> Callable[[], bool]:
    """Return a function that says whether a connection received data or was closed.

    Its socket is registered once, because that costs more than to ask.
    """
    transport = protocol.transport
    socket = None if transport is None else transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return lambda: True
    if _POLL is None:
        return lambda: socket.fileno() < 0 or bool(select.select([socket], [], [], 0)[0])
    poll = _POLL()
    poll.register(socket.fileno(), select.POLLIN)
    return lambda: socket.fileno() < 0 or bool(poll.poll(0))
