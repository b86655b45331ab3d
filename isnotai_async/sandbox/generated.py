"""The generated sessions of one region, made from a seed as they are asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, ClassVar, Final

from attrs import frozen

from isnotai_async.sandbox.details import describe
from isnotai_async.sandbox.event_generator import EventLog, Persona, make_tape
from isnotai_async.sandbox.limits import BIGGEST
from isnotai_async.sandbox.seed_data import (
    BOT_FLAGS,
    BYTES,
    DAY_MS,
    NOW_MS,
    PAGES,
    USER_AGENTS,
    USER_NAMES,
    Dice,
    EventType,
    iso,
    scramble,
    seed_of,
)

_BIG: Final = re.compile(r"big-(0|[1-9][0-9]{0,6})", re.ASCII)
# All sessions are within the free tier's seven days, so that no tier hides any of them.
_OLDEST_MS: Final = NOW_MS - 6 * DAY_MS
_NEWEST_MS: Final = NOW_MS - DAY_MS // 4
_SIZES: Final = ((50, 200), (200, 700), (500, 1_200), (900, 2_000))
# The API's own threshold for `botOnly`.
BOT_SCORE: Final = 0.7


@frozen(eq=False)
class GeneratedSession:
    """One session, made up.

    Attributes:
        id: Its id.
        persona: The kind of user.
        log: Its events.
        status: `active` or `closed`.
        bot_score: 0 to 1, or None if the session has no score.
    """

    id: str
    persona: Persona
    log: EventLog
    status: str
    bot_score: float | None

    @property
    def start_ms(self) -> int:
        """Unix milliseconds of its creation and first event."""
        return self.log.start_ms

    @cached_property
    def details(self) -> dict[str, Any]:
        """Its details as the API shows them."""
        return describe(self.id, self.log, _page_history(self.log))

    def show(self) -> dict[str, Any]:
        """Return the session as the API shows it."""
        log, dice = self.log, Dice(self.log.seed, "face")
        number = dice.between(0, len(USER_NAMES) - 1)
        known, named = dice.chance(0.85), dice.chance(0.85)
        is_bot = self.bot_score is not None and self.bot_score >= BOT_SCORE
        return {
            "id": self.id,
            "createdAt": iso(log.start_ms),
            "updatedAt": iso(log.end_ms),
            "status": self.status,
            "botScore": self.bot_score,
            "detectionFlags": [flag for flag in BOT_FLAGS if is_bot and dice.chance(0.6)],
            "pageUrl": _page_url(log, 1) if log.size else None,
            "userAgentSummary": dice.pick(USER_AGENTS[self.persona.name]) if dice.chance(0.95) else None,
            "userId": f"u-{1000 + number}" if known else None,
            "userName": USER_NAMES[number] if known and named else None,
            "userUrl": f"https://learn.example.edu/users/{1000 + number}" if known else None,
        }


class Dataset:
    """Sessions by their ids, made up.

    Args:
        seed: Seed of the region's data.
        sessions: How many ordinary sessions there are.
        big_sessions: Sizes of the ``big-N`` sessions to list after them. The others exist all the same.

    Attributes:
        ids: Ids of the sessions that are listed, in their order.
        types: Message type of each known name.
    """

    types: ClassVar[Mapping[str, int]] = BYTES

    def __init__(self, seed: int, sessions: int, big_sessions: tuple[int, ...] = ()) -> None:
        ordinary = tuple(f"ses-{scramble(scramble(seed) ^ ordinal):016x}" for ordinal in range(sessions))
        self.ids = ordinary + tuple(f"big-{size}" for size in big_sessions)
        self._seed, self._sessions = seed, sessions
        self._ordinals = {name: ordinal for ordinal, name in enumerate(ordinary)}
        self._make = lru_cache(maxsize=1024)(self._make_session)

    def __getitem__(self, session_id: str) -> GeneratedSession:
        return self._make(session_id)

    def _make_session(self, session_id: str) -> GeneratedSession:
        if (ordinal := self._ordinals.get(session_id)) is not None:
            return self._make_ordinary(session_id, ordinal)
        matched = _BIG.fullmatch(session_id)
        if matched is None or (size := int(matched[1])) > BIGGEST:
            raise KeyError(session_id)
        log = self._make_log(session_id, Persona.DESKTOP, size, _OLDEST_MS)
        return GeneratedSession(session_id, Persona.DESKTOP, log, "closed", 0.08)

    def _make_ordinary(self, session_id: str, ordinal: int) -> GeneratedSession:
        dice = Dice(self._seed, "session", ordinal)
        persona = dice.pick((Persona.DESKTOP,) * 5 + (Persona.TOUCH,) * 2 + (Persona.BOT,) * 3)
        size = dice.between(*dice.pick(_SIZES))
        # Two of every twenty are the cases that loops get wrong.
        size = {4: 0, 9: 1}.get(ordinal % 20, size)
        # Newest first, as a page of recent sessions would be; the API promises no order.
        step = (_NEWEST_MS - _OLDEST_MS) // self._sessions
        start_ms = _NEWEST_MS - ordinal * step - dice.between(0, step - 1)
        score = _score(dice, persona)
        status = "active" if ordinal * 10 < self._sessions else "closed"
        return GeneratedSession(
            session_id, persona, self._make_log(session_id, persona, size, start_ms), status, score
        )

    def _make_log(self, session_id: str, persona: Persona, size: int, start_ms: int) -> EventLog:
        return EventLog(make_tape(self._seed, persona), seed_of(self._seed, session_id), size, start_ms)


def _score(dice: Dice, persona: Persona) -> float | None:
    low, high = (BOT_SCORE, 0.99) if persona is Persona.BOT else (0.01, 0.55)
    score = round(low + dice.fraction() * (high - low), 4)
    return None if dice.chance(0.12) else score


def _page_history(log: EventLog) -> list[dict[str, object]]:
    openings = tuple(log.of_kind(EventType.NAVIGATE, 0, log.size))
    times = [log.time_of(index) for index in openings]
    # The last page is still open: its duration is null, as the contract allows.
    durations = [after - before for before, after in pairwise(times)] + [None]
    return [
        {
            "url": _page_url(log, index),
            "timestamp": iso(at),
            "type": "navigate" if index >= 2 else "load",
            "durationMs": duration,
        }
        for index, at, duration in zip(openings, times, durations, strict=False)
    ]


def _page_url(log: EventLog, index: int) -> str:
    return PAGES[scramble(log.seed ^ index) % len(PAGES)]
