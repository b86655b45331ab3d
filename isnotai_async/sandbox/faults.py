"""Faults that a test can script (status, delay, cut body, bad JSON, ...), and the queue of them.

Which request meets which fault.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import Enum, auto
from http import HTTPStatus
from typing import Self

from attrs import Attribute, define, evolve, field, frozen

from isnotai_async.errors import ConfigError
from isnotai_async.sandbox.limits import LIST_OPERATIONS
from isnotai_async.sandbox.responses import HTML, Answer, envelope
from isnotai_async.sandbox.seed_data import Dice


class PageFault(Enum):
    """How the page of a list lies about what follows."""

    EMPTY = auto()
    REPEATED_CURSOR = auto()
    NO_CURSOR = auto()


class Delivery(Enum):
    """How an answer fails to arrive whole."""

    RESET = auto()
    CUT = auto()
    CUT_CHUNK = auto()
    CORRUPT_GZIP = auto()


def _check_times(_fault: object, _attribute: object, times: int | None) -> None:
    if times is not None and times < 1:
        raise ConfigError("times must be at least 1, or None for every request until the faults are cleared")


def _check_seconds(_fault: object, attribute: Attribute[float], seconds: float) -> None:
    if not 0 <= seconds < math.inf:
        raise ConfigError(f"{attribute.name} must be seconds, 0 or more")


@frozen(kw_only=True)
class Fault:
    """One misbehaviour; make it with a class method and give it to `Sandbox.inject`.

    Every class method takes `times`: how many requests it meets, 1 by default, None until the faults are cleared.

    Attributes:
        name: Which it is.
        times: How many requests it meets, or None.
        answer: Sent instead of the API's answer, or None to keep that.
        from_api: Whether `answer` comes from behind the authentication and so carries ``x-isnotai-tier``.
        page: How a list's page is changed, or None.
        delivery: How the answer fails to arrive whole, or None.
        delay: Seconds before the first byte.
        drip: Seconds between two pieces of the body; 0 sends it at once.
        piece: Bytes of a piece.
    """

    name: str
    times: int | None = field(default=1, validator=_check_times)
    answer: Answer | None = None
    from_api: bool = False
    page: PageFault | None = None
    delivery: Delivery | None = None
    delay: float = field(default=0.0, validator=_check_seconds)
    drip: float = field(default=0.0, validator=_check_seconds)
    piece: int = 1

    @classmethod
    def status(
        cls,
        status: int,
        *,
        times: int | None = 1,
        body: bool = True,
        code: str | None = None,
        retry_after: float | str | None = None,
    ) -> Self:
        """Answer with an error status.

        Args:
            status: 400 to 599.
            times: How many requests it meets.
            body: Whether there is an error envelope; without one the body is empty, as from an edge.
            code: The envelope's code; default the status's name (``SERVICE_UNAVAILABLE``), for 401
                ``INVALID_API_KEY``.
            retry_after: ``Retry-After``: seconds, or any text (an HTTP date, or nonsense).

        Raises:
            ConfigError: The status is no error status.
        """
        if not 400 <= status <= 599:
            raise ConfigError("Fault.status takes 400 to 599; Fault.raw takes any status")
        code = code or ("INVALID_API_KEY" if status == 401 else _status_name(status))
        answer = envelope(status, code, "A scripted fault of the sandbox.") if body else Answer(status)
        if retry_after is not None:
            answer = answer.with_headers(Retry_After=str(retry_after))
        # Documented: the tier is neither on a 401 nor on what the edge answers, and the limiter is at the edge.
        from_api = body and status not in {401, 429}
        return cls(name=f"status {status}", times=times, answer=answer, from_api=from_api)

    @classmethod
    def rate_limited(cls, retry_after: float | str | None = None, *, times: int | None = 1) -> Self:
        """Answer 429, with or without ``Retry-After``, though the window has room."""
        return cls.status(429, times=times, retry_after=retry_after, code="RATE_LIMITED")

    @classmethod
    def html(cls, status: int = 502, *, times: int | None = 1) -> Self:
        """Answer with an HTML error page, as proxies do."""
        title = f"{status} {_status_name(status).replace('_', ' ').title()}"
        page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
        return cls.raw(status, page.encode(), {"Content-Type": HTML}, times=times, name=f"html {status}")

    @classmethod
    def captive_portal(cls, *, times: int | None = 1) -> Self:
        """Answer 200 with an HTML page that asks to sign in."""
        page = b"<html><body><form action='/login'>Welcome to Airport Wi-Fi</form></body></html>"
        return cls.raw(200, page, {"Content-Type": HTML}, times=times, name="captive portal")

    @classmethod
    def garbage(cls, body: bytes = b'{"data": [{"eventId": \x00\xff', *, times: int | None = 1) -> Self:
        """Answer 200 and JSON by name, with a body that is none."""
        return cls.raw(200, body, {"Content-Type": "application/json"}, times=times, name="garbage")

    @classmethod
    def raw(
        cls,
        status: int,
        body: bytes | Mapping[str, object],
        headers: Mapping[str, str] | None = None,
        *,
        times: int | None = 1,
        name: str = "raw",
    ) -> Self:
        """Answer with exactly this status, body and headers (a mapping is sent as JSON)."""
        headers = dict(headers or {})
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        return cls(name=name, times=times, answer=Answer(status, body, headers))

    @classmethod
    def slow_headers(cls, delay: float, *, times: int | None = 1) -> Self:
        """Wait this many seconds before the first byte of a true answer."""
        return cls(name="slow headers", times=times, delay=delay)

    @classmethod
    def slow_body(cls, drip: float = 0.1, *, piece: int = 1, times: int | None = 1) -> Self:
        """Send a true answer in pieces of so many bytes, with so many seconds between them."""
        if piece < 1:
            raise ConfigError("piece must be at least 1 byte")
        return cls(name="slow body", times=times, drip=drip, piece=piece)

    @classmethod
    def reset(cls, *, times: int | None = 1) -> Self:
        """Reset the TCP connection before any byte of an answer."""
        return cls(name="reset", times=times, delivery=Delivery.RESET)

    @classmethod
    def cut_body(cls, *, chunked: bool = False, times: int | None = 1) -> Self:
        """Send half of a true answer and close: short of its ``Content-Length``, or in the middle of a chunk."""
        delivery = Delivery.CUT_CHUNK if chunked else Delivery.CUT
        return cls(name="cut chunk" if chunked else "cut body", times=times, delivery=delivery)

    @classmethod
    def corrupt_gzip(cls, *, times: int | None = 1) -> Self:
        """Compress a true answer and spoil bytes in the middle."""
        return cls(name="corrupt gzip", times=times, delivery=Delivery.CORRUPT_GZIP)

    @classmethod
    def empty_page(cls, *, times: int | None = 1) -> Self:
        """Answer a list with no rows, `hasMore`, and a fresh cursor to the same place: nothing is lost."""
        return cls(name="empty page", times=times, page=PageFault.EMPTY)

    @classmethod
    def repeated_cursor(cls, *, times: int | None = 1) -> Self:
        """Answer a list with `hasMore` and the cursor that was just sent; waits for a request that has one."""
        return cls(name="repeated cursor", times=times, page=PageFault.REPEATED_CURSOR)

    @classmethod
    def no_cursor(cls, *, times: int | None = 1) -> Self:
        """Answer a list with `hasMore` and a null cursor."""
        return cls(name="no cursor", times=times, page=PageFault.NO_CURSOR)

    def delayed(self, delay: float) -> Self:
        """A copy that waits this many seconds before its first byte."""
        return evolve(self, delay=delay)


def _status_name(status: int) -> str:
    try:
        return HTTPStatus(status).name
    except ValueError:  # 520 to 524 are a CDN's own and have no name in the standard library
        return f"STATUS_{status}"


@frozen
class Target:
    """What a fault looks at before it strikes.

    Attributes:
        region: Name of the region.
        operation: Name of the operation.
        has_cursor: Whether the request carries a cursor.
    """

    region: str
    operation: str
    has_cursor: bool = False


@define(eq=False)
class _Rule:
    fault: Fault
    operation: str | None
    region: str | None
    probability: float | None
    left: int | None

    def fits(self, target: Target) -> bool:
        page = self.fault.page
        return (
            self.operation in {None, target.operation}
            and self.region in {None, target.region}
            and (page is None or target.operation in LIST_OPERATIONS)
            and (page is not PageFault.REPEATED_CURSOR or target.has_cursor)
        )


@define(eq=False)
class FaultQueue:
    """Faults in the order they were injected.

    A request meets at most one: the first scripted one that fits it and has times left; else each random one is
    tried in turn.

    Args:
        dice: Decides about the random ones.
    """

    dice: Dice
    _rules: list[_Rule] = field(factory=list, init=False)

    def add(
        self,
        fault: Fault,
        *,
        operation: str | None = None,
        region: str | None = None,
        probability: float | None = None,
    ) -> None:
        """Put a fault at the end of the queue; None means any operation, any region, or not at random."""
        left = fault.times if probability is None else None
        self._rules.append(_Rule(fault, operation, region, probability, left))

    def clear(self) -> None:
        """Forget all faults."""
        self._rules.clear()

    def take(self, target: Target) -> Fault | None:
        """Take the fault that this request meets, or None."""
        fitting = [rule for rule in self._rules if rule.fits(target)]
        for rule in fitting:
            if rule.probability is None:
                self._use(rule)
                return rule.fault
        for rule in fitting:
            if rule.probability is not None and self.dice.chance(rule.probability):
                return rule.fault
        return None

    def _use(self, rule: _Rule) -> None:
        if rule.left is None:
            return
        rule.left -= 1
        if rule.left == 0:
            self._rules.remove(rule)
