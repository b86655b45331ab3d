"""`OpenState`: whether a client, a manager or a stream can be used."""

from __future__ import annotations

from enum import StrEnum


class OpenState(StrEnum):
    """State of what is opened and closed; its text is shown in messages."""

    NOT_OPEN = "not open"
    OPEN = "open"
    CLOSED = "closed"
