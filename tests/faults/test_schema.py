"""One documented field of an answer is missing or of another type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

import isnotai_async as isnotai
from tests.examples import scaled
from tests.faults.answers import event_row, json_reply, listing, session_row
from tests.faults.clients import check_error, connected, fixed_examples
from tests.faults.server import FaultServer

MOMENT = "2026-06-10T12:00:00.0000000+00:00"
HEALTH = {"status": "healthy", "version": "1.0.17.0", "timestamp": MOMENT}
DETAILS = {
    "sessionId": "s1",
    "startTime": MOMENT,
    "endTime": MOMENT,
    "durationSeconds": 300.5,
    "eventCounts": {"total": 9, "mouse": 4, "scroll": 1, "keyboard": 2, "touch": 1, "form": 1},
    "timeline": [
        {"timestamp": MOMENT, "eventCount": 4, "dominantEventType": "mouse", "activityLevel": 0.5},
        {"timestamp": MOMENT, "eventCount": 5, "dominantEventType": "keyboard", "activityLevel": 1},
    ],
    "pageHistory": [{"url": "https://learn.example/", "timestamp": MOMENT, "type": "load", "durationMs": 12}],
}
NULLABLE = {"nextCursor", "botScore", "pageUrl", "userAgentSummary", "userId", "userName", "userUrl", "durationMs"}
DATES = {"createdAt", "updatedAt", "startTime", "endTime"}
DOUBLES = {"botScore", "durationSeconds", "activityLevel"}

WRONG: dict[str, list[Any]] = {
    "str": [None, 7, 1.5, True, [], {}],
    "int": [None, "7", 1.5, True, [], {}, 2**63, -(2**63) - 1],
    "float": [None, "0.5", True, [], {}],
    "bool": [None, "true", 1, [], {}],
    "date": [None, 1_781_000_000, "", "today", "2026-06-10", "2026-06-10T12:00:00", "2026-13-41T00:00:00Z", [], {}],
    "list": [None, "x", 7, {}],
    "dict": [None, "x", 7, []],
}

Way = tuple[str | int, ...]


@frozen
class Fault:
    """One alteration: where, and what stands there instead; nothing, where `value` is ``...``."""

    way: Way
    value: Any

    @property
    def path(self) -> str:
        return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.way)

    def apply(self, body: Any) -> Any:
        altered = inner = deepcopy(body)
        for step in self.way[:-1]:
            inner = inner[step]
        if self.value is ...:
            del inner[self.way[-1]]
        else:
            inner[self.way[-1]] = self.value
        return altered


def faults_of(body: Any, way: Way = ()) -> Iterator[Fault]:
    """List every way in which one field of a body can be missing or of another type."""
    items = enumerate(body) if isinstance(body, list) else body.items()
    for key, value in items:
        here = (*way, key)
        kind = _kind_of(key, value)
        yield from (Fault(here, wrong) for wrong in WRONG[kind] if not (wrong is None and key in NULLABLE))
        if isinstance(key, str) and key not in NULLABLE:
            yield Fault(here, ...)
        if isinstance(value, dict | list):
            yield from faults_of(value, here)


def _kind_of(key: str | int, value: object) -> str:
    if key in DATES or value == MOMENT:
        return "date"
    return "float" if key in DOUBLES else type(value).__name__


EVENTS = listing([event_row(number) for number in range(3)], "c3")
SESSIONS = listing([session_row(f"s{number}") for number in range(3)], "c3")
ANSWERS: dict[str, tuple[Any, Callable[[isnotai.Client], Awaitable[object]]]] = {
    "session": ({"data": session_row("s1")}, lambda client: client.get_session("s1")),
    "details": ({"data": DETAILS}, lambda client: client.get_session_details("s1")),
    "health": (HEALTH, lambda client: client.health()),
}
LISTS: dict[str, tuple[Any, Callable[[isnotai.Client], isnotai.Paginator[Any]]]] = {
    "events": (EVENTS, lambda client: client.list_events("s1")),
    "sessions": (SESSIONS, lambda client: client.list_sessions()),
}
many_examples = settings(fixed_examples, max_examples=scaled(60))


def check_names_the_fault(error: isnotai.DecodeError, fault: Fault) -> None:
    check_error(error)
    parent = Fault(fault.way[:-1], ...).path
    # Of a missing field the path may be that of the object it is missing in, if the words name the field.
    assert error.path == fault.path or (fault.value is ... and error.path == parent), fault
    assert error.path in str(error)
    name = fault.way[-1]
    assert isinstance(name, int) or name in str(error)


@many_examples
@given(data=st.data(), name=st.sampled_from(sorted(LISTS)))
async def test_a_wrong_field_is_named_and_nothing_of_its_page_is_handed_out(data: st.DataObject, name: str) -> None:
    page, walk_of = LISTS[name]
    fault = data.draw(st.sampled_from(list(faults_of(page))))
    server = FaultServer(json_reply(page), json_reply(fault.apply(page)))
    async with connected(server, strict=True) as client:
        walk, records = walk_of(client), []
        with pytest.raises(isnotai.DecodeError) as caught:
            async for record in walk:
                records.append(record)
    check_names_the_fault(caught.value, fault)
    assert len(records) == 3
    assert caught.value.position is not None
    assert (caught.value.position.cursor, caught.value.position.index) == ("c3", 0)


@many_examples
@given(data=st.data(), name=st.sampled_from(sorted(ANSWERS)))
async def test_a_wrong_field_of_one_record_is_named(data: st.DataObject, name: str) -> None:
    body, ask = ANSWERS[name]
    fault = data.draw(st.sampled_from(list(faults_of(body))))
    async with connected(FaultServer(json_reply(fault.apply(body))), strict=True) as client:
        with pytest.raises(isnotai.DecodeError) as caught:
            await ask(client)
    check_names_the_fault(caught.value, fault)


async def test_what_may_be_null_may_be_absent_too() -> None:
    row = {key: value for key, value in session_row("s1").items() if key not in NULLABLE}
    nulls = {**session_row("s2"), **dict.fromkeys(NULLABLE & session_row("s2").keys())}
    async with connected(FaultServer(json_reply(listing([row, nulls]))), strict=True) as client:
        page = await client.list_sessions()
    assert [(session.id, session.bot_score, session.user_id) for session in page.data] == [
        ("s1", None, None),
        ("s2", None, None),
    ]
