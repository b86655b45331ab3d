"""The generated sessions of one region, made from a seed as they are asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import ClassVar, Final

from attrs import field, frozen

from isnotai_async.sandbox.details import describe, page_history, page_url
from isnotai_async.sandbox.event_generator import EventLog, Library, Persona
from isnotai_async.sandbox.limits import BIGGEST
from isnotai_async.sandbox.seed_data import (
    BOT_FLAGS,
    BYTES,
    DAY_MS,
    NOW_MS,
    USER_AGENTS,
    USER_NAMES,
    Dice,
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


@frozen
class GeneratedSession:
    """The properties of a session, before its events are generated.

    Attributes:
        id: Its id.
        seed: Seed of everything in it.
        persona: The kind of user.
        size: How many events it has.
        start_ms: Unix milliseconds of its creation and first event.
        status: `active` or `closed`.
        bot_score: 0 to 1, or None if the session has no score.
    """

    id: str
    seed: int
    persona: Persona
    size: int
    start_ms: int
    status: str
    bot_score: float | None


@frozen(eq=False)
class Dataset:
    """Sessions, their events and their details: `Data` that is made up.

    Args:
        seed: Seed of the region's data.
        sessions: How many ordinary sessions there are.
        big_sessions: Sizes of the ``big-N`` sessions to list after them. The others exist all the same.
    """

    seed: int
    sessions: int
    big_sessions: tuple[int, ...] = ()
    types: ClassVar[Mapping[str, int]] = BYTES
    ids: tuple[str, ...] = field(init=False)
    log: Callable[[GeneratedSession], EventLog] = field(init=False)
    details: Callable[[GeneratedSession], dict[str, object]] = field(init=False)
    _ordinals: dict[str, int] = field(init=False)
    _ordinary: Callable[[str, int], GeneratedSession] = field(init=False)
    _library: Callable[[Persona], Library] = field(init=False)

    def __attrs_post_init__(self) -> None:
        ordinary = tuple(f"ses-{scramble(scramble(self.seed) ^ ordinal):016x}" for ordinal in range(self.sessions))
        ids = ordinary + tuple(f"big-{size}" for size in self.big_sessions)
        library = lru_cache(maxsize=None)(lambda persona: Library.of(self.seed, persona))
        log = lru_cache(maxsize=64)(self._lay_out)
        details = lru_cache(maxsize=64)(self._describe)
        derived = {
            "ids": ids,
            "log": log,
            "details": details,
            "_library": library,
            "_ordinals": {name: ordinal for ordinal, name in enumerate(ordinary)},
            "_ordinary": lru_cache(maxsize=1024)(self._make_ordinary),
        }
        # A frozen attrs class fills the fields it derives itself in this way.
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def find(self, session_id: str) -> GeneratedSession | None:
        """Return the session with this id, or None."""
        if (ordinal := self._ordinals.get(session_id)) is not None:
            return self._ordinary(session_id, ordinal)
        matched = _BIG.fullmatch(session_id)
        if matched is None or (size := int(matched[1])) > BIGGEST:
            return None
        seed = seed_of(self.seed, session_id)
        return GeneratedSession(session_id, seed, Persona.DESKTOP, size, _OLDEST_MS, "closed", 0.08)

    def _make_ordinary(self, session_id: str, ordinal: int) -> GeneratedSession:
        dice = Dice(self.seed, "session", ordinal)
        persona = dice.pick((Persona.DESKTOP,) * 5 + (Persona.TOUCH,) * 2 + (Persona.BOT,) * 3)
        size = dice.between(*dice.pick(_SIZES))
        # Two of every twenty are the cases that loops get wrong.
        size = {4: 0, 9: 1}.get(ordinal % 20, size)
        # Newest first, as a page of recent sessions would be; the API promises no order.
        step = (_NEWEST_MS - _OLDEST_MS) // self.sessions
        start_ms = _NEWEST_MS - ordinal * step - dice.between(0, step - 1)
        score = _score(dice, persona)
        status = "active" if ordinal * 10 < self.sessions else "closed"
        return GeneratedSession(session_id, seed_of(self.seed, session_id), persona, size, start_ms, status, score)

    def _lay_out(self, session: GeneratedSession) -> EventLog:
        return EventLog(self._library(session.persona), session.seed, session.size, session.start_ms)

    def _describe(self, session: GeneratedSession) -> dict[str, object]:
        log = self.log(session)
        return describe(session.id, log, page_history(log))

    def show(self, session: GeneratedSession) -> dict[str, object]:
        """Return one session as the API shows it."""
        dice = Dice(session.seed, "face")
        log = self.log(session)
        number = dice.between(0, len(USER_NAMES) - 1)
        known, named = dice.chance(0.85), dice.chance(0.85)
        is_bot = session.bot_score is not None and session.bot_score >= BOT_SCORE
        return {
            "id": session.id,
            "createdAt": iso(session.start_ms),
            "updatedAt": iso(log.end_ms),
            "status": session.status,
            "botScore": session.bot_score,
            "detectionFlags": [flag for flag in BOT_FLAGS if is_bot and dice.chance(0.6)],
            "pageUrl": page_url(log, 1) if session.size else None,
            "userAgentSummary": dice.pick(USER_AGENTS[session.persona.name]) if dice.chance(0.95) else None,
            "userId": f"u-{1000 + number}" if known else None,
            "userName": USER_NAMES[number] if known and named else None,
            "userUrl": f"https://learn.example.edu/users/{1000 + number}" if known else None,
        }


def _score(dice: Dice, persona: Persona) -> float | None:
    low, high = (BOT_SCORE, 0.99) if persona is Persona.BOT else (0.01, 0.55)
    score = round(low + dice.fraction() * (high - low), 4)
    return None if dice.chance(0.12) else score
