"""Bodies from the contract: what it allows is read as it was sent, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from isnotai_async._http.converter import camel
from isnotai_async.errors import DecodeError, PaginationError
from tests.contract.asking import Asker, ids_of
from tests.contract.bodies import allows, bodies, instant, places
from tests.contract.contract import Schema, Way, is_open, operations
from tests.examples import scaled

NAMES = sorted(operations())
# Without shrinking: an example is small enough to be read, and shrinking a failure takes minutes.
many = settings(derandomize=True, database=None, deadline=None, max_examples=scaled(12), phases=[Phase.generate])
MISSING, SURROGATE, TOO_LARGE, TOO_DEEP = "MISSING", '"\\ud800"', "1e999", "[" * 5_000 + "]" * 5_000

WRONG: tuple[str, ...] = (
    MISSING, SURROGATE, TOO_LARGE, TOO_DEEP, "null", "true", "7", "-1", "7.0", "1.5", '"7"', '"x"', '""', "[]",
    "[null]", "{}", '"2026-06-10"', '"2026-06-10T12:00:00"', '"2026-02-30T12:00:00Z"',
    str(2**31), str(2**63), "9" * 400,
)  # fmt: skip
"""What may stand in a place, as JSON text."""


def read(name: str, text: str) -> Any:
    """Decode a body by the client's method; of a list, its data."""
    found = Asker(text.encode("utf-8", "surrogatepass")).ask(name, *ids_of(name))
    return found.data if operations()[name].is_list else found


def mirror(schema: Schema, value: Any, decoded: Any) -> None:
    """Check that a decoded value is what was sent."""
    if value is None:
        assert decoded is None
    elif is_open(schema):
        assert plain(decoded) == value
    elif "properties" in schema:
        names = attrs.fields_dict(type(decoded)).keys() - {"extra"}
        assert {camel(name) for name in names} == schema["properties"].keys()
        for name in names:
            mirror(schema["properties"][camel(name)], value.get(camel(name)), getattr(decoded, name))
    elif "additionalProperties" in schema:
        assert dict(decoded) == value
    elif schema["type"] == "array":
        assert isinstance(decoded, tuple)
        for item, record in zip(value, decoded, strict=True):
            mirror(schema["items"], item, record)
    else:
        mirror_scalar(schema, value, decoded)


def mirror_scalar(schema: Schema, value: Any, decoded: Any) -> None:
    if schema.get("format") == "date-time":
        assert decoded == instant(value)
        assert decoded.utcoffset().total_seconds() == 0
        return
    assert decoded == value
    assert type(decoded) is (float if schema["type"] == "number" else type(value))


def plain(value: Any) -> Any:
    """Undo the freezing of a mapping."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", NAMES)
def test_every_body_that_the_contract_allows_is_read_as_it_was_sent(name: str) -> None:
    operation = operations()[name]
    way, schema = operation.root

    @many
    @given(body=bodies(operation.schema))
    def run(body: Any) -> None:
        inner = body
        for step in way:
            inner = inner[step]
        mirror(schema, inner, read(name, json.dumps(body)))

    run()


@pytest.mark.parametrize("name", NAMES)
def test_one_altered_place_is_an_error_with_its_path_or_allowed(name: str) -> None:
    operation = operations()[name]

    @settings(many, max_examples=scaled(4))
    @given(body=bodies(operation.schema), random=st.randoms(use_true_random=False))
    def run(body: Any, random: Random) -> None:
        ways = sorted((way for way, _ in places(operation.schema, body)), key=str)
        for way in random.sample(ways, min(len(ways), 6)):
            for wrong in WRONG:
                check(name, altered(body, way, wrong), way, wrong)

    run()


def check(name: str, text: str, way: Way, wrong: str) -> None:
    if is_allowed(operations()[name].schema, text):
        read(name, text)
        return
    with pytest.raises(DecodeError) as caught:
        read(name, text)
    assert_points_at(caught.value, way, wrong)
    assert caught.value.__cause__ is None
    assert len(str(caught.value)) <= 501


def altered(body: Any, way: Way, wrong: str) -> str:
    """Write a body with another text in one place; without the place at all, where that is `MISSING`."""
    if not way:
        return "{}" if wrong == MISSING else wrong
    bent = deepcopy(body)
    inner = bent
    for step in way[:-1]:
        inner = inner[step]
    if wrong == MISSING:
        del inner[way[-1]]
    else:
        inner[way[-1]] = "the altered place"
    return json.dumps(bent).replace('"the altered place"', wrong, 1)


def is_allowed(schema: Schema, text: str) -> bool:
    if SURROGATE in text or TOO_LARGE in text or TOO_DEEP in text:
        # No text, no number, and no depth of an answer, whether or not its place is documented.
        return False
    body = json.loads(text)
    if not allows(schema, body):
        return False
    pagination = body.get("pagination", {}) if "pagination" in schema.get("properties", {}) else {}
    return not pagination.get("hasMore") or bool(pagination.get("nextCursor"))


def assert_points_at(error: DecodeError, way: Way, wrong: str) -> None:
    if error.path == "$" and wrong in {SURROGATE, TOO_LARGE, TOO_DEEP, "9" * 400}:
        return  # that is no JSON of this API at all
    if wrong in {SURROGATE, TOO_LARGE, TOO_DEEP, "9" * 400} and path_of(way).startswith(error.path):
        return  # a record that is no JSON has no places
    if isinstance(error, PaginationError):
        assert error.path == "$.pagination.nextCursor"
        return
    # It points at the place, into what stands there now, or, where an object lost a field, at the object.
    known = path_of(way)
    assert error.path.startswith(known) or (wrong == MISSING and error.path == path_of(way[:-1])), (error.path, known)
    assert error.path in str(error) or not way or len(error.path) > 400


def path_of(way: Way) -> str:
    shown = "$"
    for before, step in zip(("", *way), way, strict=False):
        # The keys of these are data, and may be any text.
        is_data = isinstance(step, int) or before in {"totals", "browserCounts"}
        shown += f"[{step!r}]" if is_data else f".{step}"
    return shown
