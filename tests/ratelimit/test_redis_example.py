"""The example of the shared quota runs: a web app and an export, as programs of their own, on one key."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import aiohttp

from isnotai_async.sandbox import Sandbox
from tests.redis_server import running_redis

ROOT = Path(__file__).parents[2]
APP = ["-m", "uvicorn", "examples.shared_quota:app", "--host", "127.0.0.1", "--port", "0"]


async def start(arguments: list[str], environment: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, env={**os.environ, **environment}, stdout=PIPE, stderr=STDOUT
    )


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
            app = await start(APP, environment)
            assert app.stdout is not None
            said = ""
            try:
                while not (where := re.search(r"http://127\.0\.0\.1:\d+", said)):
                    line = await app.stdout.readline()
                    assert line, said
                    said += line.decode()
                export = await start(["-m", "examples.shared_quota", "big-2000", "--out", str(out)], environment)
                async with aiohttp.ClientSession() as browser:
                    while export.returncode is None:
                        async with browser.get(f"{where[0]}/sessions/big-2000") as answer:
                            assert (await answer.json())["id"] == "big-2000"
                        await asyncio.sleep(0.2)
                words, _ = await export.communicate()
                assert export.returncode == 0, words.decode()
            finally:
                app.terminate()
                rest, _ = await app.communicate()
        slots = redis.ask("ZCARD", redis.ask("KEYS", "*:slots")[0].decode())
        assert slots == len(sandbox.stats.arrivals)
        assert sandbox.stats.rejected == 0
    assert len(out.read_text().splitlines()) == 2_000
    assert "Traceback" not in said + rest.decode()
    assert sandbox.api_key not in said + rest.decode() + words.decode()
