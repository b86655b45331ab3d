"""Records of analytics and API consumption.

Rules and source as of `records`: frozen, the API's field names in snake_case, open names as strings.
"""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from isnotai_async._models.mappings import ReadOnlyMapping
from isnotai_async._models.records import Int32
from isnotai_async._showing import show


@frozen(kw_only=True)
class AnalyticsSummary:
    """The period in six numbers.

    Attributes:
        total_sessions: Sessions.
        total_events: Their events.
        unique_bots: Bots; how they are told apart is not documented.
        unique_users: Users of the learning platform.
        average_bot_score: From 0 to 1.
        average_events_per_session: Events a session.
    """

    total_sessions: Int32
    total_events: Int32
    unique_bots: Int32
    unique_users: Int32
    average_bot_score: float
    average_events_per_session: float

    __repr__ = show


@frozen(kw_only=True)
class AnalyticsPoint:
    """One hour, day or week of the period.

    Attributes:
        timestamp: Where it begins (UTC).
        session_count: Sessions in it.
        event_count: Their events.
        bot_count: Bots among them.
        user_matched_count: Sessions that were matched to a user.
    """

    timestamp: datetime
    session_count: Int32
    event_count: Int32
    bot_count: Int32
    user_matched_count: Int32

    __repr__ = show


@frozen(kw_only=True)
class BotDetection:
    """Sessions by how sure the detection is; where it draws the lines is not documented.

    Attributes:
        high_confidence_bots: Bots, with high confidence.
        medium_confidence_bots: Bots, with medium confidence.
        low_confidence_bots: Bots, with low confidence.
        likely_humans: The others.
    """

    high_confidence_bots: Int32
    medium_confidence_bots: Int32
    low_confidence_bots: Int32
    likely_humans: Int32

    __repr__ = show


@frozen(kw_only=True)
class UserMatching:
    """How many sessions could be matched to a user of the learning platform.

    Attributes:
        total_matched: Matched sessions.
        total_unmatched: The others.
        match_rate: Share of the matched ones; whether from 0 to 1 or to 100 is not documented.
        average_correlation_confidence: How sure the matches are; the scale is not documented.
    """

    total_matched: Int32
    total_unmatched: Int32
    match_rate: float
    average_correlation_confidence: float

    __repr__ = show


@frozen(kw_only=True)
class TopOrigin:
    """One of the origins (scheme and host) with the most sessions.

    Attributes:
        origin: The origin.
        session_count: Its sessions.
        bot_percentage: Share of bots among them; whether from 0 to 1 or to 100 is not documented.
    """

    origin: str
    session_count: Int32
    bot_percentage: float

    __repr__ = show


@frozen(kw_only=True)
class DeviceBreakdown:
    """Sessions by kind of device.

    Attributes:
        mobile: On telephones.
        tablet: On tablets.
        desktop: On desktops.
        browser_counts: Sessions by name of the browser; an open list.
    """

    mobile: Int32
    tablet: Int32
    desktop: Int32
    browser_counts: ReadOnlyMapping[int]

    __repr__ = show


@frozen(kw_only=True)
class Analytics:
    """Summary and time series of a period.

    Attributes:
        period: The period, such as ``"7d"``; an open list in answers.
        group_by: Width of a point of the time series, such as ``"day"``; likewise.
        start_date: Where the period begins (UTC).
        end_date: Where it ends (UTC).
        generated_at: When the answer was computed (UTC).
        summary: The period in six numbers.
        time_series: Its course.
        bot_detection: Sessions by confidence.
        user_matching: Sessions by whether their user is known.
        top_origins: Where most sessions come from.
        device_breakdown: Sessions by device and browser.
    """

    period: str
    group_by: str
    start_date: datetime
    end_date: datetime
    generated_at: datetime
    summary: AnalyticsSummary
    time_series: tuple[AnalyticsPoint, ...]
    bot_detection: BotDetection
    user_matching: UserMatching
    top_origins: tuple[TopOrigin, ...]
    device_breakdown: DeviceBreakdown

    __repr__ = show


@frozen(kw_only=True)
class UsageEntry:
    """One metric in one stretch of time.

    Attributes:
        period: Which stretch, as the API writes it: the form is not documented.
        metric_type: Which metric, such as ``"ApiCalls"``; an open list in answers.
        value: How much; ``StorageBytes`` in bytes, the others in pieces.
    """

    period: str
    metric_type: str
    value: int

    __repr__ = show


@frozen(kw_only=True)
class Usage:
    """Consumption of the API.

    Attributes:
        start_date: First day, as the API writes it: text of no documented form, unlike other dates.
        end_date: Last day, likewise.
        data: Values by stretch of time and metric.
        totals: Sums over all stretches, by name of the metric.
    """

    start_date: str
    end_date: str
    data: tuple[UsageEntry, ...]
    totals: ReadOnlyMapping[int]

    __repr__ = show
