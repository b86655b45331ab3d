"""`to_dict` and `to_json`: any value of this package as plain JSON values, with snake_case keys as in exports."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePath
from typing import Any

import attrs

from isnotai_async._models.positions import Position
from isnotai_async._models.stream_positions import StreamPosition
from isnotai_async.errors import ConfigError


def to_dict(value: Any) -> Any:  # noqa: ANN401 - whatever a program has in its hands
    """Turn a record, a page, a position, a report, or a list or mapping of them into plain JSON values.

    Times become ISO 8601 text in UTC, tuples become lists, and unknown fields of the API are under ``extra`` if there
    are any. It fits ``json.dumps(x, default=isnotai.to_dict)``.

    Example:
        >>> event = isnotai.Event("e1", 1, "init", 1_781_092_800_000, 0)
        >>> isnotai.to_dict(event)["event_type_name"]
        'init'

    Args:
        value: What to turn; plain JSON values stay as they are.

    Raises:
        ConfigError: A number is not finite, which JSON cannot hold and the API never sends.
        TypeError: It is none of these.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{value} is no JSON number; pass a finite one, or None")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if (text := _as_text(value)) is not None:
        return text
    if isinstance(value, Position | StreamPosition):
        return json.loads(value.to_json())
    if isinstance(value, Mapping):
        return {str(key): to_dict(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_dict(item) for item in value]
    if attrs.has(type(value)):
        names = [field.name for field in attrs.fields(type(value))]
        fields = {name: getattr(value, name) for name in names}
        return {name: to_dict(item) for name, item in fields.items() if name != "extra" or item}
    raise TypeError(f"{type(value).__name__} is no value of this package and no plain JSON value")


def _as_text(value: object) -> str | None:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, PurePath):  # of a report
        return str(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else None


def to_json(value: Any) -> str:  # noqa: ANN401 - as of `to_dict`
    """Write the same as one line of ASCII JSON; errors as of `to_dict`.

    Example:
        >>> import json
        >>> event = isnotai.Event("e1", 1, "init", 1_781_092_800_000, 0)
        >>> isnotai.to_json(event)[:37]
        '{"event_id": "e1", "message_id": 1, "'
        >>> json.dumps({"events": [event]}, default=isnotai.to_dict)[:50]
        '{"events": [{"event_id": "e1", "message_id": 1, "e'
    """
    return json.dumps(to_dict(value))
