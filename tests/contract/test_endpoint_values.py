"""The endpoints' values against the contract: each says what the contract says of its operation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from isnotai_async._http import endpoints
from isnotai_async._http.converter import camel
from isnotai_async._http.endpoints import Endpoint, ListEndpoint
from tests.contract.contract import Operation, operations
from tests.contract.test_coverage import differences

AnyEndpoint = Endpoint[Any] | ListEndpoint[Any]

VALUES = {value.operation: value for value in vars(endpoints).values() if isinstance(value, Endpoint | ListEndpoint)}


def disagreements(endpoint: AnyEndpoint, operation: Operation) -> Iterator[str]:
    """Return what an endpoint says otherwise than the contract, by the names of its attributes."""
    if re.sub(r"\{(\w+)\}", lambda match: f"{{{camel(match[1])}}}", endpoint.path) != operation.path:
        yield "path"
    fields = set() if endpoint.query is None else {camel(field.name) for field in attrs.fields(endpoint.query)}
    if fields != (operation.query - {"cursor"}) | operation.in_path:
        yield "query"
    if isinstance(endpoint, ListEndpoint) != operation.is_list:
        yield "the kind of endpoint"
        return
    way, schema = operation.root
    record = endpoint.page_of if isinstance(endpoint, ListEndpoint) else endpoint.returns
    kind: Any = dict[str, Any] if record is dict else record
    if list(differences(schema, tuple[kind, ...] if operation.is_list else kind)):
        yield "the record"
    # An answer without a schema is read as it comes, with or without an envelope.
    if isinstance(endpoint, Endpoint) and record is not dict and endpoint.is_enveloped != (way == ("data",)):
        yield "is_enveloped"


def test_there_is_one_value_for_each_operation_of_the_contract() -> None:
    assert VALUES.keys() == operations().keys()


@pytest.mark.parametrize("name", sorted(VALUES))
def test_an_endpoint_says_what_the_contract_says(name: str) -> None:
    assert list(disagreements(VALUES[name], operations()[name])) == []


def test_only_the_health_check_is_sent_without_a_key() -> None:
    open_ones = [name for name, value in VALUES.items() if isinstance(value, Endpoint) and not value.authenticated]

    assert open_ones == ["health"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"path": "/v1/user"}, ["path"]),
        ({"query": endpoints.LIST_COURSES.query}, ["query"]),
        ({"page_of": endpoints.GET_SESSION.returns}, ["the record"]),
    ],
    ids=["path", "query", "record"],
)
def test_a_value_that_differs_is_found(change: dict[str, Any], says: list[str]) -> None:
    assert list(disagreements(attrs.evolve(endpoints.LIST_USERS, **change), operations()["list_users"])) == says


def test_an_envelope_that_differs_is_found() -> None:
    changed = attrs.evolve(endpoints.GET_SESSION, is_enveloped=False)

    assert list(disagreements(changed, operations()["get_session"])) == ["is_enveloped"]
