"""Bodies made from the schemas of the contract, and what the contract says of a value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.contract.contract import Schema, Way, is_open

WIDTHS = {"int32": 32, "int64": 64}
DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS, JSON, max_size=4)


@st.composite
def date_times(draw: st.DrawFn) -> str:
    """RFC 3339: none to nine digits of a second, and Z or an offset."""
    moment = draw(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))).replace(microsecond=0)
    digits = draw(
        st.none() | st.integers(1, 9).flatmap(lambda count: st.text("0123456789", min_size=count, max_size=count))
    )
    fraction = "" if digits is None else f".{digits}"
    offset = draw(st.sampled_from(["Z", "+00:00", "+02:00", "-05:30", "+13:45"]))
    return f"{moment.isoformat()}{fraction}{offset}"


def instant(text: str) -> datetime:
    """Read a date-time by hand: a witness of its own. Digits beyond the sixth are cut."""
    matched = DATE_TIME.fullmatch(text)
    assert matched is not None, text
    stem, digits, offset = matched.groups()
    moment = datetime.strptime(stem, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    moment += timedelta(microseconds=int(f"{digits or '':0<6}"[:6]))
    if offset == "Z":
        return moment
    hours, minutes = int(offset[1:3]), int(offset[4:])
    shift = timedelta(hours=hours, minutes=minutes)
    return moment - shift if offset[0] == "+" else moment + shift


def bodies(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that the contract allows; objects have fields of no documented name, too."""
    made = _bodies(schema)
    return st.none() | made if schema.get("nullable") else made


def _bodies(schema: Schema) -> st.SearchStrategy[Any]:
    if is_open(schema):
        return OBJECTS
    if "properties" in schema:
        return _objects(schema["properties"])
    if "additionalProperties" in schema:
        return st.dictionaries(TEXTS, bodies(schema["additionalProperties"]), max_size=3)
    return st.lists(bodies(schema["items"]), max_size=3) if schema["type"] == "array" else _scalars(schema)


def is_identity(name: str, schema: Schema) -> bool:
    """Whether a field identifies its record, so that an empty text would not do."""
    return name in {"eventId", "id", "userId"} and not schema.get("nullable")


def _scalars(schema: Schema) -> st.SearchStrategy[Any]:
    match schema["type"], schema.get("format"):
        case "string", "date-time":
            return date_times()
        case "integer", width:
            bits = WIDTHS.get(str(width), 64)
            return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        case "number", _:
            return st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
        case "boolean", _:
            return st.booleans()
    return TEXTS


@st.composite
def _objects(draw: st.DrawFn, properties: Schema) -> dict[str, Any]:
    # What may be null may be absent; everything else is there, though the contract's schemas require nothing.
    names = [name for name in properties if not properties[name].get("nullable") or draw(st.booleans())]
    known = {name: draw(bodies(properties[name])) for name in names}
    known |= {name: known[name] or "x" for name in names if is_identity(name, properties[name])}
    if known.get("hasMore") is True and not known.get("nextCursor"):
        known["nextCursor"] = "more"  # API.md: it is present whenever hasMore is true
    unknown = {name: value for name, value in draw(OBJECTS).items() if name not in properties}
    return {**unknown, **known}


def places(schema: Schema, body: Any, way: Way = ()) -> Iterator[tuple[Way, Schema]]:
    """List every place of a body that the contract speaks of, with its schema."""
    yield way, schema
    if body is None or is_open(schema):
        return
    if "properties" in schema:
        for name in schema["properties"].keys() & body.keys():
            yield from places(schema["properties"][name], body[name], (*way, name))
    elif "additionalProperties" in schema:
        for name in body:
            yield from places(schema["additionalProperties"], body[name], (*way, name))
    elif schema["type"] == "array":
        for index, item in enumerate(body):
            yield from places(schema["items"], item, (*way, index))


def allows(schema: Schema, value: Any) -> bool:
    """Whether the contract allows a value."""
    if value is None:
        return bool(schema.get("nullable"))
    if is_open(schema):
        return isinstance(value, dict)
    if "properties" in schema:
        return isinstance(value, dict) and all(
            (allows(inner, value[name]) and (value[name] != "" or not is_identity(name, inner)))
            if name in value
            else inner.get("nullable", False)
            for name, inner in schema["properties"].items()
        )
    if "additionalProperties" in schema:
        return isinstance(value, dict) and all(
            allows(schema["additionalProperties"], item) for item in value.values()
        )
    if schema["type"] == "array":
        return isinstance(value, list) and all(allows(schema["items"], item) for item in value)
    return _allows_scalar(schema, value)


def _allows_scalar(schema: Schema, value: Any) -> bool:
    match schema["type"], schema.get("format"):
        case "string", "date-time":
            return isinstance(value, str) and _exists(value)
        case "string", _:
            return isinstance(value, str)
        case "boolean", _:
            return isinstance(value, bool)
        case "integer", width:
            bits = WIDTHS.get(str(width), 64)
            return type(value) is int and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)
    return type(value) in {int, float} and abs(value) < 2**1024


def _exists(text: str) -> bool:
    try:
        return instant(text) is not None
    except (ValueError, AssertionError):
        return False
