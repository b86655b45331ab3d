"""`TrackedSession`: the position of an unfinished session, and its pages that are not committed yet."""

from __future__ import annotations

import json
from typing import Final

from attrs import asdict, define, field

from isnotai_async._models.positions import Position
from isnotai_async._models.stream_positions import SessionRef
from isnotai_async.errors import ExportError, quoted
from isnotai_async.export.report import SessionFailure
from isnotai_async.export.work_rows import MOST_PAGES, PAGE_BITS, PageRow, SessionRow, State

_MOST_ROWS: Final = 2_000  # of one row of the store: the thread that writes the target pauses after each


@define(eq=False, repr=False)
class TrackedSession:
    """An unfinished session."""

    number: int
    source: str
    target: SessionRef
    state: State = "open"
    walks: tuple[Position, ...] = ()
    pages: int = 0  # that are committed
    rows: int = 0  # that were taken from the stream, those of earlier runs too
    rejected: int = 0
    is_restarted: bool = False  # whether it is read again from its start
    failure: SessionFailure | None = None
    saved: tuple[Position, ...] = ()  # where its walks stood when this run started
    refused: int = 0  # the status with which a saved cursor was refused in this run
    written: set[str | bytes] | None = None  # if it is read again: ids and raw rejected records that are in the store
    is_stored: bool = False
    held: list[tuple[int, bytes]] = field(factory=list)  # pages that are not committed: rows, and encoded

    @classmethod
    def load(cls, row: SessionRow) -> TrackedSession:
        """Return a session that the store has, to be asked for again."""
        walks = tuple(Position.from_json(json.dumps(walk)) for walk in json.loads(row.walks))
        if not walks:
            raise ValueError("a session that is not done stands nowhere: it would never be read")
        saved = tuple(walk for walk in walks if walk.cursor is not None)
        return cls(
            number=row.number,
            source=row.source,
            target=row.target,
            walks=walks,
            pages=row.pages,
            rows=row.rows,
            rejected=row.rejected,
            is_restarted=bool(row.is_restarted),
            saved=saved,
            is_stored=True,
        )

    def restart(self) -> None:
        """Read it again from the start of its walks."""
        self.walks = tuple(
            Position(operation=walk.operation, region=walk.region, session_id=walk.session_id, filters=walk.filters)
            for walk in self.walks
        )
        self.is_restarted, self.saved, self.written = True, (), None

    def take_pages(self) -> list[PageRow]:
        """Return the pages that are not committed yet, as rows of several pages that one can hold in memory."""
        held, self.held = self.held, []
        if self.pages + len(held) > MOST_PAGES:
            raise ExportError(
                f"session {quoted(self.target.session_id)} has more than {MOST_PAGES:,} pages, the most that an "
                "export can keep; export it in parts, with start_time and end_time"
            )
        found, pages, rows = list[PageRow](), list[bytes](), 0
        for number, (count, page) in enumerate(held, 1):
            pages.append(page)
            rows += count
            if rows >= _MOST_ROWS or number == len(held):
                found.append(PageRow(self.number << PAGE_BITS | self.pages, rows, pages))
                self.pages += len(pages)
                pages, rows = [], 0
        return found

    def to_row(self) -> SessionRow:
        """Return its row for the store."""
        walks = "" if self.state == "done" else f"[{','.join(walk.to_json() for walk in self.walks)}]"
        failure = "" if self.failure is None else json.dumps(asdict(self.failure))
        return SessionRow(
            self.number,
            self.source,
            *self.target,
            self.state,
            self.pages,
            self.rows,
            self.rejected,
            int(self.is_restarted and self.state != "done"),
            walks,
            failure,
        )
