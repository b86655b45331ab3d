"""Compressed bodies that are small on the wire and huge in memory; run as a module, what one of them costs.

``python -m tests.faults.bombs gzip 200`` sends one to a client and prints, as JSON, which error came, and by how many
MiB the peak of the process grew. It is a process of its own because a peak never goes down again.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import zlib

import isnotai_async as isnotai
from tests.faults.answers import http_head, http_reply
from tests.faults.clients import build_client
from tests.faults.server import FaultServer, Reply

_WINDOW = {"gzip": 31, "deflate": 15}
_MEBIBYTES = 300


def build_bomb(encoding: str) -> bytes:
    """Build 300 MiB of zeros as about 300 KiB: one compressed MiB that does not depend on what stood before it."""
    compressor = zlib.compressobj(9, wbits=_WINDOW[encoding])
    block = bytes(2**20)
    first = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
    again = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
    return first + again * (_MEBIBYTES - 1)


def build_reply(encoding: str, status: int) -> Reply:
    """Build the answer that carries the bomb, with its length or in small pieces where it is a refusal."""
    bomb = build_bomb(encoding)
    headers = [("Content-Type", "application/json"), ("Content-Encoding", encoding)]
    if status == 200:
        return http_reply(bomb, headers=headers)
    return [http_head(status, [*headers, ("Content-Length", str(len(bomb)))]), lambda: _pieces(bomb)]


def _pieces(data: bytes) -> list[bytes]:
    return [data[start : start + 1000] for start in range(0, len(data), 1000)]


def _peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts KiB


async def measure(encoding: str, status: int) -> None:
    """Ask for an ordinary answer first, so that only the bomb is measured."""
    server = FaultServer(http_reply(b"{}"), build_reply(encoding, status))
    async with server, build_client(server) as client:
        await client.get_integration()
        before = _peak_mebibytes()
        try:
            await client.get_integration()
        except isnotai.IsNotAIError as error:
            grown = _peak_mebibytes() - before
            print(json.dumps({"error": type(error).__name__, "text": str(error), "grown": grown}))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(measure(sys.argv[1], int(sys.argv[2])))
