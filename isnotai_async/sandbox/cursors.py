"""Cursors: opaque, signed, and valid for one place in one list only.

Whether the real API's cursors are bound to the filters, and how long they live, is not documented. These are bound
to region, endpoint, session and filters, so that a client which mixes them up is found out; a lifetime is an option.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import struct
from typing import Final

from attrs import field, frozen

_LAYOUT: Final = struct.Struct(">IHQ")
_SIGNATURE_BYTES: Final = 12


class CursorRefusedError(Exception):
    """The token is not a cursor of this list, or no longer. `str` says which, for people."""


@frozen
class Place:
    """Where a page starts.

    Attributes:
        index: Index of its first row before filtering.
        turn: Tells apart several cursors to the same place; an empty page in the middle needs a fresh one.
    """

    index: int = 0
    turn: int = 0


@frozen
class Mint:
    """Makes and reads the cursors of one endpoint.

    Args:
        secret: Key of the signature.
        altchars: The two characters beside letters and digits. Endpoints differ in them, as the real ones do.
        padded: Whether tokens end in ``=``.
        ttl: Seconds that a cursor lives, or None for ever. With None tokens do not depend on time.
    """

    secret: bytes = field(repr=False)
    altchars: bytes
    padded: bool
    ttl: float | None = None

    def token(self, scope: tuple[object, ...], place: Place, *, now: float) -> str:
        """Make the cursor of a place.

        Args:
            scope: What it is bound to; JSON values.
            place: Where the next page starts.
            now: Seconds on a clock that never goes back.
        """
        return self._sign(scope, place, 0 if self.ttl is None else int(now * 1000))

    def place(self, scope: tuple[object, ...], token: str, *, now: float) -> Place:
        """Read a cursor back.

        Raises:
            CursorRefusedError: It was not made here for this scope, or its time is over.
        """
        try:
            raw = base64.b64decode(token + ("" if self.padded else "=="), altchars=self.altchars)
            index, turn, issued_ms = _LAYOUT.unpack(raw[: _LAYOUT.size])
        except (binascii.Error, struct.error, ValueError) as error:
            raise CursorRefusedError("not a cursor") from error
        place = Place(index, turn)
        # Making it again checks the signature and, as base64 has several spellings of one value, the spelling.
        if not hmac.compare_digest(self._sign(scope, place, issued_ms).encode(), token.encode()):
            raise CursorRefusedError("not a cursor of this list and these filters")
        if self.ttl is not None and now * 1000 - issued_ms >= self.ttl * 1000:
            raise CursorRefusedError("the cursor has expired")
        return place

    def _sign(self, scope: tuple[object, ...], place: Place, issued_ms: int) -> str:
        body = _LAYOUT.pack(place.index, place.turn, issued_ms)
        signature = hmac.digest(self.secret, json.dumps(scope).encode() + b"\0" + body, "sha256")
        token = base64.b64encode(body + signature[:_SIGNATURE_BYTES], altchars=self.altchars).decode()
        return token if self.padded else token.rstrip("=")
