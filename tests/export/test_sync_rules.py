"""The rules of a sync as plain functions of times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from isnotai_async.export.sync_rules import MOST_PAGES, Choice, Coverage, SessionState, State, SyncRules

RULES = SyncRules(watch=70, settle=10, max_open=300)
OPEN = SyncRules(watch=70, settle=10, max_open=300, include_open=True)

times = st.integers(-(2**40), 2**40)
states = st.builds(
    SessionState,
    born=times,
    recorded=st.none() | times,
    newest=st.none() | times,
    state=st.sampled_from(State),
    pages=st.integers(0, 50),
)
coverages = st.builds(Coverage, since=st.none() | times, until=times, history=st.none() | st.integers(1, 2**40))


@given(coverage=coverages, oldest=st.none() | times, start=st.none() | times, now=times)
def test_a_listing_starts_at_the_earliest_that_is_needed_and_never_before_the_store(
    coverage: Coverage, oldest: int | None, start: int | None, now: int
) -> None:
    since = RULES.list_since(coverage, oldest, start=start, now=now)
    if since is None:
        return
    for needed in (now - 70, coverage.until - 70, oldest if oldest is not None else now):
        assert since <= max(needed, coverage.since if coverage.since is not None else needed)
    covered = RULES.covered_from(coverage, start)
    assert covered is None or since >= covered
    assert not RULES.is_before_history(since, coverage.history, now)


def test_the_first_listing_starts_at_the_start_date() -> None:
    assert RULES.list_since(None, None, start=None, now=1000) is None
    assert RULES.list_since(None, None, start=5, now=1000) == 5
    assert RULES.covered_from(None, 5) == 5


def test_an_earlier_start_date_is_listed_once() -> None:
    known = Coverage(since=500, until=1000)
    assert RULES.list_since(known, None, start=400, now=1100) == 400
    known = Coverage(since=RULES.covered_from(known, 400), until=1100)
    assert RULES.list_since(known, None, start=400, now=1200) == 1030
    assert RULES.list_since(known, None, start=450, now=1200) == 1030


@given(session=states, now=times)
def test_a_session_that_is_not_open_is_skipped_and_no_other(session: SessionState, now: int) -> None:
    assert (RULES.choose(session, now) is Choice.SKIP) == (session.state is not State.OPEN)


@given(session=states, now=times)
def test_only_an_active_session_waits(session: SessionState, now: int) -> None:
    choice = RULES.choose(session, now)
    if choice is Choice.WAIT:
        assert session.activity is not None
        assert now - session.activity <= 10
        assert now - session.born <= 300


def test_the_settling_time_itself_is_not_enough() -> None:
    session = SessionState(born=100, recorded=100)
    assert RULES.choose(session, 110) is Choice.WAIT
    assert RULES.choose(session, 111) is Choice.READ


def test_the_newest_event_counts_as_activity() -> None:
    assert RULES.choose(SessionState(born=100, recorded=100, newest=150), 155) is Choice.WAIT
    assert RULES.choose(SessionState(born=100, newest=150), 161) is Choice.READ


def test_a_session_without_known_activity_is_read_in_each_run_and_given_up_in_the_end() -> None:
    session = SessionState(born=100)
    assert RULES.choose(session, 101) is Choice.READ
    assert RULES.finish(session, 200) is State.OPEN
    assert RULES.finish(session, 401) is State.ABANDONED


def test_an_active_session_is_read_once_it_is_too_old() -> None:
    session = SessionState(born=100, recorded=395)
    assert RULES.choose(session, 400) is Choice.WAIT
    assert RULES.choose(session, 401) is Choice.READ
    assert RULES.finish(session, 401) is State.ABANDONED


@given(session=states, began=times)
def test_a_session_is_final_only_if_it_was_quiet_when_its_reading_started(session: SessionState, began: int) -> None:
    is_quiet = session.activity is not None and began - session.activity > 10
    assert (RULES.finish(session, began) is State.FINAL) == is_quiet


@given(session=states, began=times)
def test_a_reading_is_continued_only_if_it_can_be_the_last(session: SessionState, began: int) -> None:
    assert RULES.can_resume(session, began) == (RULES.finish(session, began) is not State.OPEN)


def test_active_sessions_are_read_on_request_and_long_ones_from_their_newest_events_on() -> None:
    session = SessionState(born=100, recorded=150, newest=150, pages=MOST_PAGES)
    assert OPEN.choose(session, 155) is Choice.READ
    session = SessionState(born=100, recorded=150, newest=150, pages=MOST_PAGES + 1)
    assert OPEN.choose(session, 155) is Choice.READ_NEW
    assert OPEN.read_from(Choice.READ_NEW, 150) == 140
    assert OPEN.choose(session, 161) is Choice.READ
    assert OPEN.read_from(Choice.READ, 150) is None


def test_fewer_rows_than_the_store_has_are_expired() -> None:
    assert RULES.is_expired(9, 10)
    assert not RULES.is_expired(10, 10)


def test_a_gap_is_longer_than_the_history() -> None:
    assert not RULES.is_gap(None, 50, 1000)
    assert not RULES.is_gap(Coverage(since=None, until=900), None, 1000)
    assert not RULES.is_gap(Coverage(since=None, until=950), 50, 1000)
    assert RULES.is_gap(Coverage(since=None, until=949), 50, 1000)


def test_sessions_that_leave_are_those_created_since_the_distrust_and_no_longer_watched() -> None:
    assert RULES.leaving(Coverage(since=None, until=0), 1000) is None
    assert RULES.leaving(Coverage(since=None, until=0, distrusted=900), 1000) == (830, 930)
