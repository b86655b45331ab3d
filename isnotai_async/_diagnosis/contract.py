"""The contract that this package carries, and how another OpenAPI document differs from it.

Both documents are flattened into facts: a text such as ``GET /v1/sessions ?pageSize`` (a parameter) or
``GET /v1/sessions data[].id`` (a field), and what it is. Compared are operations, query parameters, fields and their
types. What a document may leave out is no difference: formats and operation ids count only if both have them. Whether
a field is required or nullable does not count, since the API's document marks nothing as required.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

from attrs import define, field, frozen

from isnotai_async.errors import ConfigError, printable

_METHODS: Final = ("get", "put", "post", "delete", "patch")
_PARTS: Final = ("allOf", "oneOf", "anyOf")
_MOST_STEPS: Final = 100_000  # the packaged contract takes 600
_DEEPEST: Final = 16

Change = Literal["new", "gone", "different", "described"]


@frozen
class FactKind:
    """The kind of a fact about the API, such as a field and its types.

    Attributes:
        types: JSON types, or ``operation``; empty if the document does not say.
        name: Format of a value, or id of an operation; may be empty.
        is_open: Whether the document says that it does not know the fields within.
    """

    types: frozenset[str]
    name: str = ""
    is_open: bool = False

    def __str__(self) -> str:
        return " ".join(filter(None, (" or ".join(sorted(self.types)) or "anything", self.name)))

    def agrees(self, other: FactKind) -> bool:
        """Whether two documents say the same, as far as both say something."""
        types = not self.types or not other.types or bool(self.types & other.types)
        return types and (not self.name or not other.name or self.name == other.name)


@frozen
class Difference:
    """One difference between a document and the packaged contract.

    Attributes:
        change: ``"new"``, ``"gone"`` or ``"different"``; ``"described"`` if the packaged contract leaves it open.
        what: The fact.
        detail: What it is, or was.
    """

    change: Change
    what: str
    detail: str


@cache
def packaged_contract() -> Mapping[str, Any]:
    """Read the contract that this package was built for."""
    contract: Mapping[str, Any] = json.loads((files("isnotai_async") / "openapi.json").read_bytes())
    return contract


def find_differences(document: object) -> list[Difference]:
    """Compare a document with the packaged contract.

    Raises:
        ConfigError: It is no OpenAPI document, or too large to be compared.
    """
    ours, theirs = read_facts(packaged_contract()), read_facts(document)
    unknown = tuple(what for what, kind in ours.items() if kind.is_open)
    new, gone = theirs.keys() - ours.keys(), ours.keys() - theirs.keys() - set(unknown)
    found = [Difference("described" if what.startswith(unknown) else "new", what, str(theirs[what])) for what in new]
    found += [Difference("gone", what, str(ours[what])) for what in gone]
    found += [
        Difference("different", what, f"{theirs[what]} instead of {ours[what]}")
        for what in ours.keys() & theirs.keys()
        if not ours[what].agrees(theirs[what])
    ]
    return sorted(_without_inner(found), key=lambda difference: (difference.what, difference.change))


def _without_inner(found: list[Difference]) -> Iterator[Difference]:
    """Leave out what follows from an operation that is new or gone as a whole."""
    whole = {each.what for each in found if each.change in {"new", "gone"} and each.what.count(" ") == 1}
    for each in found:
        operation = " ".join(each.what.split(" ")[:2])
        if each.what == operation or operation not in whole:
            yield each


def read_facts(document: object) -> dict[str, FactKind]:
    """Flatten an OpenAPI document.

    Raises:
        ConfigError: It is no OpenAPI document, or too large.
    """
    reader = _Reader(_mapping(document))
    facts = dict(reader.read())
    if not facts:
        raise ConfigError("it is no OpenAPI document with paths")
    return facts


@define
class _Reader:
    """Reads one document, which may be hostile: every value is checked, and the number of steps is limited."""

    document: Mapping[str, Any]
    _steps: int = field(default=0, init=False)

    def read(self) -> Iterator[tuple[str, FactKind]]:
        for path, item in _mapping(self.document.get("paths")).items():
            for method in _METHODS:
                if operation := _mapping(_mapping(item).get(method)):
                    # Names of placeholders are no part of the interface.
                    name = f"{method.upper()} {printable(re.sub(r'{[^}]*}', '{}', path.rstrip('/')), 200)}"
                    yield name, FactKind(frozenset({"operation"}), _text(operation.get("operationId")))
                    shared = _list(item.get("parameters"))
                    yield from self._parameters(name, [*shared, *_list(operation.get("parameters"))])
                    yield from self._fields(f"{name} ", self._find_answer(operation), frozenset())

    def _parameters(self, name: str, parameters: list[Any]) -> Iterator[tuple[str, FactKind]]:
        for parameter in map(self._merge, parameters):
            if parameter.get("in") == "query":
                kind = self._kind(self._merge(parameter.get("schema")))
                yield f"{name} ?{printable(_text(parameter.get('name')), 80)}", kind

    def _find_answer(self, operation: Mapping[str, Any]) -> object:
        responses = _mapping(operation.get("responses"))
        success = next((responses[status] for status in sorted(responses) if status.startswith("2")), None)
        content = _mapping(self._merge(success).get("content"))
        return next((_mapping(content[kind]).get("schema") for kind in sorted(content) if "json" in kind), None)

    def _fields(self, where: str, schema: object, above: frozenset[str]) -> Iterator[tuple[str, FactKind]]:
        references: set[str] = set()
        merged = self._merge(schema, references)
        if not merged:
            return
        if not where.endswith(" ") or self._kind(merged).is_open:
            yield where, self._kind(merged)
        if references & above or where.count(".") > _DEEPEST:  # a schema within itself, such as a tree
            return
        within = above | references
        dot = "" if where.endswith(" ") else "."
        for name, inner in _mapping(merged.get("properties")).items():
            yield from self._fields(f"{where}{dot}{printable(name, 80)}", inner, within)
        if "items" in merged:
            yield from self._fields(f"{where}[]", merged["items"], within)
        if _mapping(merged.get("additionalProperties")):
            yield from self._fields(f"{where}{dot}*", merged["additionalProperties"], within)

    def _kind(self, schema: Mapping[str, Any]) -> FactKind:
        given = schema.get("type")
        types = {given} if isinstance(given, str) else {each for each in _list(given) if isinstance(each, str)}
        shown = frozenset(printable(each, 80) for each in types - {"null"})
        return FactKind(shown, _text(schema.get("format")), schema.get("x-documented") is False)

    def _merge(self, schema: object, references: set[str] | None = None, depth: int = 0) -> dict[str, Any]:
        """Follow references, which are noted, and put the parts of a composed schema together."""
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise ConfigError("it is too large to be compared")
        own = dict(_mapping(schema))
        parts = [part for word in _PARTS for part in _list(own.pop(word, None))]
        reference = own.pop("$ref", None)
        if isinstance(reference, str):
            parts.append(self._look_up(reference))
            if references is not None:
                references.add(reference)
        for part in parts if depth < _DEEPEST else ():
            inner = self._merge(part, references, depth + 1)
            properties = {**_mapping(inner.get("properties")), **_mapping(own.get("properties"))}
            own = {**inner, **own} | ({"properties": properties} if properties else {})
        return own

    def _look_up(self, reference: str) -> object:
        found: object = self.document
        for step in reference.removeprefix("#/").split("/"):
            found = _mapping(found).get(step.replace("~1", "/").replace("~0", "~"))
        return found


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return printable(value, 80) if isinstance(value, str) else ""
