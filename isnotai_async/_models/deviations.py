"""Deviations: differences between an answer and the contract that do not prevent reading it."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

DeviationKind = Literal["absent", "null", "number", "date-time", "status", "byte order mark"]
"""What differs; `Deviation.text` says it in words."""

_INDEX: Final = r"\[[^\]]*\]"


class Deviation(NamedTuple):
    """One place of an answer that is not as documented, and was read all the same.

    Attributes:
        path: JSON path of the place, such as ``$.data[3].payloadSize``; ``$`` for the whole answer.
        kind: What differs, as a stable word.
        text: The same in words.
    """

    path: str
    kind: DeviationKind
    text: str

    @property
    def place(self) -> str:
        """The path without indexes and keys that are data, such as ``$.data[*].payloadSize``."""
        return re.sub(_INDEX, "[*]", self.path)
