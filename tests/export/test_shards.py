"""Shards: the same sessions in every release, and each in exactly one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from isnotai_async.export.shard import is_in_shard
from tests.event_source import ids
from tests.export.desk import all_rows, make_desk
from tests.export.test_export import read_ids

# Four shards, by another tool: printf "us\0s1" | b2sum -l 64
FIXED = {("us", "s1"): 2, ("us", "s2"): 4, ("eu", "s1"): 3, ("us", "big-1000"): 3}


@pytest.mark.parametrize(("name", "session_id"), FIXED)
def test_a_session_stays_in_its_shard_for_ever(name: str, session_id: str) -> None:
    shards = [number for number in range(1, 5) if is_in_shard(name, session_id, (number, 4))]
    assert shards == [FIXED[name, session_id]]


async def test_the_union_of_all_shards_is_the_whole(tmp_path: Path) -> None:
    desk = make_desk({f"s{number}": number % 4 for number in range(40)})
    found = list[str]()
    for number in range(1, 4):
        report = await desk.export(tmp_path / f"{number}.jsonl", shard=(number, 3))
        assert 0 < report.sessions < 40
        found += read_ids(report.path)
    assert sorted(found) == sorted(ids(all_rows(desk)))
    assert (await desk.export(tmp_path / "all.jsonl", shard=(1, 1))).sessions == 40
