# /// script
# requires-python = ">=3.11"
# dependencies = ["celery[redis]>=5.5"]
# ///
"""Celery: its tasks start `export_part.py`, because Celery is not asyncio and needs a redis-py of its own.

    uv run examples/plan_parts.py FOLDER | uv run examples/celery_app.py queue FOLDER
    uv run examples/celery_app.py work                               # as many as you like, where FOLDER is shared
    uv run examples/plan_parts.py FOLDER                             # the manifest, when nothing is missing

EXPORT_PART is how a part is exported; default ``uv run examples/export_part.py``.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from celery import Celery  # type: ignore[import-not-found]

EXPORT_PART = shlex.split(os.environ.get("EXPORT_PART", "uv run examples/export_part.py"))
LATER = 75

app = Celery("parts", broker=os.environ.get("ISNOTAI_REDIS_URL", "redis://127.0.0.1:6379/0"))
# What a killed worker had comes again after an hour, at the latest; a part takes less.
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1)
app.conf.broker_transport_options = {"visibility_timeout": 3_600}


@app.task(name="export_part", bind=True, max_retries=None)  # type: ignore[untyped-decorator]
def export_part(self: Any, partition: str, folder: str) -> None:  # noqa: ANN401 - Celery's task
    """Export a part in a process of its own; what is not finished comes again."""
    done = subprocess.run([*EXPORT_PART, folder], input=partition, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode == LATER:
        raise self.retry(countdown=30)
    if done.returncode:
        raise RuntimeError(done.stderr)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["queue", folder]:
            for line in sys.stdin:
                export_part.delay(line, str(Path(folder).absolute()))
        case _:
            app.worker_main(["worker", "--concurrency", "2"])
