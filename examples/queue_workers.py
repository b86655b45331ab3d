"""Workers in one process: tasks take session ids from a queue, and share one client, its connections and its quota.

If a task runs twice, nothing is lost: it reads the session again. The quota is kept by the client.

    ISNOTAI_API_KEY=… python -m examples.queue_workers
"""

import asyncio
from collections import Counter

import isnotai_async as isnotai

WORKERS = 8


async def work(client: isnotai.Client, ids: asyncio.Queue[str], counts: Counter[str]) -> None:
    """Count the events of each session that the queue gives, by type."""
    while True:
        session_id = await ids.get()
        try:
            async for event in client.list_events(session_id):
                counts[event.event_type_name or "unknown"] += 1
        except isnotai.NotFoundError:
            pass  # deleted since it was listed
        finally:
            ids.task_done()


async def main() -> None:
    """Count the events of all sessions of the key."""
    ids: asyncio.Queue[str] = asyncio.Queue(maxsize=2 * WORKERS)
    counts: Counter[str] = Counter()
    async with isnotai.Client() as client, asyncio.TaskGroup() as group:
        workers = [group.create_task(work(client, ids, counts)) for _ in range(WORKERS)]
        async for session in client.list_sessions():
            await ids.put(session.id)
        await ids.join()
        for worker in workers:
            worker.cancel()
    for name, count in counts.most_common(3):
        print(f"{name} {count:,}")


if __name__ == "__main__":
    asyncio.run(main())
