"""Responses as values, before they become HTTP."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Final, Literal

from attrs import evolve, field, frozen

JSON: Final = "application/json; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"

# Shorter bodies do not gain from compression, and common servers leave them alone too.
_COMPRESS_FROM: Final = 256
# zlib's own words for its two wrappings: https://docs.python.org/3/library/zlib.html#zlib.compressobj
_WBITS: Final = {"gzip": 31, "deflate": 15}

Coding = Literal["gzip", "deflate"]


@frozen
class SandboxReply:
    """A status, headers and a body.

    Attributes:
        status: HTTP status.
        body: The bytes of the body.
        headers: Headers, without those that the server adds itself (`Date`, `Server`, `Content-Length`).
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(factory=dict)

    def with_headers(self, **headers: str) -> SandboxReply:
        """Return a copy with these headers added; underscores in the names mean hyphens."""
        added = {name.replace("_", "-"): value for name, value in headers.items()}
        return evolve(self, headers={**self.headers, **added})

    def compressed(self, coding: Coding) -> SandboxReply:
        """Return a copy with a compressed body."""
        # The cheapest level: loopback has bandwidth to spare, and the tests' time is in the CPU.
        packer = zlib.compressobj(1, zlib.DEFLATED, _WBITS[coding])
        body = packer.compress(self.body) + packer.flush()
        return evolve(self, body=body).with_headers(Content_Encoding=coding, Vary="Accept-Encoding")


def json_body(value: object) -> bytes:
    """Write a value as JSON, as the API does."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def json_answer(value: object, status: int = 200) -> SandboxReply:
    """Answer with a JSON body."""
    return SandboxReply(status, json_body(value), {"Content-Type": JSON})


def envelope(status: int, code: str, message: str, *, details: object = None) -> SandboxReply:
    """Answer with the error envelope.

    Args:
        status: HTTP status.
        code: Stable code. Documented are `INVALID_API_KEY` and `SESSION_NOT_FOUND`; all others are the sandbox's own
            and start with ``SANDBOX_``.
        message: Words for people. It never repeats what the caller sent.
        details: JSON value; None leaves it out.
    """
    error: dict[str, object] = {"code": code, "message": message}
    if details is not None:
        error["details"] = details
    return json_answer({"error": error}, status)


def accepted_coding(accept_encoding: str) -> Coding | None:
    """Choose a coding from an ``Accept-Encoding`` header, or None for none."""
    accepted = set()
    for part in accept_encoding.lower().split(","):
        coding, _, quality = part.partition(";")
        if quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            accepted.add(coding.strip())
    if "gzip" in accepted or "*" in accepted:
        return "gzip"
    return "deflate" if "deflate" in accepted else None


def worth_compressing(answer: SandboxReply) -> bool:
    """Return whether an answer is long enough to compress, and not compressed yet."""
    return len(answer.body) >= _COMPRESS_FROM and "Content-Encoding" not in answer.headers
