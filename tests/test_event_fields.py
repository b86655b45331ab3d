"""The fields of an event are listed in few places, so that a new one is added in few."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from attrs import fields_dict

import isnotai_async as isnotai
from tests.contract.contract import snake

PACKAGE = Path(isnotai.__file__).parent
FIELDS = frozenset(fields_dict(isnotai.Event))
PLACES = {
    "_models/records.py": 2,  # the record, and its fields for attrs
    "sandbox/columns.py": 1,  # the second witness: the names in JSON, of which it takes those of the columns
}


def test_the_fields_of_an_event_are_listed_in_few_places() -> None:
    found = {path.relative_to(PACKAGE).as_posix(): count_lists(path.read_text()) for path in PACKAGE.rglob("*.py")}

    assert {path: count for path, count in found.items() if count} == PLACES


def test_a_list_is_found_in_each_of_its_forms() -> None:
    names = sorted(FIELDS)
    forms = (
        f"x = {names}",
        f"x = '''SELECT {', '.join(names)} FROM events'''",
        f"def f(e):\n    return [{', '.join(f'e.{name}' for name in names)}]",
        "class Row:\n" + "\n".join(f"    {name}: int" for name in names),
        f"row(eventId=1, {', '.join(f'{name}=1' for name in names if name != 'event_id')})",
    )
    for text in forms:
        assert count_lists(text) == 1, text
        assert count_lists(text.replace("payload_size", "another")) == 0, text
    assert count_lists(f"def f():\n    '''{names}'''") == 0, "a docstring is for people"


def count_lists(source: str) -> int:
    """Count the innermost statements that name all fields of an event, in snake or camel case."""
    if not {snake(word) for word in re.findall(r"\w+", source)} >= FIELDS:
        return 0
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = node.body[ast.get_docstring(node) is not None :]
    return _count(tree)


def _count(node: ast.AST) -> int:
    within = sum(map(_count, ast.iter_child_nodes(node)))
    return within or int(isinstance(node, ast.stmt) and set(_names(node)) >= FIELDS)


def _names(statement: ast.AST) -> Iterator[str]:
    for node in ast.walk(statement):
        match node:
            case ast.Constant(value=str(text)):
                words = re.findall(r"\w+", text)
            case ast.Attribute(attr=word) | ast.Name(id=word) | ast.arg(arg=word) | ast.keyword(arg=str(word)):
                words = [word]
            case _:
                continue
        yield from map(snake, words)
