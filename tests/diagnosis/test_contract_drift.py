"""What is new, gone or different in an OpenAPI document, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isnotai_async._diagnosis.contract import find_differences, packaged_contract, read_facts
from isnotai_async.errors import ConfigError
from tests.contract.bodies import JSON
from tests.contract.contract import operations

Document = dict[str, Any]
Bend = Callable[[Document], object]


def bent(change: Bend) -> Document:
    document: Document = json.loads(json.dumps(packaged_contract()))
    change(document)
    return document


def schemas(document: Document) -> Document:
    found: Document = document["components"]["schemas"]
    return found


def get(document: Document, path: str) -> Document:
    found: Document = document["paths"][path]["get"]
    return found


def lines(document: object) -> list[str]:
    return [f"{each.change} {each.what}: {each.detail}" for each in find_differences(document)]


def test_the_facts_are_all_operations_and_their_parameters() -> None:
    facts = read_facts(packaged_contract())
    named = {fact for fact in facts if fact.count(" ") == 1 and not fact.endswith(" ")}
    asked = {fact for fact in facts if " ?" in fact}

    assert len(named) == len(operations())
    assert len(asked) == sum(len(operation.query) for operation in operations().values())
    assert str(facts["GET /v1/sessions/{}/events data[].timestamp"]) == "integer int64"


def test_the_contract_does_not_differ_from_itself() -> None:
    assert lines(bent(lambda document: None)) == []


DIFFERENCES: dict[str, tuple[Bend, list[str]]] = {
    "new operation": (
        lambda document: document["paths"].update({"/v1/alerts": {"get": {"operationId": "listAlerts"}}}),
        ["new GET /v1/alerts: operation listAlerts"],
    ),
    "new method": (
        lambda document: document["paths"]["/v1/stats"].update(post={"responses": {"204": {}}}),
        ["new POST /v1/stats: operation"],
    ),
    "gone operation": (
        lambda document: document["paths"].pop("/v1/usage"),
        ["gone GET /v1/usage: operation getUsage"],
    ),
    "renamed operation": (
        lambda document: get(document, "/health").update(operationId="ping"),
        ["different GET /health: operation ping instead of operation health"],
    ),
    "new parameter": (
        lambda document: get(document, "/v1/users")["parameters"].append(
            {"name": "riskLevel", "in": "query", "schema": {"type": "string"}}
        ),
        ["new GET /v1/users ?riskLevel: string"],
    ),
    "parameter of another type": (
        lambda document: document["components"]["parameters"]["Cursor"].update(schema={"type": "integer"}),
        [f"different GET {path} ?cursor: integer instead of string" for path in (
            "/v1/courses", "/v1/sessions", "/v1/sessions/{}/events", "/v1/users", "/v1/users/{}/sessions"
        )],
    ),
    "renamed field": (
        lambda document: schemas(document)["Event"]["properties"].update(
            size=schemas(document)["Event"]["properties"].pop("payloadSize")
        ),
        [
            "gone GET /v1/sessions/{}/events data[].payloadSize: integer int32",
            "new GET /v1/sessions/{}/events data[].size: integer int32",
        ],
    ),
    "field of another type": (
        lambda document: schemas(document)["Event"]["properties"].update(
            timestamp={"type": "string", "format": "date-time"}
        ),
        ["different GET /v1/sessions/{}/events data[].timestamp: string date-time instead of integer int64"],
    ),
    "field of another width": (
        lambda document: schemas(document)["Event"]["properties"]["messageId"].update(format="int64"),
        ["different GET /v1/sessions/{}/events data[].messageId: integer int64 instead of integer int32"],
    ),
    "fields where none were known": (
        lambda document: schemas(document).update(OpenObject={"properties": {"total": {"type": "integer"}}}),
        [f"described GET {what}total: integer" for what in ("/v1/courses data[].", "/v1/integration ", "/v1/stats ")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_difference_is_found_and_named(name: str) -> None:
    bend, expected = DIFFERENCES[name]

    assert lines(bent(bend)) == expected


def rewrite(node: Any, change: Callable[[Document], Document]) -> Any:
    if isinstance(node, dict):
        return change({key: rewrite(value, change) for key, value in node.items()})
    return [rewrite(value, change) for value in node] if isinstance(node, list) else node


def newer(node: Document) -> Document:
    """As OpenAPI 3.1 writes what may be null, and .NET 10 whole numbers."""
    if node.get("type") == "integer" and "format" in node:
        return {**node, "type": ["null", "integer", "string"]}
    if node.pop("nullable", False) and isinstance(node.get("type"), str):
        node["type"] = ["null", node["type"]]
    return node


SAME: dict[str, Callable[[Document], Document]] = {
    "OpenAPI 3.1": lambda document: rewrite(document, newer),
    "without operation ids": lambda document: rewrite(document, lambda node: {**node, "operationId": None}),
    "without formats": lambda document: rewrite(document, lambda node: {**node, "format": None}),
    "references in allOf": lambda document: rewrite(
        document, lambda node: {"allOf": [{"$ref": node["$ref"]}]} if "$ref" in node else node
    ),
    "other names of placeholders": lambda document: json.loads(json.dumps(document).replace("{sessionId}", "{id}")),
    "required and read-only": lambda document: rewrite(
        document, lambda node: {**node, "required": ["data"]} if "properties" in node else node
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_another_way_to_write_the_same_is_no_difference(name: str) -> None:
    assert lines(SAME[name](bent(lambda document: None))) == []


def test_a_type_is_printable_whatever_the_document_says() -> None:
    found = lines(bent(lambda document: schemas(document)["User"]["properties"].update(x={"type": "a\x1b[31m\n"})))

    assert found == ["new GET /v1/users data[].x: a\\x1b[31m\\n"]


def test_a_schema_within_itself_is_read_once() -> None:
    def plant(document: Document) -> None:
        tree = {"$ref": "#/components/schemas/User"}
        schemas(document)["User"]["properties"].update(a=tree, b={"type": "array", "items": tree}, c=tree)

    found = lines(bent(plant))

    assert [line.partition(":")[0] for line in found] == [
        f"new GET /v1/users data[].{name}" for name in ("a", "b", "b[]", "c")
    ]


def bomb() -> Document:
    parts = {f"S{n}": {"allOf": [{"$ref": f"#/components/schemas/S{n + 1}"}] * 10} for n in range(12)}
    answer = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}}
    return {"paths": {"/v1/x": {"get": {"responses": {"200": answer}}}}, "components": {"schemas": parts}}


@pytest.mark.parametrize("document", [None, [], "x", {}, {"paths": []}, {"paths": {"/": None}}, {"openapi": "3.0.3"}])
def test_what_is_no_document_is_an_error(document: object) -> None:
    with pytest.raises(ConfigError, match="no OpenAPI document"):
        find_differences(document)


def test_a_bomb_of_references_is_an_error() -> None:
    with pytest.raises(ConfigError, match="too large"):
        find_differences(bomb())


@given(st.data())
def test_no_document_makes_it_fail_in_another_way(data: st.DataObject) -> None:
    document = deepcopy(dict(packaged_contract()))
    way: Any = document
    for _ in range(data.draw(st.integers(0, 8))):
        keys = list(way) if isinstance(way, dict) else list(range(len(way)))
        inner = way[data.draw(st.sampled_from(keys))] if keys else None
        if not isinstance(inner, dict | list) or not inner:
            break
        way = inner
    key = data.draw(st.sampled_from(list(way) if isinstance(way, dict) else list(range(len(way)))))
    way[key] = data.draw(JSON)

    try:
        found = lines(document)
    except ConfigError:
        return
    assert all(line.isprintable() for line in found)
