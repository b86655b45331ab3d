"""Read-only mappings, for JSON objects whose keys are data or are not documented."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

V_co = TypeVar("V_co", covariant=True)


class ReadOnlyMapping(Mapping[str, V_co]):
    """A mapping that nobody can change, so a frozen record may hold it; unlike `types.MappingProxyType` it pickles.

    It equals a dict of the same content, and is hashable where its values are.

    Args:
        values: The content; it is copied.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, V_co]) -> None:
        self._values = dict(values)

    def __getitem__(self, key: str) -> V_co:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return repr(self._values)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._values,)
