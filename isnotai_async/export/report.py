"""How far an export or a sync is, and what it did: `ExportProgress`, `ExportReport` and `StoreReport`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import asdict, fields, frozen

from isnotai_async._models.notebook import html_table
from isnotai_async._values import equals, hashed, show
from isnotai_async.errors import APIError, InvalidCursorError, IsNotAIError, printable
from isnotai_async.export.metrics import ExportMetrics

_logger: Final = logging.getLogger("isnotai_async")
_SHOWN: Final = 10
_NOT_NOW: Final = frozenset({401, 408, 425, 429})
_OF_A_CURSOR: Final = frozenset({400, 404, 410, 422})


def is_for_good(error: IsNotAIError) -> bool:
    """Return whether the API itself refused the session: it is not there, not allowed, or asked for wrongly.

    An error envelope under a success is the API's word, too, unless pages came before it: its codes are not
    documented, and what was served a moment ago is more likely to be down than to be refused. What the API says of a
    cursor says nothing about the session.
    """
    if not isinstance(error, APIError) or is_of_a_cursor(error):
        return False
    if error.status < 400:
        return not _had_cursor(error)
    return error.status < 500 and error.status not in _NOT_NOW


def is_of_a_cursor(error: IsNotAIError) -> bool:
    """Return whether an error may mean a cursor: the code of a refused one is not documented."""
    may_mean_it = isinstance(error, APIError) and error.status in _OF_A_CURSOR
    return isinstance(error, InvalidCursorError) or (_had_cursor(error) and may_mean_it)


def _had_cursor(error: IsNotAIError) -> bool:
    return error.position is not None and error.position.cursor is not None


@frozen
class SessionFailure:
    """A session that could not be exported, or not whole.

    Example:
        >>> report = await isnotai.export_events(client, ["big-100", "no-such-session"], "events.jsonl")
        >>> [(failure.session_id, failure.error) for failure in report.failures]
        [('no-such-session', 'NotFoundError')]

    Attributes:
        name: Name of its region, or of its credential.
        session_id: Its id.
        error: Name of the error's class, as in `isnotai_async.errors`.
        message: Message of the error, printable.
    """

    name: str
    session_id: str
    error: str
    message: str

    __repr__, __eq__, __hash__ = show, equals, hashed

    @classmethod
    def describe(cls, name: str, session_id: str, error: IsNotAIError) -> SessionFailure:
        """Return the text of an error for a report."""
        return cls(name, session_id, type(error).__name__, str(error))


@frozen(kw_only=True)
class ExportProgress:
    """Progress of an export.

    Example:
        >>> def show(progress: isnotai.ExportProgress) -> None:
        ...     if progress.sessions_done == 2:
        ...         print(progress.rows, "rows of", progress.sessions_done, "sessions")
        >>> report = await isnotai.export_events(client, ["big-100", "big-300"], "events.jsonl", on_progress=show)
        400 rows of 2 sessions

    Attributes:
        rows: Rows read, those of earlier runs too.
        size: Bytes of the work store at the last commit.
        sessions_taken: Sessions that were started, those of earlier runs too.
        sessions_done: Those of them that were read to their end, at the last commit.
        sessions_failed: Those of them that have failed.
        sessions: How many there are in all, or None if only the end will show.
        requests: Requests sent in this run.
        rate: Requests sent within the last minute.
        quota: Requests that the tiers of the keys allow within a minute, or None while that is unknown.
        waited: Seconds of this run in which requests waited, for the quota or before a retry.
        waiting: Seconds that the present wait still takes; 0 if there is none.
        reason: Why requests wait.
        elapsed: Seconds of this run.
    """

    rows: int
    size: int
    sessions_taken: int
    sessions_done: int
    sessions_failed: int
    sessions: int | None
    requests: int
    rate: int
    quota: int | None
    waited: float
    waiting: float
    reason: str
    elapsed: float

    __repr__, __eq__, __hash__ = show, equals, hashed


OnProgress = Callable[[ExportProgress], None]


@frozen(kw_only=True)
class ExportReport:
    """The result of an export.

    Example:
        >>> await isnotai.export_events(client, ["big-100", "no-such-session"], "events.jsonl")
        <ExportReport: events.jsonl (jsonl), 100 rows of 2 sessions, 1 failed, complete>

    Attributes:
        path: The target.
        format: Name of its format, such as ``"jsonl"``.
        rows: Rows in it.
        size: Bytes in it.
        sessions: Sessions that were read, those without events too.
        failures: Sessions that failed.
        rejected: Records that were set aside: unreadable ones, and rows that the format cannot hold. They are in
            ``NAME.rejected``.
        resumed_rows: Rows that were in the store from earlier runs.
        requests: Requests that this run sent.
        waited: Seconds of this run in which requests waited, for the quota or before a retry.
        elapsed: Seconds of this run.
        is_complete: Whether the target is there. Otherwise sessions have failed that are worth another try, and the
            same call tries just them again.
        is_skipped: Whether the target was there before, and ``if_exists="skip"`` left it alone.
    """

    path: Path
    format: str
    rows: int = 0
    size: int = 0
    sessions: int = 0
    failures: tuple[SessionFailure, ...] = ()
    rejected: int = 0
    resumed_rows: int = 0
    requests: int = 0
    waited: float = 0.0
    elapsed: float = 0.0
    is_complete: bool = True
    is_skipped: bool = False

    __eq__, __hash__ = equals, hashed

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "not complete"
        counts = f"{self.rows:,} rows of {self.sessions:,} sessions, {len(self.failures):,} failed"
        return f"<ExportReport: {printable(str(self.path))} ({self.format}), {counts}, {state}>"

    def _repr_html_(self) -> str:
        """Return the report as tables, for notebooks."""
        facts = [
            (field.name, getattr(self, field.name)) for field in fields(ExportReport) if field.name != "failures"
        ]
        table = html_table(repr(self), (), facts)
        if not self.failures:
            return table
        shown = [(each.name, each.session_id, each.error, each.message) for each in self.failures[:_SHOWN]]
        caption = f"the first {len(shown)} of {len(self.failures):,} failed sessions"
        return table + html_table(caption, ("region", "session_id", "error", "message"), shown)


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

    __repr__, __eq__, __hash__ = show, equals, hashed

    @property
    def has_doubts(self) -> bool:
        """Whether something may be missing that another run does not bring: exit code 5."""
        return bool(self.gaps or self.failures or self.unseen or self.rejected)


def show_progress(on_progress: OnProgress | None, metrics: ExportMetrics, **counts: Any) -> None:  # noqa: ANN401
    """Call a caller's `on_progress`, if there is one. What it raises is logged and ignored."""
    if on_progress is None:
        return
    names = ("requests", "rate", "quota", "waited", "waiting", "reason", "elapsed")
    progress = ExportProgress(**counts, **{name: getattr(metrics, name) for name in names})
    try:
        on_progress(progress)
    except Exception:  # a broken progress bar must not break the work that it shows
        _logger.exception("on_progress raised; the work continues")


def report_to_json(report: ExportReport) -> dict[str, Any]:
    """Return a report as values of JSON, for the receipt."""
    return {**asdict(report), "path": report.path.name}


def report_from_json(data: Mapping[str, Any], target: Path) -> ExportReport:
    """Return the report of a receipt, as that of a run that had nothing to do."""
    failures = tuple(SessionFailure(**failure) for failure in data["failures"])
    now = {"path": target, "failures": failures, "requests": 0, "waited": 0.0, "elapsed": 0.0}
    return ExportReport(**{**data, **now, "resumed_rows": data["rows"]})
