"""Answers that differ from the contract: what is read all the same, what is not, and that each is reported once."""

from __future__ import annotations

import gzip
import json
import re
import warnings
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

import isnotai_async as isnotai
from tests import sample
from tests.faults.answers import error_reply, event_page, event_row, http_reply, json_reply, listing, session_row
from tests.faults.clients import build_client, connected
from tests.faults.server import FaultServer
from tests.faults.test_schema import DETAILS, HEALTH

QUICK = isnotai.Retry(attempts=4, base=0.001)
MOMENT = "2026-06-10T12:00:00.0000000+00:00"
USER = {
    "userId": "u1",
    "userName": "Ada",
    "sessionCount": 3,
    "botSessionCount": 1,
    "mediumSessionCount": 1,
    "averageBotScore": 0.5,
    "maxBotScore": 0.75,
    "deviceCount": 2,
    "firstSeen": MOMENT,
    "lastSeen": MOMENT,
    "riskLevel": "low",
    "sparkline": [1, 2],
    "userUrl": "https://learn.example/u1",
}
ANALYTICS = {
    "period": "7d",
    "groupBy": "day",
    "startDate": MOMENT,
    "endDate": MOMENT,
    "generatedAt": MOMENT,
    "summary": {
        "totalSessions": 1, "totalEvents": 2, "uniqueBots": 3, "uniqueUsers": 4, "averageBotScore": 0.5,
        "averageEventsPerSession": 2.5,
    },
    "timeSeries": [
        {"timestamp": MOMENT, "sessionCount": 1, "eventCount": 2, "botCount": 0, "userMatchedCount": 1}
    ],
    "botDetection": {
        "highConfidenceBots": 1, "mediumConfidenceBots": 2, "lowConfidenceBots": 3, "likelyHumans": 4,
    },
    "userMatching": {
        "totalMatched": 1, "totalUnmatched": 2, "matchRate": 0.5, "averageCorrelationConfidence": 0.25,
    },
    "topOrigins": [{"origin": "https://learn.example", "sessionCount": 1, "botPercentage": 0.5}],
    "deviceBreakdown": {"mobile": 1, "tablet": 2, "desktop": 3, "browserCounts": {"Firefox": 4}},
}  # fmt: skip
USAGE = {
    "startDate": "2026-06-01",
    "endDate": "2026-06-10",
    "data": [{"period": "2026-06-01", "metricType": "ApiCalls", "value": 7}],
    "totals": {"ApiCalls": 7},
}

Ask = Callable[[isnotai.Client], Awaitable[object]]
ANSWERS: dict[str, tuple[Any, Ask]] = {
    "events": (listing([event_row(1), event_row(2)]), lambda client: client.list_events("s1")),
    "sessions": (listing([session_row("s1"), session_row("s2")]), lambda client: client.list_sessions()),
    "user sessions": (listing([session_row("s1")]), lambda client: client.get_user_sessions("u1")),
    "users": (listing([USER]), lambda client: client.list_users()),
    "courses": (listing([{"id": "c1", "name": "x"}]), lambda client: client.list_courses()),
    "session": ({"data": session_row("s1")}, lambda client: client.get_session("s1")),
    "details": ({"data": DETAILS}, lambda client: client.get_session_details("s1")),
    "health": (HEALTH, lambda client: client.health()),
    "analytics": ({"data": ANALYTICS}, lambda client: client.get_analytics()),
    "usage": (USAGE, lambda client: client.get_usage()),
    "stats": ({"total": 1, "today": 2}, lambda client: client.get_stats()),
    "integration": ({"id": 1, "apiKeyMasked": "aik_v1_***"}, lambda client: client.get_integration()),
}
# What has to be there: what identifies a record, the numbers of an event, and what makes an answer a page.
NEEDED = {"eventId", "messageId", "timestamp", "payloadSize"}
MUTATIONS = [
    (name, way) for name, (body, _) in ANSWERS.items() for way in sample.places(body) if isinstance(way[-1], str)
]


def is_fatal(name: str, way: tuple[str | int, ...]) -> bool:
    if way in {("data",), ("pagination",), ("pagination", "hasMore")} and name not in {
        "stats",
        "integration",
        "usage",
    }:
        return name != "usage"
    identity = {"events": NEEDED, "users": {"userId"}, "session": {"id"}, "sessions": {"id"}, "user sessions": {"id"}}
    return len(way) > 1 and way[0] == "data" and way[-1] in identity.get(name, set())


@pytest.mark.parametrize(("name", "way"), MUTATIONS, ids=lambda part: str(part))
async def test_one_field_that_is_null_or_absent(name: str, way: tuple[str | int, ...]) -> None:
    body, ask = ANSWERS[name]
    for bent in (sample.replaced(body, way, None), sample.without(body, way)):
        server = FaultServer(json_reply(bent))

        async with connected(server, retry=QUICK) as client:
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
                if is_fatal(name, way):
                    with pytest.raises(isnotai.DecodeError):
                        await ask(client)
                else:
                    await ask(client)

        assert len(server.requests) == (2 if is_fatal(name, way) else 1), "only fatal ones are asked for once more"


def test_the_table_has_every_field_of_every_answer() -> None:
    assert len(MUTATIONS) >= 100
    assert {name for name, _ in MUTATIONS} == set(ANSWERS)


def read_session(**change: object) -> bytes:
    return json_reply({"data": {**session_row("s1"), **change}})


async def ask_session(reply: bytes, **options: Any) -> tuple[isnotai.Session, list[isnotai.DeviationNotice]]:
    notices: list[isnotai.Notice] = []
    async with FaultServer(reply) as server, build_client(server, on_notice=notices.append, **options) as client:
        session = await client.get_session("s1")
    return session, [notice for notice in notices if isinstance(notice, isnotai.DeviationNotice)]


async def test_each_deviation_is_reported_once_for_each_operation_and_path() -> None:
    rows = [{**session_row(f"s{number}"), "status": None, "detectionFlags": None} for number in range(3)]
    notices: list[isnotai.Notice] = []
    server = FaultServer(json_reply(listing(rows)))

    async with connected(server, on_notice=notices.append) as client:
        with pytest.warns(isnotai.IsNotAIWarning) as caught:
            page = await client.list_sessions()
        await client.list_sessions()

    told = [notice for notice in notices if isinstance(notice, isnotai.DeviationNotice)]
    assert [(notice.operation, notice.path, notice.kind) for notice in told] == [
        ("list_sessions", "$.data[*].status", "null"),
        ("list_sessions", "$.data[*].detectionFlags", "null"),
    ]
    assert len(caught) == 2
    assert all(warning.filename == __file__ for warning in caught), "it names the line of the program"
    assert [session.detection_flags for session in page.data] == [(), (), ()]
    assert [session.status for session in page.data] == [None, None, None]


async def test_strict_makes_each_an_error_with_its_path_and_the_body() -> None:
    server = FaultServer(read_session(status=None))

    async with connected(server, strict=True, retry=QUICK) as client:
        with pytest.raises(isnotai.DecodeError, match="the field is null") as caught:
            await client.get_session("s1")

    assert caught.value.path == "$.data.status"
    assert json.loads(caught.value.body)["data"]["id"] == "s1"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-06-10T12:00:00", datetime(2026, 6, 10, 12, tzinfo=UTC)),
        ("2026-06-10 12:00:00Z", datetime(2026, 6, 10, 12, tzinfo=UTC)),
        ("2026-06-10T14:00:00+0200", datetime(2026, 6, 10, 12, tzinfo=UTC)),
        ("2026-06-10T12:00:00+0000", datetime(2026, 6, 10, 12, tzinfo=UTC)),
        ("2026-06-10T12:00Z", datetime(2026, 6, 10, 12, tzinfo=UTC)),
        ("2026-06-10", datetime(2026, 6, 10, tzinfo=UTC)),
        ("0001-01-01", datetime(1, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00", datetime(1, 1, 1, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2026-06-10T12:00:00.123456789", datetime(2026, 6, 10, 12, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
async def test_a_date_time_in_another_form_is_read_and_reported(text: str, moment: datetime) -> None:
    with pytest.warns(isnotai.IsNotAIWarning, match="date-time"):
        session, told = await ask_session(read_session(createdAt=text))

    assert session.created_at == moment
    assert [(notice.path, notice.kind) for notice in told] == [("$.data.createdAt", "date-time")]


async def test_nine_digits_of_a_fraction_are_as_documented() -> None:
    session, told = await ask_session(read_session(createdAt="2026-06-10T12:00:00.123456789Z"))

    assert session.created_at == datetime(2026, 6, 10, 12, 0, 0, 123_456, tzinfo=UTC)
    assert told == []


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+10:00", 7, True])
async def test_what_is_no_date_time_is_never_made_one(text: object) -> None:
    with pytest.raises(isnotai.DecodeError) as caught:
        await ask_session(read_session(createdAt=text))

    assert caught.value.path == "$.data.createdAt"
    assert isinstance(caught.value.record, dict)


@pytest.mark.parametrize(("number", "value"), [("24.0", 24), ("2.4e1", 24), ("-0.0", 0)])
async def test_a_whole_number_in_another_form_is_read(number: str, value: int) -> None:
    body = json.dumps(listing([event_row(1)])).replace('"payloadSize": 24', f'"payloadSize": {number}')
    async with connected(FaultServer(http_reply(body.encode()))) as client:
        with pytest.warns(isnotai.IsNotAIWarning, match=r"\$\.data\[\*\]\.payloadSize"):
            page = await client.list_events("s1")

    assert page.data[0].payload_size == value
    assert type(page.data[0].payload_size) is int


@pytest.mark.parametrize("number", ['"24"', "24.5", "true", "9007199254740993.0", "1e300", "[24]"])
async def test_what_is_no_whole_number_is_never_made_one(number: str) -> None:
    body = json.dumps(listing([event_row(1)])).replace('"payloadSize": 24', f'"payloadSize": {number}')
    async with connected(FaultServer(http_reply(body.encode()))) as client:
        with pytest.raises(isnotai.DecodeError) as caught:
            await client.list_events("s1").to_list()

    assert caught.value.path == "$.data[0].payloadSize"


async def test_a_whole_number_that_a_double_may_have_rounded_is_not_read() -> None:
    for written, is_exact in [(2**53 - 1, True), (2**53 + 1, False)]:  # as doubles, itself and 2**53
        body = json.dumps(listing([event_row(1)]))
        body = re.sub(r'"timestamp": \d+', f'"timestamp": {written}.0', body)
        async with connected(FaultServer(http_reply(body.encode()))) as client:
            with pytest.warns(isnotai.IsNotAIWarning) if is_exact else pytest.raises(isnotai.DecodeError):
                assert await client.list_events("s1").first() is not None


@pytest.mark.parametrize("status", [201, 202, 203, 206])
async def test_another_success_with_a_good_body_is_one(status: int) -> None:
    async with connected(FaultServer(json_reply(listing([event_row(1)]), status=status))) as client:
        with pytest.warns(isnotai.IsNotAIWarning, match=f"status is {status}"):
            assert len((await client.list_events("s1")).data) == 1


@pytest.mark.parametrize("limit", [None, ..., 50.0])
async def test_the_limit_of_a_page_may_be_missing(limit: object) -> None:
    body = listing([event_row(1)])
    if limit is ...:
        del body["pagination"]["limit"]
    else:
        body["pagination"]["limit"] = limit
    async with connected(FaultServer(json_reply(body))) as client:
        with pytest.warns(isnotai.IsNotAIWarning, match="limit"):
            page = await client.list_events("s1")

    assert page.limit == (50 if limit == 50.0 else None)


async def test_a_byte_order_mark_is_passed_over_and_reported() -> None:
    body = b"\xef\xbb\xbf" + json.dumps(listing([event_row(1)])).encode()
    async with connected(FaultServer(http_reply(body))) as client:
        with pytest.warns(isnotai.IsNotAIWarning, match="byte order mark"):
            assert len((await client.list_events("s1")).data) == 1


async def test_white_space_around_is_nothing_to_report() -> None:
    body = b" \r\n\t" + json.dumps(listing([event_row(1)])).encode() + b"\n\n"
    async with connected(FaultServer(http_reply(body))) as client:
        assert len((await client.list_events("s1")).data) == 1


async def test_x_gzip_is_gzip() -> None:
    body = gzip.compress(json.dumps(listing([event_row(1)])).encode())
    async with connected(FaultServer(http_reply(body, headers=[("Content-Encoding", "x-gzip")]))) as client:
        assert len((await client.list_events("s1")).data) == 1


async def test_a_cursor_of_16_kib_is_followed() -> None:
    server = FaultServer(event_page(1, cursor="x" * 16_384), event_page(2))
    async with connected(server) as client:
        assert len(await client.list_events("s1").to_list()) == 2


@pytest.mark.parametrize("tier", ["pro", "PRO", "Pro"])
async def test_a_tier_is_known_in_any_case(tier: str) -> None:
    async with connected(FaultServer(event_page(1, headers=[("x-isnotai-tier", tier)]))) as client:
        assert (await client.list_events("s1")).tier is isnotai.Tier.PRO


@pytest.mark.parametrize("name", ["events", "session", "stats"])
async def test_a_success_that_holds_an_error_envelope_is_the_apis_error_after_one_more_attempt(name: str) -> None:
    server = FaultServer(error_reply(200, "SESSION_NOT_FOUND", "No such session."))
    async with connected(server, retry=QUICK) as client:
        with pytest.raises(isnotai.APIError, match="No such session") as caught:
            await ANSWERS[name][1](client)

    assert (caught.value.status, caught.value.code) == (200, "SESSION_NOT_FOUND")
    assert len(server.requests) == 2


@pytest.mark.parametrize("details", [["a", {"field": "x"}], "the field pageSize", {"field": "pageSize"}])
async def test_details_are_kept_as_they_came(details: object) -> None:
    async with connected(FaultServer(error_reply(400, "BAD", "no", details=details))) as client:
        with pytest.raises(isnotai.InvalidRequestError) as caught:
            await client.list_sessions()

    assert caught.value.details == details
    assert "field" in str(caught.value)


async def test_204_without_a_cursor_is_an_empty_last_page_or_an_empty_mapping() -> None:
    async with connected(FaultServer(http_reply(status=204))) as client:
        with pytest.warns(isnotai.IsNotAIWarning, match="204"):
            page = await client.list_events("s1")
        with pytest.warns(isnotai.IsNotAIWarning, match="204"):
            stats = await client.get_stats()

    assert (page.data, page.has_more, page.limit, stats) == ((), False, None, {})


async def test_204_to_a_cursor_ends_nothing() -> None:
    server = FaultServer(event_page(1, cursor="c2"), http_reply(status=204))
    async with connected(server, retry=QUICK) as client:
        walk = client.list_events("s1")
        with pytest.raises(isnotai.PaginationError, match="204"):
            await walk.to_list()

    assert walk.position.cursor == "c2"
    assert len(server.requests) == 3


async def test_damaged_bodies_count_as_attempts() -> None:
    cut = http_reply(b'{"data": [')
    server = FaultServer(*[cut] * 5, event_page(1))
    async with connected(server, retry=isnotai.Retry(attempts=8, base=0.0)) as client:
        assert len((await client.list_events("s1")).data) == 1

    assert len(server.requests) == 6


async def test_unknown_fields_are_in_extra_and_nothing_to_report() -> None:
    session, told = await ask_session(read_session(mood="good", deep={"a": [1]}))

    assert session.extra == {"mood": "good", "deep": {"a": [1]}}
    assert told == []
    assert "mood" not in repr(session)
    assert hash(session) == hash(session)


def odd(number: int) -> dict[str, Any]:
    return {**event_row(number), "payloadSize": None}


ODD_PAGE = listing([event_row(1), odd(2), odd(3), event_row(4)], "c2")


async def test_a_walk_raises_for_an_unreadable_record_and_goes_on_behind_it() -> None:
    server = FaultServer(json_reply(ODD_PAGE), json_reply(ODD_PAGE), event_page(5))
    seen: list[str] = []
    records: list[object] = []
    async with connected(server, retry=QUICK) as client:
        walk = client.list_events("s1")
        for _ in range(3):
            try:
                async for event in walk:
                    seen.append(event.event_id)
            except isnotai.DecodeError as error:
                records.append(error.record)
                assert error.position == walk.position
                assert error.path.endswith(".payloadSize")
                assert json.loads(error.body) == error.record
                saved = walk.position

    assert seen == ["e1", "e4", "e5"]
    assert records == [odd(2), odd(3)]
    assert (saved.index, saved.given) == (3, 3)
    assert len(server.requests) == 3, "the page with unreadable records is asked for once more"


async def test_the_error_of_an_unreadable_record_counts_the_attempts_for_its_page() -> None:
    async with connected(FaultServer(json_reply(ODD_PAGE)), retry=QUICK) as client:
        with pytest.raises(isnotai.DecodeError) as of_a_page:
            await client.list_events("s1")
        with pytest.raises(isnotai.DecodeError) as of_a_walk:
            await client.list_events("s1").to_list()

    assert [(caught.value.attempts, caught.value.region) for caught in (of_a_page, of_a_walk)] == [(2, "us")] * 2


HALVES = [rb"\ud800", rb"\udfff", rb"\ud800\ud800", rb"a\udc00b", b"\xff", b"\xed\xa0\x80"]


@pytest.mark.parametrize("half", HALVES)
async def test_half_a_character_in_one_record_makes_that_one_unreadable_and_no_other(half: bytes) -> None:
    rows = [event_row(1), {**event_row(2), "eventTypeName": "?"}, {**event_row(3), "eventTypeName": "\U0001f600"}]
    body = json.dumps(listing(rows)).encode().replace(b'"?"', b'"' + half + b'"')
    async with (
        connected(FaultServer(http_reply(body))) as client,
        client.stream_events(["s1"], on_error="collect") as stream,
    ):
        (page,) = [page async for page in stream]

    assert [(event.event_id, event.event_type_name) for event in page.data] == [
        ("e1", "keypress"),
        ("e3", "\U0001f600"),
    ]
    assert [(record.index, record.path) for record in page.rejected] == [(1, "$.data[1]")]
    assert b"e2" in page.rejected[0].raw
    assert stream.rejected == 1


async def test_half_a_character_in_a_session_makes_that_one_unreadable_and_no_other() -> None:
    rows = [session_row("s1"), {**session_row("s2"), "pageUrl": "\ud800"}, session_row("s3")]
    async with connected(FaultServer(json_reply(listing(rows)))) as client:
        walk = client.list_sessions()
        with pytest.raises(isnotai.DecodeError):
            await walk.to_list()
        assert [session.id for session in await walk.to_list()] == ["s3"]


@pytest.mark.parametrize("cursor", ["\ud800", "c\udfff"])
async def test_half_a_character_in_a_cursor_is_an_error_of_the_page(cursor: str) -> None:
    async with connected(FaultServer(json_reply(listing([event_row(1)], cursor)))) as client:
        with pytest.raises(isnotai.DecodeError):
            await client.list_events("s1")


@pytest.mark.parametrize(
    ("body", "ask", "path"),
    [
        (listing([{**event_row(1), "eventId": ""}]), lambda c: c.list_events("s1"), "$.data[0].eventId"),
        (listing([{**session_row("s1"), "id": ""}]), lambda c: c.list_sessions(), "$.data[0].id"),
        (listing([{**USER, "userId": ""}]), lambda c: c.list_users(), "$.data[0].userId"),
        ({"data": session_row("")}, lambda c: c.get_session("s1"), "$.data.id"),
    ],
    ids=["event", "session", "user", "one session"],
)
async def test_an_empty_id_identifies_nothing(body: object, ask: Ask, path: str) -> None:
    async with connected(FaultServer(json_reply(body))) as client:
        with pytest.raises(isnotai.DecodeError, match="Expected an id, got an empty text") as caught:
            await ask(client)

    assert caught.value.path == path


async def test_of_data_given_twice_the_last_counts_as_of_any_field() -> None:
    body = json.dumps(listing([event_row(2)])).encode()
    twice = body.replace(b'{"data"', b'{"data": [' + json.dumps(event_row(1)).encode() + b'], "data"', 1)
    async with connected(FaultServer(http_reply(twice))) as client:
        page = await client.list_events("s1")

    assert [event.event_id for event in page.data] == ["e2"]


async def test_pages_are_cut_at_an_unreadable_record() -> None:
    async with connected(FaultServer(json_reply(listing([event_row(1), odd(2), event_row(3)])))) as client:
        walk = client.list_events("s1")
        first: list[Any] = []
        with pytest.raises(isnotai.DecodeError):
            async for page in walk.pages():
                first.append([event.event_id for event in page.data])
        rest = [[event.event_id for event in page.data] async for page in walk.pages()]

    assert (first, rest) == ([["e1"]], [["e3"]])


async def test_a_position_behind_an_unreadable_record_is_resumed_there() -> None:
    async with connected(FaultServer(json_reply(ODD_PAGE), event_page(5))) as client:
        walk = client.list_events("s1")
        with pytest.raises(isnotai.DecodeError):
            await walk.to_list()
        saved = isnotai.Position.from_json(walk.position.to_json())
    async with connected(FaultServer(json_reply(ODD_PAGE), event_page(5))) as client:
        walk = client.list_events("s1", resume=saved)
        with pytest.raises(isnotai.DecodeError) as caught:
            await walk.to_list()
        assert caught.value.record == odd(3)
        assert [event.event_id for event in await walk.to_list()] == ["e4", "e5"]


async def test_a_stream_that_collects_counts_them_and_goes_on() -> None:
    server = FaultServer(json_reply(ODD_PAGE), json_reply(ODD_PAGE), json_reply(listing([odd(5)])))
    async with (
        connected(server, retry=QUICK) as client,
        client.stream_events(["s1"], on_error="collect") as stream,
    ):
        pages = [page async for page in stream]

    assert [[event.event_id for event in page.data] for page in pages] == [["e1", "e4"], []]
    assert [[record.index for record in page.rejected] for page in pages] == [[1, 2], [0]]
    assert json.loads(pages[1].rejected[0].raw) == odd(5)
    assert "payloadSize" in pages[0].rejected[0].reason
    assert (stream.rejected, dict(stream.failures)) == (3, {})
    assert stream.position.unfinished == ()


async def test_a_stream_that_raises_raises_them() -> None:
    server = FaultServer(json_reply(listing([event_row(1), odd(2)])))
    async with connected(server) as client, client.stream_events(["s1"]) as stream:
        with pytest.raises(isnotai.DecodeError) as caught:
            _ = [event async for event in stream.events()]

    assert caught.value.record == odd(2)


async def test_events_of_a_stream_stand_at_their_place_in_the_servers_page() -> None:
    server = FaultServer(json_reply(ODD_PAGE), event_page(5))
    async with connected(server) as client, client.stream_events(["s1"], on_error="collect") as stream:
        async for event in stream.events():
            if event.event_id == "e4":
                break
            (session,) = stream.position.unfinished
            assert (session.walks[0].index, session.walks[0].given) == (1, 1)
        (session,) = stream.position.unfinished

    assert (session.walks[0].cursor, session.walks[0].given) == ("c2", 4)


async def test_one_attempt_accepts_the_page_as_it_is() -> None:
    server = FaultServer(json_reply(listing([event_row(1), odd(2)])))
    async with connected(server) as client, client.stream_events(["s1"], on_error="collect") as stream:
        assert [len(page.rejected) async for page in stream] == [1]

    assert len(server.requests) == 1
