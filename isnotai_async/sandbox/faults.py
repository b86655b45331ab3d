"""Faults that a test can script (status, delay, cut body, deviation, ...), and the queue that hands them out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import Enum, auto
from http import HTTPStatus
from typing import Final, Self

from attrs import Attribute, define, evolve, field, frozen

from isnotai_async.errors import ConfigError
from isnotai_async.sandbox import deviations
from isnotai_async.sandbox.deviations import Change, DateTimeForm
from isnotai_async.sandbox.limits import LIST_OPERATIONS
from isnotai_async.sandbox.responses import HTML, SandboxReply, envelope
from isnotai_async.sandbox.seed_data import Dice


class PageFault(Enum):
    """A way in which a page gives wrong information about the next page."""

    EMPTY = auto()
    REPEATED_CURSOR = auto()
    NO_CURSOR = auto()


class Delivery(Enum):
    """A way in which an answer does not arrive completely."""

    RESET = auto()
    CUT = auto()
    CUT_CHUNK = auto()
    CORRUPT_GZIP = auto()


def _check_times(_fault: object, _attribute: object, times: int | None) -> None:
    if times is not None and times < 1:
        raise ConfigError(
            f"times is {times}; it must be at least 1, or None for every request until the faults are cleared"
        )


def _check_seconds(_fault: object, attribute: Attribute[float], seconds: float) -> None:
    if not 0 <= seconds < math.inf:
        raise ConfigError(f"{attribute.name} must be seconds, 0 or more, not {seconds}")


@frozen(kw_only=True)
class Fault:
    """A fault of the server. Create it with a class method, and pass it to `Sandbox.inject`.

    Every class method takes `times`: how many requests it affects, 1 by default, None until the faults are cleared.

    Example:
        >>> from isnotai_async.sandbox import Fault
        >>> sandbox.inject(Fault.cut_body(times=2).delayed(0.1), operation="list_events", region="us")
        >>> len((await client.list_events("big-100")).data), sandbox.stats.requests
        (100, 3)

    Attributes:
        name: Name of the fault.
        times: How many requests it affects, or None.
        answer: Sent instead of the API's answer, or None to keep that answer.
        from_api: Whether `answer` is from the API after authentication, and so has ``x-isnotai-tier``.
        page: How a list's page is changed, or None.
        change: How the API's answer is changed, or None.
        needs_cursor: Whether it waits for a request that has a cursor.
        delivery: In which way the answer does not arrive completely, or None.
        delay: Seconds before the first byte.
        drip: Seconds between two pieces of the body; 0 sends it at once.
        piece: Bytes of a piece.
    """

    name: str
    times: int | None = field(default=1, validator=_check_times)
    answer: SandboxReply | None = None
    from_api: bool = False
    page: PageFault | None = None
    change: Change | None = field(default=None, repr=False)
    needs_cursor: bool = False
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
        details: object = None,
        retry_after: float | str | None = None,
    ) -> Self:
        """Answer with an error status.

        Args:
            status: 400 to 599.
            times: How many requests it meets.
            body: Whether there is an error envelope; without one the body is empty, as from an edge.
            code: The envelope's code; default ``SANDBOX_`` and the status's name, for 401 ``INVALID_API_KEY``.
            details: The envelope's details, any JSON value; None leaves them out.
            retry_after: ``Retry-After``: seconds, or any text (an HTTP date, or nonsense).

        Raises:
            ConfigError: The status is no error status.
        """
        if not 400 <= status <= 599:
            raise ConfigError(f"Fault.status takes 400 to 599, not {status}; Fault.raw takes any status")
        code = code or ("INVALID_API_KEY" if status == 401 else f"SANDBOX_{_status_name(status)}")
        answer = envelope(status, code, _MESSAGE, details=details) if body else SandboxReply(status)
        if retry_after is not None:
            answer = answer.with_headers(Retry_After=str(retry_after))
        # Documented: the tier is neither on a 401 nor on what the edge answers, and the limiter is at the edge.
        from_api = body and status not in {401, 429}
        return cls(name=f"status {status}", times=times, answer=answer, from_api=from_api)

    @classmethod
    def rate_limited(cls, retry_after: float | str | None = None, *, times: int | None = 1) -> Self:
        """Answer 429, with or without ``Retry-After``, although the window has room."""
        return cls.status(429, times=times, retry_after=retry_after, code="SANDBOX_RATE_LIMITED")

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
        """Answer 200 with the content type of JSON, and a body that is not JSON."""
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
        return cls(name=name, times=times, answer=SandboxReply(status, body, headers))

    @classmethod
    def slow_headers(cls, delay: float, *, times: int | None = 1) -> Self:
        """Wait this many seconds before the first byte of the real answer."""
        return cls(name="slow headers", times=times, delay=delay)

    @classmethod
    def slow_body(cls, drip: float = 0.1, *, piece: int = 1, times: int | None = 1) -> Self:
        """Send the real answer in pieces of `piece` bytes, with a wait between them."""
        if piece < 1:
            raise ConfigError(f"piece must be at least 1 byte, not {piece}")
        return cls(name="slow body", times=times, drip=drip, piece=piece)

    @classmethod
    def reset(cls, *, times: int | None = 1) -> Self:
        """Reset the TCP connection before any byte of an answer."""
        return cls(name="reset", times=times, delivery=Delivery.RESET)

    @classmethod
    def cut_body(cls, *, chunked: bool = False, times: int | None = 1) -> Self:
        """Send half of the real answer and close: before its ``Content-Length``, or in the middle of a chunk."""
        delivery = Delivery.CUT_CHUNK if chunked else Delivery.CUT
        return cls(name="cut chunk" if chunked else "cut body", times=times, delivery=delivery)

    @classmethod
    def corrupt_gzip(cls, *, times: int | None = 1) -> Self:
        """Compress the real answer, and corrupt bytes in the middle."""
        return cls(name="corrupt gzip", times=times, delivery=Delivery.CORRUPT_GZIP)

    @classmethod
    def empty_page(cls, *, times: int | None = 1) -> Self:
        """Answer a list with no rows, `hasMore`, and a fresh cursor to the same place: nothing is lost."""
        return cls(name="empty page", times=times, page=PageFault.EMPTY)

    @classmethod
    def repeated_cursor(cls, *, times: int | None = 1) -> Self:
        """Answer a list with `hasMore` and the cursor that was just sent; waits for a request that has one."""
        return cls(name="repeated cursor", times=times, page=PageFault.REPEATED_CURSOR, needs_cursor=True)

    @classmethod
    def no_cursor(cls, *, times: int | None = 1) -> Self:
        """Answer a list with `hasMore` and a null cursor."""
        return cls(name="no cursor", times=times, page=PageFault.NO_CURSOR)

    @classmethod
    def refused_cursor(
        cls, status: int = 400, *, code: str = "SANDBOX_CONTINUATION_REFUSED", times: int | None = 1
    ) -> Self:
        """Reject a request because of its cursor; it applies to the next request that has one.

        Args:
            status: 400, 404, 410 or 422; the API's own is not known.
            code: The envelope's code; the API's own is not known.
            times: How many requests it meets.
        """
        return evolve(cls.status(status, code=code, times=times), name="refused cursor", needs_cursor=True)

    @classmethod
    def error_in_success(
        cls, code: str = "SANDBOX_HIDDEN_ERROR", message: str = "", *, times: int | None = 1
    ) -> Self:
        """Answer 200 with an error envelope."""
        answer = envelope(200, code, message or _MESSAGE)
        return cls(name="error in success", times=times, answer=answer, from_api=True)

    @classmethod
    def changed_field(cls, path: str, value: object = None, *, times: int | None = 1) -> Self:
        """Answer with another value in a field, by default null.

        Args:
            path: Which field: ``data[*].payloadSize`` in each record, ``data[0].userName`` in the first,
                ``pagination.limit``. An answer without that field stays as it is.
            value: Any JSON value.
            times: How many requests it meets.

        Raises:
            ConfigError: The path is not valid.
        """
        return cls(name=f"changed {path}", times=times, change=deviations.set_field(path, value))

    @classmethod
    def absent_field(cls, path: str, *, times: int | None = 1) -> Self:
        """Answer without a field; the path is written as in `changed_field`."""
        return cls(name=f"absent {path}", times=times, change=deviations.remove_field(path))

    @classmethod
    def success_status(cls, status: int, *, times: int | None = 1) -> Self:
        """Answer with another status of success instead of 200; 204 comes without a body."""
        if not 201 <= status <= 299:
            raise ConfigError(f"Fault.success_status takes 201 to 299, not {status}; Fault.raw takes any status")
        return cls(name=f"status {status}", times=times, change=deviations.set_status(status))

    @classmethod
    def decimal_numbers(cls, *, exponent: bool = False, times: int | None = 1) -> Self:
        """Answer with whole numbers written as ``7.0``, or with an exponent as ``7e0``."""
        return cls(name="decimal numbers", times=times, change=deviations.write_decimals(exponent=exponent))

    @classmethod
    def date_times(cls, form: DateTimeForm, *, times: int | None = 1) -> Self:
        """Answer with date-times in another form.

        Args:
            form: ``"no offset"``, ``"space"`` (for the T), ``"short offset"`` (+0000), ``"no seconds"``,
                ``"nine digits"`` (of a second), ``"year one"`` (0001-01-01), ``"leap second"`` (a 60th) or
                ``"date only"``.
            times: How many requests it meets.

        Raises:
            ConfigError: There is no such form.
        """
        return cls(name=f"date-times: {form}", times=times, change=deviations.write_date_times(form))

    @classmethod
    def byte_order_mark(cls, *, times: int | None = 1) -> Self:
        """Answer with a byte order mark before the JSON."""
        return cls(name="byte order mark", times=times, change=deviations.add_byte_order_mark)

    @classmethod
    def x_gzip(cls, *, times: int | None = 1) -> Self:
        """Compress the answer with gzip, and call that ``x-gzip``."""
        return cls(name="x-gzip", times=times, change=deviations.use_x_gzip)

    @classmethod
    def tier_name(cls, name: str | None, *, times: int | None = 1) -> Self:
        """Answer with this value of ``x-isnotai-tier``, such as ``"Enterprise"``; None leaves the header out."""
        return cls(name=f"tier {name}", times=times, change=deviations.set_tier_name(name))

    @classmethod
    def clock_skew(cls, seconds: float, *, times: int | None = 1) -> Self:
        """Answer with a ``Date`` that differs from this machine's clock by `seconds`; earlier if negative."""
        return cls(name="clock skew", times=times, change=deviations.shift_clock(seconds))

    def delayed(self, delay: float) -> Self:
        """Return a copy that waits a number of seconds before its first byte."""
        return evolve(self, delay=delay)


_MESSAGE: Final = "A scripted fault of the sandbox."


def _status_name(status: int) -> str:
    try:
        return HTTPStatus(status).name
    except ValueError:  # 520 to 524 are a CDN's own and have no name in the standard library
        return f"STATUS_{status}"


@define(eq=False)
class _Rule:
    fault: Fault
    operation: str | None
    region: str | None
    probability: float | None
    left: int | None

    def fits(self, region: str, operation: str, *, has_cursor: bool) -> bool:
        return (
            self.operation in {None, operation}
            and self.region in {None, region}
            and (self.fault.page is None or operation in LIST_OPERATIONS)
            and (has_cursor or not self.fault.needs_cursor)
        )


@define(eq=False)
class FaultQueue:
    """The queue of faults, in the order in which they were injected.

    A request gets at most one fault: the first scripted one that matches it and has times left, else the first
    matching random one that is drawn.

    Args:
        dice: Draws the random faults.
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
        """Remove all faults."""
        self._rules.clear()

    def take(self, region: str, operation: str, *, has_cursor: bool = False) -> Fault | None:
        """Return the fault for a request, which may carry a cursor, or None."""
        fitting = [rule for rule in self._rules if rule.fits(region, operation, has_cursor=has_cursor)]
        for rule in sorted(fitting, key=lambda rule: rule.probability is not None):  # the scripted ones first
            if rule.probability is None or self.dice.chance(rule.probability):
                self._use(rule)
                return rule.fault
        return None

    def _use(self, rule: _Rule) -> None:
        if rule.left is None:
            return
        rule.left -= 1
        if rule.left == 0:
            self._rules.remove(rule)
