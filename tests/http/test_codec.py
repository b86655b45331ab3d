"""Bytes to records: strict where the contract speaks, tolerant where it is silent."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isnotai_async._http import codec
from isnotai_async._http.converter import camel
from isnotai_async._http.messages import Request, Response
from isnotai_async._http.retry import check_strictly
from isnotai_async._http.tolerant import TolerantReader, Unreadable
from isnotai_async._models.deviations import Deviation
from isnotai_async._models.pages import Headers, Page
from isnotai_async._models.records import Event, Health, Int32, Int64, Session, SessionDetails
from isnotai_async._models.tiers import Tier
from isnotai_async.errors import DecodeError, IsNotAIError, PaginationError
from tests import sample

T = TypeVar("T")

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)


def strictly(decode: Callable[[list[Deviation]], T]) -> T:
    """Decode as a client with ``strict=True`` does."""
    response = Response(Request("", "/"), 200, Headers(), b"", "us")
    value = decode(response.deviations)
    check_strictly(response, value)
    return value


def decode_events(body: bytes) -> Page[Event]:
    return strictly(lambda found: codec.decode_events(body, tier=Tier.PRO, region="eu", deviations=found))


def decode_sessions(body: bytes) -> Page[Session]:
    return strictly(lambda found: codec.decode_page(body, Session, tier=None, region="us", deviations=found))


def decode_details(body: bytes) -> SessionDetails:
    return strictly(lambda found: codec.decode_item(body, SessionDetails, found))


def decode_health(body: bytes) -> Health:
    return strictly(lambda found: codec.decode_bare(body, Health, found))


def decode_mapping(body: bytes) -> dict[str, Any]:
    return strictly(lambda found: codec.decode_mapping(body, found))


DECODERS: dict[str, Callable[[bytes], object]] = {
    "events": decode_events,
    "sessions": decode_sessions,
    "details": decode_details,
    "health": decode_health,
}

NULLABLE = {
    "botScore", "pageUrl", "userAgentSummary", "userId", "userName", "userUrl", "durationMs",
}  # fmt: skip
"""The fields that the contract marks nullable."""


def test_a_page_of_events_is_read() -> None:
    page = decode_events(sample.body("events"))

    assert page == Page(
        data=(Event("e1", 1, "init", 1_781_092_800_000, 0), Event("e2", 3, "keypress", 1_781_092_800_123, 64)),
        next_cursor="b3BhcXVl==/+",
        has_more=True,
        limit=2,
        tier=Tier.PRO,
        region="eu",
    )
    assert page.data[1].time == datetime(2026, 6, 10, 12, 0, 0, 123_000, tzinfo=UTC)


def test_records_are_frozen_and_slotted() -> None:
    event = decode_events(sample.body("events")).data[0]

    with pytest.raises(AttributeError):
        event.timestamp = 1  # type: ignore[misc] # the fault under test
    assert not hasattr(event, "__dict__")
    assert event == Event("e1", 1, "init", 1_781_092_800_000, 0)
    assert len({event, Event("e1", 1, "init", 1_781_092_800_000, 0)}) == 1


def test_a_page_of_sessions_is_read() -> None:
    first, second = decode_sessions(sample.body("sessions")).data

    assert first == Session(
        id="s1",
        created_at=NOON.replace(microsecond=123_456),
        updated_at=NOON,
        status="active",
        bot_score=0.25,
        detection_flags=("fast_paste",),
        page_url="https://lms.example/essay",
        user_agent_summary="Firefox on Linux",
        user_id="u1",
        user_name="Zoë",
        user_url=None,
    )
    assert (second.bot_score, second.user_name, second.detection_flags) == (None, None, ())
    assert first.updated_at is not None
    assert first.updated_at.tzinfo is UTC


def test_details_are_read() -> None:
    details = decode_details(sample.body("details"))

    assert details.event_counts is not None
    assert (details.session_id, details.duration_seconds, details.event_counts.total) == ("s1", 600.0, 6)
    assert details.timeline[0].event_count == 6
    assert details.page_history[0].duration_ms is None


def test_health_is_read() -> None:
    assert decode_health(sample.body("health")) == Health("healthy", "1.0.17.0", NOON)


MUTATIONS = [(name, path) for name in DECODERS for path in sample.places(sample.load(name))]


@pytest.mark.parametrize(
    ("name", "path"), MUTATIONS, ids=lambda value: value if isinstance(value, str) else sample.json_path(value)
)
def test_a_documented_field_that_is_missing_is_told_by_its_path(name: str, path: tuple[str | int, ...]) -> None:
    if isinstance(path[-1], int):
        return  # a list may have any length
    body = sample.dump(sample.without(sample.load(name), path))
    if path[-1] in NULLABLE:
        DECODERS[name](body)
        return

    with pytest.raises(DecodeError) as caught:
        DECODERS[name](body)

    assert caught.value.path == sample.json_path(path)
    if path[-1] == "nextCursor":
        return  # it may be missing; not where more pages follow
    assert sample.json_path(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "path"), MUTATIONS, ids=lambda value: value if isinstance(value, str) else sample.json_path(value)
)
def test_a_wrongly_typed_field_is_never_taken_for_another(name: str, path: tuple[str | int, ...]) -> None:
    good = sample.load(name)
    wrong: Any
    for wrong in (None, True, "7", 1.5, [], {}, 2**70, "\u0000"):
        try:
            decoded = DECODERS[name](sample.dump(sample.replaced(good, path, wrong)))
        except DecodeError as error:
            if not isinstance(error, PaginationError):  # hasMore: true is right in itself
                assert error.path.startswith(sample.json_path(path)), wrong
        else:  # what was accepted has to be what was sent
            assert _fits(good, path, wrong), f"{sample.json_path(path)} took {wrong!r} and gave {decoded!r}"


def _fits(good: Any, path: tuple[str | int, ...], wrong: object) -> bool:
    for step in path:
        good = good[step]
    if wrong is None:
        return path[-1] in {*NULLABLE, "nextCursor"}
    if isinstance(wrong, list) and isinstance(good, list):
        return True
    if path[-1] in {"botScore", "durationSeconds", "activityLevel"}:
        return isinstance(wrong, int | float) and not isinstance(wrong, bool)
    if path[-1] in NULLABLE and good is None:
        return isinstance(wrong, str) or (path[-1] == "durationMs" and wrong == 2**70)
    return type(good) is type(wrong)


def test_unknown_fields_and_names_are_tolerated() -> None:
    good = sample.load("events")
    bent = sample.replaced(good, ("data", 0, "eventTypeName"), "telepathy")
    bent["data"][0]["mood"] = {"deep": [1, {"er": None}]}
    bent["pagination"]["total"] = 9
    bent["meta"] = "x"

    assert decode_events(sample.dump(bent)).data[0].event_type_name == "telepathy"


def test_of_duplicate_keys_the_last_one_counts() -> None:
    body = sample.body("events").replace(b'"messageId": 1,', b'"messageId": 9, "messageId": 1,')

    assert decode_events(body).data[0].message_id == 1


@pytest.mark.parametrize("cursor", [None, "", "absent"])
def test_the_last_page_may_have_no_cursor_in_any_way(cursor: str | None) -> None:
    body = sample.load("events")
    body["pagination"] = {"hasMore": False, "limit": 2, "nextCursor": cursor}
    if cursor == "absent":
        del body["pagination"]["nextCursor"]

    page = decode_events(sample.dump(body))

    assert (page.has_more, page.next_cursor) == (False, None)


def test_a_cursor_behind_the_last_page_is_not_followed() -> None:
    body = sample.replaced(sample.load("events"), ("pagination", "hasMore"), False)

    assert decode_events(sample.dump(body)).next_cursor is None


@pytest.mark.parametrize("cursor", [None, "", 7, [], "x" * 16_385, "é" * 8_193])
def test_more_pages_without_a_usable_cursor_are_an_error(cursor: object) -> None:
    body = sample.dump(sample.replaced(sample.load("events"), ("pagination", "nextCursor"), cursor))

    with pytest.raises(PaginationError) as caught:
        decode_events(body)
    assert caught.value.path == "$.pagination.nextCursor"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"data": ["\xff"]}',
        b'{"data": "\\ud800"}',
        b'{"data": [NaN]}',
        b'{"data": [1e999]}',
        b'{"data": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"x":' * 100_000,
    ],
    ids=lambda body: repr(body[:20]),
)
@pytest.mark.parametrize("name", [*DECODERS, "mapping"])
def test_what_is_no_json_is_an_error_that_holds_no_body(name: str, body: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        {**DECODERS, "mapping": decode_mapping}[name](body)

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "value",
    [
        "20260610T120000Z",
        "2026-13-10T12:00:00Z",
        "0001-01-01T00:00:00+10:00",
        "now",
    ],
)
def test_a_date_time_that_does_not_exist_is_an_error(value: str) -> None:
    body = sample.dump(sample.replaced(sample.load("health"), ("timestamp",), value))

    with pytest.raises(DecodeError, match="date-time") as caught:
        decode_health(body)
    assert caught.value.path == "$.timestamp"


@pytest.mark.parametrize(("kind", "bits"), [(int, 64), (Int64, 64), (Int32, 32)])
def test_a_whole_number_of_each_kind_may_have_a_fraction_of_zero_and_no_more_than_its_bits(
    kind: object, bits: int
) -> None:
    found = list[Deviation]()
    reader = TolerantReader(found)

    assert [reader.read(value, kind, "$") for value in (7, 7.0, -(2 ** (bits - 1)))] == [7, 7, -(2 ** (bits - 1))]
    assert [deviation.kind for deviation in found] == ["number"]
    for value in (2 ** (bits - 1), 7.5, "7", True):
        with pytest.raises(Unreadable):
            reader.read(value, kind, "$")


def test_an_error_envelope_is_read_and_nothing_else_is_mistaken_for_one() -> None:
    assert codec.decode_error(sample.body("error"))["code"] == "VALIDATION_FAILED"
    for body in (b"", b"<html>", b"[]", b'{"error": "x"}', b'{"error": null}', b"\xff", b"[" * 100_000, b"{}"):
        assert codec.decode_error(body) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(value=JSON, path=st.sampled_from(MUTATIONS))
def test_whatever_comes_gives_records_or_one_typed_error(
    value: object, path: tuple[str, tuple[str | int, ...]]
) -> None:
    name, place = path
    try:
        DECODERS[name](json.dumps(sample.replaced(sample.load(name), place, value)).encode())
    except IsNotAIError as error:
        assert isinstance(error, DecodeError)
        assert error.path.startswith("$")


@pytest.mark.parametrize(
    ("ours", "theirs"), [("id", "id"), ("created_at", "createdAt"), ("user_agent_summary", "userAgentSummary")]
)
def test_names_are_the_wires_in_snake_case(ours: str, theirs: str) -> None:
    assert camel(ours) == theirs
