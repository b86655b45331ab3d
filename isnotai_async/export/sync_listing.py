"""List the sessions of one region for a sync, commit them together, and plan what to read (rule 1 of `sync_rules`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Any, Final

from attrs import evolve, frozen

from isnotai_async._client import Client
from isnotai_async.errors import (
    CheckpointError,
    InvalidCursorError,
    NotFoundError,
    PaginationError,
    PermissionDeniedError,
)
from isnotai_async.export.server_time import read_now
from isnotai_async.export.store_access import StoreAccess
from isnotai_async.export.store_schema import to_datetime
from isnotai_async.export.sync_rules import Coverage
from isnotai_async._models.pages import Page
from isnotai_async._models.records import Session

_PAGE_SIZE: Final = 100  # the largest of any tier; a smaller cap is applied by the server
_MILLISECOND: Final = timedelta(milliseconds=1)


@frozen(kw_only=True)
class Listing:
    """What came of listing a region.

    Attributes:
        now: The server's time when it started.
        listed: Sessions that were listed.
        new: Sessions of them that were not in the store.
        planned: Sessions that this run reads.
        waiting: Sessions that wait for a later run.
        is_gap: Whether the last run is longer ago than the tier's history.
        is_trusted: Whether updatedAt was trusted before this run.
    """

    now: int
    listed: int
    new: int
    planned: int
    waiting: int
    is_gap: bool
    is_trusted: bool


@frozen(kw_only=True)
class RegionLister:
    """Lists one region.

    Attributes:
        name: Its name, or that of the credential.
        place: Which API it is, in words.
        client: Its client.
        access: The way to the store.
        filters: Which sessions to list.
        start: The caller's `start_date` in Unix milliseconds, or None.
    """

    name: str
    place: str
    client: Client
    access: StoreAccess
    filters: Mapping[str, Any]
    start: int | None

    async def run(self) -> Listing:
        """List the region, commit and plan.

        Raises:
            CheckpointError: The store has sessions of another API or account.
            IsNotAIError: As of `Client.list_sessions`; nothing was committed then.
        """
        try:
            return await self._list()
        except (InvalidCursorError, PaginationError):
            return await self._list()  # the ids are a set, so a lost cursor costs a second listing and no more

    async def _list(self) -> Listing:
        access, store, rules = self.access, self.access.store, self.access.store.rules
        coverage = await access(store.find_coverage, self.name, self.place)
        first, now, rest = await self._find_first(coverage)
        await access(store.forget_listed, self.name)
        await access(store.note_listed, self.name, first.data, now)
        async with aclosing(rest) as pages:
            async for page in pages:
                await access(store.note_listed, self.name, page.data, now)
        await self._check_account()
        distrusted = None if coverage is None else coverage.distrusted
        known = Coverage(since=rules.covered_from(coverage, self.start), until=now, distrusted=distrusted)
        listed, new = await access(store.commit_listing, self.name, self.place, known)
        planned, waiting = await access(store.plan, self.name, known, now)
        history = None if first.tier is None else first.tier.history // _MILLISECOND
        return Listing(
            now=now,
            listed=listed,
            new=new,
            planned=planned,
            waiting=waiting,
            is_gap=history is not None and rules.is_gap(coverage, history, now),
            is_trusted=distrusted is None,
        )

    async def _find_first(
        self, coverage: Coverage | None
    ) -> tuple[Page[Session], int, AsyncGenerator[Page[Session], None]]:
        """Return the first page of the listing, the time, and the pages behind it."""
        since = await self._find_since(coverage, 0 if coverage is None else coverage.until)
        first, now, rest = await self._ask(since)
        needed = await self._find_since(coverage, now)
        if since is None or (needed is not None and needed >= since):
            return first, now, rest
        return await self._ask(needed)  # the server's clock is behind the last run's: list from earlier on

    async def _find_since(self, coverage: Coverage | None, now: int) -> int | None:
        rules, store = self.access.store.rules, self.access.store
        oldest = await self.access(store.find_oldest_open, self.name, rules.open_after(now))
        return rules.list_since(coverage, oldest, start=self.start, now=now)

    async def _ask(self, since: int | None) -> tuple[Page[Session], int, AsyncGenerator[Page[Session], None]]:
        options = {"page_size": _PAGE_SIZE, "start_date": to_datetime(since), **self.filters}
        walk = self.client.list_sessions(**options)
        first = await walk
        # Awaited, because a walk passes over empty pages, and the first page tells the time.
        behind = evolve(walk.position, cursor=first.next_cursor)
        rest = self.client.list_sessions(**options, resume=behind).pages() if first.has_more else _no_pages()
        return first, await read_now(self.client, first), rest

    async def _check_account(self) -> None:
        """Check that the key belongs to the account of the store; normally without a request."""
        stranger = await self.access(self.access.store.find_stranger, self.name)
        if stranger is None:
            return
        with suppress(NotFoundError):
            try:
                await self.client.get_session(stranger)
            except PermissionDeniedError:
                name = self.access.store.file.name
                raise CheckpointError(
                    f"{name} was filled with a key of another account; use that key, or choose another file"
                ) from None


async def _no_pages() -> AsyncGenerator[Page[Session], None]:
    return
    yield
