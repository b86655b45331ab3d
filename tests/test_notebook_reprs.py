"""What a notebook shows of a value: a short line, and for pages and reports a table in which no text is markup."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import isnotai_async as isnotai
from isnotai_async.export import ExportReport, SessionFailure

TAG = "<script>alert(1)</script>\x1b[31m\u202e"


@pytest.fixture
async def client() -> AsyncIterator[isnotai.Client]:
    async with (
        isnotai.Sandbox(rate_limit=None) as sandbox,
        isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=isnotai.Unlimited()) as client,
    ):
        yield client


def html_of(value: Any) -> str:
    return value._repr_html_()  # type: ignore[no-any-return]


async def test_every_repr_is_a_short_line(client: isnotai.Client, tmp_path: Path) -> None:
    walk = client.list_events("big-1000")
    page = await walk
    async for _ in walk:
        break
    report = await isnotai.export_events(client, ["big-9"], tmp_path / "events.jsonl")
    async with client.stream_events(client.list_sessions()) as stream:
        await anext(stream)
        shown = [repr(value) for value in (client, page, walk, walk.position, stream, stream.position, report)]

    assert shown[1] == "<Page of 100 records of session 'big-1000' from us, more follow>"
    assert shown[3].startswith("<Position in list_events of session 'big-1000', region us, after 'ev-")
    assert "9 rows of 1 sessions, 0 failed, complete" in shown[6]
    assert all(len(line) <= 160 and "\n" not in line for line in (*shown[:6], shown[6].replace(str(tmp_path), "")))


async def test_a_page_shows_a_table_of_its_first_records(client: isnotai.Client) -> None:
    events, courses = html_of(await client.list_events("big-50")), html_of(await client.list_courses())
    empty = html_of(await client.list_events("big-0"))

    assert "&lt;Page of 50 records of session &#x27;big-50&#x27; from us, the last page&gt;; the first 10" in events
    assert events.count("<tr>") == 11
    assert "<th><bdi>event_type_name</bdi></th>" in events
    assert "<th><bdi>courseId</bdi></th>" in courses
    assert empty.count("<td>") == 0


def test_no_text_of_a_page_is_markup() -> None:
    event = isnotai.Event(TAG, 1, TAG, 0, 0)
    page = isnotai.Page((event,), None, False, 100, None, TAG, TAG)
    shown = html_of(page)

    assert "<script" not in shown
    assert not {"\x1b", "\u202e"} & set(shown + repr(page))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m\\u202e" in shown


def test_a_report_shows_its_numbers_and_its_failures() -> None:
    failures = tuple(SessionFailure("us", f"s{number}", "NotFoundError", TAG) for number in range(30))
    report = ExportReport(path=Path("events.jsonl"), format="jsonl", rows=7, failures=failures, is_complete=False)
    shown = html_of(report)

    assert "the first 10 of 30 failed sessions" in shown
    assert shown.count("NotFoundError") == 10
    assert "<td><bdi>rows</bdi></td><td><bdi>7</bdi></td>" in shown
    assert "<script" not in shown
    assert html_of(ExportReport(path=Path("events.jsonl"), format="jsonl")).count("<table>") == 1


def test_places_without_records_say_so() -> None:
    position = isnotai.Position(operation="list_users", region="eu")

    assert repr(position) == "<Position in list_users, region eu, at the start>"
