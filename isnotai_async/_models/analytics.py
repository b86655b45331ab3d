"""Records of analytics and API consumption.

Rules and source as of `records`: frozen, the API's field names in snake_case, open names as strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from isnotai_async._models.records import Int32, Int64
from isnotai_async._values import equals, hashed, show


@frozen(kw_only=True)
class AnalyticsSummary:
    """The period in six numbers.

    Example:
        >>> analytics = await client.get_analytics(period="7d")
        >>> analytics.summary.total_sessions, analytics.summary.average_bot_score
        (40, 0.4017)

    Attributes:
        total_sessions: Sessions.
        total_events: Their events.
        unique_bots: Different bots; how the API distinguishes them is not documented.
        unique_users: Users of the learning platform.
        average_bot_score: From 0 to 1.
        average_events_per_session: Events a session.
        extra: Fields that the contract does not have, by the API's own names.
    """

    total_sessions: Int32 | None
    total_events: Int32 | None
    unique_bots: Int32 | None
    unique_users: Int32 | None
    average_bot_score: float | None
    average_events_per_session: float | None
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class AnalyticsPoint:
    """One hour, day or week of the period.

    Example:
        >>> analytics = await client.get_analytics(period="7d")
        >>> max(point.event_count for point in analytics.time_series)
        5201

    Attributes:
        timestamp: Its start (UTC).
        session_count: Sessions in it.
        event_count: Their events.
        bot_count: Bots among them.
        user_matched_count: Sessions that were matched to a user.
        extra: Fields that the contract does not have, by the API's own names.
    """

    timestamp: datetime | None
    session_count: Int32 | None
    event_count: Int32 | None
    bot_count: Int32 | None
    user_matched_count: Int32 | None
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class BotDetection:
    """Sessions by confidence of the detection; the thresholds are not documented.

    Example:
        >>> analytics = await client.get_analytics(period="7d")
        >>> analytics.bot_detection.high_confidence_bots, analytics.bot_detection.likely_humans
        (0, 21)

    Attributes:
        high_confidence_bots: Bots, with high confidence.
        medium_confidence_bots: Bots, with medium confidence.
        low_confidence_bots: Bots, with low confidence.
        likely_humans: The others.
        extra: Fields that the contract does not have, by the API's own names.
    """

    high_confidence_bots: Int32 | None
    medium_confidence_bots: Int32 | None
    low_confidence_bots: Int32 | None
    likely_humans: Int32 | None
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class UserMatching:
    """How many sessions could be matched to a user of the learning platform.

    Example:
        >>> analytics = await client.get_analytics(period="7d")
        >>> analytics.user_matching.total_matched, analytics.user_matching.match_rate
        (32, 0.8)

    Attributes:
        total_matched: Matched sessions.
        total_unmatched: The others.
        match_rate: Share of the matched ones; whether from 0 to 1 or to 100 is not documented.
        average_correlation_confidence: How sure the matches are; the scale is not documented.
        extra: Fields that the contract does not have, by the API's own names.
    """

    total_matched: Int32 | None
    total_unmatched: Int32 | None
    match_rate: float | None
    average_correlation_confidence: float | None
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class TopOrigin:
    """One of the origins (scheme and host) with the most sessions.

    Example:
        >>> analytics = await client.get_analytics(period="7d")
        >>> analytics.top_origins[0].origin, analytics.top_origins[0].session_count
        ('https://learn.example.edu', 38)

    Attributes:
        origin: The origin.
        session_count: Its sessions.
        bot_percentage: Share of bots among them; whether from 0 to 1 or to 100 is not documented.
        extra: Fields that the contract does not have, by the API's own names.
    """

    origin: str | None
    session_count: Int32 | None
    bot_percentage: float | None
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class DeviceBreakdown:
    """Sessions by kind of device.

    Example:
        >>> analytics = await client.get_analytics(period="7d")
        >>> analytics.device_breakdown.desktop, analytics.device_breakdown.mobile
        (29, 5)

    Attributes:
        mobile: On telephones.
        tablet: On tablets.
        desktop: On desktops.
        browser_counts: Sessions by name of the browser; an open list.
        extra: Fields that the contract does not have, by the API's own names.
    """

    mobile: Int32 | None
    tablet: Int32 | None
    desktop: Int32 | None
    browser_counts: Mapping[str, int] = field(hash=False)
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class Analytics:
    """Summary and time series of a period.

    Example:
        >>> analytics = await client.get_analytics(period="7d")
        >>> analytics.period, analytics.group_by, len(analytics.time_series)
        ('7d', 'day', 8)

    Attributes:
        period: The period, such as ``"7d"``; an open list in answers.
        group_by: Width of a point of the time series, such as ``"day"``; an open list in answers.
        start_date: Start of the period (UTC).
        end_date: End of the period (UTC).
        generated_at: When the answer was computed (UTC).
        summary: The period in six numbers.
        time_series: Its course.
        bot_detection: Sessions by confidence.
        user_matching: Sessions by whether their user is known.
        top_origins: Where most sessions come from.
        device_breakdown: Sessions by device and browser.
        extra: Fields that the contract does not have, by the API's own names.
    """

    period: str | None
    group_by: str | None
    start_date: datetime | None
    end_date: datetime | None
    generated_at: datetime | None
    summary: AnalyticsSummary | None
    time_series: tuple[AnalyticsPoint, ...]
    bot_detection: BotDetection | None
    user_matching: UserMatching | None
    top_origins: tuple[TopOrigin, ...]
    device_breakdown: DeviceBreakdown | None
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class UsageEntry:
    """One metric in one stretch of time.

    Example:
        >>> usage = await client.get_usage(start_date="2026-06-08", metric="Sessions")
        >>> [(entry.period, entry.value) for entry in usage.data]
        [('2026-06-08', 8), ('2026-06-09', 6), ('2026-06-10', 2)]

    Attributes:
        period: Which stretch, as the API writes it: the form is not documented.
        metric_type: Which metric, such as ``"ApiCalls"``; an open list in answers.
        value: How much; ``StorageBytes`` in bytes, the others in pieces.
        extra: Fields that the contract does not have, by the API's own names.
    """

    period: str | None
    metric_type: str | None
    value: Int64 | None
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class Usage:
    """Consumption of the API.

    Example:
        >>> usage = await client.get_usage(metric="Sessions")
        >>> usage.totals["Sessions"], len(usage.data)
        (40, 7)

    Attributes:
        start_date: First day, as the API writes it: text of no documented form, unlike other dates.
        end_date: Last day, in the same form.
        data: Values by stretch of time and metric.
        totals: Sums over all stretches, by name of the metric.
        extra: Fields that the contract does not have, by the API's own names.
    """

    start_date: str | None
    end_date: str | None
    data: tuple[UsageEntry, ...]
    totals: Mapping[str, Int64] = field(hash=False)
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed
