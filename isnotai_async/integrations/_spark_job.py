"""`SparkJob`: what to read, by the options of a data source of Spark, which are text and must not hold a key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import frozen

from isnotai_async._models.queries import SessionQuery
from isnotai_async._models.validation import check_id, check_int, read_share
from isnotai_async.errors import ConfigError, masked, quoted
from isnotai_async.integrations._event_request import EventRequest

PARTITION_SESSIONS: Final = 100
_LISTING: Final = {"since": "start_date", "until": "end_date", "status": "status", "bot_only": "bot_only"}
_EVENTS: Final = ("type", "start_time", "end_time")
_OTHERS: Final = ("sessions", "region", "redis", "quota", "partition_sessions")
_SECRET: Final = re.compile("key|token|secret|password|authorization", re.IGNORECASE)


@frozen(kw_only=True)
class SparkJob:
    """What to read, by the options of a data source."""

    request: EventRequest
    sessions: Sequence[str] | None  # None to list them
    listing: Mapping[str, Any]  # filters of the sessions that are listed
    size: int  # sessions of a partition

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> SparkJob:
        """Read the options, by their names in lower case.

        Raises:
            ConfigError: As of `IsNotAIDataSource`. It never shows a value that may be a key.
        """
        _check_names(options)
        sessions = options.get("sessions")
        listing: dict[str, Any] = {name: options[option] for option, name in _LISTING.items() if option in options}
        if sessions is not None and listing:
            raise ConfigError("give either sessions, or the filters that list them (since, until, status, bot_only)")
        if "bot_only" in listing:
            listing["bot_only"] = _read_flag(listing["bot_only"])
        SessionQuery(**listing)
        request = EventRequest(
            region=options.get("region"),
            quota=read_share(options["quota"], "quota") if "quota" in options else None,
            redis=options.get("redis"),
            filters={name: _read_filter(name, options[name]) for name in _EVENTS if name in options},
        )
        size = _read_int(options.get("partition_sessions", str(PARTITION_SESSIONS)))
        return cls(
            request=request,
            sessions=None if sessions is None else _read_ids(sessions),
            listing=listing,
            size=check_int(size, "partition_sessions", 1, 1_000_000),
        )

    def partitions(self) -> list[list[str]]:
        """Return the sessions of each partition, each session once; lists them if they were not given."""
        found = self.request.list_sessions(self.listing) if self.sessions is None else self.sessions
        ids = list(dict.fromkeys(found))
        return [ids[start : start + self.size] for start in range(0, len(ids), self.size)]


def _check_names(options: Mapping[str, str]) -> None:
    for name, value in options.items():
        if masked(f"{name} {value}") != f"{name} {value}" or (_SECRET.search(name)):
            raise ConfigError(
                f"the option {quoted(name)} holds a key, and Spark shows options in plans and logs; make a new key, "
                "and set ISNOTAI_API_KEY or ISNOTAI_API_KEY_FILE on the driver and the workers"
            )
        if name not in {*_LISTING, *_EVENTS, *_OTHERS}:
            known = ", ".join(sorted({*_LISTING, *_EVENTS, *_OTHERS}))
            raise ConfigError(f"there is no option {quoted(name)}; the options are {known}")


def _read_ids(text: str) -> list[str]:
    if not text.lstrip().startswith("["):
        return [check_id(each.strip()) for each in text.split(",")]
    try:
        found = json.loads(text)
    except ValueError:
        raise ConfigError(f"sessions {quoted(text)} is no JSON list of ids") from None
    return [check_id(each) for each in found]


def _read_filter(name: str, text: str) -> int | str | datetime:
    if name == "type":
        return text
    if text.isdecimal():
        return int(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{name} {quoted(text)} is no time; write Unix milliseconds or 2026-06-01T00:00Z") from None


def _read_flag(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ConfigError(f"bot_only {quoted(text)} must be true or false")
    return text.lower() == "true"


def _read_int(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"partition_sessions {quoted(text)} must be a whole number")
    return int(text)
