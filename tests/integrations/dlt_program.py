"""One load of a pipeline, in a process of its own that can be killed: its arguments are JSON on stdin."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any


def die_in(step: str) -> None:
    """Kill this process when dlt comes to a step."""
    from dlt.load.load import Load
    from dlt.pipeline.pipeline import Pipeline

    owner, name = {
        "commit": (Pipeline, "_bump_version_and_extract_state"),
        "normalize": (Pipeline, "normalize"),
        "load": (Pipeline, "load"),
        "complete": (Load, "complete_package"),
    }[step]

    def die(*args: Any, **options: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, die)


def main(case: dict[str, Any]) -> None:
    """Run the pipeline; print how many loads that took."""
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "ISNOTAI_BASE_URL": case["base_url"]}
    os.environ["ISNOTAI_API_KEY"] = case["key"]
    import dlt

    from isnotai_async.integrations.dlt import run_windows

    database = dlt.destinations.duckdb(case["database"])
    pipeline = dlt.pipeline("clicks", pipelines_dir=case["folder"], destination=database, dataset_name="isnotai")
    if case["dies"]:
        die_in(case["dies"])
    print(json.dumps({"loads": len(run_windows(pipeline, rows=case["rows"]))}))  # noqa: T201


if __name__ == "__main__":
    main(json.load(sys.stdin))
