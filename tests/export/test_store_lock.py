"""Of two that start in the same instant, one gets the lock."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import anyio
import pytest

from isnotai_async.errors import ExportLockedError
from isnotai_async.export.store_lock import lock_store
from tests.export.desk import make_desk


@pytest.mark.parametrize("_", range(8))
def test_one_of_two_locks_is_taken(tmp_path: Path, _: int) -> None:
    start, end = Barrier(2), Barrier(2)

    def lock(path: Path) -> str:
        start.wait()
        try:
            with closing(lock_store(path)):
                end.wait()
                return "taken"
        except ExportLockedError:
            end.wait()
            return "locked"

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lock, [tmp_path / "store.db"] * 2))
    assert sorted(ends) == ["locked", "taken"]


async def test_one_of_two_exports_writes_and_the_other_says_that_it_does(tmp_path: Path) -> None:
    ends = Counter[str]()

    async def export(target: Path) -> None:
        try:
            await make_desk({"s1": 7}).export(target)
        except ExportLockedError as error:
            assert "another export is writing" in str(error)
            ends["locked"] += 1
        else:
            ends["written"] += 1

    for number in range(12):
        before = ends["written"]
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(export, tmp_path / f"{number}.jsonl")
        assert ends["written"] > before, "both were refused"

    assert ends.total() == 24
    assert ends["locked"] > 0, "else this has tested nothing; one that comes too late finds the receipt"
