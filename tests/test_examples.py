"""The examples run, as programs of their own, against a browser that reads, dawdles, or hangs up."""

import asyncio
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import isnotai_async as isnotai
from examples import prometheus_metrics
from isnotai_async.sandbox import Fault, Sandbox
from tests.command import RUN_MODULE, Command, run_command

ROOT = Path(__file__).parent.parent
APPS = {
    "fastapi": ["uvicorn", "examples.fastapi_app:app", "--host", "127.0.0.1", "--port", "0"],
    "aiohttp": ["examples.aiohttp_app"],
}
PAGES = 10_000  # of the session that is too large to be read to its end by accident


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(rate_limit=None, compress=False) as sandbox:
        yield sandbox


@pytest.fixture(params=APPS)
async def app(request: pytest.FixtureRequest, sandbox: Sandbox) -> AsyncIterator[str]:
    """Run an example and return its address."""
    async with serving(APPS[request.param], sandbox, ROOT) as address:
        yield address


@asynccontextmanager
async def serving(command: list[str], sandbox: Sandbox, folder: Path) -> AsyncIterator[str]:
    """Run a web app and return its address. It has to end cleanly when it is asked to."""
    environment = {
        **os.environ,
        "ISNOTAI_API_KEY": sandbox.api_key,
        "ISNOTAI_BASE_URL": sandbox.base_url,
        "PYTHONUNBUFFERED": "1",
        "PORT": "0",
    }
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    imports = ["fastapi", "uvicorn.main"] if "uvicorn" in command else []
    program = Command(command, program=RUN_MODULE, imports=imports, cwd=folder, env=environment, **pipes)
    assert program.stdout is not None
    said = ""
    try:
        while not (where := re.search(r"http://127\.0\.0\.1:\d+", said)):
            line = await asyncio.to_thread(program.stdout.readline)
            assert line, said
            said += line.decode()
        yield where[0]
    finally:
        program.terminate()
        rest, _ = await asyncio.to_thread(program.communicate)
    said += rest.decode()
    assert program.returncode in {0, -15, 143}
    assert "Traceback" not in said, said
    assert "ERROR" not in said, said
    assert sandbox.api_key not in said


async def until_it_stops(sandbox: Sandbox) -> int:
    """Wait until nothing is asked of the API any more, and tell how much was."""
    before = -1
    while before != sandbox.stats.requests or sandbox.stats.in_flight:
        before = sandbox.stats.requests
        # A walk that goes on makes a request each millisecond or so; it cannot rest by chance for this long.
        await asyncio.sleep(0.3)
    return before


async def test_the_browser_gets_every_event_in_order_or_a_404(app: str) -> None:
    async with aiohttp.ClientSession() as browser, browser.get(f"{app}/sessions/big-2500/events") as answer:
        assert answer.status == 200
        assert answer.content_type == "application/x-ndjson"
        rows = [json.loads(line) async for line in answer.content]

    assert len({row["event_id"] for row in rows}) == len(rows) == 2_500
    assert {row["session_id"] for row in rows} == {"big-2500"}
    times = [row["timestamp"] for row in rows]
    assert times == sorted(times)
    async with aiohttp.ClientSession() as browser, browser.get(f"{app}/sessions/nowhere/events") as answer:
        assert answer.status == 404
        assert "no such session" in await answer.text()


async def test_a_browser_that_hangs_up_stops_the_requests(app: str, sandbox: Sandbox) -> None:
    async with aiohttp.ClientSession() as browser:
        answer = await browser.get(f"{app}/sessions/big-1000000/events")
        await answer.content.readline()
        answer.close()
        asked = await until_it_stops(sandbox)
        assert 0 < asked < PAGES

        async with browser.get(f"{app}/sessions/big-100/events") as other:  # and the app goes on serving
            assert len((await other.read()).splitlines()) == 100
        assert await until_it_stops(sandbox) == asked + 2  # for the session, and for its one page


async def test_a_browser_that_does_not_read_stops_the_requests_too(app: str, sandbox: Sandbox) -> None:
    # 4 KiB of read buffer, and then the sockets' own: some megabytes of the session's 150.
    async with aiohttp.ClientSession(read_bufsize=4096) as browser:
        answer = await browser.get(f"{app}/sessions/big-1000000/events")
        asked = await until_it_stops(sandbox)
        assert 0 < asked < PAGES / 4

        rows = [json.loads(await answer.content.readline()) for _ in range(asked * 50)]  # until it has to go on
        assert len({row["event_id"] for row in rows}) == len(rows)
        answer.close()
        await until_it_stops(sandbox)


@pytest.fixture
async def guide(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[str]:
    """Run the app of docs/web-apps.md and return the address of its sessions."""
    text = (ROOT / "docs" / "web-apps.md").read_text(encoding="utf-8")
    (tmp_path / "guide.py").write_text(text.partition("```python\n")[2].partition("```")[0], encoding="utf-8")
    command = ["uvicorn", "guide:app", "--host", "127.0.0.1", "--port", "0"]
    async with serving(command, sandbox, tmp_path) as address:
        yield f"{address}/sessions"


async def get(url: str, **parameters: str) -> tuple[int, dict[str, Any], str | None]:
    """Return status, body and Retry-After of an answer."""
    async with aiohttp.ClientSession() as browser, browser.get(url, params=parameters) as answer:
        return answer.status, await answer.json(), answer.headers.get("Retry-After")


async def test_the_second_app_of_the_guide_answers_with_records(sandbox: Sandbox, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "web-apps.md").read_text(encoding="utf-8")
    (tmp_path / "second.py").write_text(text.split("```python\n")[2].partition("```")[0], encoding="utf-8")
    command = ["uvicorn", "second:app", "--host", "127.0.0.1", "--port", "0"]
    async with (
        serving(command, sandbox, tmp_path) as address,
        aiohttp.ClientSession() as browser,
        browser.get(f"{address}/sessions/big-5/first") as answer,
    ):
        assert (answer.status, len(await answer.json())) == (200, 5)


async def test_the_app_of_the_guide_goes_from_page_to_page_without_state(guide: str) -> None:
    ids: list[str] = []
    token: dict[str, str] = {}
    for rows in (100, 100, 50):
        status, body, _ = await get(f"{guide}/big-250/events", limit="100", **token)
        assert (status, len(body["data"])) == (200, rows)
        ids += [event["event_id"] for event in body["data"]]
        token = {"after": body["next"]} if body["next"] else {}

    assert (len(set(ids)), token) == (250, {})


async def test_the_app_of_the_guide_rejects_a_token_of_another_session_or_none(guide: str) -> None:
    _, body, _ = await get(f"{guide}/big-250/events", limit="100")

    assert (await get(f"{guide}/big-1000/events", limit="100", after=body["next"]))[0] == 400
    assert (await get(f"{guide}/big-250/events", limit="50", after=body["next"]))[0] == 400
    for hostile in ("", "x", "!!!", "e30=", "bnVsbA=="):
        assert (await get(f"{guide}/big-250/events", limit="100", after=hostile))[0] == 400, hostile


ERRORS = [
    (Fault.status(404), 404, None),
    (Fault.status(401), 500, None),
    (Fault.status(403), 500, None),
    (Fault.status(422), 400, None),
    (Fault.status(503, retry_after=300), 502, None),
    (Fault.rate_limited(300), 503, "300"),  # the last one, because the key pauses after it
]


async def test_the_app_of_the_guide_answers_each_error_with_the_status_that_fits(
    guide: str, sandbox: Sandbox
) -> None:
    for fault, expected, expected_wait in ERRORS:
        sandbox.inject(fault)
        status, _, wait = await get(f"{guide}/big-250/events")
        assert (status, wait) == (expected, expected_wait), fault.name


def run_example(name: str) -> str:
    """Run an example that needs nothing, and return what it prints."""
    done = run_command([f"examples.{name}"], program=RUN_MODULE, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_prometheus_counts_the_seconds_of_waits_that_are_known() -> None:
    for wait in (1.5, math.inf, 2.0):
        notice = isnotai.WaitNotice(region="us", operation="list_events", wait=wait, reason="no slot is free")
        prometheus_metrics.measure(notice)

    assert prometheus_metrics.WAITED.labels("us", "list_events")._value.get() == 3.5


def test_prometheus_counts_attempts_retries_and_records() -> None:
    printed = run_example("prometheus_metrics").splitlines()

    assert 'isnotai_requests_total{operation="list_events",region="us",status="503"} 1.0' in printed
    assert 'isnotai_requests_total{operation="list_events",region="us",status="200"} 1.0' in printed
    assert 'isnotai_retries_total{operation="list_events",region="us"} 1.0' in printed
    assert 'isnotai_records_total{operation="list_events",region="us"} 100.0' in printed


def test_opentelemetry_has_a_span_for_each_attempt_and_shows_no_key() -> None:
    printed = run_example("opentelemetry_tracing")

    assert re.findall(r'"http.status_code": (\d+)', printed) == ["503", "200"]
    assert printed.count('"name": "retry"') == 1
    assert "aik_v1_" not in printed
    assert "authorization" not in printed.lower()


OF_THE_BASE = {"aiohttp", "anyio", "attrs", "cattrs", "isnotai_async", "msgspec", "multidict", "yarl", "examples"}


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_an_example_that_needs_more_than_the_package_says_what_to_install(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    modules = {name.partition(".")[0] for name in re.findall(r"^(?:from|import) ([\w.]+)", text, re.MULTILINE)}
    if more := modules - OF_THE_BASE - sys.stdlib_module_names:
        assert "pip install" in text or "# dependencies = [" in text, more
