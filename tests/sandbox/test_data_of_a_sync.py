"""The sandbox with the database of a sync: sessions are served as the API showed them, with their events."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from isnotai_async import Client, ConfigError, Session, Unlimited, update_store
from isnotai_async.sandbox import Sandbox
from tests.export.sync_world import DAY, Played, World, read_rows
from tests.sandbox.conftest import Asker

pytestmark = pytest.mark.filterwarnings("ignore::isnotai_async.IsNotAIWarning")  # of records without times


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    """Sync a world of three sessions, of which one has no events."""
    world = World()
    for number in range(3):
        world.add_session(f"s{number}", world.now - (3 + number) * DAY)
        world.grow(f"s{number}", *(world.now - 4 * DAY + n for n in range(number * 4)), moves=False)
    world.sessions["s1"].changes = {
        "updatedAt": "2026-05-25T00:00:00.123456Z",
        "status": "odd",
        "botScore": 0.9,
        "detectionFlags": ["webdriver"],
        "userId": "u1",
        "userName": "Ana Souza",
        "pageUrl": "https://learn.example.edu/courses/7",
        "newThing": {"a": [1]},
    }
    world.sessions["s0"].changes = {"createdAt": None, "updatedAt": None}
    async with world.serve() as client:
        await Played(world, client, tmp_path / "events.db").sync()
    return tmp_path / "events.db"


async def read_sessions(sandbox: Sandbox, **filters: object) -> list[Session]:
    async with Client(sandbox.api_key, base_url=sandbox.base_url, limiter=Unlimited()) as client:
        return await client.list_sessions(**filters).to_list()  # type: ignore[arg-type]


async def test_sessions_are_served_as_the_api_showed_them(store: Path, ask: Asker) -> None:
    async with Sandbox(data=store) as sandbox:
        sessions = await read_sessions(sandbox)
        [bot] = await read_sessions(sandbox, bot_only=True)
        users = await ask.walk(sandbox, "/v1/users")
        details = [(await ask(sandbox, f"/v1/sessions/{name}/details")).json["data"] for name in ("s0", "s1")]
    assert [session.id for session in sessions] == ["s0", "s2", "s1"], "by creation"
    assert bot == sessions[2]
    assert bot.updated_at == datetime(2026, 5, 25, 0, 0, 0, 123456, tzinfo=UTC)
    assert (bot.status, bot.bot_score, bot.detection_flags, bot.user_name) == (
        "odd",
        0.9,
        ("webdriver",),
        "Ana Souza",
    )
    assert bot.extra == {"newThing": {"a": [1]}}
    assert sessions[0].created_at is None
    assert [user["userName"] for user in users] == ["Ana Souza"]
    assert [each["eventCounts"]["total"] for each in details] == [0, 4]


async def test_sync_serve_sync_gives_the_same_database(store: Path, tmp_path: Path) -> None:
    async with (
        Sandbox(data=store, rate_limit=None) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.base_url, limiter=Unlimited()) as client,
    ):
        await update_store(client, tmp_path / "again.db", include_open=True)
    assert read_rows(tmp_path / "again.db") == read_rows(store)
    columns = "region, id, created_at, updated_at, status, bot_score, detection_flags, page_url, user_id, extra"
    tables = []
    for path in (store, tmp_path / "again.db"):
        with closing(sqlite3.connect(path)) as db:
            tables.append(db.execute(f"SELECT {columns} FROM sessions ORDER BY id").fetchall())
    assert tables[0] == tables[1]
    assert len(tables[0]) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("detection_flags = 'x'", "session 's1': detection_flags or extra is no JSON"),
        ("extra = '[]'", "session 's1': detection_flags or extra is no JSON"),
        ("created_at = 'soon'", "Invalid isoformat"),
        ("region = x'00'", "region and id have to be strings"),
    ],
)
async def test_a_changed_record_is_refused_with_its_place(store: Path, change: str, message: str) -> None:
    with closing(sqlite3.connect(store)) as db:
        db.execute(f"UPDATE sessions SET {change} WHERE id = 's1'")
        db.commit()
    with pytest.raises(ConfigError, match=message):
        Sandbox(data=store)
