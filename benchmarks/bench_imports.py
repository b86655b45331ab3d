"""How long the import takes, against that of aiohttp, which it needs anyway; and where the time goes.

Each import is made in a fresh process, with bytecode as it is cached for users; the median of many.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from benchmarks.harness import Report, Table, Target, spread

_TIMED: Final = """
import time
begun = time.perf_counter()
import aiohttp
between = time.perf_counter()
import isnotai_async
print(between - begun, time.perf_counter() - between)
"""
_TRACED: Final = "import aiohttp, sys; sys.stderr.write('mark\\n'); import isnotai_async"


def _time(environment: Mapping[str, str]) -> tuple[float, float]:
    command = [sys.executable, "-c", _TIMED]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    first, second = map(float, done.stdout.split())
    return first * 1e3, second * 1e3


def _trace(environment: Mapping[str, str]) -> dict[str, float]:
    """Return milliseconds by package, of what is imported on top of aiohttp."""
    command = [sys.executable, "-X", "importtime", "-c", _TRACED]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True, env=environment)
    spent = defaultdict[str, float](float)
    for line in done.stderr.partition("mark\n")[2].splitlines():
        own, _, name = line.removeprefix("import time:").split("|")
        spent[name.strip().partition(".")[0]] += float(own) / 1e3
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def run(*, quick: bool) -> Report:
    """Measure; one table for the whole, one for its parts."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = cache
        _time(environment)  # writes the bytecode
        times = [_time(environment) for _ in range(5 if quick else 15)]
        parts = _trace(environment)
    base, ours = zip(*times, strict=True)
    rows = tuple(
        (name, f"{statistics.median(values):.1f}", spread(values, 1))
        for name, values in (("aiohttp", base), ("isnotai_async, after aiohttp", ours))
    )
    largest = list(parts.items())[:10]
    shares = tuple((name, f"{spent:.1f}") for name, spent in largest)
    return Report(
        [
            Table("Importing", ("package", "ms", "min to max"), rows),
            Table("Of that, on top of aiohttp (-X importtime, which adds its own)", ("package", "ms"), shares),
        ],
        [Target("import, on top of aiohttp", 60, statistics.median(ours), unit=" ms")],
        {"aiohttp": base, "isnotai_async": ours, "parts": dict(largest)},
    )
