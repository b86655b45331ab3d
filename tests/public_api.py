"""Describes the public face: every public name with its signature, one a line, sorted.

Run ``python -m tests.public_api`` to write ``tests/public_api.txt`` anew after a change that is meant.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

PLACE = Path(__file__).parent / "public_api.txt"
MODULES = ("isnotai_async", "isnotai_async.errors", "isnotai_async.export", "isnotai_async.sandbox")


def describe() -> str:
    """Return the whole face as text."""
    return "".join(f"{line}\n" for module in MODULES for line in _describe_module(module))


def _describe_module(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None) or _defined_names(name)
    for public in sorted(names):
        if not public.startswith("__"):
            yield from _describe_value(f"{name}.{public}", getattr(module, public))


def _defined_names(name: str) -> list[str]:
    values = vars(importlib.import_module(name))
    return [key for key, value in values.items() if getattr(value, "__module__", None) == name]


def _describe_value(name: str, value: object) -> Iterator[str]:
    top, last = importlib.import_module(MODULES[0]), name.rpartition(".")[2]
    if name != f"{MODULES[0]}.{last}" and getattr(top, last, None) is value:
        yield f"same {name} = {MODULES[0]}.{last}"
    elif inspect.ismodule(value):
        yield f"module {name}"
    elif inspect.isclass(value):
        yield from _describe_class(name, value)
    elif callable(value):
        yield f"def {name}{_signature(value)}"
    else:
        yield f"value {name}: {type(value).__name__}"


def _describe_class(name: str, kind: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in kind.__bases__ if base is not object)
    yield f"class {name}({bases}){_signature(kind)}"
    for member in sorted(_members(kind)):
        yield from _describe_member(f"{name}.{member}", inspect.getattr_static(kind, member))


def _members(kind: type) -> set[str]:
    own = [base for base in kind.__mro__ if base.__module__.startswith("isnotai_async")]
    names = {member for base in own for member in (*vars(base), *inspect.get_annotations(base))}
    return {member for member in names if not member.startswith("_")} | ({"__call__"} & names)


def _describe_member(name: str, member: object) -> Iterator[str]:
    if isinstance(member, classmethod | staticmethod):
        yield f"def {name}{_signature(member.__func__)}"
    elif isinstance(member, property):
        returned = inspect.signature(member.fget).return_annotation if member.fget else ""
        yield f"property {name}: {returned}"
    elif inspect.isfunction(member):
        yield f"{'async def' if inspect.iscoroutinefunction(member) else 'def'} {name}{_signature(member)}"
    else:
        yield f"attribute {name}"


def _signature(value: object) -> str:
    if isinstance(value, type) and issubclass(value, Enum):
        return ""  # how an enumeration is called differs between versions of Python, and is not ours
    try:
        text = str(inspect.signature(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "(...)"
    text = text.replace("typing.Annotated[", "Annotated[")  # as Python 3.13 writes it
    return text.replace("'", "")  # annotations are text, and read better without quotes


if __name__ == "__main__":
    PLACE.write_text(describe(), encoding="utf-8")
