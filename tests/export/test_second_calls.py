"""What a caller may do twice, or late: use a list again, close the client, cancel at the end, come from elsewhere."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import isnotai_async as isnotai
from isnotai_async._client import Client
from isnotai_async._notices import AttemptNotice
from isnotai_async.export.metrics import ExportMetrics
from isnotai_async.export.publishing import Publisher
from isnotai_async.export.source import find_source
from isnotai_async.sandbox import Fault, Sandbox

ONCE = isnotai.Retry(attempts=1)


def open_client(sandbox: Sandbox) -> Client:
    return Client(sandbox.api_key, base_url=sandbox.base_url, limiter=isnotai.Unlimited(), retry=ONCE)


async def test_a_list_that_was_used_is_read_again_from_its_beginning(tmp_path: Path) -> None:
    async with Sandbox(sessions=8) as sandbox, open_client(sandbox) as client:
        sessions = client.list_sessions()
        assert (await isnotai.estimate_export(client, sessions)).sampled == 5
        first = await isnotai.export_events(client, sessions, tmp_path / "a.jsonl")
        second = await isnotai.export_events(client, sessions, tmp_path / "b.jsonl")

    assert first.sessions == second.sessions == 8
    assert first.rows == second.rows > 0


async def test_sessions_that_were_only_unlucky_are_left_for_the_next_call(tmp_path: Path) -> None:
    async with Sandbox(sessions=6) as sandbox, open_client(sandbox) as client:
        sessions = [session.id async for session in client.list_sessions()]
        whole = await isnotai.export_events(client, sessions, tmp_path / "whole.jsonl")
        async with open_client(sandbox) as unlucky:
            sandbox.inject(Fault.captive_portal(), operation="list_events")
            first = await isnotai.export_events(unlucky, sessions, tmp_path / "out.jsonl", on_error="collect")
        second = await isnotai.export_events(client, sessions, tmp_path / "out.jsonl", on_error="collect")

    assert (first.is_complete, second.is_complete) == (False, True)
    assert first.failures
    assert second.rows == whole.rows


async def test_an_export_by_a_closed_client_fails_and_the_next_call_finishes_it(tmp_path: Path) -> None:
    async with Sandbox(sessions=6) as sandbox, open_client(sandbox) as client:
        sessions = [session.id async for session in client.list_sessions()]
        whole = await isnotai.export_events(client, sessions, tmp_path / "whole.jsonl")
        async with open_client(sandbox) as unlucky:
            await unlucky.aclose()  # as by a web app that shuts down
            with pytest.raises(isnotai.ConfigError, match="this client is closed"):
                await isnotai.export_events(unlucky, sessions, tmp_path / "out.jsonl", on_error="collect")
        report = await isnotai.export_events(client, sessions, tmp_path / "out.jsonl", on_error="collect")

    assert report.rows == whole.rows


@pytest.mark.parametrize("step", ["publish", "_name"])
async def test_an_export_that_is_cancelled_while_it_is_published_reports_that_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    reached, resume, real = threading.Event(), threading.Event(), getattr(Publisher, step)

    def wait_and_do(self: Publisher, *args: Any, **options: Any) -> Any:
        reached.set()
        resume.wait(20)
        return real(self, *args, **options)

    monkeypatch.setattr(Publisher, step, wait_and_do)
    async with Sandbox(sessions=3) as sandbox, open_client(sandbox) as client:
        task = asyncio.create_task(isnotai.export_events(client, client.list_sessions(), tmp_path / "out.jsonl"))
        await asyncio.to_thread(reached.wait, 20)
        task.cancel()
        resume.set()
        report = await task

    assert report.is_complete
    assert not task.cancelling()


async def test_a_source_is_closed_whole_when_a_session_fails(tmp_path: Path) -> None:
    said: list[str] = []

    async def ids() -> AsyncIterator[str]:
        try:
            yield "big-5"
            yield "no-such-session"
            yield "big-7"
        finally:
            await asyncio.sleep(0)  # gives a connection of its pool back
            said.append("released")

    async with Sandbox() as sandbox, open_client(sandbox) as client:
        with pytest.raises(isnotai.NotFoundError):
            await isnotai.export_events(client, ids(), tmp_path / "out.jsonl", concurrency=1, on_error="raise")
        assert said == ["released"]


async def test_an_id_that_cannot_be_one_is_refused_before_anything_is_asked_or_written(tmp_path: Path) -> None:
    async with Sandbox() as sandbox, open_client(sandbox) as client:
        with pytest.raises(isnotai.ConfigError, match=r"session_id '\.\.' would point at another path"):
            await isnotai.export_events(client, ["big-5", ".."], tmp_path / "out.jsonl", on_error="raise")
        assert sandbox.stats.requests == 0

    assert list(tmp_path.iterdir()) == []


def test_an_export_from_the_vendors_address_is_not_one_from_a_sandbox() -> None:
    key = "aik_v1_" + "k" * 40
    described = [
        find_source(Client(key, base_url=base_url)).regions["us"]
        for base_url in ("https://api.isnotai.com", "http://127.0.0.1:8080", "http://127.0.0.1:9090")
    ]
    assert described == ["us at api.isnotai.com", "us at this machine", "us at this machine"]


def test_the_metrics_remember_a_minute_and_no_more() -> None:
    now = [0.0]
    metrics = ExportMetrics(clock=lambda: now[0])
    for _ in range(300):
        now[0] += 1
        metrics.on_notice(AttemptNotice(region="us", operation="x", attempt=1, status=200, error=None, elapsed=0.0))
    assert len(metrics._times) <= 61
