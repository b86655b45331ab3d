"""Plain processes: each exports one shard of the sessions, with its share of the key's quota.

Start it again after anything that ended it: shards that are finished return at once, others resume. If a shard runs
twice at the same time, the second run is rejected with `ExportLockedError` and writes nothing.

    ISNOTAI_API_KEY=… python -m examples.shard_processes FOLDER 4
"""

import asyncio
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import isnotai_async as isnotai


async def export_shard(number: int, shards: int, folder: Path) -> isnotai.ExportReport:
    """Export the shard of this number, from 1."""
    async with isnotai.Client(quota=1 / shards) as client:
        target = folder / f"events-{number}-of-{shards}.parquet"
        return await isnotai.export_events(client, client.list_sessions(), target, shard=(number, shards))


def run_shard(number: int, shards: int, folder: Path) -> tuple[int, bool]:
    """Run a shard in this process; return its rows, and whether it is complete."""
    report = asyncio.run(export_shard(number, shards, folder))
    return report.rows, report.is_complete


def main(folder: Path, shards: int) -> int:
    """Run all shards; return 0 if all are complete, and 4 if the same command is to be run again."""
    with ProcessPoolExecutor(shards, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(partial(run_shard, shards=shards, folder=folder), range(1, shards + 1)))
    print(f"{sum(rows for rows, _ in results):,} events in {shards} files")
    return 0 if all(is_complete for _, is_complete in results) else 4


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
