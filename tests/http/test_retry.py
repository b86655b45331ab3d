"""Carrying out the rules of retry: what is sent again, what is counted, and what comes back in the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final
from weakref import ReferenceType, ref

import pytest
from attrs import frozen

from isnotai_async import (
    APIError,
    AttemptNotice,
    ConfigError,
    ConnectError,
    DecodeError,
    GatewayError,
    IsNotAIError,
    LocalLimiter,
    PaginationError,
    ProtocolError,
    RateLimitedError,
    Retry,
    RetryNotice,
    ServerError,
    TransportError,
    TransportTimeoutError,
    Unlimited,
)
from isnotai_async._http.endpoints import GET_STATS, LIST_EVENTS
from isnotai_async._http.messages import Request, Response
from isnotai_async._http.rate_limited import RateLimitedTransport
from isnotai_async._http.retry import Retrier
from isnotai_async._http.retry_policy import RetryQuota
from isnotai_async._notices import Notice, Notifier
from tests import virtual
from tests.functions import Function, reply
from tests.garbage import no_collector
from tests.http.test_turns import Rounds

REQUEST = Request("get_session", "/v1/sessions/s1")
GOOD = b"{}"
REFUSAL = b'{"error": {"code": "X", "message": "no"}}'
PATIENT: Final = Retry()

Outcome = int | BaseException | Mapping[str, Any]


class World:
    """What the transport meets, in order (the last again and again), and all that happened."""

    def __init__(self, *outcomes: Outcome, seconds: float = 0.0) -> None:
        self.outcomes = list(outcomes)
        self.seconds = seconds
        self.sent: list[float] = []
        self.told: list[Notice] = []
        self.quota = RetryQuota()

    async def send(self, request: Request) -> Response:
        self.sent.append(virtual.now())
        await virtual.sleep(self.seconds)
        outcome = self.outcomes[min(len(self.sent), len(self.outcomes)) - 1]
        if isinstance(outcome, BaseException):
            raise outcome
        if isinstance(outcome, int):
            return reply(request, outcome, body=GOOD if outcome < 400 else REFUSAL)
        return reply(request, **{"body": GOOD, **outcome})

    def stack(
        self, *, retry: Retry = PATIENT, deadline: float | None = None, jitter: float = 1.0, paced: bool = False
    ) -> Retrier:
        notifier = Notifier("us", self.told.append)
        limiter = LocalLimiter(clock=virtual.now) if paced else Unlimited()
        transport = RateLimitedTransport(Function(self.send), limiter, notifier, clock=virtual.now)
        return Retrier(
            transport,
            retry,
            deadline,
            self.quota,
            notifier,
            clock=virtual.now,
            roll=lambda: jitter,
        )

    @property
    def gaps(self) -> list[float]:
        """Seconds between the sendings."""
        return [round(later - earlier, 6) for earlier, later in zip(self.sent, self.sent[1:], strict=False)]


@frozen
class Ended:
    """How a call ended: its last status, and what the error says of the whole; without one, what the server saw."""

    status: int
    attempts: int
    elapsed: float
    deadline_exceeded: bool = False


def send(world: World, **options: Any) -> Ended:
    """Make a call that is answered in the end, whatever with; where nobody answers, the error comes through."""

    async def main() -> Ended:
        begun = virtual.now()
        try:
            await world.stack(**options).fetch(REQUEST, GET_STATS.read)
        except (APIError, ProtocolError) as error:
            if error.status is None:
                raise
            return Ended(error.status, error.attempts, error.elapsed, error.deadline_exceeded)
        return Ended(200, len(world.sent), virtual.now() - begun)

    return virtual.run(main())


def fetch(world: World, read: Callable[[Response], Any] = GET_STATS.read, **options: Any) -> Any:
    async def main() -> Any:
        return await world.stack(**options).fetch(REQUEST, read)

    return virtual.run(main())


def lost() -> TransportError:
    return TransportError("the connection was lost")


def parse_failure() -> ProtocolError:
    error = ProtocolError("did not answer in HTTP")
    error.retry_limit = 1
    return error


def bad_certificate() -> ConnectError:
    error = ConnectError("the TLS certificate is not valid")
    error.tls, error.retry_limit = True, 0
    return error


def test_a_good_answer_is_sent_for_once() -> None:
    world = World(200)
    response = send(world)
    assert (response.status, response.attempts) == (200, 1)
    assert world.gaps == []


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 520, 524, 600, 999])
def test_a_status_that_may_pass_is_asked_for_again(status: int) -> None:
    world = World(status, status, 200, seconds=0.25)
    response = send(world)
    assert (response.status, response.attempts) == (200, 3)
    assert response.elapsed == pytest.approx(2.25)
    assert world.gaps == [0.75, 1.25]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 301])
def test_a_status_that_stays_is_returned_at_once(status: int) -> None:
    world = World(status)
    assert send(world).attempts == 1
    assert len(world.sent) == 1


def test_a_status_that_no_server_may_send_is_tried_again_like_one_of_its_failures() -> None:
    assert send(World(999)) == Ended(999, 4, 3.5)


def test_a_503_is_not_asked_again_before_the_time_it_names() -> None:
    world = World({"status": 503, "retry_after": "7"}, 200)
    send(world, jitter=0.5)
    assert world.gaps == [7.35]


def test_the_last_of_four_failures_is_returned_with_its_attempts() -> None:
    world = World(503)
    response = send(world)
    assert (response.status, response.attempts, len(world.sent)) == (503, 4, 4)
    assert response.elapsed == pytest.approx(3.5)


@pytest.mark.parametrize("error", [ConnectError("refused"), TransportTimeoutError("late"), ProtocolError("cut")])
def test_rows_1_and_8_the_last_real_error_is_raised_with_attempts_and_elapsed(error: TransportError) -> None:
    error.retry_limit = None
    world = World(error, seconds=1.0)
    with pytest.raises(type(error)) as caught:
        send(world)
    assert caught.value is error
    assert (error.attempts, error.deadline_exceeded) == (4, False)
    assert error.elapsed == pytest.approx(7.5)
    assert caught.value.__context__ is None


def test_a_lost_connection_is_made_again_at_once_and_then_with_patience() -> None:
    world = World(lost())
    with pytest.raises(TransportError):
        send(world)
    assert world.gaps == [0.0, 1.0, 2.0]


def test_a_bad_certificate_is_not_tried_again() -> None:
    world = World(bad_certificate())
    with pytest.raises(ConnectError):
        send(world)
    assert len(world.sent) == 1


def test_what_is_not_http_is_tried_again_once() -> None:
    world = World(parse_failure())
    with pytest.raises(ProtocolError) as caught:
        send(world)
    assert (len(world.sent), caught.value.attempts) == (2, 2)


def test_other_errors_pass_through_untouched() -> None:
    world = World(ConfigError("not open"))
    with pytest.raises(ConfigError) as caught:
        send(world)
    assert (len(world.sent), caught.value.attempts) == (1, 0)


def test_one_attempt_is_one_request_whatever_comes() -> None:
    for outcome in (503, 429, 404, lost(), {"status": 200, "body": b"no JSON"}):
        world = World(outcome, seconds=0.25)
        with pytest.raises(IsNotAIError) as caught:
            fetch(world, retry=Retry(attempts=1))
        error = caught.value
        assert (len(world.sent), error.attempts, error.elapsed, error.region) == (1, 1, 0.25, "us")


# 429.


def test_429s_do_not_use_up_the_attempts() -> None:
    world = World(*[429] * 5, 503, 503, 503, 200)
    assert send(world).attempts == 9


def test_a_call_waits_for_eight_429s() -> None:
    world = World(429)
    response = send(world, jitter=0.1)
    assert (response.status, response.attempts) == (429, 9)


def test_a_retry_after_beyond_the_cap_is_an_error_at_once() -> None:
    for after in ("121", "9999999999"):
        world = World({"status": 429, "retry_after": after})
        response = send(world)
        assert (response.status, response.attempts, response.deadline_exceeded) == (429, 1, False)
        assert response.elapsed == 0


def test_an_invalid_retry_after_is_none() -> None:
    world = World({"status": 429, "retry_after": "soon"}, 200)
    assert send(world).status == 200
    assert world.gaps == [1.0]


def test_a_date_counts_from_the_date_of_the_answer() -> None:
    date, later = "Mon, 01 Jan 2001 00:00:00 GMT", "Mon, 01 Jan 2001 00:00:20 GMT"
    world = World({"status": 429, "retry_after": later, "date": date}, 200)
    send(world, jitter=0.0)
    assert world.gaps == [20.0]


# Bodies that cannot be read.


def test_an_unreadable_body_is_asked_for_once_more() -> None:
    world = World({"body": b'{"data": {"a'}, 200)
    assert fetch(world) == {}
    assert len(world.sent) == 2


def test_a_captive_portal_costs_all_attempts() -> None:
    world = World({"body": b"<html>Welcome", "content_type": "text/html"})
    with pytest.raises(GatewayError, match=r"text/html that starts with '<html>Welcome'") as caught:
        fetch(world)
    assert (len(world.sent), caught.value.attempts) == (4, 4)


def test_behind_a_captive_portal_the_quota_ends_the_retries() -> None:
    async def main() -> None:
        stack = world.stack(jitter=0.0)
        for _ in range(1000):
            with pytest.raises(GatewayError):
                await stack.fetch(REQUEST, GET_STATS.read)

    world = World({"body": b"<html>"})
    virtual.run(main())
    assert len(world.sent) == 1020


def test_a_broken_chain_of_cursors_is_asked_for_once_more() -> None:
    body = b'{"data": [], "pagination": {"nextCursor": null, "hasMore": true, "limit": 100}}'
    world = World({"body": body})
    with pytest.raises(PaginationError):
        fetch(world, LIST_EVENTS.read)
    assert len(world.sent) == 2


def test_an_unreadable_body_after_a_failure_counts_on() -> None:
    world = World(503, {"body": b"no JSON"}, 503, 200)
    assert fetch(world) == {}
    assert len(world.sent) == 4


# The deadline.


def test_the_deadline_is_checked_before_each_sleep() -> None:
    """The waits would be 0.5, 1 and 2 s; the third would pass the deadline."""
    world = World(503)
    response = send(world, deadline=3.0)
    assert (response.status, response.attempts, response.deadline_exceeded) == (503, 3, True)
    assert response.elapsed == pytest.approx(1.5)


def test_a_retry_after_beyond_the_deadline_is_an_error_at_once() -> None:
    world = World({"status": 429, "retry_after": "60"})
    response = send(world, deadline=30.0)
    assert (response.attempts, response.elapsed, response.deadline_exceeded) == (1, 0, True)


def test_an_error_that_the_deadline_made_final_says_so() -> None:
    world = World(lost())
    with pytest.raises(TransportError) as caught:
        send(world, deadline=0.9)
    assert type(caught.value) is TransportError
    assert (caught.value.attempts, caught.value.deadline_exceeded) == (2, True)
    assert str(caught.value).endswith("; the deadline of 0.9 s ended the call")


def test_an_error_of_the_api_that_the_deadline_made_final_says_so() -> None:
    with pytest.raises(ServerError) as caught:
        fetch(World(503), deadline=0.9)
    assert str(caught.value).endswith(". The deadline of 0.9 s ended the call")
    assert "deadline" not in caught.value.message


def test_the_words_about_the_deadline_follow_those_about_the_quota() -> None:
    with pytest.raises(RateLimitedError) as caught:
        fetch(World({"status": 429, "retry_after": "5"}), deadline=2.0)
    assert str(caught.value).endswith("or try later; the deadline of 2 s ended the call")


def test_the_deadline_bounds_the_attempt_and_the_last_real_outcome_is_told() -> None:
    world = World(503, seconds=10.0)
    response = send(world, deadline=15.0)
    assert (response.status, response.attempts, response.deadline_exceeded) == (503, 2, True)
    assert response.elapsed == pytest.approx(15.0)


def test_an_unreadable_body_is_something_real_to_tell_too() -> None:
    world = World({"body": b"no JSON"}, 200, seconds=10.0)
    with pytest.raises(DecodeError) as caught:
        fetch(world, deadline=15.0)
    error = caught.value
    assert (error.attempts, error.elapsed, error.deadline_exceeded) == (2, 15.0, True)


def test_an_error_keeps_nothing_of_the_call_alive() -> None:
    """Or only the garbage collector would free the error, its traceback and what its frames hold."""

    async def fail(outcome: Outcome) -> ReferenceType[IsNotAIError]:
        try:
            await World(outcome).stack(retry=Retry(attempts=2)).fetch(REQUEST, GET_STATS.read)
        except IsNotAIError as error:
            return ref(error)
        raise AssertionError("it should have failed")

    async def main() -> None:
        for outcome in (404, 503, {"body": b"no JSON"}):
            error = await fail(outcome)
            assert error() is None

    with no_collector():
        virtual.run(main())


def test_a_failure_that_was_mended_is_let_go_of_with_its_answer() -> None:
    class Value:
        pass

    async def main() -> None:
        for outcome in (503, {"body": b"no JSON"}, {"body": b"[]"}):
            failures = list[ReferenceType[IsNotAIError]]()

            def read(response: Response, failures: list[ReferenceType[IsNotAIError]] = failures) -> Value:
                try:
                    GET_STATS.read(response)
                except IsNotAIError as error:
                    failures.append(ref(error))
                    raise
                return Value()

            value = ref(await World(outcome, 200).stack().fetch(REQUEST, read))
            assert [failure() for failure in failures] == [None]
            assert value() is None

    with no_collector():
        virtual.run(main())


def test_with_nothing_real_to_tell_the_deadline_is_the_error() -> None:
    world = World(200, seconds=10.0)
    with pytest.raises(TransportTimeoutError) as caught:
        send(world, deadline=5.0)
    error = caught.value
    assert (error.deadline_exceeded, error.attempts) == (True, 1)
    assert error.elapsed == pytest.approx(5.0)
    assert str(error) == "the answer was not complete after 5.0 s; the deadline of 5 s ended the call"


def test_the_deadline_covers_the_wait_for_a_permit_which_is_no_attempt() -> None:
    async def main() -> None:
        stack = world.stack(deadline=30.0, paced=True)
        for _ in range(60):
            await stack.fetch(REQUEST, GET_STATS.read)
        with pytest.raises(TransportTimeoutError) as caught:
            await stack.fetch(REQUEST, GET_STATS.read)
        assert caught.value.attempts == 0
        assert caught.value.elapsed == pytest.approx(30.0)

    world = World(200)
    virtual.run(main())


def test_without_a_deadline_a_call_waits_for_its_permit() -> None:
    async def main() -> None:
        stack = world.stack(paced=True)
        for _ in range(61):
            await stack.fetch(REQUEST, GET_STATS.read)

    world = World(200)
    virtual.run(main())
    assert world.gaps[-1] == pytest.approx(60.25, abs=0.01)


def test_every_attempt_pays_a_permit() -> None:
    async def main() -> None:
        stack = world.stack(paced=True)
        assert isinstance(stack.transport, RateLimitedTransport)
        await stack.fetch(REQUEST, GET_STATS.read)
        assert "3 of 60 slots occupied" in repr(stack.transport.limiter)

    world = World(503, 503, 200)
    virtual.run(main())


# Turns.


@pytest.mark.parametrize(("size", "taken"), [(20_000, 10), (12_000, 5)])
async def test_of_answers_that_come_together_32_kib_are_read_in_one_round_of_the_loop(size: int, taken: int) -> None:
    rounds, read_in = Rounds(), list[int]()

    def read(response: Response) -> None:
        read_in.append(rounds.number)

    stack = World({"body": b" " * size}).stack()
    await asyncio.gather(*(stack.fetch(REQUEST, read) for _ in range(10)))
    assert len(set(read_in)) == taken


def test_what_failed_is_expected_no_longer_so_an_answer_that_is_alone_does_not_wait() -> None:
    async def main() -> None:
        stack = World(lost(), {"body": b"no JSON"}, 404, 200).stack(retry=Retry(attempts=1))
        for _ in range(3):
            with pytest.raises(IsNotAIError):
                await stack.fetch(REQUEST, GET_STATS.read)
        assert not stack.fair_reader.are_wanted
        await stack.fetch(REQUEST, GET_STATS.read)
        assert not stack.fair_reader.are_wanted

    virtual.run(main())


# The quota.


def test_when_all_fails_the_server_sees_one_request_a_call() -> None:
    async def main() -> None:
        stack = world.stack(jitter=0.0)
        for _ in range(1000):
            with pytest.raises(ServerError):
                await stack.fetch(REQUEST, GET_STATS.read)

    world = World(503)
    virtual.run(main())
    assert len(world.sent) == 1020


def test_successes_fill_the_quota_up_again() -> None:
    world = World(503, 200)
    world.quota.tokens = 50
    send(world)
    assert world.quota.tokens == 50  # the retry's cost came back
    send(World(200))
    world.outcomes = [200]
    send(world)
    assert world.quota.tokens == 51


def test_a_refusal_pays_nothing() -> None:
    world = World(404)
    world.quota.tokens = 50
    send(world)
    assert world.quota.tokens == 50


def test_timeouts_cost_double() -> None:
    world = World(TransportTimeoutError("late"))
    with pytest.raises(TransportTimeoutError):
        send(world)
    assert world.quota.tokens == 70


# What is told.


def test_attempts_and_retries_are_told_as_they_happen() -> None:
    world = World(503, lost(), 200, seconds=1.0)
    send(world)
    common = {"region": "us", "operation": "get_session"}
    assert world.told == [
        AttemptNotice(**common, attempt=1, status=503, error=None, elapsed=1.0),
        RetryNotice(**common, attempt=2, wait=0.5, reason="status 503", kind="status"),
        AttemptNotice(**common, attempt=2, status=None, error="TransportError", elapsed=1.0),
        RetryNotice(**common, attempt=3, wait=1.0, reason="the connection was lost", kind="connection lost"),
        AttemptNotice(**common, attempt=3, status=200, error=None, elapsed=1.0),
    ]


def test_the_log_has_attempts_at_debug_and_long_waits_at_info(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "isnotai_async"):
        send(World({"status": 503, "retry_after": "30"}, 404), jitter=0.0)
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "isnotai_async"]
    assert lines[0] == ("DEBUG", "get_session, attempt 1: status 503 after 0.000 s: GET /v1/sessions/s1")
    assert lines[1][0] == "INFO"
    assert lines[1][1].startswith("get_session waits for 30.0 s, until ")
    assert lines[1][1].endswith("Z, before attempt 2: status 503")
    assert lines[2] == ("DEBUG", "get_session, attempt 2: status 404 after 0.000 s: GET /v1/sessions/s1")


@pytest.mark.parametrize("cause", [503, 429, {"status": 503, "retry_after": "30"}], ids=str)
def test_each_retry_is_in_the_log_at_info_however_short_its_wait(
    cause: int | dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "isnotai_async"):
        send(World(cause, cause, 200), jitter=0.0)
    lines = [record.getMessage() for record in caplog.records if record.name == "isnotai_async"]
    assert [line.rpartition("before ")[2][:9] for line in lines] == ["attempt 2", "attempt 3"]


def test_why_something_is_not_tried_again_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "isnotai_async"):
        world = World(503)
        world.quota.tokens = 0
        send(world)
    assert "get_session is not tried again: the retry quota is used up, because most calls fail" in caplog.messages
