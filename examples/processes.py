"""Plain asyncio processes, without any queue: the folder is the queue, and the locks of its parts hand them out.

    python -m examples.processes FOLDER 4        # plans, and works in four processes; again: what is missing

Start it on several machines that share the folder (with a file system whose locks work: see docs/scale.md), or from
cron: whoever finds a part that nobody is at takes it. With ISNOTAI_REDIS_URL the processes keep to the key's quota
together; without it they cannot know of one another, so start one, or give each a key of its own.
"""

import asyncio
import multiprocessing
import sys
from pathlib import Path

import isnotai_async as isnotai
from examples.export_part import open_client
from isnotai_async.workers import Outcome, Plan, describe_job, export_partition, make_plan, merge_partitions

PAUSE = 2.0  # seconds until a look at what others were at


async def plan_all(folder: Path) -> None:
    """Plan every session of the key; a plan that is there is kept."""
    async with open_client() as client:
        job = await describe_job(client, client.list_sessions(), size=50)
        await make_plan(client, client.list_sessions(), folder, job)


async def work(folder: Path) -> None:
    """Export part after part until none is missing; leave those to others that they are at."""
    plan = Plan.open(folder)
    assert plan is not None, "plan first"  # noqa: S101 - a mistake in this program
    async with open_client() as client:
        while not await export_missing(client, plan):  # noqa: ASYNC110 - locks of other processes tell no events
            await asyncio.sleep(PAUSE)


async def export_missing(client: isnotai.Client, plan: Plan) -> bool:
    """Go once through all parts; tell whether all are finished."""
    finished = True
    async for partition in plan.partitions():
        result = await export_partition(client, partition, plan.folder.path)
        finished &= result.outcome in {Outcome.DONE, Outcome.FOUND}
    return finished


def run_worker(folder: Path) -> None:
    """Be one of the processes."""
    asyncio.run(work(folder))


def main(folder: Path, count: int) -> None:
    """Plan, work in so many processes, and write the manifest."""
    asyncio.run(plan_all(folder))
    crew = [multiprocessing.Process(target=run_worker, args=(folder,)) for _ in range(count)]
    for process in crew:
        process.start()
    for process in crew:
        process.join()
    report = asyncio.run(merge_partitions(folder))
    sys.stdout.write(f"{report.rows:,} events of {report.sessions:,} sessions in {report.parts:,} parts\n")


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main(Path(sys.argv[1]), int(sys.argv[2]))
