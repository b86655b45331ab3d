"""Replies as the vendor documents them, and ways to bend them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "samples"


def body(name: str) -> bytes:
    """Return a sample as it would come over the wire."""
    return (FOLDER / f"{name}.json").read_bytes()


def without(value: Any, path: tuple[str | int, ...]) -> Any:
    """Return a copy of a JSON value that lacks one place."""
    bent = copy.deepcopy(value)
    del _parent(bent, path)[path[-1]]
    return bent


def replaced(value: Any, path: tuple[str | int, ...], new: object) -> Any:
    """Return a copy of a JSON value with something else in one place."""
    bent = copy.deepcopy(value)
    _parent(bent, path)[path[-1]] = new
    return bent


def _parent(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path[:-1]:
        value = value[step]
    return value


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """List every place within a JSON value, as a path of keys and indices."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in inside:
        yield (*path, step)
        yield from places(item, (*path, step))


def json_path(path: tuple[str | int, ...]) -> str:
    """Write a path as an error does, such as ``$.data[1].timestamp``."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def load(name: str) -> Any:
    """Return a sample as plain JSON values."""
    return json.loads(body(name))


def dump(value: object) -> bytes:
    """Write plain JSON values as a body."""
    return json.dumps(value).encode()
