"""What an export will take, before it is begun."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from math import ceil
from typing import Final

from attrs import frozen

from isnotai_async._client import Client
from isnotai_async._manager import SessionManager
from isnotai_async._models.positions import Target
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.tiers import Tier
from isnotai_async._models.validation import check_int
from isnotai_async._streaming.splitting import spread_events
from isnotai_async.errors import NotFoundError
from isnotai_async.export.identity import identify_sessions
from isnotai_async.export.job import count_sessions
from isnotai_async.export.origin import AnySessions, Origin, find_origin

_UTILISATION: Final = 0.98  # of the quota, as the limiter has it


@frozen(kw_only=True)
class ExportEstimate:
    """What an export will take, as far as a few of its sessions tell. It is an estimate: sessions differ widely.

    Attributes:
        sessions: How many there are, or None where only reading them all would tell.
        sampled: How many were looked at.
        events_each: Events of one of them on average, those of all types.
        pages_each: Requests for one of them on average.
        events: Events in all, or None where the number of sessions is not known.
        pages: Requests in all, likewise.
        minutes: Minutes that these take at the quota of this tier, likewise, or where the tier is not known.
        tier: The key's tier, or None where it is not known.
    """

    sessions: int | None
    sampled: int
    events_each: float
    pages_each: float
    events: int | None
    pages: int | None
    minutes: float | None
    tier: Tier | None


async def estimate_export(
    source: Client | SessionManager,
    sessions: AnySessions,
    *,
    sample: int = 5,
    page_size: int | None = None,
    type: int | str | None = None,
    start_time: int | datetime | None = None,
    end_time: int | datetime | None = None,
) -> ExportEstimate:
    """Estimate what an export takes, from the details of a few sessions.

    It costs a request for each of these, and one more for the tier. Of a list it looks at sessions here and there, of
    anything else at the first ones. An iterator is used up as far as it was read.

    Args:
        source: As of `export_events`, as all below. Of several regions, the first session's tier counts.
        sessions: The sessions.
        sample: Most sessions to look at, from 1.
        page_size: Events a page.
        type: Message-type byte or short name. How many events have it is not known, so all are counted.
        start_time: Earliest timestamp.
        end_time: Latest timestamp.

    Raises:
        ConfigError: An option that cannot work.
        IsNotAIError: A request failed.
    """
    check_int(sample, "sample", 1, 1_000)
    query = EventQuery(session_id="any", page_size=page_size, type=type, start_time=start_time, end_time=end_time)
    origin = find_origin(source)
    count = count_sessions(await identify_sessions(origin, sessions))
    step = 1 if count is None else max(1, count // sample)
    events: list[float] = []
    limit, tier = page_size or 100, None
    async with aclosing(_pick(origin, sessions, sample, step)) as targets:
        async for target in targets:
            client = origin.client(target.name)
            try:
                if tier is None:
                    page = await client.list_events(target.session_id, page_size=page_size)
                    limit, tier = page.limit or limit, page.tier
                details = await client.get_session_details(target.session_id)
            except NotFoundError:
                continue
            events.append(sum(stretch.events for stretch in spread_events(details, query.start_time, query.end_time)))
    return _add_up(events, count, limit, tier)


async def _pick(origin: Origin, sessions: AnySessions, sample: int, step: int) -> AsyncGenerator[Target, None]:
    number = 0
    for source in origin.read(sessions).values():
        async with aclosing(source) as targets:
            async for target in targets:
                if number % step == 0:
                    yield target
                number += 1
                if number >= sample * step:
                    return


def _add_up(events: list[float], count: int | None, limit: int, tier: Tier | None) -> ExportEstimate:
    sampled = max(1, len(events))
    events_each = sum(events) / sampled
    pages_each = max(1.0, sum(max(1, ceil(number / max(1, limit))) for number in events) / sampled)
    pages = None if count is None else round(count * pages_each)
    return ExportEstimate(
        sessions=count,
        sampled=len(events),
        events_each=events_each,
        pages_each=pages_each,
        events=None if count is None else round(count * events_each),
        pages=pages,
        minutes=None if pages is None or tier is None else pages / (tier.requests_per_minute * _UTILISATION),
        tier=tier,
    )
