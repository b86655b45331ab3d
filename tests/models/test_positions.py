"""Positions: saved, read back, and refused where they do not belong."""

import json
from typing import Any

import pytest
from attrs import asdict, evolve
from hypothesis import given
from hypothesis import strategies as st

from isnotai_async._models.positions import Position, Trail
from isnotai_async._models.queries import EventQuery
from isnotai_async.errors import ConfigError

START = Position.start("list_events", "us", EventQuery(session_id="s1", type="keypress", page_size=50))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(
    cursor=st.none() | TEXT,
    index=st.integers(0, 2**31 - 1),
    watermark=st.none() | st.tuples(st.integers(-(2**63), 2**63 - 1), TEXT),
    filters=st.dictionaries(TEXT, TEXT | st.integers() | st.booleans(), max_size=3),
    given_=st.none() | st.integers(0, 2**40),
    rising=st.booleans(),
    ids=st.lists(TEXT, max_size=100),
    since=st.none() | st.integers(-(2**63), 2**63 - 1),
)
def test_a_position_survives_json(  # noqa: PLR0917 - hypothesis names them
    cursor: str | None,
    index: int,
    watermark: tuple[int, str] | None,
    filters: dict[str, Any],
    given_: int | None,
    rising: bool,
    ids: list[str],
    since: int | None,
) -> None:
    position = Position(
        operation="list_events", region="us", session_id="s", filters=filters,
        cursor=cursor, index=index, watermark=watermark, given=given_, rising=rising, ids=tuple(ids), since=since,
    )  # fmt: skip

    text = position.to_json()

    assert Position.from_json(text) == position
    assert Position.from_json(text.encode()) == position
    assert text.isascii()
    assert "\n" not in text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"v": 3}, "no position of version 1 to 2"),
        ({"v": []}, "no position of version 1 to 2"),
        ({"v": {}}, "no position of version 1 to 2"),
        ({"cursor": 7}, "'cursor' is wrong"),
        ({"cursor": ""}, "'cursor' is wrong"),
        ({"cursor": "x" * 17_000}, "'cursor' is wrong"),
        ({"cursor": "\ud800"}, "'cursor' is wrong"),
        ({"index": -1}, "'index' is wrong"),
        ({"index": True}, "'index' is wrong"),
        ({"index": 1.5}, "'index' is wrong"),
        ({"watermark": [1]}, "'watermark' is wrong"),
        ({"watermark": ["1", "e"]}, "'watermark' is wrong"),
        ({"watermark": {"0": 1}}, "'watermark' is wrong"),
        ({"filters": []}, "'filters' is wrong"),
        ({"filters": {"a": None}}, "'filters' is wrong"),
        ({"session_id": 3}, "'session_id' is wrong"),
        ({"region": None}, "'region' is wrong"),
        ({"operation": 1}, "'operation' is wrong"),
        ({"extra": 1}, "'extra' is wrong"),
        ({"given": -1}, "'given' is wrong"),
        ({"given": True}, "'given' is wrong"),
        ({"rising": 1}, "'rising' is wrong"),
        ({"ids": "abc"}, "'ids' is wrong"),
        ({"ids": ["a"] * 101}, "'ids' is wrong"),
        ({"ids": [1]}, "'ids' is wrong"),
        ({"since": "1"}, "'since' is wrong"),
    ],
)
def test_an_altered_position_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Position.from_json(json.dumps({**json.loads(START.to_json()), **change}))


def test_a_position_of_version_1_is_read_and_says_that_it_has_no_count() -> None:
    data = json.loads(START.to_json())
    for name in ("given", "rising", "ids", "since"):
        del data[name]

    position = Position.from_json(json.dumps({**data, "v": 1, "index": 7, "watermark": [5, "e"]}))

    assert (position.index, position.watermark) == (7, (5, "e"))
    assert (position.given, position.rising, position.ids, position.since) == (None, False, (), None)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, b"\xff", "7"])
def test_what_is_no_position_at_all_is_refused(text: str | bytes) -> None:
    with pytest.raises(ConfigError, match=r"pass what Position\.to_json"):
        Position.from_json(text)


def test_a_position_with_a_field_missing_is_refused() -> None:
    data = json.loads(START.to_json())
    del data["index"]

    with pytest.raises(ConfigError, match="'index' is wrong"):
        Position.from_json(json.dumps(data))


@pytest.mark.parametrize(
    ("query", "region", "says"),
    [
        (EventQuery(session_id="s2", type="keypress", page_size=50), "us", "session_id 's1', this walk has 's2'"),
        (EventQuery(session_id="s1", type="keypress", page_size=50), "eu", "region 'us', this walk has 'eu'"),
        (EventQuery(session_id="s1", type="init", page_size=50), "us", "pass the same ones"),
        (EventQuery(session_id="s1", type="keypress"), "us", "page_size included"),
    ],
)
def test_a_position_of_another_walk_is_refused(query: EventQuery, region: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        START.check(Position.start("list_events", region, query))


def test_a_position_of_the_same_walk_is_taken() -> None:
    START.check(Position.start("list_events", "us", EventQuery(session_id="s1", type="keypress", page_size=50)))


def test_another_place_of_a_walk_keeps_all_that_names_the_walk() -> None:
    trail = Trail((5, "e5"), 7, rising=False, ids=("e5",))
    start = evolve(START, since=3, cursor="old", index=9)

    moved = start.at("c", 2, trail)

    changed = {name for name, value in asdict(moved).items() if value != asdict(start)[name]}
    assert changed == {"cursor", "index", "watermark", "given", "rising", "ids"}
    assert moved.trail == trail
