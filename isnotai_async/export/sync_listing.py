"""List the sessions of one region for a sync, commit them together, plan what to read (rule 1 of `sync_rules`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from attrs import evolve, frozen

from isnotai_async._client import Client
from isnotai_async._models.pages import Page
from isnotai_async._models.records import Session
from isnotai_async._models.times import MILLISECOND, to_milliseconds
from isnotai_async._streaming.paginator import set_aside
from isnotai_async.errors import (
    DecodeError,
    InvalidCursorError,
    NotFoundError,
    PaginationError,
    PermissionDeniedError,
    StoreError,
)
from isnotai_async.export.event_store import EventStore
from isnotai_async.export.rejected import Rejected
from isnotai_async.export.store_schema import to_datetime
from isnotai_async.export.sync_rules import Coverage
from isnotai_async.export.thread import FileThread

_PAGE_SIZE: Final = 100  # the largest of any tier; a smaller cap is applied by the server


@frozen(kw_only=True)
class SessionListing:
    """The result of listing a region."""

    now: int  # the server's time when it started
    listed: int  # sessions that were listed
    new: int  # sessions of them that were not in the store
    planned: int  # sessions that this run reads
    waiting: int  # sessions that wait for a later run
    is_trusted: bool  # whether updatedAt was trusted before this run


@frozen(kw_only=True)
class RegionLister:
    """Lists one region."""

    name: str  # its name, or that of the credential
    place: str  # which API it is, in words
    client: Client
    store: EventStore  # it is open
    thread: FileThread  # of the store
    filters: Mapping[str, Any]  # which sessions to list
    start: int | None  # the caller's `start_date` in Unix milliseconds, or None
    on_page: Callable[[int], None]  # called after each page with the number of its sessions

    async def run(self) -> SessionListing:
        """List the region, commit and plan.

        Raises:
            StoreError: The store has sessions of another API or account.
            IsNotAIError: As of `Client.list_sessions`; nothing was committed then.
        """
        try:
            return await self._list()
        except (InvalidCursorError, PaginationError):
            return await self._list()  # the ids are a set, so a lost cursor costs a second listing and no more

    async def _list(self) -> SessionListing:
        run, store, rules = self.thread.run, self.store, self.store.rules
        coverage = await run(store.find_coverage, self.name, self.place)
        first, now, rest = await self._find_first(coverage)
        await run(store.forget_listed, self.name)
        await self._note(first, now)
        async with aclosing(rest) as pages:
            async for page in pages:
                await self._note(page, now)
        await self._check_account()
        known = Coverage(
            since=rules.covered_from(coverage, self.start),
            until=now,
            history=_read_history(first),
            distrusted=None if coverage is None else coverage.distrusted,
        )
        is_gap = rules.is_gap(coverage, known.history, now)
        listed, new = await run(store.commit_listing, self.name, self.place, known, is_gap=is_gap)
        planned, waiting = await run(store.plan, self.name, known, now)
        return SessionListing(
            now=now,
            listed=listed,
            new=new,
            planned=planned,
            waiting=waiting,
            is_trusted=known.distrusted is None,
        )

    async def _note(self, page: Page[Session], now: int) -> None:
        rejected = [Rejected.of(self.name, None, record) for record in page.rejected]
        await self.thread.run(self.store.note_listed, self.name, page.data, now, rejected)
        self.on_page(len(page.data))

    async def _find_first(
        self, coverage: Coverage | None
    ) -> tuple[Page[Session], int, AsyncGenerator[Page[Session], None]]:
        """Return the first page of the listing, the server's time, and the pages after it."""
        since = await self._find_since(coverage, 0 if coverage is None else coverage.until)
        first, now, rest = await self._ask(since)
        needed = await self._find_since(coverage, now)
        if since is None:
            return first, now, rest
        if needed is not None and needed < since:  # the server's clock went back since the last run
            return await self._ask(needed)
        return await self._ask(None) if await self._is_doubtful(first, since, now) else (first, now, rest)

    async def _is_doubtful(self, first: Page[Session], since: int, now: int) -> bool:
        """Return whether a listing is empty, and its start may be the reason."""
        if first.data or first.has_more or first.rejected:
            return False
        history = _read_history(first)
        if history is None or self.store.rules.is_before_history(since, history, now):
            return True
        return await self.thread.run(self.store.has_sessions, self.name, since)

    async def _find_since(self, coverage: Coverage | None, now: int) -> int | None:
        rules = self.store.rules
        oldest = await self.thread.run(self.store.find_oldest_open, self.name, rules.open_after(now))
        return rules.list_since(coverage, oldest, start=self.start, now=now)

    async def _ask(self, since: int | None) -> tuple[Page[Session], int, AsyncGenerator[Page[Session], None]]:
        options = {"page_size": _PAGE_SIZE, "start_date": to_datetime(since), **self.filters}
        walk = set_aside(self.client.list_sessions(**options))
        first = await walk  # a walk passes over empty pages, and the first page has the time
        after = evolve(walk.position, cursor=first.next_cursor)
        rest = set_aside(self.client.list_sessions(**options, resume=after)).pages()
        return first, await read_now(self.client, first), rest if first.has_more else _no_pages()

    async def _check_account(self) -> None:
        """Check that the key belongs to the account of the store; normally without a request."""
        stranger = await self.thread.run(self.store.find_stranger, self.name)
        if stranger is None:
            return
        with suppress(NotFoundError):
            try:
                await self.client.get_session(stranger)
            except PermissionDeniedError:
                name = self.store.file.name
                raise StoreError(
                    f"{name} was filled with a key of another account; use that key, or choose another file"
                ) from None


def _read_history(page: Page[Session]) -> int | None:
    return None if page.tier is None else page.tier.history // MILLISECOND


async def _no_pages() -> AsyncGenerator[Page[Session], None]:
    return
    yield


async def read_now(client: Client, page: Page[Any]) -> int:
    """Return the server's time in Unix milliseconds, rounded down: the ``Date`` of a page, else that of ``/health``.

    A proxy may take the header away or replace it by nonsense; the clock of this machine is never asked.
    """
    date: datetime | None
    try:
        date = parsedate_to_datetime(page.headers.get("date", ""))
    except (ValueError, TypeError, IndexError, OverflowError):
        date = (await client.health()).timestamp
    if date is None:
        raise DecodeError(
            "the answer of /health has no timestamp, so the server's time is not known", path="$.timestamp"
        )
    return to_milliseconds(date if date.tzinfo is not None else date.replace(tzinfo=UTC))
