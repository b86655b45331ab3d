"""What a sync reads from its store and writes into it: the listings, the plan of a run, the rows.

Rows, newest event, counts and state of a session change in one transaction: both tables are right at any commit. No
transaction is open while the network is waited for, so a reader waits for the milliseconds of a commit only.

Everything here blocks; it is called in one thread, never on the event loop. What SQLite raises comes out as it is;
`StoreFile.explain` puts it into words.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Final

from attrs import define

from isnotai_async._models.records import Session
from isnotai_async.errors import StoreError, quoted
from isnotai_async.export.batches import COLUMNS, EVENT_COLUMNS
from isnotai_async.export.places import rejected_of
from isnotai_async.export.rejected import Rejected, append_rejected
from isnotai_async.export.session_reading import Rows, SessionReading
from isnotai_async.export.store_file import StoreFile
from isnotai_async.export.store_schema import MERGE_LISTED, NOTE_LISTED, describe_session
from isnotai_async.export.sync_rules import Choice, Coverage, SessionState, State, SyncRules

_STATE: Final = "_isnotai_born, _isnotai_recorded, _isnotai_newest, _isnotai_state, _isnotai_pages"
_OPEN: Final = "sessions WHERE region = ? AND _isnotai_state = 'open'"
_KEY: Final = "WHERE id = ? AND region = ?"
_ROWS_BY_ID: Final = (
    f"SELECT {', '.join(EVENT_COLUMNS)} FROM events "
    "WHERE session_id = ? AND region = ? AND event_id IN (SELECT value FROM json_each(?))"
)
_MOST_ROWS: Final = 1_000  # of one statement: SQLite takes 32,766 values
_SAVED: Final = ("began", "given", "pages", "walks")


@define(eq=False)
class EventStore:
    """A store that is open for a sync."""

    file: StoreFile
    rules: SyncRules

    def find_coverage(self, region: str, place: str) -> Coverage | None:
        """Return what the store knows of a region; None before its first listing.

        Args:
            region: Its name.
            place: Which API it is, in words.

        Raises:
            StoreError: The store knows another API by that name.
        """
        query = "SELECT listed_from, listed_until, history, distrusted, place FROM _isnotai_regions WHERE region = ?"
        row = self.file.row(query, region)
        if row is None:
            return None
        *known, other = row
        if other != place:
            raise StoreError(
                f"{self.file.name} has sessions of {quoted(other)} under the name {quoted(region)}, which now is "
                f"{quoted(place)}; choose another file"
            )
        return Coverage(**dict(zip(("since", "until", "history", "distrusted"), known, strict=True)))

    def has_sessions(self, region: str, since: int) -> bool:
        """Return whether the store has sessions of a region that were created since a time."""
        query = "SELECT 1 FROM sessions WHERE region = ? AND _isnotai_born > ? LIMIT 1"
        return self.file.value(query, region, since) is not None

    def find_oldest_open(self, region: str, born_after: int) -> int | None:
        """Return when the oldest open session was created, of those created after a time."""
        oldest = self.file.value(f"SELECT min(_isnotai_born) FROM {_OPEN} AND _isnotai_born > ?", region, born_after)
        return oldest if isinstance(oldest, int) else None

    def forget_listed(self, region: str) -> None:
        """Drop the sessions that this run has listed in a region."""
        self.file.db.execute("DELETE FROM temp.listed WHERE region = ?", (region,))

    def note_listed(
        self, region: str, records: Sequence[Session], now: int, rejected: Sequence[Rejected] = ()
    ) -> None:
        """Note sessions of a listing that is not complete yet. They are lost with the connection.

        Args:
            region: Name of the region.
            records: The records of the sessions.
            now: The server's time.
            rejected: Records that could not be read; they are committed.
        """
        rows = [describe_session(region, record, now) for record in records]
        self.file.db.execute("BEGIN")
        self.file.db.executemany(NOTE_LISTED, rows)
        self.file.db.execute("COMMIT")
        if rejected:
            with self.file.transaction():
                self._set_aside(rejected)

    def find_stranger(self, region: str) -> str | None:
        """Return a session of the store if not one of those that were listed is in it; None for no doubt."""
        known = "SELECT 1 FROM temp.listed AS l JOIN sessions AS s ON s.id = l.id AND s.region = l.region"
        if not self.file.value("SELECT 1 FROM temp.listed WHERE region = ?", region):
            return None
        if self.file.value(f"{known} WHERE l.region = ? LIMIT 1", region):
            return None
        newest = "SELECT id FROM sessions WHERE region = ? ORDER BY _isnotai_born DESC LIMIT 1"
        found = self.file.value(newest, region)
        return None if found is None else str(found)

    def commit_listing(self, region: str, place: str, coverage: Coverage, *, is_gap: bool = False) -> tuple[int, int]:
        """Commit the sessions of a complete listing, and what the store knows with it.

        Args:
            region: Name of the region.
            place: Which API it is, in words.
            coverage: Which sessions the store knows now.
            is_gap: Whether the last run is longer ago than the API looks back.

        Returns:
            How many sessions were listed, and how many of them are new.
        """
        listed = self.file.value("SELECT count(*) FROM temp.listed WHERE region = ?", region)
        before = self.count_sessions()
        with self.file.transaction():
            self.file.db.execute(MERGE_LISTED, (region,))
            self.file.db.execute(
                "INSERT INTO _isnotai_regions VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET listed_from = "
                "excluded.listed_from, listed_until = excluded.listed_until, history = excluded.history, "
                "is_gap = max(is_gap, excluded.is_gap)",
                (region, place, coverage.since, coverage.until, coverage.history, coverage.distrusted, is_gap),
            )
        self.forget_listed(region)
        return listed, self.count_sessions() - before

    def plan(self, region: str, coverage: Coverage, now: int) -> tuple[int, int]:
        """Choose what this run reads of a region; `next_readings` returns it.

        Returns:
            How many sessions are read, and how many wait.
        """
        insert = "INSERT INTO temp.work (region, id, choice) VALUES (?, ?, ?)"
        audits = [(region, session_id, Choice.AUDIT) for session_id in self._choose_audits(region, coverage, now)]
        count, db = Counter[Choice](), self.file.db
        db.execute("BEGIN")
        db.executemany(insert, self._choose(region, now, count))
        db.executemany(insert, audits)
        db.execute("COMMIT")
        return count[Choice.READ] + count[Choice.READ_NEW] + len(audits), count[Choice.WAIT]

    def _choose(self, region: str, now: int, count: Counter[Choice]) -> Iterator[tuple[str, str, Choice]]:
        """Return what is read; they are too many for a list in a first run."""
        query = f"SELECT id, {_STATE} FROM {_OPEN} ORDER BY _isnotai_born"
        for session_id, *state in self.file.db.execute(query, (region,)):
            choice = self.rules.choose(_read_state(state), now)
            count[choice] += 1
            if choice in {Choice.READ, Choice.READ_NEW}:
                yield region, session_id, choice

    def _choose_audits(self, region: str, coverage: Coverage, now: int) -> list[str]:
        final = "SELECT id FROM sessions WHERE region = ? AND _isnotai_state IN ('final', 'gone')"
        oldest_first = f"{final} AND _isnotai_born >= ? ORDER BY _isnotai_began, id LIMIT ?"
        chosen = self.file.db.execute(oldest_first, (region, now - self.rules.watch, self.rules.audited)).fetchall()
        if left := self.rules.leaving(coverage, now):
            unread = f"{final} AND _isnotai_born >= ? AND _isnotai_born < ? AND _isnotai_began < _isnotai_born + ?"
            chosen += self.file.db.execute(unread, (region, *left, self.rules.watch)).fetchall()
        return [session_id for (session_id,) in chosen]

    def next_readings(self, region: str, now: int, *, after: int, most: int) -> list[tuple[int, SessionReading]]:
        """Return the next readings of the plan, each with its number in it."""
        query = (
            "SELECT w.number, w.id, w.choice, s._isnotai_newest, NULL FROM temp.work AS w "
            "JOIN sessions AS s ON s.id = w.id AND s.region = w.region "
            "WHERE w.region = ? AND w.number > ? ORDER BY w.number LIMIT ?"
        )
        rows = self.file.db.execute(query, (region, after, most)).fetchall()
        return [(row[0], _make_reading(region, now, row[1:])) for row in rows]

    def find_saved(self, region: str, now: int) -> list[SessionReading]:
        """Return the readings of the plan that an earlier run left in the middle, and that may be continued."""
        query = (
            f"SELECT {_STATE}, w.id, w.choice, s._isnotai_newest, s._isnotai_reading FROM temp.work AS w "
            "JOIN sessions AS s ON s.id = w.id AND s.region = w.region "
            "WHERE w.region = ? AND w.choice = ? AND s._isnotai_reading IS NOT NULL"
        )
        rows = self.file.db.execute(query, (region, Choice.READ.value))
        saved = [(_read_state(row), _make_reading(region, now, row[-4:])) for row in rows]
        return [reading for state, reading in saved if self.rules.can_resume(state, reading.began)]

    def commit(
        self,
        pages: Iterable[tuple[SessionReading, Rows]],
        standing: Iterable[SessionReading],
        *,
        refused: Iterable[SessionReading] = (),
        rejected: Iterable[Rejected] = (),
    ) -> int:
        """Commit what was read, rows and how far their sessions are; return how many rows were added.

        Args:
            pages: The rows of pages, each with its reading, whose counts are brought up to date.
            standing: Readings with new rows. A finished one gets the state of its session.
            refused: Readings that the API refused for good.
            rejected: Records that could not be read.
        """
        added = 0
        with self.file.transaction():
            for reading, rows in pages:
                added += self._add_rows(reading, rows)
            for reading in standing:
                if reading.is_through:
                    self._finish(reading)
                else:
                    self._save_reading(reading)
            for reading in refused:
                self._refuse(reading)
            self._set_aside(rejected)
        return added

    def _add_rows(self, reading: SessionReading, rows: Rows) -> int:
        key = (reading.region, reading.session_id)
        added = 0
        width = len(EVENT_COLUMNS)
        for at in range(0, len(rows.values), width * _MOST_ROWS):
            values = rows.values[at : at + width * _MOST_ROWS]
            added += self.file.db.execute(_insert(len(values) // width), (*key, *values)).rowcount
        if added < rows.count:
            reading.differing += self._count_differing(reading, rows)
        reading.given += rows.count
        reading.pages += 1
        reading.added += added
        if added and reading.choice is Choice.AUDIT:
            self._set_distrust("ifnull(distrusted, ?)", reading.region, reading.began)
        self.file.db.execute(
            "UPDATE sessions SET _isnotai_rows = _isnotai_rows + ?, "
            f"_isnotai_newest = max(ifnull(_isnotai_newest, ?), ?) {_KEY}",
            (added, rows.newest, rows.newest, reading.session_id, reading.region),
        )
        return added

    def _count_differing(self, reading: SessionReading, rows: Rows) -> int:
        given = {row[0]: row for row in rows}
        query = (reading.session_id, reading.region, json.dumps(list(given)))
        return sum(given[row[0]] != row for row in self.file.db.execute(_ROWS_BY_ID, query))

    def _set_aside(self, rejected: Iterable[Rejected]) -> None:
        add = "INSERT INTO _isnotai_rejected VALUES (?, 0) ON CONFLICT DO NOTHING"
        new = [record for record in rejected if self.file.db.execute(add, (record.digest,)).rowcount]
        if new:
            append_rejected(rejected_of(self.file.path), new)  # before the commit, which says that they are there

    def take_doubts(self) -> tuple[int, tuple[str, ...]]:
        """Return what no run has reported yet, also not one that was killed.

        Returns:
            The number of records that could not be read, and the regions with a gap.
        """
        rejected = int(self.file.value("SELECT count(*) FROM _isnotai_rejected WHERE NOT is_reported"))
        gaps = self.file.db.execute("SELECT region FROM _isnotai_regions WHERE is_gap ORDER BY region").fetchall()
        if rejected or gaps:
            with self.file.transaction():
                self.file.db.execute("UPDATE _isnotai_rejected SET is_reported = 1 WHERE NOT is_reported")
                self.file.db.execute("UPDATE _isnotai_regions SET is_gap = 0 WHERE is_gap")
        return rejected, tuple(region for (region,) in gaps)

    def _save_reading(self, reading: SessionReading) -> None:
        if reading.choice is not Choice.READ:
            return
        saved = json.dumps({name: getattr(reading, name) for name in _SAVED}) if reading.walks else None
        self.file.db.execute(
            f"UPDATE sessions SET _isnotai_reading = ? {_KEY}", (saved, reading.session_id, reading.region)
        )

    def _finish(self, reading: SessionReading) -> None:
        if reading.choice is Choice.READ_NEW:
            reading.state = State.OPEN
            return
        known, rows = self._find_state(reading)
        reading.state = self.rules.finish(known, reading.began)
        reading.is_expired = self.rules.is_expired(reading.given, rows)
        self._set_state(reading, pages=reading.pages)

    def _refuse(self, reading: SessionReading) -> None:
        known, rows = self._find_state(reading)
        reading.state = self.rules.refuse(known, reading.began, is_gone=reading.is_gone)
        if reading.state is not State.OPEN and known.state is not State.GONE:
            reading.is_expired = self.rules.is_expired(0, rows)
        self._set_state(reading, pages=None)

    def _find_state(self, reading: SessionReading) -> tuple[SessionState, int]:
        """Return what is known of a session, and how many rows it has."""
        query = f"SELECT {_STATE}, _isnotai_rows FROM sessions {_KEY}"
        *state, rows = self.file.db.execute(query, (reading.session_id, reading.region)).fetchone()
        return _read_state(state), rows

    def _set_state(self, reading: SessionReading, *, pages: int | None) -> None:
        self.file.db.execute(
            "UPDATE sessions SET _isnotai_state = ?, _isnotai_began = ?, "
            f"_isnotai_pages = ifnull(?, _isnotai_pages), _isnotai_reading = NULL {_KEY}",
            (reading.state, reading.began, pages, reading.session_id, reading.region),
        )

    def trust(self, region: str) -> None:
        """Record that the field updatedAt can be trusted again."""
        with self.file.transaction():
            self._set_distrust("?", region, None)

    def _set_distrust(self, value: str, region: str, time: int | None) -> None:
        self.file.db.execute(f"UPDATE _isnotai_regions SET distrusted = {value} WHERE region = ?", (time, region))

    def find_updated_at(self, region: str, session_id: str) -> str | None:
        """Return the updatedAt of a session, as the store writes it."""
        found = self.file.value(f"SELECT updated_at FROM sessions {_KEY}", session_id, region)
        return None if found is None else str(found)

    def count_sessions(self) -> int:
        """Count the sessions in the store."""
        return int(self.file.value("SELECT count(*) FROM sessions"))

    def count_rows(self) -> int:
        """Count the events in the store, by their sessions: to count the rows themselves takes long."""
        return int(self.file.value("SELECT ifnull(sum(_isnotai_rows), 0) FROM sessions"))


@cache
def _insert(count: int) -> str:
    """Return the statement that adds so many rows of a session; one for all, because it runs without the GIL."""
    row = f"({', '.join('?' * len(EVENT_COLUMNS))})"
    # The session once, for all rows: numbered parameters would do, but Python 3.14 takes them by name alone.
    chosen = f"SELECT * FROM (SELECT ?, ?) CROSS JOIN (VALUES {', '.join([row] * count)}) WHERE true"
    return f"INSERT INTO events ({', '.join(COLUMNS)}) {chosen} ON CONFLICT DO NOTHING"


def _read_state(row: Sequence[Any]) -> SessionState:
    born, recorded, newest, state, pages = row[:5]
    return SessionState(born=born, recorded=recorded, newest=newest, state=State(state), pages=pages)


def _make_reading(region: str, now: int, row: Sequence[Any]) -> SessionReading:
    session_id, chosen, newest, saved = row
    state = {"began": now} if saved is None else json.loads(saved)
    return SessionReading(region=region, session_id=session_id, choice=Choice(chosen), newest=newest, **state)
