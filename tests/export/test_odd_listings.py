"""An export of listed sessions whose records do not all fit the documentation: their ids are enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from isnotai_async import DecodeError, export_events
from tests.integrations.delta_processes import make_world


@pytest.mark.parametrize("number", range(3))
async def test_the_events_of_a_session_whose_record_cannot_be_read_are_exported(tmp_path: Path, number: int) -> None:
    world = make_world(sessions=3, rows=5)
    world.sessions[f"s{number:02}"].changes = {"botScore": "high"}
    async with world.serve() as client:
        report = await export_events(client, client.list_sessions(page_size=2), tmp_path / "events.jsonl")
        assert (report.sessions, report.rows, report.failures) == (3, 15, ())


async def test_a_record_without_an_id_ends_the_listing_with_what_is_wrong(tmp_path: Path) -> None:
    world = make_world(sessions=3, rows=5)
    world.sessions["s01"].changes = {"id": 7}
    async with world.serve() as client:
        with pytest.raises(DecodeError, match="id"):
            await export_events(client, client.list_sessions(), tmp_path / "events.jsonl")
