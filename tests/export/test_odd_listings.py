"""An export of listed sessions whose records do not all fit the documentation: their ids are enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from isnotai_async import DecodeError, export_events
from isnotai_async.integrations.delta import export_to_delta
from tests.integrations.delta_processes import make_world


@pytest.mark.parametrize("number", range(3))
async def test_the_events_of_a_session_whose_record_cannot_be_read_are_exported(tmp_path: Path, number: int) -> None:
    world = make_world(sessions=3, rows=5)
    world.sessions[f"s{number:02}"].changes = {"botScore": "high"}
    async with world.serve() as client:
        report = await export_events(client, client.list_sessions(page_size=2), tmp_path / "events.jsonl")
        assert (report.sessions, report.rows, report.failures) == (3, 15, ())


@pytest.mark.parametrize("odd", [{"id": 7}, {"id": None}], ids=["a number", "null"])
@pytest.mark.parametrize("number", [0, 1])
async def test_a_record_without_an_id_fails_and_the_other_sessions_are_published(
    tmp_path: Path, number: int, odd: dict[str, Any]
) -> None:
    world, target = make_world(sessions=3, rows=5), tmp_path / "events.jsonl"
    world.sessions[f"s{number:02}"].changes = odd
    async with world.serve() as client:
        for _ in range(2):
            report = await export_events(client, client.list_sessions(), target)
            assert (report.is_complete, report.rows, target.read_bytes().count(b"\n")) == (True, 10, 10)
            (failure,) = report.failures
            assert (failure.error, f"at $.data[{number}].id" in failure.message) == ("DecodeError", True)


async def test_a_record_without_an_id_ends_an_export_that_ends_at_the_first_error(tmp_path: Path) -> None:
    world = make_world(sessions=3, rows=5)
    world.sessions["s01"].changes = {"id": 7}
    async with world.serve() as client:
        with pytest.raises(DecodeError, match="id"):
            await export_events(client, client.list_sessions(), tmp_path / "events.jsonl", on_error="raise")


@pytest.mark.parametrize("number", [0, 1])
async def test_a_record_without_an_id_fails_in_a_table_too(tmp_path: Path, number: int) -> None:
    pytest.importorskip("deltalake")
    world = make_world(sessions=3, rows=5)
    world.sessions[f"s{number:02}"].changes = {"id": 7}
    async with world.serve() as client:
        for _ in range(2):
            report = await export_to_delta(client, client.list_sessions(), str(tmp_path / "table"), job="nightly")
            (failure,) = report.failures
            assert (report.sessions, failure.error, f"at $.data[{number}].id" in failure.message) == (
                3,
                "DecodeError",
                True,
            )
