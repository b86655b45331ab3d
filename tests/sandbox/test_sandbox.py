"""Opening, closing, options."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

import isnotai_async.sandbox as package
from isnotai_async.errors import ConfigError
from isnotai_async.sandbox import Fault, Sandbox
from isnotai_async.sandbox.limits import LIST_OPERATIONS, OPERATION_NAMES
from isnotai_async.sandbox.region import make_mints
from isnotai_async.sandbox.routes import OPERATIONS

DOCS = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")


async def test_starting_and_closing_twice_does_nothing_more(ask: Any) -> None:
    sandbox = Sandbox()
    await sandbox.start()
    url = sandbox.base_url
    await sandbox.start()
    assert sandbox.base_url == url
    assert (await ask(sandbox, "/health")).status == 200
    await sandbox.aclose()
    await sandbox.aclose()

    assert repr(sandbox) == "<Sandbox seed='isnotai' closed>"


async def test_it_can_be_opened_again_and_goes_on_counting(ask: Any) -> None:
    sandbox = Sandbox()
    for _ in range(2):
        async with sandbox:
            await ask(sandbox, "/v1/integration")

    assert sandbox.stats.requests == 2


async def test_closed_means_closed() -> None:
    async with Sandbox() as sandbox:
        host, port = sandbox.base_url.removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))
    with pytest.raises(ConfigError, match="not open"):
        _ = sandbox.base_url


async def test_two_can_run_side_by_side(ask: Any) -> None:
    async with Sandbox() as one, Sandbox(seed=2) as two:
        assert len({*one.base_urls.values(), *two.base_urls.values()}) == 4
        assert (await ask(one, "/v1/integration")).status == 200
        headers = {"Authorization": f"Bearer {one.api_key}"}
        assert (await ask(two, "/v1/integration", headers=headers)).status == 401


def free_pair() -> int:
    """A port that is free together with the next."""
    for port in range(20_000, 60_000, 2):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no free pair of ports")


async def test_a_given_port_is_the_us_and_the_next_the_eu() -> None:
    port = free_pair()
    async with Sandbox(port=port) as sandbox:
        assert sandbox.base_urls == {"us": f"http://127.0.0.1:{port}", "eu": f"http://127.0.0.1:{port + 1}"}


async def test_a_taken_port_is_an_error_that_leaves_nothing_open() -> None:
    port = free_pair()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + 1))
        taken.listen()
        sandbox = Sandbox(port=port)
        with pytest.raises(OSError, match="in use"):
            await sandbox.start()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    async with sandbox:
        assert sandbox.base_url.endswith(str(port))


async def test_a_cancelled_user_leaves_nothing_open() -> None:
    ports: list[int] = []

    async def use() -> None:
        async with Sandbox() as sandbox:
            ports.extend(int(url.rsplit(":", 1)[1]) for url in sandbox.base_urls.values())
            await asyncio.sleep(3_600)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(use(), 0.2)
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
    assert len(ports) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
async def test_it_listens_on_loopback(host: str, ask: Any) -> None:
    async with Sandbox(host=host) as sandbox:
        assert (await ask(sandbox, "/health")).status == 200


async def test_keys_can_be_given(ask: Any) -> None:
    async with Sandbox(api_keys={"eu": "my-own-key"}) as sandbox:
        assert sandbox.api_keys["eu"] == "my-own-key"
        assert sandbox.api_key.startswith("aik_v1_")
        assert (await ask(sandbox, "/v1/integration", region="eu")).status == 200


def test_no_repr_shows_a_key() -> None:
    sandbox = Sandbox(api_keys={"us": "canary-key"})

    assert "canary" not in repr(sandbox)
    assert "canary" not in repr(sandbox._regions)


@pytest.mark.parametrize(
    "options",
    [
        {"sessions": -1},
        {"sessions": "40"},
        {"sessions": True},
        {"sessions": None},
        {"big_sessions": (1_000_001,)},
        {"big_sessions": (5, 5)},
        {"tier": "gold"},
        {"tier": {"us": "gold"}},
        {"tier": {"mars": "free"}},
        {"rate_limit": 0},
        {"rate_limit": "none"},
        {"window": 0},
        {"window": float("inf")},
        {"window": None},
        {"counter": "guess"},
        {"latency": -1},
        {"latency": (2, 1)},
        {"latency": (1, 2, 3)},
        {"cursor_ttl": 0},
        {"page_size_cap": 0},
        {"host": "0.0.0.0"},
        {"host": "example.org"},
        {"port": 65_535},
        {"api_keys": {"us": ""}},
        {"api_keys": {"us": "ké"}},
        {"api_keys": {"us": "same", "eu": "same"}},
        {"api_keys": {"mars": "key"}},
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        Sandbox(**options)
    assert "same" not in str(refused.value)


@pytest.mark.parametrize("region", ["mars", ""])
def test_unknown_regions_are_refused(region: str) -> None:
    sandbox = Sandbox()
    for ask_for in (sandbox.session_ids, sandbox.region_stats, lambda name: sandbox.set_tier(name, "free")):
        with pytest.raises(ConfigError, match="us, eu"):
            ask_for(region)


def test_the_tables_of_operations_agree() -> None:
    assert {operation.name for operation in OPERATIONS} == set(OPERATION_NAMES)
    assert set(make_mints(1, None)) == set(LIST_OPERATIONS)


def test_importing_and_making_it_does_not_import_the_server() -> None:
    code = (
        "import sys, isnotai_async.sandbox as s; s.Sandbox(); "
        "assert 'aiohttp.web' not in sys.modules; "
        "assert not {m for m in sys.modules if m == 'isnotai_async.sandbox.http_app'}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_fault_is_in_the_tables_of_package_and_docs() -> None:
    makers = {name for name, value in vars(Fault).items() if isinstance(value, classmethod)}
    assert package.__doc__ is not None
    for name in makers:
        assert f"`{name}`" in package.__doc__
        assert re.search(rf"`{name}[`(]", DOCS), name


def test_it_shares_no_code_with_the_client() -> None:
    for file in Path(package.__file__).parent.glob("*.py"):
        for line in file.read_text().splitlines():
            if line.lstrip().startswith(("import isnotai_async", "from isnotai_async")):
                assert "isnotai_async.sandbox" in line or "isnotai_async.errors import" in line


def test_trio_is_a_config_error_that_names_asyncio() -> None:
    sandbox = Sandbox()
    with pytest.raises(ConfigError, match="asyncio"):
        trio.run(sandbox.start)
