"""The made-up data: that it hangs together, and that it never changes."""

from __future__ import annotations

import json
import tracemalloc
from bisect import bisect_left
from collections import Counter
from datetime import datetime
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest

from isnotai_async.sandbox.event_generator import EventLog
from isnotai_async.sandbox.generated import Dataset
from isnotai_async.sandbox.seed_data import CATEGORIES, NAMES, NOW_MS, Dice, iso, scramble, seed_of, to_ms


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Dataset(seed_of("tests"), 40)


def all_events(log: EventLog) -> list[dict[str, Any]]:
    return [log.event(index) for index in range(log.size)]


def test_the_same_seed_gives_the_same_bytes_on_every_machine() -> None:
    # Pinned: other people's tests rely on it. Change it only with a note in the changelog.
    dataset = Dataset(7, 3)
    rows: list[object] = []
    for session_id in (*dataset.ids, "big-200"):
        rows += [dataset[session_id].show(), dataset[session_id].details, all_events(dataset[session_id].log)]

    assert (
        sha256(json.dumps(rows).encode()).hexdigest()
        == "3cd834d51ddb84e82d9860e78bf46a53025c2d6a42c8c0d6c868052098936ffd"
    )


def test_other_seeds_give_other_data() -> None:
    assert not set(Dataset(1, 40).ids) & set(Dataset(2, 40).ids)
    assert Dataset(1, 1)["big-9"].log.event(0) != Dataset(2, 1)["big-9"].log.event(0)


def test_dice_keep_their_sequence() -> None:
    dice = Dice("a", 1)

    assert [dice.between(1, 6) for _ in range(8)] == [6, 2, 5, 3, 3, 2, 2, 3]
    assert scramble(0) == 0xE220A8397B1DCDAF  # splitmix64's published first output for seed 0


def test_sizes_run_from_none_upward(dataset: Dataset) -> None:
    sizes = sorted(dataset[session_id].log.size for session_id in dataset.ids)

    assert sizes[:5] == [0, 0, 1, 1, sizes[4]]
    assert sizes[4] >= 50
    assert sizes[-1] <= 2_000
    assert 20_000 <= sum(sizes) <= 30_000


def test_ids_are_unique_and_times_never_fall(dataset: Dataset) -> None:
    seen: set[str] = set()
    for session_id in (*dataset.ids, "big-5000"):
        events = all_events(dataset[session_id].log)
        times = [event["timestamp"] for event in events]
        seen.update(event["eventId"] for event in events)
        assert times == sorted(times)
    assert len(seen) == sum(dataset[session_id].log.size for session_id in (*dataset.ids, "big-5000"))


def test_some_events_share_a_millisecond_and_ids_do_not_follow_time(dataset: Dataset) -> None:
    events = all_events(dataset["big-5000"].log)
    per_millisecond = Counter(event["timestamp"] for event in events)
    ids = [event["eventId"] for event in events]

    assert max(per_millisecond.values()) >= 3
    assert ids != sorted(ids)


def test_all_sessions_lie_within_the_free_tiers_history_and_before_now(dataset: Dataset) -> None:
    for session_id in (*dataset.ids, "big-1000000"):
        log = dataset[session_id].log
        assert NOW_MS - 7 * 86_400_000 < log.start_ms <= log.end_ms < NOW_MS


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 1_000, 20_000])
def test_a_big_session_has_exactly_its_size(dataset: Dataset, size: int) -> None:
    log = dataset[f"big-{size}"].log

    assert len(all_events(log)) == log.size == size


@pytest.mark.parametrize(
    "name", ["big-", "big-01", "big-1000001", "big-\u0661", "big-1 ", "BIG-1", "big--1", "s1", ""]
)
def test_other_names_are_no_sessions(dataset: Dataset, name: str) -> None:
    with pytest.raises(KeyError):
        dataset[name]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 700, 20_000])
def test_a_time_is_found_where_a_search_through_all_events_finds_it(dataset: Dataset, size: int) -> None:
    log = dataset[f"big-{size}"].log
    times = [event["timestamp"] for event in all_events(log)]
    for at in {time + step for time in times for step in (-1, 0, 1)} | {0, 2**63}:
        assert log.first_at(at) == bisect_left(times, at)


def test_counts_and_kinds_are_those_of_the_events(dataset: Dataset) -> None:
    log = dataset["big-20000"].log
    kinds = [event["messageId"] for event in all_events(log)]
    dice = Dice("ranges")
    for _ in range(100):
        start, stop = sorted((dice.between(0, 20_000), dice.between(0, 20_000)))
        kind = dice.between(0, 20)
        assert log.counts(start, stop) == Counter(kinds[start:stop])
        expected = [i for i in range(start, stop) if kinds[i] == kind]
        assert list(log.of_kind(kind, start, stop)) == expected


def test_details_agree_with_the_events(dataset: Dataset) -> None:
    for session_id in (*dataset.ids, "big-0", "big-1", "big-2", "big-3", "big-5000"):
        log, details = dataset[session_id].log, dataset[session_id].details
        events = all_events(log)
        kinds = Counter(event["messageId"] for event in events)
        timeline = details["timeline"]
        assert details["eventCounts"]["total"] == len(events)
        for name, members in CATEGORIES.items():
            assert details["eventCounts"][name] == sum(kinds[member] for member in members)
        assert sum(bucket["eventCount"] for bucket in timeline) == len(events)
        assert len(timeline) <= 101
        opened = [iso(event["timestamp"]) for event in events if event["eventTypeName"] == "navigate"]
        assert [page["timestamp"] for page in details["pageHistory"]] == opened
        if events:
            assert details["startTime"] == iso(events[0]["timestamp"])
            assert details["endTime"] == iso(events[-1]["timestamp"])


def test_each_bucket_counts_the_events_from_its_start_to_the_next(dataset: Dataset) -> None:
    log, timeline = dataset["big-5000"].log, dataset["big-5000"].details["timeline"]
    starts = [to_ms(datetime.fromisoformat(bucket["timestamp"])) for bucket in timeline]
    events = all_events(log)
    for bucket, start, stop in zip(timeline, starts, [*starts[1:], log.end_ms + 1], strict=True):
        inside = [event for event in events if start <= event["timestamp"] < stop]
        kinds = Counter(event["eventTypeName"] for event in inside)
        assert bucket["eventCount"] == len(inside)
        assert kinds[bucket["dominantEventType"]] == max(kinds.values())
        assert 0 < bucket["activityLevel"] <= 1


def test_bots_keep_a_regular_rhythm_and_people_do_not(dataset: Dataset) -> None:
    gaps: dict[str, set[int]] = {}
    for session_id in dataset.ids:
        times = [event["timestamp"] for event in all_events(dataset[session_id].log)]
        gaps.setdefault(dataset[session_id].persona.name, set()).update(b - a for a, b in pairwise(times))

    assert len(gaps["BOT"]) < 10
    assert len(gaps["DESKTOP"]) > 200


def test_faces_have_gaps_where_the_contract_allows_null(dataset: Dataset) -> None:
    shown = [dataset[session_id].show() for session_id in dataset.ids]
    for name in ("botScore", "userId", "userName", "userUrl", "pageUrl"):
        assert {row[name] is None for row in shown} == {True, False}, name
    assert any(not str(row["userName"]).isascii() for row in shown)
    assert {row["status"] for row in shown} == {"active", "closed"}
    assert all(row["detectionFlags"] == [] or float(str(row["botScore"])) >= 0.7 for row in shown)


def test_a_million_events_are_not_held() -> None:
    dataset = Dataset(1, 0)
    tracemalloc.start()
    log, details = dataset["big-1000000"].log, dataset["big-1000000"].details
    page = [log.event(index) for index in range(999_900, 1_000_000)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert details["eventCounts"]["total"] == 1_000_000
    assert len(page) == 100
    assert peak < 8 * 2**20


def test_short_names_are_lower_case_and_the_documented_ones_are_there() -> None:
    assert {"init", "mouse_move", "keypress"} <= set(NAMES.values())
    assert all(name == name.lower() and 0 <= byte <= 255 for byte, name in NAMES.items())


def test_dates_are_written_as_in_the_contracts_example() -> None:
    assert iso(NOW_MS) == "2026-06-10T12:00:00.0000000+00:00"
    assert iso(NOW_MS + 1) == "2026-06-10T12:00:00.0010000+00:00"
