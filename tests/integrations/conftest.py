"""What tests of Delta jobs stand on: a small world, a client of it, and pieces of two sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isnotai_async import Client, Retry
from isnotai_async.integrations import _delta_plan
from tests.export.sync_world import World
from tests.integrations.delta_processes import make_world


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_delta_plan, "PIECE_SESSIONS", 2)
    monkeypatch.setattr(_delta_plan, "SLOTS", 2)


@pytest.fixture
def world() -> World:
    return make_world(sessions=7, rows=5)


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    async with world.serve() as client:
        yield client.with_options(retry=Retry(attempts=1))


@pytest.fixture
def table(tmp_path: Path) -> str:
    return str(tmp_path / "table")
