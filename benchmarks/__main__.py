"""Run the measurements: ``python -m benchmarks [--quick] [--only NAME]… [--save]``."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from attrs import asdict, evolve
from cattrs import structure

from benchmarks.figure import draw
from benchmarks.harness import Processors, Report, Table, Target, run_module

PARTS: Final = {
    "pages": "CPU per page and pages a second, against other clients",
    "steps": "where the CPU of a page goes, layer by layer",
    "calls": "what is added to a single call",
    "codec": "decoding one page, against other ways",
    "arrow": "Arrow tables of decoded pages, against records",
    "layers": "what retry and pacing cost",
    "imports": "import time",
    "round_trips": "many sessions across a slow network, and the loop's lag",
    "split": "one large session, in parts",
    "memory": "peak memory of walks and streams",
    "export": "rows a second into files, and peak memory",
    "export_lag": "the loop's lag while exporting",
    "sync": "a row of a sync against an export's, and a night on which nothing happens",
    "faults": "5,000 pages while three in ten answers fail",
    "quota": "each tier saturated",
    "permits": "what a permit costs, through Redis and through a file",
}
NEEDED: Final = ("httpx", "matplotlib", "niquests", "openapi_python_client", "requests")
SHOWN: Final = (
    *("isnotai-async", "aiohttp", "msgspec", "attrs", "cattrs", "anyio", "yarl"),
    *("httpx", "niquests", "requests", "urllib3", "openapi-python-client"),
)
RESULTS: Final = Path(__file__).parent / "results"
README: Final = Path(__file__).parent.parent / "README.md"
PEERS: Final = "pages of 100, 32 at once"
"""The table of clients that the README shows."""
QUOTED: Final = (
    *(f"CPU of an export to {name}, against" for name in ("jsonl", "csv", "parquet")),
    *("added to", "import ", "split=16", "peak memory of an export to parquet", "walks through", "429s"),
)
"""The targets that the README shows, by the beginning of their names."""


def main() -> int:
    """Measure what is asked for, and print it."""
    options = _parse()
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        print(f"the peers are not installed ({', '.join(missing)}); run: uv sync --group bench", file=sys.stderr)
        return 2
    machine = _describe_machine()
    print("\n".join(f"{name}: {value}" for name, value in machine.items() if value), "\n")
    reports, begun = dict[str, Report](), time.perf_counter()
    for name in options.only or PARTS:
        since, watched = time.perf_counter(), Processors()
        print(f"## {name}: {PARTS[name]}\n", flush=True)
        reports[name] = structure(run_module("part", name, *(["quick"] if options.quick else [])), Report)
        for table in reports[name].tables:
            print(f"{table}\n")
        took = time.perf_counter() - since
        strange = watched.strangers()
        print(f"({took:.0f} s; others had {strange:.0%} of the processors)\n", flush=True)
        machine["processor time that others had"] += f" {name} {strange:.0%}"
    found = [target for report in reports.values() for target in report.targets]
    is_whole = not (options.only or options.quick)
    if is_whole:
        found.append(Target("the whole run", 300, time.perf_counter() - begun, unit=" s"))
    targets = _tabulate(found)
    print(f"{targets}\n\n{time.perf_counter() - begun:.0f} s in all")
    if options.save:
        _save(options.save, machine, reports, targets)
        if is_whole and options.save == RESULTS:
            quote(reports["pages"].tables, targets)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = "\n".join(f"{name}: {about}" for name, about in PARTS.items())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"parts:\n{names}"
    parser.add_argument("--only", action="append", choices=PARTS, metavar="NAME", help="this part; may be repeated")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and cases: to see that it runs")
    parser.add_argument(
        "--save",
        type=Path,
        nargs="?",
        const=RESULTS,
        metavar="DIR",
        help="write results.json, results.md and results.svg there; default benchmarks/results, and then a "
        "whole run writes its targets into README.md too",
    )
    return parser.parse_args()


def _describe_machine() -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in SHOWN}
    if importlib.util.find_spec("urllib3_future") and versions["urllib3"].split(".")[1] == "9":
        versions["urllib3"] += " (niquests' fork in its place)"
    return {
        "processor time that others had": "",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _tabulate(targets: list[Target]) -> Table:
    return Table("Targets", ("target", "bound", "measured", ""), tuple(target.cells for target in targets))


def quote(pages: list[Table], targets: Table) -> None:
    """Write the table of clients, and the rows of these targets, into the README."""
    clients = next(table for table in pages if PEERS in table.title)
    chosen = evolve(targets, rows=tuple(cells for cells in targets.rows if cells[0].startswith(QUOTED)))
    text = README.read_text(encoding="utf-8")
    for table in (clients, chosen):
        head, *rest = str(table).splitlines()[2:]
        begin = text.index(head)
        text = text[:begin] + "\n".join([head, *rest]) + text[text.index("\n\n", begin) :]
    README.write_text(text, encoding="utf-8")


def _save(folder: Path, machine: dict[str, Any], reports: dict[str, Report], targets: Table) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    values = {name: {"figures": report.figures, "targets": report.targets} for name, report in reports.items()}
    text = json.dumps({"machine": machine, "parts": values}, indent=1, default=asdict)
    (folder / "results.json").write_text(f"{text}\n")
    about = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    tables = [str(targets), *(str(table) for report in reports.values() for table in report.tables)]
    (folder / "results.md").write_text("\n\n".join(["# Results of one run", about, *tables]) + "\n")
    if "pages" in reports:
        draw(reports["pages"].figures, folder / "results.svg")


if __name__ == "__main__":
    sys.exit(main())
