"""Operations that sum up: analytics, counters and API consumption."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from isnotai_async._event_operations import EventOperations
from isnotai_async._http import endpoints as wire
from isnotai_async._models.analytics import Analytics, Usage
from isnotai_async._models.queries import AnalyticsQuery, UsageQuery


class ReportOperations(EventOperations):
    """What can be asked about the integration as a whole; a base of `Operations`, whose errors it has."""

    async def get_analytics(self, *, period: str | None = None, group_by: str | None = None) -> Analytics:
        """Return summary and time series of a period that ends now.

        Reference page of ``getAnalytics``.

        Example:
            >>> import anyio
            >>> import isnotai_async as isnotai
            >>> async def main() -> None:
            ...     async with isnotai.Sandbox() as sandbox:
            ...         async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
            ...             analytics = await client.get_analytics(period="7d", group_by="day")
            ...             print(analytics.summary.total_sessions, len(analytics.time_series))
            >>> anyio.run(main)
            40 8

        Args:
            period: ``"24h"``, ``"7d"``, ``"30d"`` or ``"90d"``; default the server's, 7d.
            group_by: Width of a point of the time series: ``"hour"``, ``"day"`` or ``"week"``; default the server's,
                day.

        Raises:
            ConfigError: Another period or width, which the API would refuse.
        """
        query = AnalyticsQuery(period=period, group_by=group_by)
        return await self._fetch(wire.build_report(query), wire.read_analytics)

    async def get_stats(self) -> Mapping[str, Any]:
        """Return high-level counters.

        Reference page of ``getStats``. Its schema is not public, so the answer comes as a read-only mapping, as the
        server sent it. If you have answers of the real API, please open an issue with one (without data of yours):
        then it becomes a record.
        """
        return await self._fetch(wire.build_stats(), wire.read_mapping)

    async def get_usage(
        self,
        *,
        start_date: datetime | date | str | None = None,
        end_date: datetime | date | str | None = None,
        metric: str | None = None,
    ) -> Usage:
        """Return the consumption of the API.

        Reference page of ``getUsage``. The whole answer comes at once, not in pages.

        Args:
            start_date: From here on, inclusive: an aware datetime, a date (its first instant, UTC) or ISO 8601 text;
                default the server's, 30 days before `end_date`.
            end_date: Up to here, inclusive: likewise (a date means its last microsecond, UTC); default the server's,
                today in UTC.
            metric: Only this one: ``"ApiCalls"``, ``"Events"``, ``"Sessions"``, ``"StorageBytes"`` or
                ``"BotAnalyses"``, in any case; default all.

        Raises:
            ConfigError: A value that the API could only refuse or misread.
        """
        query = UsageQuery(start_date=start_date, end_date=end_date, metric=metric)
        return await self._fetch(wire.build_report(query), wire.read_usage)
