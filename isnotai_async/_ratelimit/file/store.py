"""The file through which processes of one machine share the limit: an SQLite database, changed by one at a time.

The data need not survive a crash of the machine, so the file is never synced. Time is the system's monotonic clock,
which all processes of a machine share. The clock restarts with the machine, so data from before a restart is ignored.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from isnotai_async._notices import logger
from isnotai_async._ratelimit.file.rules import answer
from isnotai_async._ratelimit.file.slots import TABLE, StoredSlots
from isnotai_async._ratelimit.shared.protocol import ScriptReply, ScriptRequest
from isnotai_async._ratelimit.shared.store import Store
from isnotai_async.errors import printable

TIMEOUT: Final = 10.0
"""Longest time that one call may wait for the file, in seconds.

On a machine with nine busy programs for each processor, a process that was interrupted in the middle of a change
blocked the others for more than one second.
"""

_PAUSES: Final = (0.001, 0.02)  # between two tries, in seconds
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")  # other systems: a clock that went back shows a restart
_STATE: Final = "create table if not exists state (key text primary key, boot text, packed blob) without rowid;"


class FileStore(Store):
    """A store that keeps the state of keys in one SQLite file.

    Args:
        path: The file. If it does not exist, it is created so that only this user can read it.
        is_ours: Whether the file may be replaced if it is damaged, for example after a power cut.
    """

    advice = "see to the file, or give FileLimiter another path="
    owner = "FileLimiter"

    def __init__(self, path: Path, *, is_ours: bool) -> None:
        super().__init__(f"the file {printable(str(path))}")
        self._path, self._is_ours = path, is_ours
        self._thread = ThreadPoolExecutor(1, "isnotai-limit")
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    async def run(self, keys: tuple[str, str], ask: ScriptRequest) -> ScriptReply:
        """Process a request as soon as no other process uses the file; see `Store.run`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + TIMEOUT
        while True:
            try:
                return await loop.run_in_executor(self._thread, self._answer, keys[0], ask)
            except (sqlite3.Error, OSError) as error:
                if self._is_ours and _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                    await loop.run_in_executor(self._thread, self._discard)
                elif not _is_busy(error) or loop.time() > until:
                    raise self.refusal(_describe(error)) from None
            await asyncio.sleep(random.uniform(*_PAUSES))  # noqa: S311 - so that two processes do not stay in step

    async def aclose(self) -> None:
        """Close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    # The methods below run in the store's thread.

    def _answer(self, key: str, ask: ScriptRequest) -> ScriptReply:
        connection = self._open()
        try:
            connection.execute("begin immediate")
            found = connection.execute("select packed from state where key = ? and boot = ?", (key, _boot()))
            (packed,) = found.fetchone() or (None,)
            slots = StoredSlots(time.monotonic(), ask.length, ask.lease, connection, key)
            reply, written = answer(ask, packed, slots)
            connection.execute("insert or replace into state values (?, ?, ?)", (key, _boot(), written))
            connection.execute("commit")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.rollback()
            raise
        return reply

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            with suppress(OSError):
                if self._path.stat().st_ino == self._inode:
                    return self._connection
            self._close()  # the file was deleted or replaced
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("pragma synchronous = off")
            connection.execute("pragma journal_mode = wal")
            connection.executescript(_STATE + TABLE)
        except BaseException:
            connection.close()
            raise
        self._connection, self._inode = connection, self._path.stat().st_ino
        return connection

    def _discard(self) -> None:
        logger.warning("%s is damaged; it is deleted, and the shared limit starts with an empty state", self.place)
        self._close()
        for end in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + end).unlink(missing_ok=True)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _boot() -> str:
    try:
        return _BOOT.read_text()
    except OSError:
        return ""


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF  # the primary code, without SQLite's extended part


def _is_busy(error: Exception) -> bool:
    return _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _describe(error: Exception) -> str:
    if _is_busy(error):
        return f"another process has had it for {TIMEOUT:g} s"
    return printable(f"{type(error).__name__}: {error}", limit=200)
