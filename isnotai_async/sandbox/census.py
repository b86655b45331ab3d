"""What a region's sessions come to: users, courses, analytics and consumption.

Everything is counted from the very rows that `list_sessions` shows, so that all answers agree. Where the API does not
say what it counts, the sandbox decides:

1. A bot has a score of at least 0.7 (documented for `botOnly`), with high confidence from 0.9 on; from 0.4 on a
   session is medium, or a bot of low confidence. Sessions without a score are none of these.
2. A session, with all its events, belongs to the day it was created on.
3. An event takes 24 bytes of storage. Shares and percentages: rates from 0 to 1, percentages from 0 to 100.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from attrs import frozen

from isnotai_async.sandbox.data import Data, Session
from isnotai_async.sandbox.generated import BOT_SCORE
from isnotai_async.sandbox.times import DAY_MS, NOW_MS

SURE_SCORE: Final = 0.9
MEDIUM_SCORE: Final = 0.4
SPARKLINE_DAYS: Final = 7
_COURSE: Final = re.compile(r"/courses/([^/?#]+)")


@frozen
class Entry:
    """One session, as it counts.

    Attributes:
        row: The session as the API shows it.
        start_ms: Unix milliseconds of its creation.
        events: How many events it has.
        score: Its bot score, or -1 where it has none.
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
S = TypeVar("S", bound=Session)


def take_census(data: Data[S]) -> Entries:
    """Look at every session that is listed, in its order."""
    found = ((session, data.show(session)) for session in map(data.find, data.ids) if session is not None)
    return tuple(
        Entry(row, session.start_ms, session.size, -1.0 if session.bot_score is None else session.bot_score)
        for session, row in found
    )


def group(entries: Entries, key: Callable[[Entry], str | None]) -> dict[str, Entries]:
    """Group sessions by a text, in the order it first occurs; those without one are left out."""
    groups = defaultdict[str, list[Entry]](list)
    for entry in entries:
        if (name := key(entry)) is not None:
            groups[name].append(entry)
    return {name: tuple(members) for name, members in groups.items()}


def users(entries: Entries) -> tuple[dict[str, object], ...]:
    """All users, as the API shows them."""
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
    """All courses that occur in the addresses of pages. Every field of theirs is the sandbox's own."""
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
    """Counters of all sessions. Every field is the sandbox's own."""
    return {
        "sessions": len(entries),
        "activeSessions": sum(entry.row["status"] == "active" for entry in entries),
        "botSessions": sum(entry.is_bot for entry in entries),
        "events": total_events(entries),
        "users": len(users(entries)),
        "courses": len(courses(entries)),
    }


def total_events(entries: Iterable[Entry]) -> int:
    """How many events these sessions have."""
    return sum(entry.events for entry in entries)


def mean_score(entries: Entries) -> float:
    """Mean of the scores there are, or 0."""
    scores = [entry.score for entry in entries if entry.score >= 0]
    return round(sum(scores) / len(scores), 4) if scores else 0.0
