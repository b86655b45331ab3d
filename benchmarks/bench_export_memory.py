"""Peak memory of exports of one and ten million rows: it has to stay flat.

The pages are prebuilt, because the sandbox would take ten minutes to make ten million events. Not a part of
``python -m benchmarks``, because it takes as long and a few gigabytes of disk:
``python -m benchmarks.bench_export_memory [FORMAT …] [ROWS …]``, by default 1000000 and 10000000 rows.
"""

from __future__ import annotations

import sys
from typing import Final

from benchmarks.bench_export import measure
from benchmarks.harness import Table
from benchmarks.page_server import EVENTS, page_server

_PAGES: Final = 100
_ROWS: Final = (1_000_000, 10_000_000)


def main() -> None:
    """Measure; one table."""
    lines = list[tuple[str, ...]]()
    sizes = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    formats = [argument for argument in sys.argv[1:] if not argument.isdigit()]
    with page_server() as server:
        for file_format in formats or ("jsonl", "csv", "parquet"):
            for rows in sizes or _ROWS:
                figures = measure(
                    "write_export", server.base_url, file_format, rows // _PAGES // EVENTS, pages=_PAGES
                )
                speed = f"{rows / figures['took']:,.0f}"
                lines.append(
                    (f"{file_format}, {rows:,} rows", f"{figures['peak']:.0f}", f"{figures['took']:.0f}", speed)
                )
                print(*lines[-1], flush=True)
    print(Table("Exporting with concurrency=16", ("format", "peak MiB", "seconds", "rows/s"), tuple(lines)))


if __name__ == "__main__":
    main()
