"""Bodies from the contract with some places bent: no crash, no invented value, each deviation reported once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isnotai_async._http.converter import camel
from isnotai_async._http.messages import Request, Response
from isnotai_async._models.deviations import Deviation
from isnotai_async._models.pages import Headers, Page
from isnotai_async._operations import Operations
from isnotai_async.errors import DecodeError, PaginationError
from tests.contract.asking import ids_of, run
from tests.contract.bodies import bodies, instant, is_identity, places
from tests.contract.contract import Operation, Schema, Way, is_open, operations
from tests.contract.test_decoding import MISSING, NAMES, TOO_DEEP, WRONG, is_allowed, many, path_of

T = TypeVar("T")

BENT = [wrong for wrong in WRONG if wrong != TOO_DEEP]  # no reader gets to the record behind such a one
NUMBERS_OF_EVENTS = {"messageId", "timestamp", "payloadSize"}
FRAME_OF_LISTS: set[Way] = {("data",), ("pagination",), ("pagination", "hasMore")}
SECOND_FORMS = {
    '"2026-06-10"': datetime(2026, 6, 10, tzinfo=UTC),
    '"2026-06-10T12:00:00"': datetime(2026, 6, 10, 12, tzinfo=UTC),
}
Bent = Mapping[Way, str]


def read(name: str, text: str) -> tuple[Any, list[Deviation]]:
    """Decode a body tolerantly; return what was read, and what was reported."""
    reported: list[Deviation] = []

    async def fetch(request: Request, read: Callable[[Response], T]) -> T:
        response = Response(request, 200, Headers(), text.encode("utf-8", "surrogatepass"), "us")
        value = read(response)
        reported.extend(response.deviations)
        return value

    operations_here = Operations(fetch, "us", clock=lambda: datetime(2026, 6, 10, 12, tzinfo=UTC))
    listed = getattr(operations_here, name)(*ids_of(name))
    return run(listed._source(None) if operations()[name].is_list else listed), reported


def bend(body: Any, changes: Bent) -> str:
    """Write a body as JSON with other texts in some places, none of which is in another."""
    bent = json.loads(json.dumps(body))
    for number, (way, wrong) in enumerate(changes.items()):
        inner = bent
        for step in way[:-1]:
            inner = inner[step]
        if wrong == MISSING:
            del inner[way[-1]]
        else:
            inner[way[-1]] = f"the bent place {number}"
    text = json.dumps(bent)
    for number, wrong in enumerate(changes.values()):
        text = text.replace(f'"the bent place {number}"', wrong, 1)
    return text


def is_tolerable(operation: Operation, schema: Schema, way: Way, wrong: str) -> bool:
    """Whether a place that the contract does not allow can be read all the same."""
    name = str(way[-1])
    if way == operation.root[0] or (operation.is_list and way in FRAME_OF_LISTS) or is_identity(name, schema):
        return False
    if operation.name == "list_events" and name in NUMBERS_OF_EVENTS:
        return wrong == "7.0"
    if wrong in {MISSING, "null"}:
        return isinstance(way[-1], str)
    if schema.get("type") == "integer":
        return wrong == "7.0"
    return schema.get("format") == "date-time" and wrong in SECOND_FORMS


def is_more_than_one(schema: Schema, way: Way, new: str) -> bool:
    """Whether a change bends more than one place: all fields of an object, or the places behind one in an array."""
    is_emptied = new == "{}" and "properties" in schema
    return is_emptied or (new == MISSING and isinstance(way[-1], int)) or (new == "[null]" and way == ("data",))


def check_value(schema: Schema, value: Any, decoded: Any) -> None:
    """Check that a decoded value is what was sent, or empty if nothing was."""
    if decoded is None:
        assert value is None
    elif is_open(schema):
        assert decoded == value
    elif "properties" in schema:
        for name in attrs.fields_dict(type(decoded)).keys() - {"extra"}:
            check_value(schema["properties"][camel(name)], value.get(camel(name)), getattr(decoded, name))
    elif "additionalProperties" in schema:
        assert decoded == {key: item for key, item in (value or {}).items() if item is not None}
    elif schema["type"] == "array":
        for item, record in zip(value or [], decoded, strict=True):
            check_value(schema["items"], item, record)
    else:
        check_scalar(schema, value, decoded)


def check_scalar(schema: Schema, value: Any, decoded: Any) -> None:
    if schema.get("format") == "date-time":
        assert decoded == (SECOND_FORMS.get(json.dumps(value)) or instant(value))
        return
    assert decoded == value
    assert type(decoded) is {"integer": int, "number": float, "string": str, "boolean": bool}[schema["type"]]


def check(operation: Operation, body: Any, changes: Bent, schemas: Mapping[Way, Schema]) -> None:
    text = bend(body, changes)
    wrong = {way for way, new in changes.items() if not is_allowed(operation.schema, bend(body, {way: new}))}
    fatal = {way for way in wrong if not is_tolerable(operation, schemas[way], way, changes[way])}
    in_records = {way for way in fatal if operation.is_list and way[0] == "data" and len(way) > 1}
    try:
        found, reported = read(operation.name, text)
    except PaginationError as error:  # two values that are allowed, and contradict each other
        assert fatal - in_records or {("pagination", "hasMore"), ("pagination", "nextCursor")} & set(changes), error
        return
    except DecodeError as error:
        assert fatal - in_records, error
        return
    rejected = {record.index for record in found.rejected} if isinstance(found, Page) else set()
    assert rejected == {way[1] for way in in_records}
    assert fatal == in_records
    sent: Any = json.loads(text)
    for step in operation.root[0]:
        sent = sent[step]
    if isinstance(found, Page):
        sent = [record for index, record in enumerate(sent) if index not in rejected]
    check_value(operation.root[1], sent, found.data if isinstance(found, Page) else found)
    told = {path_of(way) for way in wrong - fatal if not (operation.is_list and len(way) > 1 and way[1] in rejected)}
    assert sorted(deviation.path for deviation in reported) == sorted(told)


@pytest.mark.parametrize("name", NAMES)
def test_bent_places_are_empty_or_an_error_and_reported_once(name: str) -> None:
    operation = operations()[name]

    @many
    @given(body=bodies(operation.schema), random=st.randoms(use_true_random=False))
    def run_one(body: Any, random: Random) -> None:
        schemas = dict(places(operation.schema, body))
        for _ in range(5):
            ways = random.sample(sorted((way for way in schemas if way), key=str), min(3, len(schemas) - 1))
            apart = [way for way in ways if not any(other != way and way[: len(other)] == other for other in ways)]
            changes = {way: random.choice(BENT) for way in apart}
            usable = {way: new for way, new in changes.items() if not is_more_than_one(schemas[way], way, new)}
            check(operation, body, usable, schemas)

    run_one()
