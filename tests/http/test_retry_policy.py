"""Retry arithmetic: what is tried again, after how long, and at what price."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

from isnotai_async import ConfigError, Retry
from isnotai_async._http.messages import read_retry_after
from isnotai_async._http.retry_policy import (
    MAX_THROTTLES,
    Backoff,
    FailureKind,
    RetryCause,
    RetryQuota,
    check_retry,
    judge_status,
)

TRANSIENT = RetryCause(FailureKind.TRANSIENT)
THROTTLED = RetryCause(FailureKind.THROTTLED)


def waits(backoff: Backoff, cause: RetryCause, *, jitter: float = 1.0) -> list[float]:
    """Meet the same trouble again and again, and list the waits until it is final."""
    found = []
    while (decision := backoff.judge(cause, jitter=jitter)).wait is not None:
        found.append(decision.wait)
    return found


def test_the_defaults_are_those_of_the_documentation() -> None:
    assert Retry() == Retry(attempts=4, base=0.5, factor=2.0, cap=20.0, max_retry_after=120.0)


def test_a_retry_is_a_value() -> None:
    retry = Retry(attempts=2)
    assert retry == pickle.loads(pickle.dumps(retry))
    with pytest.raises(FrozenInstanceError):
        retry.attempts = 3  # type: ignore[misc] # that it cannot be is the test


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"attempts": 0}, "attempts"),
        ({"attempts": -1}, "attempts"),
        ({"attempts": 1.5}, "attempts"),
        ({"attempts": True}, "attempts"),
        ({"attempts": None}, "attempts"),
        ({"base": -0.1}, "base"),
        ({"base": float("nan")}, "base"),
        ({"base": "1"}, "base"),
        ({"base": True}, "base"),
        ({"factor": 0.5}, "factor"),
        ({"cap": float("inf")}, "cap"),
        ({"max_retry_after": None}, "max_retry_after"),
    ],
)
def test_a_value_that_cannot_be_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"^Retry: {named} .*must be"):
        Retry(**options)


def test_what_is_no_retry_is_said_so() -> None:
    assert check_retry(Retry(attempts=2)) == Retry(attempts=2)
    with pytest.raises(ConfigError, match=r"Retry\(attempts=2\), not int"):
        check_retry(3)  # type: ignore[arg-type] # a usual mistake


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, FailureKind.TRANSIENT) for status in (408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)),
        (429, FailureKind.THROTTLED),
        *((status, None) for status in (200, 204, 301, 304, 400, 401, 403, 404, 405, 410, 418, 422, 451, 499)),
    ],
)
def test_rows_16_and_18_which_statuses_are_tried_again(status: int, kind: FailureKind | None) -> None:
    assert judge_status(status) is kind


def test_the_bound_of_the_wait_doubles_up_to_the_cap() -> None:
    retry = Retry(attempts=9)
    assert waits(Backoff(retry, RetryQuota()), TRANSIENT) == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]


def test_the_bound_of_a_429_without_advice_begins_at_a_second() -> None:
    assert waits(Backoff(Retry(), RetryQuota()), THROTTLED) == [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 20.0]


@given(jitter=st.floats(0, 1), attempts=st.integers(1, 2000), factor=st.floats(1, 1e300))
def test_a_wait_is_never_longer_than_the_cap(jitter: float, attempts: int, factor: float) -> None:
    found = waits(Backoff(Retry(attempts=attempts, factor=factor), RetryQuota()), TRANSIENT, jitter=jitter)
    assert all(0 <= wait <= 20 for wait in found)
    assert len(found) == min(attempts - 1, 20)  # the quota allows twenty


def test_the_jitter_is_spread_evenly() -> None:
    """Ten thousand waits in ten equal parts of the range: none has a fifth more or less than a thousand."""
    dice = random.Random(7)
    parts = [0] * 10
    for _ in range(10_000):
        wait = Backoff(Retry(base=10.0), RetryQuota()).judge(TRANSIENT, jitter=dice.random()).wait
        assert wait is not None
        parts[int(wait)] += 1
    assert all(800 < count < 1200 for count in parts)


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_attempts_count_the_first_one(attempts: int) -> None:
    assert len(waits(Backoff(Retry(attempts=attempts), RetryQuota()), TRANSIENT)) == attempts - 1


def test_one_attempt_waits_for_no_429_either() -> None:
    decision = Backoff(Retry(attempts=1), RetryQuota()).judge(
        RetryCause(FailureKind.THROTTLED, retry_after=1), jitter=0
    )
    assert decision.wait is None


def test_a_429_has_a_counter_of_its_own() -> None:
    backoff = Backoff(Retry(attempts=2), RetryQuota())
    assert len(waits(backoff, THROTTLED)) == MAX_THROTTLES
    assert len(waits(backoff, TRANSIENT)) == 1


@pytest.mark.parametrize(
    ("after", "jitter", "expected"),
    [
        (1.0, 0.0, 1.0),
        (1.0, 1.0, 1.1),
        (5.0, 1.0, 5.5),
        (60.0, 0.5, 60.5),
        (120.0, 1.0, 121.0),  # jitter adds a second at most
        (120.5, 0.0, None),
        (1500.0, 0.0, None),
        (9_999_999_999.0, 0.0, None),
        (0.0, 0.5, 0.25),  # no advice, so the backoff decides
    ],
)
@pytest.mark.parametrize("kind", [FailureKind.TRANSIENT, FailureKind.THROTTLED])
def test_rows_17_and_43_a_retry_after_is_a_floor_and_never_cut_short(
    after: float, jitter: float, expected: float | None, kind: FailureKind
) -> None:
    decision = Backoff(Retry(base=0.5 if kind is FailureKind.TRANSIENT else 0.25), RetryQuota()).judge(
        RetryCause(kind, retry_after=after), jitter=jitter
    )
    assert decision.wait == (None if expected is None else pytest.approx(expected))
    assert ("Retry-After" in decision.why_not) is (expected is None)


@given(after=st.floats(0.001, 120), jitter=st.floats(0, 1))
def test_nobody_comes_back_before_the_time_that_was_named(after: float, jitter: float) -> None:
    wait = (
        Backoff(Retry(), RetryQuota()).judge(RetryCause(FailureKind.THROTTLED, retry_after=after), jitter=jitter).wait
    )
    assert wait is not None
    assert after <= wait <= after + 1


DATE = "Wed, 10 Jun 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("9999999999", 9_999_999_999.0),
        ("10000000000", None),
        ("9" * 99, None),
        ("-1", None),
        ("+1", None),
        ("1.5", 2.0),  # rounded up: it is a floor
        ("2.000", 2.0),
        ("0.001", 1.0),
        ("0.0", 0.0),
        ("3.", 3.0),
        (".5", 1.0),
        ("1.5.5", None),
        ("1e10", None),
        ("abc", None),
        ("", None),
        (",", None),
        ("1, 1", 1.0),
        ("5, 10", 10.0),  # two headers, joined: the largest
        ("10,5", 10.0),
        ("abc, 7", 7.0),
        ("-9, 7.2", 8.0),
        ("٣", None),  # a digit, but no ASCII
        ("5, Wed, 10 Jun 2026 12:00:30 GMT", 30.0),
        ("Wed, 10 Jun 2026 12:00:30 GMT, Wed, 10 Jun 2026 12:00:40 GMT, 7", 40.0),
        ("Wednesday, 10-Jun-26 12:00:30 GMT", 30.0),  # the two older forms (RFC 9110, section 5.6.7)
        ("Wed Jun 10 12:00:30 2026", 30.0),
        ("Wed, 10 Jun 2026 12:00:30.5 GMT", None),
        ("Wed, 10 Jun 2026 12:00:30 GMT", 30.0),
        ("Wed, 10 Jun 2026 11:00:00 GMT", 0.0),
        ("Wed, 10 Jun 2026 12:00:30", 30.0),  # always UTC in HTTP
        ("Wed, 99 Jun 2026 12:00:30 GMT", None),
        ("Wed, 10 Jun 2126 12:00:00 GMT", 36_524 * 86_400.0),
    ],
)
def test_rows_45_and_46_how_a_retry_after_is_read(value: str, seconds: float | None) -> None:
    """Dates count from the response's own Date, so it does not matter how wrong the local clock is."""
    assert read_retry_after({"retry-after": value, "date": DATE}) == seconds


def test_a_date_without_the_responses_own_date_is_no_advice() -> None:
    assert read_retry_after({"retry-after": DATE}) is None


@given(st.text(max_size=120), st.text(max_size=40))
def test_no_header_value_breaks_the_reading(value: str, date: str) -> None:
    read = read_retry_after({"retry-after": value, "date": date})
    assert read is None or read >= 0


def test_a_lost_connection_is_tried_again_at_once_the_first_time() -> None:
    assert waits(Backoff(Retry(), RetryQuota()), RetryCause(FailureKind.TRANSIENT, at_once=True)) == [0.0, 1.0, 2.0]


def test_some_troubles_are_worth_one_retry_or_none() -> None:
    for limit in (0, 1, 2):
        backoff = Backoff(Retry(attempts=6), RetryQuota())
        assert len(waits(backoff, RetryCause(FailureKind.TRANSIENT, retry_limit=limit))) == limit
        assert len(waits(backoff, TRANSIENT)) == 5 - limit


def test_nobody_sleeps_towards_a_deadline() -> None:
    quota = RetryQuota()
    decision = Backoff(Retry(), quota).judge(TRANSIENT, jitter=1.0, left=0.5)
    assert (decision.wait, decision.is_late) == (None, True)
    assert quota.tokens == 100
    decision = Backoff(Retry(), quota).judge(TRANSIENT, jitter=1.0, left=0.6)
    assert (decision.wait, decision.is_late) == (0.5, False)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (FailureKind.TRANSIENT, 100, 95),
        (FailureKind.TIMEOUT, 100, 90),
        (FailureKind.THROTTLED, 100, 100),
        (FailureKind.TRANSIENT, 5, 0),
        (FailureKind.TRANSIENT, 4, None),
        (FailureKind.TIMEOUT, 9, None),
        (FailureKind.THROTTLED, 0, 0),
    ],
)
def test_a_retry_costs_by_its_trouble(kind: FailureKind, before: int, after: int | None) -> None:
    """The last column is what is left, or None where the retry is not to be had."""
    quota = RetryQuota(before)
    decision = Backoff(Retry(), quota).judge(RetryCause(kind), jitter=0)
    assert (decision.wait is None) is (after is None)
    assert quota.tokens == (before if after is None else after)


@pytest.mark.parametrize(
    ("tokens", "cost", "after"), [(0, 0, 1), (99, 0, 100), (100, 0, 100), (50, 5, 55), (98, 10, 100)]
)
def test_a_success_pays_one_or_what_its_retry_cost(tokens: int, cost: int, after: int) -> None:
    quota = RetryQuota(tokens)
    quota.record_success(cost)
    assert quota.tokens == after


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0, 5, 10])), max_size=200))
def test_the_quota_stays_between_0_and_100(steps: list[tuple[bool, int]]) -> None:
    quota = RetryQuota()
    for is_charge, amount in steps:
        if is_charge:
            quota.charge(amount)
        else:
            quota.record_success(amount)
        assert 0 <= quota.tokens <= 100


def requests_per_call(failing: float, calls: int = 10_000) -> tuple[float, float]:
    """Simulate calls; return wire requests per call and the part of the calls that succeeded."""
    dice, quota, sent, won = random.Random(1), RetryQuota(), 0, 0
    for _ in range(calls):
        backoff = Backoff(Retry(), quota)
        while True:
            sent += 1
            if dice.random() >= failing:
                won += 1
                quota.record_success(backoff.cost)
                break
            if backoff.judge(TRANSIENT, jitter=0).wait is None:
                break
    return sent / calls, won / calls


def test_an_outage_is_not_multiplied() -> None:
    sent, won = requests_per_call(1.0)
    assert sent < 1.01
    assert won == 0


def test_a_fifth_of_failures_is_made_up_for() -> None:
    sent, won = requests_per_call(0.2)
    assert sent < 1.3
    assert won > 0.99


@pytest.mark.parametrize(
    ("retry", "cause", "why_not"),
    [
        (Retry(attempts=1), TRANSIENT, "that was the last of 1 attempts"),
        (Retry(attempts=1), THROTTLED, "that was the last of 1 attempts"),
        (Retry(), RetryCause(FailureKind.TRANSIENT, retry_limit=0), "another attempt would get the same"),
        (Retry(), RetryCause(FailureKind.THROTTLED, 120.5), "Retry-After is 120.5 s, more than the 120 s allowed"),
    ],
)
def test_the_reason_against_a_retry_is_said(retry: Retry, cause: RetryCause, why_not: str) -> None:
    assert Backoff(retry, RetryQuota()).judge(cause, jitter=1.0) == (None, why_not, False)


def test_an_empty_quota_and_a_near_deadline_are_reasons_against_a_retry() -> None:
    empty, late = RetryQuota(0), RetryQuota()
    why_not = "the retry quota is used up, because most calls fail"
    assert Backoff(Retry(), empty).judge(TRANSIENT, jitter=1.0) == (None, why_not, False)
    why_not = "the deadline passes in 0.2 s, before the wait of 0.5 s"
    assert Backoff(Retry(), late).judge(TRANSIENT, jitter=1.0, left=0.2) == (None, why_not, True)


def test_a_first_bound_above_the_cap_is_the_cap() -> None:
    assert waits(Backoff(Retry(attempts=3, base=9.0, cap=5.0), RetryQuota()), TRANSIENT) == [5.0, 5.0]


def test_a_call_says_what_its_last_retry_cost() -> None:
    backoff = Backoff(Retry(), RetryQuota())
    assert backoff.cost == 0
    for kind in (FailureKind.TIMEOUT, FailureKind.TRANSIENT, FailureKind.THROTTLED):
        backoff.judge(RetryCause(kind), jitter=0)
        assert backoff.cost == kind.value
