"""`TableReport`: what a run did for a job."""

from __future__ import annotations

from attrs import frozen

from isnotai_async.export.report import SessionFailure


@frozen(kw_only=True)
class TableReport:
    """What a run did for a job, which is whole.

    Attributes:
        table: The table.
        job: Name of the job.
        sessions: Sessions of the job.
        rows: Rows that this run added.
        pieces: Pieces that this run added.
        failures: Sessions that are not in the table, whichever run tried them.
        rejected: Records of the job that could not be read, or that Delta cannot hold.
        requests: Requests that this run sent.
        in_vain: Requests of them for pieces that another run added first.
        waited: Seconds in which requests waited.
        elapsed: Seconds of this run.
    """

    table: str
    job: str
    sessions: int
    rows: int = 0
    pieces: int = 0
    failures: tuple[SessionFailure, ...] = ()
    rejected: int = 0
    requests: int = 0
    in_vain: int = 0
    waited: float = 0.0
    elapsed: float = 0.0
