"""The limiter that processes of one machine share through a file. Two `FileLimiter` stand for two processes here."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import sqlite3
import stat
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest

import isnotai_async as isnotai
from isnotai_async._models.regions import REGIONS
from isnotai_async._ratelimit.file import place, store
from isnotai_async._ratelimit.policy import FULL, PAUSED
from isnotai_async._ratelimit.shared.key_limiter import SharedKeyLimiter
from tests.canary import CANARY_KEY, find_key

US, KEY = REGIONS["us"], "ab" * 16
OK = isnotai.RequestOutcome(200)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "limit.db"


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[SharedKeyLimiter]:
    async with isnotai.FileLimiter(path, **options) as limiter:
        yield limiter.bind(US, KEY)


class WindowIsFullError(Exception):
    pass


def give_up_when_full(wait: float, reason: str) -> None:
    if reason == FULL:
        raise WindowIsFullError


async def take(limiter: SharedKeyLimiter, *, at_most: int = 1000, answer: isnotai.RequestOutcome = OK) -> int:
    """Take permits, one after the other, until the window is full or a wait too long."""
    count = 0
    try:
        while count < at_most:
            async with asyncio.timeout(4):
                permit = await limiter.acquire(bulk=False, on_wait=give_up_when_full)
            await limiter.release(permit, answer)
            count += 1
    except (TimeoutError, WindowIsFullError):
        pass
    await told(limiter)
    return count


async def told(limiter: SharedKeyLimiter) -> None:
    """Wait until all that ended is in the file."""
    async with asyncio.timeout(10):
        while limiter._task is not None:
            await asyncio.sleep(0.005)


async def test_what_one_process_sent_the_other_knows(path: Path) -> None:
    async with opened(path) as one, opened(path) as other:
        assert await take(one, at_most=40) == 40
        assert await take(other) == 20
        assert await take(one) == 0


async def test_two_keys_and_two_regions_have_nothing_in_common(path: Path) -> None:
    async with isnotai.FileLimiter(path) as limiter:
        for key in (limiter.bind(US, KEY), limiter.bind(US, "cd" * 16), limiter.bind(REGIONS["eu"], KEY)):
            assert await take(key) == 60


async def test_the_tier_that_one_process_learns_is_the_others_too(path: Path) -> None:
    async with opened(path) as one, opened(path) as other:
        assert await take(one, at_most=2, answer=isnotai.RequestOutcome(200, None, isnotai.Tier.PRO)) == 2
        assert await take(other, at_most=150) == 150
        assert other.tier is isnotai.Tier.PRO


async def test_a_429_pauses_all_processes_and_one_probe_goes_first(path: Path) -> None:
    async with opened(path, tier="pro") as one, opened(path, tier="pro") as other:
        loop, reasons = asyncio.get_running_loop(), list[str]()
        assert await take(one, at_most=1, answer=isnotai.RequestOutcome(429, 1.0)) == 1
        begun = loop.time()
        waiting = [
            asyncio.create_task(limiter.acquire(bulk=False, on_wait=lambda _, reason: reasons.append(reason)))
            for limiter in (other, one)
        ]
        done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), len(rest), set(reasons)) == (1, 1, {PAUSED})
        assert loop.time() - begun >= 0.9
        (probe,) = done
        await (other if probe is waiting[0] else one).release(await probe, OK)
        async with asyncio.timeout(5):
            await asyncio.gather(*rest)


async def test_a_client_keeps_to_the_limit_of_the_file(path: Path) -> None:
    async with (
        isnotai.Sandbox(tier="free", window=1.0) as sandbox,
        isnotai.FileLimiter(path, window=1.0) as limiter,
        isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=limiter) as client,
    ):
        await asyncio.gather(*(client.get_session("big-1") for _ in range(130)))
        assert (len(sandbox.stats.arrivals), sandbox.stats.rejected) == (130, 0)


# What can happen to the file.


async def test_a_file_that_is_deleted_is_made_again_and_told_what_was_sent(path: Path) -> None:
    async with opened(path) as one, opened(path) as other:
        assert await take(one, at_most=20) == 20
        assert await take(other, at_most=20) == 20
        for file in path.parent.iterdir():
            file.unlink()
        assert sum(await asyncio.gather(take(one), take(other))) == 20


async def test_what_another_boot_wrote_is_not_read(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as limiter:
        assert await take(limiter) == 60
    boot = tmp_path / "boot"
    boot.write_text("another")
    monkeypatch.setattr(store, "_BOOT", boot)
    async with opened(path) as limiter:
        assert await take(limiter) == 60


@pytest.mark.parametrize("packed", [b"", b"hello", b"\x80", b"\x07"])
async def test_a_state_that_cannot_be_read_is_replaced_with_one_warning_and_nothing_is_forgotten(
    path: Path, packed: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path) as limiter:
        assert await take(limiter, at_most=40) == 40
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("update state set packed = ?", (packed,))
        assert await take(limiter) == 20
    ours = [record for record in caplog.records if record.name == "isnotai_async"]  # asyncio's debug mode warns too
    assert [record.levelno for record in ours].count(logging.WARNING) == 1
    assert "something else" in caplog.text


async def test_a_file_that_is_something_else_is_left_alone(path: Path) -> None:
    path.write_bytes(b"my own words " * 1000)
    async with opened(path) as limiter:
        with pytest.raises(isnotai.LimiterError, match="file is not a database; see to the file") as caught:
            await limiter.acquire(bulk=False)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert path.read_bytes() == b"my own words " * 1000


async def test_a_damaged_file_in_the_cache_folder_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    async with isnotai.FileLimiter() as limiter:
        assert await take(limiter.bind(US, KEY), at_most=3) == 3
    (file,) = (tmp_path / "isnotai-async").iterdir()
    file.write_bytes(b"\0" * 20_000)
    async with isnotai.FileLimiter() as limiter:
        assert await take(limiter.bind(US, KEY), at_most=3) == 3
    assert "is damaged; it is deleted" in caplog.text


async def test_a_process_that_is_interrupted_in_the_middle_of_a_change_costs_a_wait_and_no_error(path: Path) -> None:
    async with opened(path) as limiter:
        assert await take(limiter, at_most=3) == 3
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("begin immediate")
            waiting = asyncio.create_task(limiter.acquire(bulk=False))
            await asyncio.wait([waiting], timeout=1.5)
            assert not waiting.done()
        async with asyncio.timeout(5):
            await waiting


async def test_a_lock_that_another_process_holds_is_waited_for_a_while_and_then_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "TIMEOUT", 1.0)
    async with opened(path) as limiter:
        assert await take(limiter, at_most=3) == 3
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("begin immediate")
            loop = asyncio.get_running_loop()
            begun = loop.time()
            with pytest.raises(isnotai.LimiterError, match="another process has had it for 1 s"):
                await limiter.acquire(bulk=False)
            assert 0.9 < loop.time() - begun < 5
        async with asyncio.timeout(10):
            while "shared" not in repr(limiter):
                with pytest.raises(isnotai.LimiterError):
                    await limiter.acquire(bulk=False)
                await asyncio.sleep(0.1)
        assert await take(limiter) == 57


HOLDER = """
import asyncio, sys
import isnotai_async as isnotai

async def main():
    async with isnotai.FileLimiter(sys.argv[1], window=1.0, lease=1.0) as limiter:
        for _ in range(60):
            await limiter.bind(isnotai.REGIONS["us"], "ab" * 16).acquire(bulk=False)
        print("ready", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_what_a_killed_or_stopped_process_held_comes_back_after_lease_and_window(
    path: Path, how: signal.Signals
) -> None:
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, str(path), cwd=ROOT, stdout=PIPE)
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"ready\n"
        holder.send_signal(how)
        async with opened(path, window=1.0, lease=1.0) as limiter:
            waits = list[float]()
            async with asyncio.timeout(10):
                await limiter.acquire(bulk=False, on_wait=lambda wait, _: waits.append(wait))
            assert 0 < waits[0] <= 2.1  # what is left of a lease and a window since the permits
    finally:
        with suppress(ProcessLookupError):
            holder.kill()
        await holder.wait()


# Where it is, and what it shows.


@pytest.mark.skipif(os.name != "posix", reason="Windows has no modes of files")
async def test_the_default_file_is_for_this_user_only_and_does_not_show_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    async with isnotai.FileLimiter() as limiter:
        client = isnotai.Client(CANARY_KEY, limiter=limiter)
        bound = client._paced.limiter
        assert isinstance(bound, SharedKeyLimiter)
        assert await take(bound, at_most=2) == 2
        folder = tmp_path / "isnotai-async"
        files = {file: file.read_bytes() for file in folder.iterdir()}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert find_key(limiter, client) == []
        assert CANARY_KEY not in f"{limiter!r} {bound!r} {files!r}"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no modes of files")
def test_a_folder_that_others_can_write_to_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "isnotai-async").mkdir()
    (tmp_path / "isnotai-async").chmod(0o777)
    with pytest.raises(isnotai.ConfigError, match="others can write to"):
        isnotai.FileLimiter().bind(US, KEY)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_a_network_file_system_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    mounts, shared = tmp_path / "mountinfo", tmp_path / "a b"
    shared.mkdir()
    escaped = str(shared).replace(" ", "\\040")
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:5 / {escaped} rw shared:1 - {kind} host:/x rw\n")
    monkeypatch.setattr(place, "_MOUNTS", mounts)
    with pytest.raises(isnotai.ConfigError, match=f"network file system .{kind}.*RedisLimiter"):
        isnotai.FileLimiter(shared / "limit.db")
    isnotai.FileLimiter(tmp_path / "limit.db")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "/does/not/exist/limit.db"}, "does not exist; make it"),
        ({"tier": "gold"}, "tier must be free"),
        ({"lease": None}, "lease must be seconds"),
        ({"window": float("inf")}, "window must be seconds"),
    ],
)
def test_options_that_cannot_be_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(isnotai.ConfigError, match=message):
        isnotai.FileLimiter(**options)


def test_a_limiter_is_not_pickled(path: Path) -> None:
    with pytest.raises(TypeError, match="holds an open connection or file"):
        pickle.dumps(isnotai.FileLimiter(path))


async def test_closing_twice_is_closing_once_and_a_closed_one_rejects_calls(path: Path) -> None:
    limiter = isnotai.FileLimiter(path)
    key = limiter.bind(US, KEY)
    assert await take(key, at_most=1) == 1
    await limiter.aclose()
    await limiter.aclose()
    with pytest.raises(isnotai.ConfigError, match="is closed"):
        await key.acquire(bulk=False)


def test_a_limiter_belongs_to_one_event_loop(path: Path) -> None:
    limiter = isnotai.FileLimiter(path)
    asyncio.run(_use(limiter))
    with pytest.raises(isnotai.ConfigError, match="another event loop"):
        asyncio.run(_use(limiter))
    asyncio.run(limiter.aclose())


async def _use(limiter: isnotai.FileLimiter) -> None:
    assert await take(limiter.bind(US, KEY), at_most=1) == 1
