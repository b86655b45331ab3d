"""One part, in a process of its own, so that parts share neither heap nor imports; prints its report as JSON."""

from __future__ import annotations

import importlib
import json
import sys

from attrs import asdict

from benchmarks.harness import CLIENT_CORE, Report, pin


def main(name: str, *, quick: bool) -> None:
    """Run the part of this name."""
    pin(CLIENT_CORE)
    report: Report = importlib.import_module(f"benchmarks.bench_{name}").run(quick=quick)
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main(sys.argv[1], quick="quick" in sys.argv[2:])
