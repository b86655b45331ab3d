# /// script
# requires-python = ">=3.11"
# dependencies = ["isnotai-async[redis]"]
# ///
"""The plan of an export, for any queue: writes the partitions that are missing to stdout, one a line.

    ISNOTAI_API_KEY=… uv run examples/plan_parts.py FOLDER [FORMAT] >partitions.jsonl

Run again, it writes what is still missing; when nothing is, it checks all parts and writes the manifest.
"""

import asyncio
import sys

import isnotai_async as isnotai
from isnotai_async.workers import describe_job, make_plan, merge_partitions


async def main(folder: str, format: str = "jsonl") -> None:
    """Plan all sessions of the key, or find the plan that was made before."""
    async with isnotai.Client() as client:
        job = await describe_job(client, client.list_sessions(), format=format, size=50)
        plan = await make_plan(client, client.list_sessions(), folder, job)
    missing = 0
    async for partition in plan.partitions():
        if plan.folder.read_report(partition) is None:
            missing += 1
            sys.stdout.write(f"{partition.to_json()}\n")
    if missing:
        sys.stderr.write(f"{missing:,} of {plan.parts:,} parts are missing\n")
    else:
        report = await merge_partitions(folder)
        sys.stderr.write(f"{report.rows:,} events of {report.sessions:,} sessions in {report.parts:,} parts\n")


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except isnotai.IsNotAIError as error:
        sys.exit(f"{type(error).__name__}: {error}")
