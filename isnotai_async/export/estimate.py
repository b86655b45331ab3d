"""`estimate_export`: about how many events, requests and minutes an export will take."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterator
from contextlib import aclosing
from datetime import datetime
from math import ceil
from random import Random

from attrs import frozen

from isnotai_async._client import Client
from isnotai_async._manager import SessionManager
from isnotai_async._models.queries import EventFilters
from isnotai_async._models.stream_positions import SessionRef
from isnotai_async._models.tiers import UTILISATION, Tier
from isnotai_async._models.validation import check_int, explain_names
from isnotai_async._streaming.paginator import Paginator
from isnotai_async._streaming.windows import spread_events
from isnotai_async.errors import NotFoundError
from isnotai_async.export.shard import Shard
from isnotai_async.export.source import AnySessions, ExportSource, Unlisted, find_source


@frozen(kw_only=True)
class ExportEstimate:
    """What an export will take, as far as a few of its sessions show. It is an estimate: sessions differ widely.

    Example:
        >>> estimate = await isnotai.estimate_export(client, ["big-100", "big-300"])
        >>> estimate.events, estimate.pages, estimate.tier
        (400, 4, <Tier.ENTERPRISE: 'enterprise'>)

    Attributes:
        sessions: How many there are, or None if only reading them all would show.
        sampled: How many were looked at.
        events_each: Events of one of them on average, those of all types.
        pages_each: Requests for one of them on average.
        events: Events in all, or None if the number of sessions is unknown.
        pages: Requests in all, or None if the number of sessions is unknown.
        minutes: Minutes that these take at the quota of this tier, or None if either is unknown.
        tier: The key's tier, or None if it is unknown.
    """

    sessions: int | None
    sampled: int
    events_each: float
    pages_each: float
    events: int | None
    pages: int | None
    minutes: float | None
    tier: Tier | None


@explain_names
async def estimate_export(
    source: Client | SessionManager,
    sessions: AnySessions,
    *,
    sample: int = 5,
    shard: Shard | None = None,
    page_size: int | None = None,
    type: int | str | None = None,
    start_time: int | datetime | None = None,
    end_time: int | datetime | None = None,
) -> ExportEstimate:
    """Estimate what an export takes, from the details of a few sessions.

    It costs a request for each of these, and one more for the tier. A list such as ``list_sessions()`` is read to its
    end first, a request for each of its pages. An iterator cannot be read twice: its first sessions are looked at and
    used up, and there are no sums.

    Example:
        >>> estimate = await isnotai.estimate_export(client, client.list_sessions(bot_only=True))
        >>> estimate.sessions, estimate.events, estimate.pages
        (7, 3226, 36)

    Args:
        source: As of `export_events`, as all below. Of several regions, the first session's tier counts.
        sessions: The sessions.
        sample: Most sessions to look at, from 1.
        shard: Which of the sessions, or None for all.
        page_size: Events a page.
        type: Message-type byte or short name. How many events have it is unknown, so all are counted.
        start_time: Earliest timestamp.
        end_time: Latest timestamp.

    Raises:
        ConfigError: An option that cannot work.
        IsNotAIError: A request failed.
    """
    check_int(sample, "sample", 1, 1_000)
    query = EventFilters(page_size=page_size, type=type, start_time=start_time, end_time=end_time)
    reader, targets = find_source(source, sessions, shard), list[SessionRef]()
    count = await _pick(reader, sample, targets)
    events: list[float] = []
    limit, tier = page_size or 100, None
    for target in targets:
        client = reader.client(target.name)
        try:
            if tier is None:
                page = await client.list_events(target.session_id, page_size=page_size)
                limit, tier = page.limit or limit, page.tier
            details = await client.get_session_details(target.session_id)
        except NotFoundError:
            continue
        events.append(sum(stretch.events for stretch in spread_events(details, query.start_time, query.end_time)))
    return _add_up(events, count, limit, tier)


async def _pick(source: ExportSource, sample: int, picked: list[SessionRef]) -> int | None:
    """Pick some sessions, of an iterator the first ones; return how many sessions there are."""
    number, random = 0, Random(0)  # noqa: S311 - the same ones each time
    given = source.sessions
    is_iterator = isinstance(given, Iterator | AsyncIterable) and not isinstance(given, Paginator)
    for read in source.read().values():
        async with aclosing(read) as targets:
            async for target in targets:
                if isinstance(target.session_id, Unlisted):
                    continue
                number += 1
                if len(picked) < sample:
                    picked.append(target)
                elif is_iterator:
                    return None
                elif (place := random.randrange(number)) < sample:
                    picked[place] = target
    return None if is_iterator else number


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
        minutes=None if pages is None or tier is None else pages / (tier.requests_per_minute * UTILISATION),
        tier=tier,
    )
