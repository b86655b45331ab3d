"""Cursors: opaque, signed, and valid for one place in one list only.

The documentation does not say whether the real API's cursors are bound to the filters, or how long they are valid.
These cursors are bound to region, endpoint, session and filters, so that they reveal a client that mixes them up. A
lifetime is an option.
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
    """The start of a page.

    Attributes:
        index: Index of its first row before filtering.
        turn: Number that makes cursors to the same place differ; an empty page in the middle needs a fresh one.
    """

    index: int = 0
    turn: int = 0


@frozen
class Mint:
    """A factory and reader of the cursors of one endpoint.

    Args:
        secret: Key of the signature.
        altchars: The two characters besides letters and digits. They differ between endpoints, as in the real API.
        padded: Whether tokens end in ``=``.
        ttl: Seconds for which a cursor is valid, or None for no limit. With None, tokens do not depend on time.
    """

    secret: bytes = field(repr=False)
    altchars: bytes
    padded: bool
    ttl: float | None = None

    def token(self, scope: tuple[object, ...], place: Place, *, now: float) -> str:
        """Encode the start of a page as a cursor, bound to JSON values; `now` is seconds of a monotonic clock."""
        return self._sign(scope, place, 0 if self.ttl is None else int(now * 1000))

    def place(self, scope: tuple[object, ...], token: str, *, now: float) -> Place:
        """Decode a cursor; return the start of the page that it stands for.

        Raises:
            CursorRefusedError: The cursor was not made here for this scope, or it has expired.
        """
        try:
            raw = base64.b64decode(token + ("" if self.padded else "=="), altchars=self.altchars)
            index, turn, issued_ms = _LAYOUT.unpack(raw[: _LAYOUT.size])
        except (binascii.Error, struct.error, ValueError) as error:
            raise CursorRefusedError("not a cursor") from error
        place = Place(index, turn)
        # Building the token again checks the signature, and that base64 spelled it in the same way.
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
