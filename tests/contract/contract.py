"""The packaged contract, read: operations, their parameters, and the schemas of their answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from attrs import frozen

import isnotai_async

PATH = Path(isnotai_async.__file__).with_name("openapi.json")

Schema = Mapping[str, Any]
Way = tuple[str | int, ...]


@frozen(kw_only=True)
class Operation:
    """One operation of the contract.

    Attributes:
        name: Its id in snake_case.
        path: Its path, with placeholders in braces.
        query: Names of its query parameters.
        in_path: Names of its path parameters.
        schema: Schema of its 200.
        statuses: The statuses that it lists.
    """

    name: str
    path: str
    query: frozenset[str]
    in_path: frozenset[str]
    schema: Schema
    statuses: frozenset[str]

    @property
    def is_list(self) -> bool:
        return "cursor" in self.query

    @property
    def root(self) -> tuple[Way, Schema]:
        """Where what the client hands out begins, and its schema: in its envelope, where there is one."""
        properties = self.schema.get("properties", {})
        if self.is_list:
            return ("data",), properties["data"]
        return (("data",), properties["data"]) if set(properties) == {"data"} else ((), self.schema)


def snake(name: str) -> str:
    """Turn one of the contract's names into ours."""
    return re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", name)


@cache
def operations() -> Mapping[str, Operation]:
    """All operations by name."""
    return {operation.name: operation for operation in _read()}


def _read() -> Iterator[Operation]:
    raw = json.loads(PATH.read_text(encoding="utf-8"))
    for path, item in raw["paths"].items():
        assert list(item) == ["get"], path
        found = _resolve(raw, item["get"])
        parameters = found.get("parameters", [])
        yield Operation(
            name=snake(found["operationId"]),
            path=path,
            query=frozenset(each["name"] for each in parameters if each["in"] == "query"),
            in_path=frozenset(each["name"] for each in parameters if each["in"] == "path"),
            schema=found["responses"]["200"]["content"]["application/json"]["schema"],
            statuses=frozenset(found["responses"]),
        )


def _resolve(raw: Schema, node: Any) -> Any:
    if isinstance(node, Mapping):
        if "$ref" in node:
            target: Any = raw
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            return _resolve(raw, target)
        return {key: _resolve(raw, value) for key, value in node.items()}
    return [_resolve(raw, value) for value in node] if isinstance(node, list) else node


def is_open(schema: Schema) -> bool:
    """Whether the contract says of an object that it does not know its fields."""
    return schema.get("x-documented") is False
