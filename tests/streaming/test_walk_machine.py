"""The walk as a machine: whatever happens between two steps, each record is given once, in its order."""

from __future__ import annotations

import json

import pytest
from attrs import evolve, frozen
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from isnotai_async._models.pages import Page, RejectedRecord
from isnotai_async._models.positions import Position, mark_event
from isnotai_async._models.records import Event
from isnotai_async._streaming.walk import MAX_EMPTY_PAGES, Step, Walk
from isnotai_async.errors import DecodeError, PaginationError
from tests.examples import scaled

START = Position(operation="list_events", region="us", session_id="s")


@frozen
class Row:
    """A row of the server."""

    time: int
    name: str
    is_readable: bool


@frozen
class Server:
    """A list that does not change, in pages of one size, with empty pages between them."""

    rows: tuple[Row, ...]
    size: int
    empty_pages: int = 0

    def page(self, cursor: str | None, since: int | None = None) -> Page[Event]:
        """Answer as the API does: a cursor carries the time that the walk was asked from."""
        offset, empty, since = (0, 0, since) if cursor is None else json.loads(cursor)
        rows = [row for row in self.rows if since is None or row.time >= since]
        if empty < self.empty_pages:
            return Page((), json.dumps([offset, empty + 1, since]), True, self.size, None, "us", "s")
        part, end = rows[offset : offset + self.size], offset + self.size
        data = tuple(Event(row.name, 1, None, row.time, 0) for row in part if row.is_readable)
        rejected = tuple(
            RejectedRecord(index, "bad", json.dumps(row.name).encode())
            for index, row in enumerate(part)
            if not row.is_readable
        )
        more = end < len(rows)
        following = json.dumps([end, 0, since]) if more else None
        return Page(data, following, more, self.size, None, "us", "s", rejected=rejected)


gaps = st.lists(st.tuples(st.sampled_from([0, 0, 1, 7]), st.sampled_from([True, True, True, False])), max_size=60)


class WalkMachine(RuleBasedStateMachine):
    """A walk that is read record by record or page by page, saved, resumed, and whose requests fail."""

    @initialize(
        gaps=gaps,
        rises=st.booleans(),
        size=st.integers(1, 9),
        empty_pages=st.integers(0, 2),
        most=st.none() | st.integers(0, 50),
    )
    def begin(
        self, *, gaps: list[tuple[int, bool]], rises: bool, size: int, empty_pages: int, most: int | None
    ) -> None:
        time, rows = 1_781_092_800_000, list[Row]()
        for number, (gap, is_readable) in enumerate(gaps):
            time += gap if rises else -gap - 1
            rows.append(Row(time, f"e{number}", is_readable))
        self.server = Server(tuple(rows), size, empty_pages)
        self.good = [row.name for row in rows if row.is_readable]
        self.bad = {row.name for row in rows if not row.is_readable}
        self.most = most
        self.given = list[str]()
        self.raised = set[object]()
        self.step: Step | None = None
        self.walk = self.open(START)

    def open(self, position: Position) -> Walk[Event]:
        left = None if self.most is None else self.most - len(self.given)
        return Walk(position, mark_event, left, asks_by_time=True)

    @precondition(lambda self: self.step is None)
    @rule()
    def advance(self) -> None:
        try:
            self.step = self.walk.advance()
        except DecodeError as error:
            self.raised.add(error.record)

    @precondition(lambda self: self.step is Step.FETCH)
    @rule()
    def a_page_comes(self) -> None:
        self.walk.enter(self.server.page(self.walk.cursor, self.walk.position.since))
        self.step = None

    @precondition(lambda self: self.step is Step.FETCH)
    @rule()
    def a_request_fails(self) -> None:
        before = self.walk.position
        assert not self.walk.may_begin_again(503)
        assert self.walk.advance() is Step.FETCH
        assert self.walk.position == before

    @precondition(lambda self: self.step is Step.FETCH)
    @rule()
    def the_cursor_is_rejected(self) -> None:
        if not self.walk.may_begin_again(410):
            return
        since = self.walk.restart_time
        note(f"begins again at {since}")
        self.walk.begin_again()
        assert not self.walk.may_begin_again(410)
        self.walk.enter(self.server.page(None, since))
        self.step = None

    @precondition(lambda self: self.step is Step.GIVE)
    @rule(count=st.integers(1, 9))
    def take_records(self, count: int) -> None:
        assert self.walk.hand is not None
        records = self.walk.hand.rows
        for _, record in zip(range(count), records, strict=False):
            self.given.append(record.event_id)
        self.step = None

    @precondition(lambda self: self.step is Step.GIVE)
    @rule()
    def take_page(self) -> None:
        assert self.walk.hand is not None
        page = self.walk.hand.take_page()
        assert page.rejected == ()
        self.given += [record.event_id for record in page.data]
        self.step = None

    @rule()
    def save_and_resume(self) -> None:
        self.walk = self.open(Position.from_json(self.walk.position.to_json()))
        self.step = None

    @precondition(lambda self: self.step is Step.END)
    @rule()
    def the_end_stays_the_end(self) -> None:
        wanted = self.good if self.most is None else self.good[: self.most]
        assert self.given == wanted
        assert self.walk.advance() is Step.END
        is_from_start = self.walk.start.cursor is None
        assert self.walk.found_nothing == (is_from_start and not self.server.rows and self.most != 0)
        if self.most is None:
            assert self.raised == self.bad

    @invariant()
    def each_record_was_given_once_in_its_order(self) -> None:
        given = getattr(self, "given", [])
        assert given == getattr(self, "good", [])[: len(given)]
        most = getattr(self, "most", None)
        assert most is None or len(given) <= most

    def teardown(self) -> None:
        """Read the rest: whatever happened, nothing is lost."""
        if not hasattr(self, "walk"):
            return
        for _ in range(1_000):
            if self.step is None:
                self.advance()
            elif self.step is Step.FETCH:
                self.a_page_comes()
            elif self.step is Step.GIVE:
                self.take_page()
            else:
                break
            self.each_record_was_given_once_in_its_order()
        assert self.step is Step.END
        self.the_end_stays_the_end()


WalkMachine.TestCase.settings = settings(max_examples=scaled(40), stateful_step_count=30, deadline=None)
TestWalkMachine = WalkMachine.TestCase


def page(*times: int, cursor: str | None = None, rejected: tuple[int, ...] = ()) -> Page[Event]:
    data = tuple(Event(f"e{number}", 1, None, time, 0) for number, time in enumerate(times))
    unreadable = tuple(RejectedRecord(index, "bad", b"{}") for index in rejected)
    return Page(data, cursor, cursor is not None, 9, None, "us", "s", rejected=unreadable)


def entered(first: Page[Event], position: Position = START) -> Walk[Event]:
    walk = Walk(position, mark_event)
    assert walk.advance() is Step.FETCH
    walk.enter(first)
    return walk


def test_a_circle_of_cursors_is_an_error_each_time() -> None:
    walk = entered(page(cursor="c1"))
    assert walk.advance() is Step.FETCH
    assert walk.cursor == "c1"
    walk.enter(page(cursor="c1"))

    for _ in range(2):
        with pytest.raises(PaginationError, match="followed before"):
            walk.advance()


def test_a_saved_cursor_counts_as_followed() -> None:
    walk = entered(page(cursor="c1"), evolve(START, cursor="c1"))

    with pytest.raises(PaginationError, match="followed before"):
        walk.advance()


def test_long_cursors_are_told_apart() -> None:
    walk = entered(page(cursor="c" * 100))
    walk.advance()
    walk.enter(page(cursor="c" * 101))

    assert walk.advance() is Step.FETCH


def test_only_empty_pages_in_a_row_are_counted() -> None:
    walk = Walk(START, mark_event)

    for number in range(2 * MAX_EMPTY_PAGES):
        assert walk.advance() is Step.FETCH
        if number == MAX_EMPTY_PAGES:
            walk.enter(page(1, cursor=f"c{number}"))
            assert walk.advance() is Step.GIVE
            assert walk.hand is not None
            walk.hand.take_page()
        else:
            walk.enter(page(cursor=f"c{number}"))
    assert walk.advance() is Step.FETCH
    walk.enter(page(cursor="c200"))
    assert walk.advance() is Step.FETCH
    with pytest.raises(PaginationError, match="more than 100 empty pages"):
        walk.enter(page(cursor="c201"))
    assert walk.advance() is Step.FETCH
    walk.enter(page(cursor="c202"))  # the count starts anew


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_only_the_saved_cursor_lets_a_walk_begin_again(status: int) -> None:
    assert not Walk(START, mark_event).may_begin_again(status)
    saved = Walk(evolve(START, cursor="c1"), mark_event)
    assert saved.may_begin_again(status)
    assert not saved.may_begin_again(401)
    assert not Walk(evolve(START, cursor="c1"), mark_event, begins_again=False).may_begin_again(status)
    saved.enter(page(1, cursor="c2"))
    assert saved.advance() is Step.GIVE
    assert saved.hand is not None
    saved.hand.take_page()
    assert saved.advance() is Step.FETCH
    assert not saved.may_begin_again(status)


def test_what_was_given_has_to_be_there() -> None:
    position = evolve(START, index=2, watermark=(7, "e1"), given=2)

    assert entered(page(6, 7, 8), position).advance() is Step.GIVE
    with pytest.raises(PaginationError, match="another record"):
        entered(page(6, 8), position)
    with pytest.raises(PaginationError, match="had 2 records or more and now has 1"):
        entered(page(7), position)
    assert entered(page(6, cursor="c1"), position).advance() is Step.FETCH  # the rest is on the next page


def test_records_to_skip_are_wanted_too() -> None:
    assert Walk(evolve(START, index=2), mark_event, 3).wanted == 5
    assert Walk(START, mark_event).wanted is None


def test_a_first_page_is_handed_out_whole_or_not_at_all() -> None:
    first = page(1, 2, cursor="c1")
    assert Walk(START, mark_event).take_whole(first) is first
    assert len(Walk(START, mark_event, 1).take_whole(first).data) == 1

    odd = page(1, 2, rejected=(1,))
    with pytest.raises(DecodeError):
        Walk(START, mark_event).take_whole(odd)
    assert Walk(START, mark_event, sets_aside=True).take_whole(odd).rejected == odd.rejected


def test_records_that_are_set_aside_are_on_their_page() -> None:
    walk = Walk(START, mark_event, sets_aside=True)
    walk.enter(page(1, 2, rejected=(1,)))

    assert walk.advance() is Step.GIVE
    assert walk.hand is not None
    taken = walk.hand.take_page()
    assert (len(taken.data), len(taken.rejected)) == (2, 1)
    assert walk.advance() is Step.END
    assert not walk.found_nothing


def test_a_position_of_an_older_version_cannot_begin_again() -> None:
    walk = Walk(evolve(START, cursor="c1", given=None), mark_event)

    with pytest.raises(PaginationError, match="older version"):
        walk.begin_again()
    assert walk.may_begin_again(410)


def named(*events: tuple[str, int], cursor: str | None = None) -> Page[Event]:
    data = tuple(Event(name, 1, None, time, 0) for name, time in events)
    return Page(data, cursor, cursor is not None, 9, None, "us", "s")


def taken(walk: Walk[Event]) -> list[str]:
    """Take the page that the walk has to give."""
    assert walk.advance() is Step.GIVE
    assert walk.hand is not None
    return [event.event_id for event in walk.hand.take_page().data]


def test_a_walk_ends_after_the_records_that_are_wanted() -> None:
    walk = Walk(START, mark_event, 3)
    walk.enter(named(("a", 1), ("b", 2), cursor="c1"))
    assert taken(walk) == ["a", "b"]
    assert (walk.left, walk.advance()) == (1, Step.FETCH)
    walk.enter(named(("c", 3), ("d", 4), cursor="c2"))
    assert taken(walk) == ["c"]

    for _ in range(2):
        assert walk.advance() is Step.END
    assert (walk.position.cursor, walk.position.index, walk.position.given) == ("c1", 1, 3)
    assert walk.position.watermark == (3, "c")


def test_a_walk_that_wants_nothing_fetches_nothing() -> None:
    assert Walk(START, mark_event, 0).advance() is Step.END


def test_what_is_left_to_skip_is_skipped_once() -> None:
    walk = Walk(evolve(START, index=3, watermark=(3, "c"), given=3), mark_event)
    walk.enter(named(("a", 1), ("b", 2), cursor="c1"))
    assert walk.position.given == 3
    assert walk.advance() is Step.FETCH
    walk.enter(named(("c", 3), ("d", 4), cursor="c2"))
    assert taken(walk) == ["d"]
    assert (walk.position.watermark, walk.position.given) == ((4, "d"), 4)
    assert walk.advance() is Step.FETCH
    walk.enter(named(("e", 5)))

    assert taken(walk) == ["e"]
    assert (walk.position.watermark, walk.position.given) == ((5, "e"), 5)


def test_a_walk_that_begins_again_by_count_passes_over_what_was_given() -> None:
    position = evolve(START, cursor="c1", given=2, watermark=(2, "b"), rising=False)
    walk = Walk(position, mark_event, asks_by_time=True)
    assert walk.restart_time is None
    walk.begin_again()

    assert (walk.cursor, walk.begins_again, walk.wanted) == (None, False, None)
    assert (walk.position.index, walk.position.since, walk.position.given) == (2, None, 2)
    walk.enter(named(("a", 1), ("b", 2), ("c", 3), cursor="c1"))
    assert taken(walk) == ["c"]
    assert walk.advance() is Step.FETCH  # the cursors of the walk before it do not count


def test_a_walk_that_begins_again_by_time_leaves_out_what_was_given() -> None:
    position = evolve(START, cursor="c1", given=25, watermark=(7, "y"), ids=("x", "y"))
    walk = Walk(position, mark_event, asks_by_time=True)
    assert Walk(position, mark_event).restart_time is None
    assert walk.restart_time == 7
    walk.begin_again()

    assert (walk.position.since, walk.position.index, walk.position.given) == (7, 0, 25)
    assert walk.position.watermark == (7, "y")
    walk.enter(named(("early", 6), ("x", 7), ("y", 7), ("new", 7), ("x", 8), cursor="c1"))
    assert taken(walk) == ["new", "x"]
    assert walk.advance() is Step.FETCH
    walk.enter(named(("early", 6), ("z", 9)))
    assert taken(walk) == ["early", "z"]  # the time has passed, so nothing is left out any more


def test_a_resumed_walk_by_time_knows_what_was_given() -> None:
    position = evolve(START, given=25, watermark=(7, "y"), ids=("x", "y"), since=7)
    walk = Walk(position, mark_event, asks_by_time=True)
    walk.enter(named(("x", 7), ("y", 7), ("z", 7)))

    assert taken(walk) == ["z"]
    later = Walk(evolve(position, watermark=(8, "y")), mark_event)
    later.enter(named(("x", 7), ("y", 8)))
    assert taken(later) == ["x", "y"]


def test_a_record_that_cannot_be_read_is_raised_at_its_place() -> None:
    walk = entered(page(1, 2, rejected=(1,)))
    assert taken(walk) == ["e0"]
    with pytest.raises(DecodeError):
        walk.advance()

    assert (walk.position.index, walk.position.given) == (2, 2)
    assert taken(walk) == ["e1"]
    assert (walk.position.index, walk.position.given) == (3, 3)


def test_a_walk_that_may_not_begin_again_keeps_count_and_watermark_only() -> None:
    position = evolve(START, given=25, watermark=(7, "y"), ids=("x", "y"))
    walk = Walk(position, mark_event, begins_again=False)

    assert walk.position == evolve(position, rising=False, ids=())


def test_after_the_error_empty_pages_are_counted_from_none() -> None:
    walk = Walk(START, mark_event)
    for _ in range(2):
        for _ in range(MAX_EMPTY_PAGES):
            walk.enter(page(cursor="c"))
        with pytest.raises(PaginationError):
            walk.enter(page(cursor="c"))


def test_what_was_given_is_left_out_on_each_page_of_its_millisecond() -> None:
    position = evolve(START, given=25, watermark=(7, "y"), ids=("x", "y"), since=7)
    walk = Walk(position, mark_event, asks_by_time=True)
    walk.enter(named(("x", 7), ("new", 7), cursor="c1"))
    assert taken(walk) == ["new"]
    assert walk.advance() is Step.FETCH
    walk.enter(named(("y", 7), ("z", 9)))

    assert taken(walk) == ["z"]


def test_a_walk_from_a_time_on_that_gave_nothing_leaves_nothing_out() -> None:
    walk = Walk(evolve(START, since=7), mark_event)
    walk.enter(named(("a", 6), ("b", 7)))

    assert taken(walk) == ["a", "b"]
