"""The annotations: they resolve at run time, and the program of the design type-checks."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mypy import api

import isnotai_async as isnotai
from isnotai_async import errors

ROOT = Path(__file__).parent.parent


def is_ours(value: object) -> bool:
    return str(getattr(value, "__module__", "")).startswith("isnotai_async")


MODULES = (isnotai, isnotai.export, isnotai.sandbox, errors)
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in MODULES
    for name in getattr(module, "__all__", dir(module))
}
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value) and is_ours(value)}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}

PROGRAM = """
import json
from datetime import date

import isnotai_async as isnotai


async def of_one_client(session: isnotai.Session, ids: list[str]) -> None:
    async with isnotai.Client(tier="pro", strict=True) as client:
        page = await client.list_events("s1", page_size=50)
        size: int | None = page.limit
        name: str | None = page.data[0].event_type_name
        number: int = page.data[0].payload_size
        when: float = page.data[0].time.timestamp()
        print(page.next_cursor, page.has_more, page.tier, page.region, page.headers["date"], page.rejected)
        async for event in client.list_events("s1", type="keypress"):
            print(event.event_id, event.message_id, event.timestamp, size, name, number, when)
        async for page in client.list_events("s1").pages():
            print(page.session_id)
        async with client.list_events("s1").prefetch(2) as pages:
            async for page in pages:
                print(page.session_id)
        events: list[isnotai.Event] = await client.list_events("s1").to_list()
        first: isnotai.Event | None = await client.list_events("s1").first()
        table = await client.list_events("s1").to_arrow()
        walk = client.list_events(session, max_items=10_000)
        try:
            async for event in walk:
                print(event, events, first, table)
        except isnotai.APIError as error:
            print(error.status, error.code, error.message, error.details, error.region, error.attempts)
            print(error.retry_after, error.headers)
            saved = walk.position.to_json()
            walk = client.list_events("s1", resume=isnotai.Position.from_json(saved))
        except isnotai.GatewayError as error:
            print(error.status, error.headers)
        except isnotai.DecodeError as error:
            print(error.path, error.record, error.body)
        answer = await client.request("/v1/anything", params={"a": "b"})
        print(answer.status, answer.headers, answer.body, answer.region, answer.attempts, answer.elapsed)
        print(answer.json())
        async with client.stream_events(ids, concurrency=16) as stream:
            async for page in stream:
                print(page.session_id, page.data, stream.position, stream.rejected, stream.failures)
        async with client.stream_events("big", split=8, ordered=True) as stream:
            async for event in stream.events():
                print(event)
        async with client.stream_events(ids) as stream:
            async for batch in stream.batches(rows=50_000):
                print(batch)
        print(await client.stream_events(ids).to_arrow())
        stats: dict[str, object] = await client.get_stats()
        print(isnotai.to_dict(stats), isnotai.to_json(events), json.dumps(events, default=isnotai.to_dict))


async def of_many(client: isnotai.Client, sessions: list[str], keys: dict[str, str]) -> None:
    async with isnotai.SessionManager(keys) as manager:
        await manager["eu"].list_events("s9")
        async with manager.stream_events([("us", "s1"), ("eu", "s9")], concurrency=32) as stream:
            async for page in stream:
                print(page.name)
    report = await isnotai.export_events(client, sessions, "events.jsonl", concurrency=16, shard=(2, 8))
    print(report.rows, await isnotai.update_store(client, "events.db", start_date=date(2026, 6, 1)))
    print(await isnotai.export_store("events.db", "events.parquet"), await isnotai.diagnose(client))
    limiters: list[isnotai.Limiter] = [isnotai.LocalLimiter(), isnotai.Unlimited()]
    print(limiters, isnotai.RedisLimiter, isnotai.FileLimiter)
    async with isnotai.Sandbox() as sandbox:
        isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, quota=0.25)
"""


def functions_of(kind: type) -> Iterator[Any]:
    """List the methods and properties of a class that are ours, its special methods too."""
    for name in dir(kind):
        member = inspect.getattr_static(kind, name)
        member = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(member) and is_ours(member):
            yield member


@pytest.mark.parametrize("name", CLASSES)
def test_the_annotations_of_every_public_class_resolve(name: str) -> None:
    typing.get_type_hints(CLASSES[name])
    for member in functions_of(CLASSES[name]):
        typing.get_type_hints(member)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_annotations_of_every_public_function_resolve(name: str) -> None:
    typing.get_type_hints(FUNCTIONS[name])


@pytest.mark.timeout(180)
def test_the_program_of_the_design_type_checks_and_a_wrong_tier_does_not(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(PROGRAM, encoding="utf-8")
    wrong.write_text('import isnotai_async\nisnotai_async.Client(tier="gold")\n', encoding="utf-8")
    # With the options, and so the cache, of `make check`: without one this takes eight seconds of CPU.
    options = [f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={ROOT / '.mypy_cache'}", "--strict"]
    out, err, code = api.run([*options, str(right), str(wrong)])

    assert (code, err) == (1, "")
    complaint, summary = out.splitlines()
    assert "wrong.py:2" in complaint
    assert "gold" in complaint
    assert summary.startswith("Found 1 error")
