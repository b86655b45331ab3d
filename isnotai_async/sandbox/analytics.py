"""The answers of ``/v1/analytics`` and ``/v1/usage``, counted as `census` says."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date
from typing import Final
from urllib.parse import urlsplit

from isnotai_async.sandbox.census import (
    MEDIUM_SCORE,
    SURE_SCORE,
    Entries,
    Entry,
    group,
    mean_score,
    total_events,
)
from isnotai_async.sandbox.generated import BOT_SCORE
from isnotai_async.sandbox.times import DAY_MS, NOW_MS, iso

PERIODS: Final = {"24h": 1, "7d": 7, "30d": 30, "90d": 90}
_HOUR_MS: Final = DAY_MS // 24
_WEEK_MS: Final = 7 * DAY_MS
# The epoch was a Thursday; ISO weeks begin on Monday.
_MONDAY_MS: Final = 4 * DAY_MS
GROUPINGS: Final = {"hour": (_HOUR_MS, 0), "day": (DAY_MS, 0), "week": (_WEEK_MS, _MONDAY_MS)}
METRICS: Final = ("ApiCalls", "Events", "Sessions", "StorageBytes", "BotAnalyses")
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_EVENT_BYTES: Final = 24
_MOBILE: Final = ("iOS", "Android")


def analyse(entries: Entries, period: str, group_by: str) -> dict[str, object]:
    """Build the data of ``/v1/analytics``.

    Args:
        entries: All sessions.
        period: One of `PERIODS`; it ends now.
        group_by: One of `GROUPINGS`.
    """
    start_ms = NOW_MS - PERIODS[period] * DAY_MS
    inside = tuple(entry for entry in entries if start_ms <= entry.start_ms <= NOW_MS)
    return {
        "period": period,
        "groupBy": group_by,
        "startDate": iso(start_ms),
        "endDate": iso(NOW_MS),
        "generatedAt": iso(NOW_MS),
        "summary": {
            "totalSessions": len(inside),
            "totalEvents": total_events(inside),
            "uniqueBots": sum(entry.is_bot for entry in inside),
            "uniqueUsers": len({entry.row["userId"] for entry in inside} - {None}),
            "averageBotScore": mean_score(inside),
            "averageEventsPerSession": round(total_events(inside) / len(inside), 2) if inside else 0.0,
        },
        "timeSeries": _series(inside, start_ms, *GROUPINGS[group_by]),
        "botDetection": {
            "highConfidenceBots": sum(entry.score >= SURE_SCORE for entry in inside),
            "mediumConfidenceBots": sum(BOT_SCORE <= entry.score < SURE_SCORE for entry in inside),
            "lowConfidenceBots": sum(MEDIUM_SCORE <= entry.score < BOT_SCORE for entry in inside),
            "likelyHumans": sum(0 <= entry.score < MEDIUM_SCORE for entry in inside),
        },
        "userMatching": _matching(inside),
        "topOrigins": _origins(inside),
        "deviceBreakdown": _devices(inside),
    }


def _series(inside: Entries, start_ms: int, width: int, offset: int) -> list[dict[str, object]]:
    # Every stretch is there, empty ones too: a chart without its gaps would lie.
    first, last = ((at - offset) // width for at in (start_ms, NOW_MS))
    buckets = defaultdict[int, list[Entry]](list)
    for entry in inside:
        buckets[(entry.start_ms - offset) // width].append(entry)
    return [
        {
            "timestamp": iso(number * width + offset),
            "sessionCount": len(buckets[number]),
            "eventCount": total_events(buckets[number]),
            "botCount": sum(entry.is_bot for entry in buckets[number]),
            "userMatchedCount": sum(entry.row["userId"] is not None for entry in buckets[number]),
        }
        for number in range(first, last + 1)
    ]


def _matching(inside: Entries) -> dict[str, object]:
    matched = sum(entry.row["userId"] is not None for entry in inside)
    named = sum(entry.row["userName"] is not None for entry in inside)
    return {
        "totalMatched": matched,
        "totalUnmatched": len(inside) - matched,
        "matchRate": round(matched / len(inside), 4) if inside else 0.0,
        # Made up, like everything of a server that matches nobody: the share of the matched that have a name.
        "averageCorrelationConfidence": round(named / matched, 4) if matched else 0.0,
    }


def _origin(entry: Entry) -> str | None:
    url = urlsplit(entry.row["pageUrl"] or "")
    return f"{url.scheme}://{url.netloc}" if url.netloc else None


def _origins(inside: Entries) -> list[dict[str, object]]:
    ranked = sorted(group(inside, _origin).items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        {
            "origin": origin,
            "sessionCount": len(own),
            "botPercentage": round(100 * sum(entry.is_bot for entry in own) / len(own), 2),
        }
        for origin, own in ranked[:10]
    ]


def _devices(inside: Entries) -> dict[str, object]:
    agents = [str(entry.row["userAgentSummary"]) for entry in inside if entry.row["userAgentSummary"] is not None]
    mobile = sum(agent.endswith(_MOBILE) for agent in agents)
    browsers = Counter(agent.split()[0] for agent in agents)
    return {
        "mobile": mobile,
        "tablet": 0,
        "desktop": len(agents) - mobile,
        "browserCounts": dict(sorted(browsers.items())),
    }


def measure(
    entries: Entries, calls: int, *, start_ms: int, end_ms: int, metrics: tuple[str, ...] = METRICS
) -> dict[str, object]:
    """Build the answer of ``/v1/usage``: days on which there was something, by metric.

    Args:
        entries: All sessions.
        calls: API calls that were let in. They all belong to the sandbox's one day, on which its clock stands.
        start_ms: Unix milliseconds; its whole day is in.
        end_ms: Unix milliseconds; its whole day is in.
        metrics: Which ones.
    """
    first, last = start_ms // DAY_MS, end_ms // DAY_MS
    days = defaultdict[int, Counter[str]](Counter)
    days[NOW_MS // DAY_MS]["ApiCalls"] = calls
    for entry in entries:
        days[entry.start_ms // DAY_MS].update(
            Events=entry.events,
            Sessions=1,
            StorageBytes=entry.events * _EVENT_BYTES,
            BotAnalyses=int(entry.score >= 0),
        )
    inside = {day: counts for day, counts in sorted(days.items()) if first <= day <= last}
    return {
        "startDate": _day(first),
        "endDate": _day(last),
        "data": [
            {"period": _day(day), "metricType": metric, "value": counts[metric]}
            for day, counts in inside.items()
            for metric in metrics
            if counts[metric]
        ],
        "totals": {metric: sum(counts[metric] for counts in inside.values()) for metric in metrics},
    }


def _day(number: int) -> str:
    # Thirty days before a date of the year 1 are none.
    return date.fromordinal(min(max(number + _EPOCH_ORDINAL, 1), date.max.toordinal())).isoformat()
