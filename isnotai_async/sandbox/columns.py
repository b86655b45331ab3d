"""The fields of an event: as the API shows them, and as the columns that an export documents.

The sandbox reads exports by what is documented of them, and shares no code with what writes them, so that both cannot
contain the same mistake.
"""

from __future__ import annotations

from typing import Final, get_type_hints

from isnotai_async.errors import ConfigError, quoted

Row = tuple[str, str, str, int, str | None, int, int]
"""A row of an export, in the order of `COLUMNS`."""


def show_event(
    event_id: str, message_id: int, event_type_name: str | None, *, timestamp: int, payload_size: int
) -> dict[str, object]:
    """Return an event as the API shows it."""
    return {
        "eventId": event_id,
        "messageId": message_id,
        "eventTypeName": event_type_name,
        "timestamp": timestamp,
        "payloadSize": payload_size,
    }


_FIELDS: Final = {name: kind for name, kind in get_type_hints(show_event).items() if name != "return"}
COLUMNS: Final[dict[str, type]] = {
    "region": str,
    "session_id": str,
    **{name: int if kind is int else str for name, kind in _FIELDS.items()},
}
NULLABLE: Final = "event_type_name"
INT32: Final = ("message_id", "payload_size")

_KINDS: Final = tuple(COLUMNS.values())
_NAME: Final = list(COLUMNS).index(NULLABLE)
_WITHOUT_NAME: Final = (*_KINDS[:_NAME], type(None), *_KINDS[_NAME + 1 :])
_WORDS: Final = {str: "a string", int: "a whole number"}


def check_row(values: tuple[object, ...], where: str) -> Row:
    """Return the values of a row if each has the type of its column.

    Args:
        values: The values, in the order of `COLUMNS`.
        where: Which row it is, as in ``row 7``.

    Raises:
        ConfigError: One has not; the message names it.
    """
    found = tuple(map(type, values))
    if found in {_KINDS, _WITHOUT_NAME}:
        return values  # type: ignore[return-value] # as checked
    for name, kind, value in zip(COLUMNS, _KINDS, values, strict=True):
        if type(value) is not kind and (value is not None or name != NULLABLE):
            shown = "missing" if value is None else quoted(value)
            raise ConfigError(f"{where}: {name} has to be {_WORDS[kind]}, and is {shown}; export it again")
    raise AssertionError
