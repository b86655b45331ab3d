"""Every deviation that can be switched on, as a plain aiohttp client meets it."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from isnotai_async import Client, LocalLimiter
from isnotai_async.errors import ConfigError
from isnotai_async.sandbox import Fault, Sandbox

EVENTS = "/v1/sessions/big-700/events"
SESSION = "/v1/sessions/big-700"
TIER = "x-isnotai-tier"


async def meet(sandbox: Sandbox, ask: Any, fault: Fault, path: str = EVENTS) -> tuple[Any, Any]:
    """Return the right answer, and the one that the fault makes of it."""
    right = await ask(sandbox, path)
    sandbox.inject(fault)
    return right, await ask(sandbox, path)


async def test_a_field_can_be_null_in_every_record(sandbox: Sandbox, ask: Any) -> None:
    right, changed = await meet(sandbox, ask, Fault.changed_field("$.data[*].eventTypeName"))

    assert changed.json["data"] == [event | {"eventTypeName": None} for event in right.json["data"]]
    assert changed.json["pagination"] == right.json["pagination"]
    assert changed.headers[TIER] == "enterprise"


async def test_a_field_can_have_another_value_in_one_record(sandbox: Sandbox, ask: Any) -> None:
    right, changed = await meet(sandbox, ask, Fault.changed_field("data[2].payloadSize", "7"))

    assert changed.json["data"][2] == right.json["data"][2] | {"payloadSize": "7"}
    assert changed.json["data"][:2] == right.json["data"][:2]


async def test_a_field_can_be_left_out(sandbox: Sandbox, ask: Any) -> None:
    _, records = await meet(sandbox, ask, Fault.absent_field("data[*].payloadSize"))
    _, page = await meet(sandbox, ask, Fault.absent_field("pagination.limit"))

    assert all("payloadSize" not in event and "eventId" in event for event in records.json["data"])
    assert set(page.json["pagination"]) == {"nextCursor", "hasMore"}


async def test_a_field_that_is_not_there_is_left_alone(sandbox: Sandbox, ask: Any) -> None:
    for fault in (Fault.changed_field("data[500].eventId"), Fault.absent_field("data.eventId")):
        right, same = await meet(sandbox, ask, fault)
        assert same.json == right.json


@pytest.mark.parametrize("status", [201, 202, 203, 206])
async def test_a_success_can_have_another_status(sandbox: Sandbox, ask: Any, status: int) -> None:
    right, changed = await meet(sandbox, ask, Fault.success_status(status))

    assert (changed.status, changed.json) == (status, right.json)


async def test_204_has_no_body_and_a_tier(sandbox: Sandbox, ask: Any) -> None:
    _, changed = await meet(sandbox, ask, Fault.success_status(204))

    assert (changed.status, changed.body, changed.headers[TIER]) == (204, b"", "enterprise")
    assert "Content-Type" not in changed.headers


async def test_an_error_stays_one_under_another_status_of_success(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.success_status(202))

    assert (await ask(sandbox, "/v1/sessions/nobody")).status == 404


async def test_an_error_can_come_as_a_success(sandbox: Sandbox, ask: Any) -> None:
    _, changed = await meet(sandbox, ask, Fault.error_in_success("QUOTA", "used up"))

    assert (changed.status, changed.json) == (200, {"error": {"code": "QUOTA", "message": "used up"}})
    assert changed.headers[TIER] == "enterprise"


@pytest.mark.parametrize(("exponent", "written"), [(False, b'"limit":100.0'), (True, b'"limit":1e2')])
async def test_whole_numbers_can_be_written_as_decimals(
    *, sandbox: Sandbox, ask: Any, exponent: bool, written: bytes
) -> None:
    right, changed = await meet(sandbox, ask, Fault.decimal_numbers(exponent=exponent))

    assert written in changed.body
    assert changed.json == right.json  # in Python 7.0 == 7, and ids that look like numbers are text
    assert not any(type(value) is int for event in changed.json["data"] for value in event.values())


DATE_TIMES = {
    "no offset": "2026-06-04T12:00:00.0000000",
    "space": "2026-06-04 12:00:00.0000000+00:00",
    "short offset": "2026-06-04T12:00:00.0000000+0000",
    "no seconds": "2026-06-04T12:00+00:00",
    "nine digits": "2026-06-04T12:00:00.123456789+00:00",
    "year one": "0001-01-01T00:00:00+00:00",
    "leap second": "2026-06-04T12:00:60.0000000+00:00",
    "date only": "2026-06-04",
}


@pytest.mark.parametrize("form", DATE_TIMES)
async def test_date_times_can_have_another_form(sandbox: Sandbox, ask: Any, form: Any) -> None:
    right, changed = await meet(sandbox, ask, Fault.date_times(form), SESSION)

    assert right.json["data"]["createdAt"] == "2026-06-04T12:00:00.0000000+00:00"
    assert changed.json["data"]["createdAt"] == DATE_TIMES[form]


async def test_a_byte_order_mark_comes_first(sandbox: Sandbox, ask: Any) -> None:
    right, changed = await meet(sandbox, ask, Fault.byte_order_mark())

    assert changed.body == b"\xef\xbb\xbf" + right.body


async def test_gzip_can_be_called_x_gzip(sandbox: Sandbox) -> None:
    sandbox.inject(Fault.x_gzip())
    host, port = sandbox.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"GET {EVENTS} HTTP/1.1", "Host: localhost", f"x-api-key: {sandbox.api_key}", "Connection: close"]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
    writer.close()

    assert b"\r\nContent-Encoding: x-gzip\r\n" in head
    assert len(json.loads(gzip.decompress(body))["data"]) == 100


@pytest.mark.parametrize("name", ["Enterprise", "platinum", None])
async def test_the_tier_can_have_another_name_or_none(sandbox: Sandbox, ask: Any, name: str | None) -> None:
    right, changed = await meet(sandbox, ask, Fault.tier_name(name))

    assert (right.headers[TIER], changed.headers.get(TIER)) == ("enterprise", name)
    assert changed.body == right.body


@pytest.mark.parametrize("seconds", [600, -86_400])
async def test_the_date_can_be_of_another_clock(sandbox: Sandbox, ask: Any, seconds: float) -> None:
    _, changed = await meet(sandbox, ask, Fault.clock_skew(seconds))

    told = parsedate_to_datetime(changed.headers["Date"]).timestamp()
    assert told - time.time() == pytest.approx(seconds, abs=30)


async def test_a_cursor_can_be_refused_with_another_status_and_code(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.refused_cursor(410, code="GONE_BY"))
    first = await ask(sandbox, EVENTS)
    cursor = first.json["pagination"]["nextCursor"]
    refused = await ask(sandbox, EVENTS, cursor=cursor)

    assert (first.status, refused.status, refused.code) == (200, 410, "GONE_BY")
    assert "cursor" not in refused.body.decode()
    assert (await ask(sandbox, EVENTS, cursor=cursor)).status == 200


@pytest.mark.parametrize("details", [["startTime", "endTime"], "startTime is later", {"field": "startTime"}])
async def test_details_can_be_any_json(sandbox: Sandbox, ask: Any, details: Any) -> None:
    sandbox.inject(Fault.status(400, details=details))

    assert (await ask(sandbox, EVENTS)).json["error"]["details"] == details


async def test_an_edge_can_answer_404_in_html_or_with_nothing(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.html(404))
    sandbox.inject(Fault.status(404, body=False))
    page, nothing = await ask(sandbox, EVENTS), await ask(sandbox, EVENTS)

    assert (page.status, page.headers["Content-Type"], TIER in page.headers) == (
        404,
        "text/html; charset=utf-8",
        False,
    )
    assert (nothing.status, nothing.body, TIER in nothing.headers) == (404, b"", False)


@pytest.mark.parametrize("path", ["", "data[", "data[x]", "data..id", "data[*]x", ".data", "$", "data[-1]"])
def test_a_path_that_is_none_is_rejected(path: str) -> None:
    for make in (Fault.changed_field, Fault.absent_field):
        with pytest.raises(ConfigError, match=r"invalid path .*expected"):
            make(path)


def test_impossible_deviations_are_rejected() -> None:
    with pytest.raises(ConfigError, match="201 to 299"):
        Fault.success_status(200)
    with pytest.raises(ConfigError, match="one of no offset, space"):
        Fault.date_times("unix")  # type: ignore[arg-type] # the mistake that is tried


async def test_a_429_costs_a_test_less_than_a_second_with_a_short_window(sandbox: Sandbox) -> None:
    sandbox.inject(Fault.rate_limited())
    before = asyncio.get_running_loop().time()
    async with Client(sandbox.api_key, base_url=sandbox.base_url, limiter=LocalLimiter(window=0.1)) as client:
        await client.get_session("big-1")

    assert sandbox.stats.statuses == {429: 1, 200: 1}
    assert asyncio.get_running_loop().time() - before < 20  # of the minute that the API's own window has
