"""What a sync did."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from isnotai_async.export.report import SessionFailure


@frozen(kw_only=True)
class StoreReport:
    """What a sync did, and what the store holds after it.

    Example:
        >>> report = await isnotai.update_store(client, "events.db", bot_only=True)
        >>> report.listed, report.new_sessions, report.added == report.rows, report.failures
        (7, 7, True, ())

    Attributes:
        path: The store.
        rows: Events in the store.
        sessions: Sessions in the store.
        size: Bytes of the store.
        listed: Sessions that this run listed.
        new_sessions: Sessions of them that were not in the store.
        read: Sessions that this run read to their end.
        added: Events that this run added.
        waiting: Sessions that were active within `settle`, and wait for a later run.
        abandoned: Sessions that were still active at `max_open`, and were read for the last time.
        expired: Sessions of which the API gave fewer events than the store has; the events stay in the store.
        differing: Events that the API gave with another content than the store has; the store keeps the first one.
        audited: Final sessions that this run read again.
        unseen: Events that those had and the store had not, although their records are unchanged: then updatedAt
            cannot be trusted, and each session is read once more when it leaves `watch`.
        rejected: Records of events and sessions that could not be read; they are in ``NAME.rejected``. Each counts
            once.
        gaps: Regions whose last run is longer ago than the tier's history, so that sessions may be missing.
        failures: Sessions that could not be read. One that is listed, but that the API then does not know, is named
            once, and again if its record changes.
        requests: Requests that this run sent.
        waited: Seconds of this run in which requests waited, for the quota or before another attempt.
        elapsed: Seconds of this run.
        is_complete: Whether everything that was planned was read. If not, the same call tries the rest again.
    """

    path: Path
    rows: int
    sessions: int
    size: int
    listed: int = 0
    new_sessions: int = 0
    read: int = 0
    added: int = 0
    waiting: int = 0
    abandoned: int = 0
    expired: int = 0
    differing: int = 0
    audited: int = 0
    unseen: int = 0
    rejected: int = 0
    gaps: tuple[str, ...] = ()
    failures: tuple[SessionFailure, ...] = ()
    requests: int = 0
    waited: float = 0.0
    elapsed: float = 0.0
    is_complete: bool = True

    @property
    def has_doubts(self) -> bool:
        """Whether something may be missing that another run does not bring: exit code 5."""
        return bool(self.gaps or self.failures or self.unseen or self.rejected)
