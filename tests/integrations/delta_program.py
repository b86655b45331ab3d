"""One run of a job into a Delta table, in a process of its own: its arguments are JSON on stdin."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
from deltalake import CommitProperties, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

from isnotai_async import Client, Retry, Unlimited
from isnotai_async.integrations import _delta_plan
from isnotai_async.integrations._delta_tables import JobTables
from isnotai_async.integrations._event_request import batch_schema
from isnotai_async.integrations.delta import export_to_delta


def write_without_transactions(  # noqa: PLR0917 - as `JobTables.write_piece`
    tables: JobTables,
    rows: Path,
    transaction: str,
    version: int,
    also: str | None,
) -> bool:
    """Commit a piece, and then that it is in, as a program would that knows of no application transactions."""
    with pa.OSFile(str(rows)) as file, pa.ipc.open_stream(file) as reader:
        write_deltalake(tables.fresh(), reader, mode="append", storage_options=dict(tables.options))
    note = CommitProperties(app_transactions=[Transaction(transaction, version + 1)])
    nothing = batch_schema().empty_table()
    with suppress(DeltaError):
        write_deltalake(tables.fresh(), nothing, mode="append", commit_properties=note)
    return True


async def main(case: dict[str, Any]) -> None:
    """Run; print how many rows this run added, and its failures."""
    _delta_plan.PIECE_SESSIONS, _delta_plan.SLOTS = case["piece"], case["slots"]  # type: ignore[misc]
    if not case["transactions"]:
        JobTables.write_piece = write_without_transactions  # type: ignore[method-assign, assignment]
    limiter, retry = Unlimited(), Retry(attempts=2, base=0.01, cap=0.01)
    async with Client(case["key"], base_url=case["base_url"], limiter=limiter, retry=retry) as client:
        report = await export_to_delta(
            client, client.list_sessions(), case["table"], job="job", storage_options=case["options"], concurrency=4
        )
    print(json.dumps({"rows": report.rows, "in_vain": report.in_vain, "failures": len(report.failures)}))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(json.load(sys.stdin)))
