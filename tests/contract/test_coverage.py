"""The client against the contract, both ways: every operation, parameter and field, and nothing beyond."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, quote, urlsplit

import attrs
import pytest

import isnotai_async as isnotai
from isnotai_async._http.converter import camel
from isnotai_async._models.records import Id, Int32, Int64
from isnotai_async._operations import Operations
from isnotai_async.errors import GatewayError
from isnotai_async.sandbox.routes import OPERATIONS
from tests.contract.asking import ARGUMENTS, IDS, Asker
from tests.contract.contract import PATH, Schema, is_open, operations

OWN_OPTIONS = {"max_items", "resume"}  # of the walk, not of the request
NAMES = sorted(operations())

SCALARS: Mapping[tuple[str, str | None], Any] = {
    ("string", None): str,
    ("string", "date-time"): datetime,
    ("integer", None): int,
    ("integer", "int32"): Int32,
    ("integer", "int64"): Int64,
    ("number", "double"): float,
    ("boolean", None): bool,
    ("object", None): dict[str, Any],  # of which the contract knows nothing
}


def differences(schema: Schema, kind: Any, path: str = "$") -> Iterator[str]:
    """Tell where a type of ours and a schema of the contract say different things."""
    kind = _without_none(kind)
    if "properties" in schema:
        yield from _differing_fields(schema["properties"], kind, path)
    elif "additionalProperties" in schema and not is_open(schema):
        yield from _differing_inside(schema["additionalProperties"], kind, Mapping, f"{path}.*")
    elif schema["type"] == "array":
        yield from _differing_inside(schema["items"], kind, tuple, f"{path}[]")
    elif SCALARS[schema["type"], schema.get("format")] != (str if kind == Id else kind):
        yield f"{path}: {kind} for {schema['type']} {schema.get('format')}"


def _differing_inside(schema: Schema, kind: Any, container: type, path: str) -> Iterator[str]:
    if get_origin(kind) is container:
        yield from differences(schema, get_args(kind)[-1 if container is Mapping else 0], path)
    else:
        yield f"{path}: {kind} is no {container.__name__}"


def _differing_fields(properties: Schema, kind: Any, path: str) -> Iterator[str]:
    if not attrs.has(kind):
        yield f"{path}: {kind} for an object"
        return
    hints = get_type_hints(kind, include_extras=True)
    fields = {camel(field.name): field for field in attrs.fields(kind) if field.name != "extra"}
    ours = {wire: hints[field.name] for wire, field in fields.items()}
    yield from (f"{path}.{name}: not in the contract" for name in ours.keys() - properties.keys())
    yield from (f"{path}.{name}: not in the record" for name in properties.keys() - ours.keys())
    for name in ours.keys() & properties.keys():
        # Anything may be None at run time; the default says what the contract itself calls nullable.
        if (fields[name].default is None) != bool(properties[name].get("nullable")):
            yield f"{path}.{name}: nullable"
        yield from differences(properties[name], ours[name], f"{path}.{name}")


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in {Union, types.UnionType} and type(None) in get_args(kind):
        return next(each for each in get_args(kind) if each is not type(None))
    return kind


def result_of(name: str) -> Any:
    """The type that a method gives; of a list, that of its records as a tuple, as a page has them."""
    kind = get_type_hints(getattr(Operations, name), include_extras=True)["return"]
    return _as_data(get_args(kind)[0]) if get_origin(kind) is isnotai.Paginator else kind


def _as_data(record: Any) -> Any:
    return tuple[record, ...]


def test_the_client_has_every_operation_and_no_other() -> None:
    public = {name for name in dir(Operations) if not name.startswith("_")}

    assert public - {"request"} == operations().keys()
    assert all(callable(getattr(isnotai.Client, name)) for name in NAMES)


def test_the_sandbox_serves_every_operation_at_its_path_and_no_other() -> None:
    served = {route.name: route.path for route in OPERATIONS}

    assert served.pop("openapi") == "/openapi/v3.json"
    assert served == {name: operation.path for name, operation in operations().items()}
    assert [route.name for route in OPERATIONS if route.public] == ["health", "openapi"]


def test_the_sandbox_answers_400_where_the_contract_lists_it() -> None:
    listed = {name for name, operation in operations().items() if "400" in operation.statuses}
    takes = {name for name, operation in operations().items() if operation.query}

    assert {route.name for route in OPERATIONS if route.rejects} & takes == listed


def test_there_is_one_contract_file() -> None:
    root = Path(__file__).parents[2]
    folders = ("isnotai_async", "tests", "benchmarks", "docs")

    assert [file for folder in folders for file in (root / folder).rglob("openapi.*")] == [PATH]


@pytest.mark.parametrize("name", NAMES)
def test_a_method_takes_every_parameter_and_no_other(name: str) -> None:
    operation = operations()[name]
    ours = {camel(parameter) for parameter in inspect.signature(getattr(Operations, name)).parameters} - {"self"}
    walk = {camel(option) for option in OWN_OPTIONS} if operation.is_list else set()

    assert ours - walk == (operation.query - {"cursor"}) | operation.in_path
    assert walk <= ours


@pytest.mark.parametrize("name", NAMES)
def test_a_method_asks_at_the_documented_path_with_the_documented_names(name: str) -> None:
    operation, asker = operations()[name], Asker()
    names = set(inspect.signature(getattr(Operations, name)).parameters) - {"self", *OWN_OPTIONS}
    with pytest.raises(GatewayError):
        asker.ask(name, **{each: ARGUMENTS[each] for each in names})

    (request,) = asker.requests
    target = urlsplit(request.target)
    ids = {camel(each): quote(ARGUMENTS[each], safe="") for each in IDS}
    assert request.operation == name
    assert target.path == re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], operation.path)
    assert {key for key, _ in parse_qsl(target.query)} == operation.query - {"cursor"}
    assert request.authenticated == (name != "health")


@pytest.mark.parametrize("name", NAMES)
def test_a_method_gives_every_field_and_no_other(name: str) -> None:
    _, schema = operations()[name].root

    assert list(differences(schema, result_of(name))) == []


ALWAYS = {"Event.event_id", "Event.message_id", "Event.timestamp", "Event.payload_size", "Session.id", "User.user_id"}


def test_only_what_identifies_a_record_and_the_numbers_of_an_event_are_always_there() -> None:
    found = set()
    public = (getattr(isnotai, name) for name in isnotai.__all__)
    for record in (value for value in public if isinstance(value, type) and attrs.has(value)):
        if record.__module__ not in {"isnotai_async._models.records", "isnotai_async._models.analytics"}:
            continue
        for name, kind in get_type_hints(record, include_extras=True).items():
            if _without_none(kind) is kind and get_origin(kind) not in {tuple, Mapping}:
                found.add(f"{record.__name__}.{name}")

    assert found == ALWAYS


@pytest.mark.parametrize("name", [name for name in NAMES if operations()[name].is_list])
def test_a_page_has_every_field_of_the_pagination(name: str) -> None:
    properties = operations()[name].schema["properties"]

    assert set(properties) == {"data", "pagination"}
    assert set(properties["pagination"]["properties"]) <= {camel(field) for field in attrs.fields_dict(isnotai.Page)}


@pytest.mark.parametrize("name", NAMES)
def test_a_method_says_what_it_takes_gives_and_refuses_and_where_the_vendor_does(name: str) -> None:
    method = getattr(isnotai.Client, name)
    text = inspect.getdoc(method) or ""
    takes = set(inspect.signature(method).parameters) - {"self"}

    assert "Reference page" in text
    if takes - set(IDS):
        assert all(f"    {each}: " in text for each in takes), name
    if takes:
        assert "Raises:\n" in text
        assert "ConfigError" in text


def bent(*way: str, **change: Any) -> Schema:
    schema: Any = deepcopy(operations()["list_users"].root[1])
    inner = schema["items"]["properties"]
    for step in way:
        inner = inner[step]
    inner.update(change)
    return dict(schema)


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (bent(invented={"type": "string"}), "$[].invented: not in the record"),
        (bent("userId", nullable=True), "$[].userId: nullable"),
        (bent("userName", nullable=False), "$[].userName: nullable"),
        (bent("deviceCount", format="int64"), f"$[].deviceCount: {Int32} for integer int64"),
        (bent("sparkline", type="string"), "$[].sparkline: tuple"),
        (bent("firstSeen", format=None), "$[].firstSeen: <class 'datetime.datetime'> for string None"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_difference_is_found(schema: Schema, says: str) -> None:
    found = list(differences(schema, result_of("list_users")))

    assert len(found) == 1
    assert found[0].startswith(says)
