"""The API key, stored so that it cannot be shown by accident, and credentials for several regions.

The documented form of a key is the prefix ``aik_v1_`` and 40 base64url characters. Only characters that would break
or inject a header are rejected, because the vendor calls the key opaque.
"""

from __future__ import annotations

import hmac
import re
from itertools import groupby
from typing import Final, NoReturn, Self, SupportsIndex

from isnotai_async._models.regions import REGIONS, resolve_region
from isnotai_async._models.tiers import Tier, TierName
from isnotai_async._models.validation import check_no_key, explain_names
from isnotai_async._ratelimit.limiter import Limiter, SharedLimiter
from isnotai_async.errors import APIError, ConfigError, quoted

_MAX_LENGTH: Final = 512
_SCRUBBED_LENGTH: Final = 16  # real keys have 47 characters; a shorter text may be a word of the data
_PIECE: Final = 8  # the public prefix has seven
_SEARCHED_BYTES: Final = 64 * 2**10
_BACKSLASH: Final = ord("\\")
_LONGEST_ESCAPE: Final = 6  # bytes of a character as JSON may write it, such as backslash-u0061
_FINGERPRINTS: Final = b"isnotai_async fingerprint 1"  # not a secret: it only separates these hashes from others


class Hidden(str):
    """A header value that works as a string, but whose `repr` does not show it.

    It is in a request's headers only while they are written. A traceback in that moment may show the locals of
    aiohttp's frames. Error trackers print their `repr` (kopf #306, home-assistant #173052), and rich cuts the string
    before; so `repr` and slices are hidden.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __getitem__(self, _: SupportsIndex | slice) -> str:
        return "***"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key is not pickled; build the client where it is used")


class ApiKey:
    """The API key of one region, which never shows its value.

    Args:
        value: The key as the vendor showed it.

    Raises:
        ConfigError: The key is empty, too long, or has a character that is not allowed in a header. The message never
            shows the value.
    """

    __slots__ = ("_is_scrubbed", "_pieces", "_text", "_value", "_written", "authorization", "fingerprint")

    def __init__(self, value: str) -> None:
        fault = _fault(value)
        if fault:
            del value  # a traceback with locals must not show the key
            raise ConfigError(f"the API key {fault}; copy it again as it was shown, without quotes or line breaks")
        self.authorization: Hidden = Hidden(f"Bearer {value}")
        self._text, self._value = value, value.encode()
        self._is_scrubbed = len(value) >= _SCRUBBED_LENGTH
        self._written: re.Pattern[bytes] | None = None  # compiled on first use, because that takes 2 ms
        self._pieces = {value[start : start + _PIECE] for start in range(len(value) - _PIECE + 1)}
        # Identifies the key for clients that share its limit. It is 128 bits of a one-way function, so it can be
        # stored and compared in places that must not have the key.
        self.fingerprint: str = hmac.digest(_FINGERPRINTS, self._value, "sha256")[:16].hex()

    def scrub(self, body: bytes) -> bytes:
        """Remove the key from a body that echoes it, also if its characters are escaped as JSON allows."""
        if not self._is_scrubbed:
            return body
        if _BACKSLASH in body:
            if self._written is None:
                self._written = re.compile("".join(_written(character) for character in self._text).encode())
            return self._scrub_written(self._written, body)
        return body.replace(self._value, b"***")  # the same object if there is nothing to remove

    def _scrub_written(self, written: re.Pattern[bytes], body: bytes) -> bytes:
        # In pieces, because `re` does not let other threads run: 8 MiB in one call would take 0.2 s.
        parts, end, longest = list[bytes](), 0, len(self._text) * _LONGEST_ESCAPE
        for start in range(0, len(body), _SEARCHED_BYTES):
            stop = start + _SEARCHED_BYTES
            for match in written.finditer(body, max(start, end), stop + longest):
                if match.start() >= stop:
                    break
                parts += body[end : match.start()], b"***"
                end = match.end()
        return b"".join((*parts, body[end:])) if parts else body

    def is_in(self, content: bytes) -> bool:
        """Return whether the key is in some bytes, so that it has to be removed."""
        return self._is_scrubbed and content.find(self._value) >= 0  # `in` first tries to read the key as a number

    def scrub_text(self, text: str) -> str:
        """Remove the key from a header or a message that echoes it."""
        return text.replace(self._text, "***") if self._is_scrubbed else text

    def scrub_pieces(self, text: str) -> str:
        """Remove the key, and pieces of it, from a text that may have been cut in the middle of the key."""
        if not self._is_scrubbed:
            return text
        hidden = set[int]()
        for start in range(len(text) - _PIECE + 1):
            if text[start : start + _PIECE] in self._pieces:
                hidden.update(range(start, start + _PIECE))
        runs = groupby(range(len(text)), key=hidden.__contains__)
        return "".join("***" if is_hidden else "".join(text[at] for at in run) for is_hidden, run in runs)

    def scrub_error(self, error: APIError) -> None:
        """Remove the key from an API error that echoes it in a form that only decoding shows."""
        error.message, error.code = self.scrub_text(error.message), self.scrub_text(error.code)
        error.args = (error.message,)
        if self._is_scrubbed and self._text in str(error.details):
            error.details = {}

    def __repr__(self) -> str:
        return "ApiKey('***')"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key is not pickled; build the client where it is used")


def _written(character: str) -> str:
    """Return a regular expression for a character in all forms that JSON allows (RFC 8259, section 7)."""
    number = "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{ord(character):04x}")
    plain = re.escape(f"\\{character}") if character in '"\\' else re.escape(character)
    short = r"|\\/" if character == "/" else ""
    return rf"(?:{plain}{short}|\\u{number})"


def _fault(value: object) -> str:
    if not isinstance(value, str):
        return f"is a {type(value).__name__}, not a string"
    if not value.strip():
        return "is empty"
    if len(value) > _MAX_LENGTH:
        return f"is {len(value)} characters long, more than {_MAX_LENGTH}"
    if value[0] in "\"'" or value[-1] in "\"'":
        return "is in quotes"
    if value[:6].lower() in {"bearer", "bearer:"}:
        return "starts with 'Bearer', which belongs to the header and not to the key"
    # Lone surrogates would be sent as an empty token, other non-ASCII as UTF-8; CR and LF would split the header.
    wrong = next((index for index, character in enumerate(value) if not "!" <= character <= "~"), None)
    return "" if wrong is None else f"has a character at index {wrong} that is not printable ASCII"


class Credential:
    """An API key with its region and options. It never shows the key, not even in `api_key`, and cannot be pickled.

    Example:
        >>> isnotai.Credential("aik_v1_" + "a" * 40, region="eu", tier="pro")
        Credential('***', region='eu', base_url='https://api-eu.isnotai.com')

    Args:
        api_key: The key.
        region: The region that issued the key.
        base_url: Base URL of that region; default the vendor's address.
        tier: The key's tier, if you know it.
        limiter: Rate limiter of this key; default one that all clients of the key share in this process.

    Raises:
        ConfigError: The key is not valid, the region is unknown, or the base URL would not keep the key safe.
    """

    __slots__ = ("api_key", "base_url", "limiter", "region", "tier")

    @explain_names
    def __init__(
        self,
        api_key: str,
        *,
        region: str = "us",
        base_url: str | None = None,
        tier: Tier | TierName | None = None,
        limiter: Limiter | SharedLimiter | None = None,
    ) -> None:
        try:
            self.api_key: ApiKey = ApiKey(api_key)
        finally:
            del api_key  # a traceback with locals must not show the key
        where = resolve_region(region, base_url)
        self.region: str = where.name
        self.base_url: str = where.base_url
        self.tier: Tier | TierName | None = tier
        self.limiter: Limiter | SharedLimiter | None = limiter

    def __repr__(self) -> str:
        return f"Credential('***', region={self.region!r}, base_url={self.base_url!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key is not pickled; build the credential where it is used")


def read_credential(name: object, value: object) -> Credential:
    """Return the credential under a name. The value is a credential, or a key if the name is a region.

    Raises:
        ConfigError: The value is neither a credential nor a key, or the name of a key is not a region.
    """
    try:
        if not isinstance(name, str):
            raise ConfigError(f"names of credentials are strings, not {quoted(name)}")
        check_no_key(name, "the name of a credential")
        if isinstance(value, Credential):
            return value
        if name not in REGIONS:
            raise ConfigError(
                f"{quoted(name)} is no region (they are {', '.join(REGIONS)}), so a key is not enough; "
                "pass Credential(key, region=…)"
            )
        return Credential(value, region=name)  # type: ignore[arg-type]  # checked by Credential
    finally:
        del value
