"""Exports through real clients: of one region, of several, and what they will take."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from isnotai_async._client import Client
from isnotai_async._http.credentials import Credential
from isnotai_async._http.retry_policy import Retry
from isnotai_async._manager import SessionManager
from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.limiter import Unlimited
from isnotai_async.errors import ExportError, RateLimitedError, ServerError, StoreError
from isnotai_async.export import ExportProgress, estimate_export, export_events
from isnotai_async.sandbox import Fault, Sandbox


def open_client(sandbox: Sandbox) -> Client:
    return Client(sandbox.api_key, base_url=sandbox.base_url, limiter=Unlimited(), retry=Retry(attempts=1))


def count_rows(path: Path) -> Counter[tuple[str, str]]:
    rows = (json.loads(line) for line in path.read_bytes().splitlines())
    return Counter((row["region"], row["session_id"]) for row in rows)


async def test_the_sessions_that_are_listed_are_exported_and_the_listing_is_part_of_the_identity(
    tmp_path: Path,
) -> None:
    async with Sandbox() as sandbox, open_client(sandbox) as client:
        with pytest.raises(ServerError):
            await export_events(
                client,
                client.list_sessions(bot_only=True),
                tmp_path / "out.jsonl",
                concurrency=1,
                on_progress=lambda _: sandbox.inject(Fault.status(503, times=None), operation="list_events"),
                on_error="raise",
            )
        sandbox.clear_faults()
        with pytest.raises(StoreError, match=r"its sessions those listed with the filters \{'bot_only': True\}"):
            await export_events(client, client.list_sessions(), tmp_path / "out.jsonl")
        report = await export_events(client, client.list_sessions(bot_only=True), tmp_path / "out.jsonl")
        sessions = [session.id async for session in client.list_sessions(bot_only=True)]
        walked = Counter([("us", name) for name in sessions async for _ in client.list_events(name)])

    assert report.sessions == len(sessions)
    assert count_rows(report.path) == walked
    assert report.requests > len(sessions)


@pytest.mark.parametrize("kind", ["pairs", "names"])
async def test_two_keys_of_one_region_stay_apart(tmp_path: Path, kind: str) -> None:
    async with Sandbox() as sandbox:
        credentials = {
            name: Credential(
                sandbox.api_keys[region], region=region, base_url=sandbox.base_urls[region], limiter=Unlimited()
            )
            for name, region in (("one", "us"), ("two", "us"), ("three", "eu"))
        }
        async with SessionManager(credentials, retry=Retry(attempts=1)) as manager:
            named = {"one": ["big-120"], "two": ["big-120", "big-30"], "three": ["big-7"]}
            pairs = [(name, session_id) for name, given in named.items() for session_id in given]
            sessions = pairs if kind == "pairs" else named
            with pytest.raises(ServerError):
                await export_events(
                    manager,
                    sessions,
                    tmp_path / "out.jsonl",
                    concurrency=3,
                    page_size=10,
                    on_progress=lambda progress: sandbox.inject(Fault.status(500), operation="list_events"),
                    on_error="raise",
                )
            sandbox.clear_faults()
            report = await export_events(manager, sessions, tmp_path / "out.jsonl", concurrency=3, page_size=10)

    assert count_rows(report.path) == {
        ("one", "big-120"): 120,
        ("two", "big-120"): 120,
        ("two", "big-30"): 30,
        ("three", "big-7"): 7,
    }


async def test_waits_and_requests_are_told(tmp_path: Path) -> None:
    told: list[ExportProgress] = []
    async with Sandbox(tier="pro") as sandbox:
        sandbox.inject(Fault.status(503), operation="list_events")
        async with Client(sandbox.api_key, base_url=sandbox.base_url) as client:
            report = await export_events(client, "big-300", tmp_path / "out.jsonl", on_progress=told.append)

    assert report.requests == sandbox.stats.requests
    assert report.waited > 0
    assert told[-1].quota == Tier.PRO.requests_per_minute
    assert told[-1].rate == report.requests


async def test_an_estimate_is_near_the_truth_for_sessions_alike() -> None:
    sessions = [f"big-{size}" for size in range(950, 1_050)]
    async with Sandbox() as sandbox, open_client(sandbox) as client:
        estimate = await estimate_export(client, sessions)
        listed = await estimate_export(client, client.list_sessions(), sample=2)
        requests = sandbox.stats.requests

    truth = sum(range(950, 1_050))
    assert estimate.sessions == 100
    assert estimate.events == pytest.approx(truth, rel=0.05)
    assert estimate.pages == pytest.approx(truth / 100, rel=0.1)
    assert estimate.tier is Tier.ENTERPRISE
    assert estimate.minutes == pytest.approx(truth / 100 / 6_000, rel=0.1)
    assert (listed.sessions, listed.sampled) == (40, 2), "a list is read first"
    assert requests == 5 + 1 + 2 + 1 + 1


async def test_rate_limits_beyond_patience_leave_a_checkpoint(tmp_path: Path) -> None:
    async with Sandbox() as sandbox, open_client(sandbox) as client:
        with pytest.raises(RateLimitedError):
            await export_events(
                client,
                "big-1000",
                tmp_path / "out.jsonl",
                on_progress=lambda progress: sandbox.inject(Fault.rate_limited(0.0), operation="list_events"),
                on_error="raise",
            )
        sandbox.clear_faults()
        report = await export_events(client, "big-1000", tmp_path / "out.jsonl")

    assert report.resumed_rows > 0
    assert report.rows == 1_000


async def test_what_failed_before_there_was_a_row_is_in_nobodys_way(tmp_path: Path) -> None:
    async with Sandbox() as sandbox, open_client(sandbox) as client:
        with pytest.raises(ExportError, match="rejected 1 of 1 sessions"):
            await export_events(client, ["big-l0"], tmp_path / "out.jsonl")
        assert (await export_events(client, ["big-10"], tmp_path / "out.jsonl")).rows == 10
