"""The example of the shared quota runs: a web app and an export, as programs of their own, on one key."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any

import aiohttp

from isnotai_async.sandbox import Sandbox
from tests.command import RUN_MODULE, Command
from tests.redis_server import running_redis

ROOT = Path(__file__).parents[2]
APP = ["uvicorn", "examples.shared_quota:app", "--host", "127.0.0.1", "--port", "0"]


def start(arguments: list[str], environment: dict[str, str]) -> Command:
    imports, settings = ["fastapi", "uvicorn.main", "redis.asyncio"], {**os.environ, **environment}
    pipes: dict[str, Any] = {"stdout": PIPE, "stderr": STDOUT}
    return Command(arguments, program=RUN_MODULE, imports=imports, cwd=ROOT, env=settings, **pipes)


async def test_an_app_and_an_export_share_the_quota_and_neither_meets_a_429(tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    with running_redis(tmp_path) as redis:
        async with Sandbox(tier="pro") as sandbox:
            environment = {
                "ISNOTAI_API_KEY": sandbox.api_key,
                "ISNOTAI_BASE_URL": sandbox.base_url,
                "REDIS_URL": redis.url,
                "PYTHONUNBUFFERED": "1",
            }
            app = start(APP, environment)
            assert app.stdout is not None
            said = ""
            try:
                while not (where := re.search(r"http://127\.0\.0\.1:\d+", said)):
                    line = await asyncio.to_thread(app.stdout.readline)
                    assert line, said
                    said += line.decode()
                export = start(["examples.shared_quota", "big-2000", "--out", str(out)], environment)
                async with aiohttp.ClientSession() as browser:
                    while export.poll() is None:
                        async with browser.get(f"{where[0]}/sessions/big-2000") as answer:
                            assert (await answer.json())["id"] == "big-2000"
                        await asyncio.sleep(0.2)
                words, _ = await asyncio.to_thread(export.communicate)
                assert export.returncode == 0, words.decode()
            finally:
                app.terminate()
                rest, _ = await asyncio.to_thread(app.communicate)
        slots = redis.ask("ZCARD", redis.ask("KEYS", "*:slots")[0].decode())
        assert slots == len(sandbox.stats.arrivals)
        assert sandbox.stats.rejected == 0
    assert len(out.read_text().splitlines()) == 2_000
    assert "Traceback" not in said + rest.decode()
    assert sandbox.api_key not in said + rest.decode() + words.decode()
