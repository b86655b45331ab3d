"""The annotations: they resolve at run time, and the program of the design type-checks."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path

import pytest
from mypy import api

import isnotai_async as isnotai

CLASSES = [
    value
    for name in isnotai.__all__
    if inspect.isclass(value := getattr(isnotai, name)) and name != "Sandbox"  # its base class is anyio's
]

PROGRAM = """
import isnotai_async as isnotai

async def main(session: isnotai.Session, ids: list[str]) -> None:
    async with isnotai.Client(tier="pro", strict=True) as client:
        page = await client.list_events("s1", page_size=50)
        size: int | None = page.limit
        name: str | None = page.data[0].event_type_name
        number: int = page.data[0].payload_size
        when: float = page.data[0].time.timestamp()
        async for event in client.list_events("s1", type="keypress"):
            print(event.event_id, event.timestamp, size, name, number, when)
        async for page in client.list_events("s1").pages():
            print(page.rejected, page.headers["date"])
        async with client.list_events("s1").prefetch(2) as pages:
            async for page in pages:
                print(page.session_id)
        events: list[isnotai.Event] = await client.list_events("s1").to_list()
        first: isnotai.Event | None = await client.list_events("s1").first()
        walk = client.list_events(session, max_items=10_000)
        try:
            async for event in walk:
                print(event, events, first)
        except isnotai.APIError as error:
            print(error.status, error.code, error.message, error.details, error.region, error.attempts)
            print(error.retry_after, error.headers)
        except isnotai.GatewayError as error:
            print(error.status, error.headers)
        except isnotai.DecodeError as error:
            print(error.path, error.record, error.body)
        saved = walk.position.to_json()
        walk = client.list_events("s1", resume=isnotai.Position.from_json(saved))
        answer = await client.request("/v1/anything", params={"a": "b"})
        print(answer.status, answer.headers, answer.body, answer.attempts, answer.elapsed, answer.json())
        async with client.stream_events(ids, concurrency=16) as stream:
            async for page in stream:
                print(page.session_id, page.data, stream.rejected, stream.failures)
        stats: dict[str, object] = await client.get_stats()
        print(isnotai.to_dict(stats), isnotai.to_json(events))
"""


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_annotations_of_every_public_class_resolve(kind: type) -> None:
    typing.get_type_hints(kind)
    for name, member in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_") and member.__module__.startswith("isnotai_async"):
            typing.get_type_hints(member)
    for name, member in vars(kind).items():
        if isinstance(member, property) and member.fget is not None and not name.startswith("_"):
            typing.get_type_hints(member.fget)


@pytest.mark.timeout(180)
def test_the_program_of_the_design_type_checks_and_a_wrong_tier_does_not(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(PROGRAM, encoding="utf-8")
    wrong.write_text('import isnotai_async\nisnotai_async.Client(tier="gold")\n', encoding="utf-8")
    out, err, code = api.run(["--strict", "--no-incremental", "--follow-imports=silent", str(right), str(wrong)])

    assert (code, err) == (1, "")
    complaint, summary = out.splitlines()
    assert "wrong.py:2" in complaint
    assert "gold" in complaint
    assert summary.startswith("Found 1 error")
