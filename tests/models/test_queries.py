"""What may be asked, and what is refused before anything is sent."""

import inspect
import traceback
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import evolve, fields_dict
from hypothesis import given
from hypothesis import strategies as st

import isnotai_async as isnotai
from isnotai_async._models.queries import EventFilters, EventQuery, SessionQuery
from isnotai_async._models.validation import check_id
from isnotai_async.errors import ConfigError

NAIVE = datetime(2026, 6, 10, 12)
NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
NOON_MS = 1_781_092_800_000


@pytest.mark.parametrize(
    "call",
    [
        isnotai.Client.list_events,
        isnotai.Client.stream_events,
        isnotai.SessionManager.stream_events,
        isnotai.export_events,
        isnotai.estimate_export,
    ],
    ids=lambda call: call.__qualname__,
)
def test_each_call_that_reads_events_takes_all_their_filters(call: Callable[..., object]) -> None:
    filters = fields_dict(EventFilters)

    assert "type" in filters
    assert filters.keys() - inspect.signature(call).parameters.keys() == set()


@pytest.mark.parametrize("value", ["a/b", "%2e%2e", "?x", "#f", "é", "...", " ", "x" * 1024, "a\u2028b"])
def test_an_id_may_be_any_text_that_fits_one_segment(value: str) -> None:
    assert check_id(value) == value


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "is empty"),
        (".", "another path"),
        ("..", "another path"),
        ("x" * 1025, "longer than 1024 bytes"),
        ("é" * 513, "longer than 1024 bytes"),
        ("a\r\nb", "control characters"),
        ("a\x00", "control characters"),
        ("\x7f", "control characters"),
        ("\x85", "control characters"),
        ("\ud800", "lone surrogate"),
        (7, "must be a string, not int"),
        (None, "must be a string, not NoneType"),
    ],
)
def test_an_id_that_is_no_segment_is_refused(value: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        EventQuery(session_id=value)

    assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", [0, 255, "00", "0255", "0x01", "0XfF", "007", "keypress", "mouse_move", "some new"])
def test_a_type_is_a_byte_or_a_name(value: int | str) -> None:
    assert EventQuery(session_id="s", type=value).filters == {"type": str(value)}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (-1, "from 0 to 255"),
        (256, "from 0 to 255"),
        ("256", "not a byte"),
        ("-1", "not a byte"),
        ("0x100", "not a byte"),
        pytest.param("9" * 5000, "not a byte", id="many digits"),
        pytest.param(10**5000, "a number of 16610 bits", id="huge"),
        ("", "is empty"),
        ("a\tb", "control characters"),
        (True, "must be an int, not bool"),
        (1.0, "must be a string, not float"),
    ],
)
def test_a_type_that_is_neither_is_refused(value: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        EventQuery(session_id="s", type=value)


@pytest.mark.parametrize("value", [0, -1, 2**31, True, "50", 5.0])
def test_a_page_size_is_a_whole_number_from_one(value: Any) -> None:
    with pytest.raises(ConfigError, match="page_size"):
        EventQuery(session_id="s", page_size=value)


def test_a_time_is_milliseconds_or_an_aware_datetime() -> None:
    query = EventQuery(session_id="s", start_time=NOON, end_time=NOON_MS)

    assert query.filters == {"start_time": NOON_MS, "end_time": NOON_MS}


def test_within_a_millisecond_a_start_moves_up_and_an_end_down() -> None:
    between = NOON + timedelta(microseconds=1)
    query = EventQuery(session_id="s", start_time=between)

    assert query.start_time == NOON_MS + 1
    assert EventQuery(session_id="s", end_time=between).end_time == NOON_MS


@given(moment=st.datetimes(timezones=st.just(UTC)))
def test_inclusive_bounds_never_let_in_what_the_datetime_excludes(moment: datetime) -> None:
    exact = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    start = EventQuery(session_id="s", start_time=moment).start_time
    end = EventQuery(session_id="s", end_time=moment).end_time

    assert start is not None
    assert end is not None
    assert exact <= start * 1000 < exact + 1000
    assert exact - 1000 < end * 1000 <= exact


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        ({"start_time": NAIVE}, "no time zone"),
        ({"end_time": NAIVE}, "no time zone"),
        ({"start_time": 3, "end_time": 1}, "start_time 3 lies after end_time 1"),
        ({"start_time": "2026-06-10"}, "an aware datetime, not str"),
        ({"start_time": 1.5}, "an aware datetime, not float"),
        ({"end_time": True}, "an aware datetime, not bool"),
        ({"end_time": 2**63}, "must be from"),
        ({"start_time": -1}, "start_time is -1; it must be from 0"),
        ({"start_time": 10**9}, "start_time 1000000000 looks like seconds; multiply by 1000, or pass a datetime"),
        ({"end_time": 1781068140}, "end_time 1781068140 looks like seconds; multiply by 1000, or pass a datetime"),
        ({"end_time": 10**10 - 1}, "looks like seconds"),
        ({"start_time": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))}, "outside the years"),
    ],
)
def test_a_time_that_would_be_misread_is_refused(bounds: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        EventQuery(session_id="s", **bounds)


@pytest.mark.parametrize("milliseconds", [0, 1, 10**9 - 1, 10**10, 2**63 - 1])
def test_every_other_number_is_milliseconds(milliseconds: int) -> None:
    assert EventQuery(session_id="s", start_time=milliseconds).start_time == milliseconds


@pytest.mark.parametrize("moment", [datetime(1960, 1, 1, tzinfo=UTC), datetime(1970, 2, 1, tzinfo=UTC)])
def test_a_datetime_is_never_taken_for_seconds_not_even_by_a_copy(moment: datetime) -> None:
    query = EventQuery(session_id="s", start_time=moment)
    assert evolve(query, session_id="t").start_time == query.start_time
    assert type(query.filters["start_time"]) is int


def test_a_date_means_the_whole_day() -> None:
    query = SessionQuery(start_date=date(2026, 6, 10), end_date="2026-06-10")

    assert query.filters == {
        "start_date": "2026-06-10T00:00:00.000000Z",
        "end_date": "2026-06-10T23:59:59.999999Z",
    }


def test_instants_are_sent_in_utc() -> None:
    berlin = timezone(timedelta(hours=2))
    query = SessionQuery(start_date=NOON.astimezone(berlin), end_date="2026-06-10T14:00:00.5+02:00")

    assert query.filters == {
        "start_date": "2026-06-10T12:00:00.000000Z",
        "end_date": "2026-06-10T12:00:00.500000Z",
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"start_date": NAIVE}, "no time zone"),
        ({"end_date": "2026-06-10T12:00:00"}, "no time zone"),
        ({"start_date": "yesterday"}, "no ISO 8601 date"),
        ({"start_date": 5}, "must be an aware datetime, a date or an ISO 8601 string, not int"),
        ({"start_date": "2026-06-11", "end_date": "2026-06-10"}, "exchange them"),
        ({"status": ""}, "status is empty"),
        ({"status": "a\nb"}, "control characters"),
        ({"bot_only": 1}, "must be True, False or None, not int"),
        ({"page_size": 0}, "page_size is 0"),
    ],
)
def test_a_session_filter_that_would_be_misread_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SessionQuery(**options)


def test_what_is_not_given_is_not_a_filter() -> None:
    assert SessionQuery().filters == {}
    assert SessionQuery(bot_only=False, status="active").filters == {"bot_only": False, "status": "active"}


def test_a_refused_query_can_be_shown_in_a_traceback_with_locals() -> None:
    with pytest.raises(ConfigError) as caught:
        EventQuery(session_id="s1", page_size=7, type="")

    trace = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "EventQuery(page_size=7)" in trace
