"""Answers of users, courses, analytics, stats and usage, counted from the sessions that are listed.

All numbers are counted from the same rows that `list_sessions` returns, so that all answers agree. If the API does
not document what it counts, the sandbox decides:

1. A bot has a score of at least 0.7 (documented for `botOnly`), with high confidence from 0.9 on; from 0.4 on a
   session is medium, or a bot of low confidence. Sessions without a score are none of these.
2. A session, with all its events, belongs to the day it was created on.
3. An event takes 24 bytes of storage. Shares and percentages: rates from 0 to 1, percentages from 0 to 100.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import frozen

from isnotai_async.sandbox.data import Data
from isnotai_async.sandbox.generated import BOT_SCORE
from isnotai_async.sandbox.seed_data import DAY_MS, NOW_MS, iso

SURE_SCORE: Final = 0.9
MEDIUM_SCORE: Final = 0.4
SPARKLINE_DAYS: Final = 7
_COURSE: Final = re.compile(r"/courses/([^/?#]+)")


@frozen
class Entry:
    """One session, with the values that are counted.

    Attributes:
        row: The session as the API shows it.
        start_ms: Unix milliseconds of its creation.
        events: How many events it has.
        score: Its bot score, or -1 if it has none.
    """

    row: Mapping[str, Any]
    start_ms: int
    events: int
    score: float

    @property
    def is_bot(self) -> bool:
        """Whether `botOnly` would list it."""
        return self.score >= BOT_SCORE


Entries = tuple[Entry, ...]


def take_census(data: Data) -> Entries:
    """Look at every session that is listed, in its order."""
    return tuple(
        Entry(each.show(), each.start_ms, each.log.size, -1.0 if each.bot_score is None else each.bot_score)
        for each in (data[session_id] for session_id in data.ids)
    )


def group(entries: Entries, key: Callable[[Entry], str | None]) -> dict[str, Entries]:
    """Group sessions by a text, in the order it first occurs; those without one are left out."""
    groups = defaultdict[str, list[Entry]](list)
    for entry in entries:
        if (name := key(entry)) is not None:
            groups[name].append(entry)
    return {name: tuple(members) for name, members in groups.items()}


def users(entries: Entries) -> tuple[dict[str, object], ...]:
    """Return all users, as the API shows them."""
    return tuple(_user(user_id, own) for user_id, own in group(entries, lambda entry: entry.row["userId"]).items())


def _user(user_id: str, own: Entries) -> dict[str, object]:
    bots = sum(entry.is_bot for entry in own)
    highest = max(0.0, *(entry.score for entry in own))
    days = [(NOW_MS - entry.start_ms) // DAY_MS for entry in own]
    return {
        "userId": user_id,
        "userName": next((entry.row["userName"] for entry in own if entry.row["userName"] is not None), None),
        "sessionCount": len(own),
        "botSessionCount": bots,
        "mediumSessionCount": sum(MEDIUM_SCORE <= entry.score < BOT_SCORE for entry in own),
        "averageBotScore": mean_score(own),
        "maxBotScore": highest,
        "deviceCount": len({entry.row["userAgentSummary"] for entry in own} - {None}),
        "firstSeen": min(entry.row["createdAt"] for entry in own),
        "lastSeen": max(entry.row["updatedAt"] for entry in own),
        "riskLevel": "high" if bots else "medium" if highest >= MEDIUM_SCORE else "low",
        "sparkline": [days.count(day) for day in reversed(range(SPARKLINE_DAYS))],
        "userUrl": own[0].row["userUrl"],
    }


def courses(entries: Entries) -> tuple[dict[str, object], ...]:
    """Return all courses that occur in the addresses of pages. All fields are the sandbox's own."""
    return tuple(
        {
            "courseId": name,
            "sessionCount": len(own),
            "userCount": len({entry.row["userId"] for entry in own} - {None}),
        }
        for name, own in group(entries, _course).items()
    )


def _course(entry: Entry) -> str | None:
    found = _COURSE.search(entry.row["pageUrl"] or "")
    return found and found[1]


def counters(entries: Entries) -> dict[str, object]:
    """Return counters of all sessions. All fields are the sandbox's own."""
    return {
        "sessions": len(entries),
        "activeSessions": sum(entry.row["status"] == "active" for entry in entries),
        "botSessions": sum(entry.is_bot for entry in entries),
        "events": total_events(entries),
        "users": len(users(entries)),
        "courses": len(courses(entries)),
    }


def total_events(entries: Iterable[Entry]) -> int:
    """Return the number of events of these sessions."""
    return sum(entry.events for entry in entries)


def mean_score(entries: Entries) -> float:
    """Return the mean of the known scores, or 0 if there are none."""
    scores = [entry.score for entry in entries if entry.score >= 0]
    return round(sum(scores) / len(scores), 4) if scores else 0.0


PERIODS: Final = {"24h": 1, "7d": 7, "30d": 30, "90d": 90}
_HOUR_MS: Final = DAY_MS // 24
_WEEK_MS: Final = 7 * DAY_MS
# The epoch was a Thursday; ISO weeks start on Monday.
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
    # Every interval is included, also empty ones, because a chart without its gaps would be wrong.
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
        # The sandbox matches no users, so this number is invented: the share of the users that have a name.
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
