"""Repr, equality and hash that all value classes share.

They mean the same as attrs' own. attrs compiles those for each class: for 33 classes, a tenth of the import.
"""

from __future__ import annotations

from functools import cache

from attrs import NOTHING, AttrsInstance, fields


def show(value: AttrsInstance) -> str:
    """Return the repr of an attrs object with its fields: the ``__repr__`` of value classes.

    It does not fail if the constructor raised an error before all fields were set.
    """
    kind = type(value)
    shown = (f"{field.name}={getattr(value, field.name, NOTHING)!r}" for field in fields(kind) if field.repr)
    return f"{kind.__qualname__.rpartition('>.')[2]}({', '.join(shown)})"


def equals(value: AttrsInstance, other: object) -> bool:
    """Return whether another object is of the same class and has equal fields: the ``__eq__`` of value classes."""
    kind = type(value)
    if other.__class__ is not kind:
        return NotImplemented  # type: ignore[no-any-return] # Python lets `__eq__` return it
    return all(getattr(value, name) == getattr(other, name) for name in _compared(kind))


def hashed(value: AttrsInstance) -> int:
    """Return the hash of the class and of the fields that count for it: the ``__hash__`` of value classes."""
    kind = type(value)
    return hash((kind, *[getattr(value, name) for name in _counted(kind)]))


# Once for each class: `fields` takes twice as long as a comparison.


@cache
def _compared(kind: type[AttrsInstance]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.eq)


@cache
def _counted(kind: type[AttrsInstance]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if (field.eq if field.hash is None else field.hash))
