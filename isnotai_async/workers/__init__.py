"""An export cut into tasks for many workers: a plan, partitions, and their parts. No queue is needed to use it.

1. `describe_job` and `make_plan` decide, once, which sessions belong to which partition; the plan lies in the folder.
2. `export_partition` exports one, wherever and however often it is called: see `folder` for what makes that harmless.
3. `merge_partitions` checks that all is there, and writes the manifest or one file.

Between 1 and 3 stands whatever hands out work: `run_job` with a `Queue`, such as that of taskiq in `workers.taskiq`.
"""

from isnotai_async.workers.driving import JobProgress, Queue, run_job
from isnotai_async.workers.merging import MergeReport, merge_partitions
from isnotai_async.workers.partitions import Job, Partition
from isnotai_async.workers.parts import export_partition
from isnotai_async.workers.plan import Plan
from isnotai_async.workers.planning import describe_job, make_plan, plan_partitions
from isnotai_async.workers.reports import Outcome, PartReport, PartResult

__all__ = [
    "Job",
    "JobProgress",
    "MergeReport",
    "Outcome",
    "PartReport",
    "PartResult",
    "Partition",
    "Plan",
    "Queue",
    "describe_job",
    "export_partition",
    "make_plan",
    "merge_partitions",
    "plan_partitions",
    "run_job",
]
