"""Machine instructions of a page: what `bench_pages` measures, in a figure that no other program's load changes.

Valgrind counts them, so a change of one per cent can be seen, on a busy machine too. It counts what the process does
by itself, and not the kernel's work. Not a part of ``python -m benchmarks``, because it needs valgrind:
``python -m benchmarks.bench_instructions [CHECKOUT …]``, with other checkouts of this package to compare with.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.harness import Table
from benchmarks.page_server import page_server, session_id

_PEERS: Final = ("BYTES", "DICTS", "PAGES", "EVENTS")
_PAGES: Final = 200
_ROUNDS: Final = (1, 3)  # the difference is without imports, connecting and warming up
_WALK: Final = """
import asyncio, sys
from benchmarks import peers

async def main(peer, base_url, session, rounds):
    async with peer.open(base_url, 1) as walk:
        for _ in range(int(rounds)):
            await walk(session)

asyncio.run(main(getattr(peers, sys.argv[1]), *sys.argv[2:]))
"""


def count(peer: str, base_url: str, checkout: Path) -> float:
    """Count the instructions of one page."""
    session = session_id(0, pages=_PAGES)
    few, many = (_run([peer, base_url, session, str(rounds)], checkout) for rounds in _ROUNDS)
    return (many - few) / (_ROUNDS[1] - _ROUNDS[0]) / _PAGES


def _run(arguments: list[str], checkout: Path) -> int:
    tool = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run(
        [*tool, sys.executable, "-c", _WALK, *arguments], cwd=checkout, capture_output=True, text=True, check=True
    )
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if found is None:
        raise RuntimeError(f"valgrind said no count:\n{done.stderr[-500:]}")
    return int(found[1].replace(",", ""))


def main() -> None:
    """Count; one table."""
    here, lines, dicts = Path.cwd(), list[tuple[str, ...]](), 0.0
    contestants = [(peer, here) for peer in _PEERS] + [("PAGES", Path(each)) for each in sys.argv[1:]]
    with page_server() as server:
        for peer, checkout in contestants:
            counted = count(peer, server.base_url, checkout)
            dicts = counted if peer == "DICTS" else dicts
            name = peer.lower() if checkout == here else f"{peer.lower()} of {checkout.name}"
            lines.append((name, f"{counted / 1000:,.0f}", f"{counted / dicts:.2f}" if dicts else ""))
            print(*lines[-1], flush=True)
    print(Table(f"A page of 100, {_PAGES} in a row", ("peer", "1,000 instructions", "x resp.json()"), tuple(lines)))


if __name__ == "__main__":
    main()
