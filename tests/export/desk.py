"""A made-up source of events that exports can be run against, without HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from attrs import define, field

from isnotai_async._client import Client
from isnotai_async._models.queries import EventFilters
from isnotai_async._models.records import Event
from isnotai_async.errors import NotFoundError
from isnotai_async.export import ExportReport
from isnotai_async.export.api import ExportJob
from isnotai_async.export.formats import choose_format
from isnotai_async.export.source import AnySessions, ExportSource, Stream
from isnotai_async.export.system import System
from isnotai_async.export.target import ExportTarget
from tests.event_source import Source, events

RUN = ("resume", "if_exists", "on_progress")


@define(eq=False)
class Desk:
    """A client over a `Source`, which also counts what it was asked.

    Attributes:
        source: The sessions.
        client_error: What `get_session` raises, by session id.
    """

    source: Source
    client_error: dict[str, Exception] = field(factory=dict)
    asked_sessions: list[str] = field(factory=list)

    @property
    def region(self) -> Any:
        return SimpleNamespace(name=self.source.region, base_url="https://api.example")

    def stream_events(self, sessions: Any, **options: Any) -> Stream:
        return self.source.stream(sessions, **options)

    async def get_session(self, session_id: str) -> None:
        self.asked_sessions.append(session_id)
        if session_id not in self.source.sessions:
            raise NotFoundError("gone", status=404)
        if session_id in self.client_error:
            raise self.client_error[session_id]

    async def export(
        self, target: Path, system: System | None = None, sessions: AnySessions | None = None, **options: Any
    ) -> ExportReport:
        """Export all sessions, with a commit after each page."""
        names = ("page_size", "type", "start_time", "end_time")
        query = EventFilters(**{name: options.pop(name) for name in names if name in options})
        format_names = ("formula_guard", "bom", "segments")
        chosen = {name: options.pop(name) for name in format_names if name in options}
        split = options.pop("split", None)
        job = ExportJob(
            source=ExportSource(
                cast(Client, self),
                list(self.source.sessions) if sessions is None else sessions,
                options.pop("shard", None),
            ),
            target=ExportTarget(
                target, choose_format(target, options.pop("format", None), **chosen), system or System()
            ),
            query=query,
            streaming={"concurrency": options.pop("concurrency", 1), "split": split, "ordered": split is not None},
            commit_bytes=options.pop("commit_bytes", 1),
            on_error=options.pop("on_error", "raise"),
            **{name: value for name, value in options.items() if name not in RUN},
        )
        return await job.run(**{name: options[name] for name in RUN if name in options})


SIZES = {"s1": 7, "empty": 0, "s2": 3, "s3": 12, "s4": 1}


def make_desk(sizes: Mapping[str, int] = SIZES, **options: Any) -> Desk:
    """Make a source of sessions with so many events each, three a page."""
    sessions = {name: events(name, range(0, 10 * size, 10)) for name, size in sizes.items()}
    return Desk(Source(sessions, limit=options.pop("limit", 3), **options))


def all_rows(desk: Desk) -> list[Event]:
    return [row for rows in desk.source.sessions.values() for row in rows]
