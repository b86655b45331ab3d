"""How long the import takes, against that of aiohttp, which it needs anyway; where the time goes; and the command.

Each import is made in a fresh process, with bytecode as it is cached for users; the median of many. The command's
version is compared with a process that only imports aiohttp, both from start to end, taking turns.
The package imports most of itself when a name of it is first used, so what is timed is the import of `Client`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from benchmarks.harness import Report, Table, Target, ratio, spread

_TIMED: Final = """
import time
begun = time.perf_counter()
import aiohttp
between = time.perf_counter()
from isnotai_async import Client
print(between - begun, time.perf_counter() - between)
"""
_COMMANDS: Final = {
    "python -c 'import aiohttp'": "import aiohttp",
    "isnotai --version": "import sys; from isnotai_async._cli import main; sys.exit(main(['--version']))",
}
"""The second is what the console script runs."""
_TRACED: Final = "import aiohttp, sys; sys.stderr.write('mark\\n'); from isnotai_async import Client"


def _time(environment: Mapping[str, str]) -> tuple[float, float]:
    command = [sys.executable, "-c", _TIMED]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    first, second = map(float, done.stdout.split())
    return first * 1e3, second * 1e3


def _run(program: str, environment: Mapping[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=True, env=environment)
    return (time.perf_counter() - begun) * 1e3


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
        rounds = range(5 if quick else 15)
        times = [_time(environment) for _ in rounds]
        _run(_COMMANDS["isnotai --version"], environment)
        runs = [[_run(program, environment) for program in _COMMANDS.values()] for _ in rounds]
        parts = _trace(environment)
    base, ours = zip(*times, strict=True)
    alone, version = zip(*runs, strict=True)
    lines = {
        "aiohttp": base,
        "isnotai_async, after aiohttp": ours,
        **dict(zip(_COMMANDS, (alone, version), strict=True)),
    }
    rows = tuple((name, f"{statistics.median(values):.1f}", spread(values, 1)) for name, values in lines.items())
    largest = list(parts.items())[:10]
    shares = tuple((name, f"{spent:.1f}") for name, spent in largest)
    return Report(
        [
            Table("Importing; the last two are whole processes", ("what", "ms", "min to max"), rows),
            Table("Of that, on top of aiohttp (-X importtime, which adds its own)", ("package", "ms"), shares),
        ],
        [
            Target("import isnotai_async, on top of aiohttp", 30, statistics.median(ours), unit=" ms"),
            Target("isnotai --version, against import aiohttp", 1.2, ratio(version, alone), unit=" x"),
        ],
        lines | {"parts": dict(largest)},
    )
