"""The sandbox with data from a file: the rows that an export wrote, served again."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from isnotai_async import Client, Unlimited, export_events
from isnotai_async.errors import ConfigError
from isnotai_async.export.batches import Batch
from isnotai_async.export.formats import choose_format
from isnotai_async.export.system import System
from isnotai_async.sandbox import Sandbox
from isnotai_async.sandbox.recorded import read_recordings
from tests.command import Command, run_command
from tests.sandbox.conftest import Asker

Row = dict[str, Any]
T = 1_781_000_000_000


def make_row(session_id: str, number: int, **changes: Any) -> Row:
    return {
        "region": "us",
        "session_id": session_id,
        "event_id": f"{session_id}-{number}",
        "message_id": 200 + number % 3,
        "event_type_name": ("keypress", "hover", "mouse_move")[number % 3],
        "timestamp": T + 1_000 * number,
        "payload_size": number,
        **changes,
    }


def write(path: Path, rows: Iterable[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_parquet(path: Path, rows: list[Row]) -> Path:
    table = pa.Table.from_pylist(rows)
    at = table.column_names.index("timestamp")
    pq.write_table(table.set_column(at, "timestamp", table["timestamp"].cast(pa.timestamp("ms", tz="UTC"))), path)
    return path


ROWS = [make_row("b", n) for n in range(7)] + [make_row("a", n) for n in range(3)] + [make_row("b", 7)]


async def export(source: Sandbox, target: Path, region: str = "us", **options: Any) -> Path:
    key, base_url = source.api_keys[region], source.base_urls[region]
    async with Client(key, region=region, base_url=base_url, limiter=Unlimited()) as client:
        await export_events(client, client.list_sessions(), target, concurrency=1, **options)
    return target


@pytest.mark.parametrize(
    "name", ["first.jsonl", "first.jsonl.gz", "first.csv", "first.sqlite", "first.parquet", "first"]
)
async def test_export_serve_export_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    options: dict[str, Any] = {} if "." in name else {"format": "parquet", "segments": True}
    async with Sandbox(sessions=5, rate_limit=None) as made_up:
        first = await export(made_up, tmp_path / name, **options)
        expected = await export(made_up, tmp_path / "expected.jsonl")
    async with Sandbox(data=first, rate_limit=None) as recorded:
        again = await export(recorded, tmp_path / "again.jsonl")

    assert again.read_bytes() == expected.read_bytes()
    assert expected.stat().st_size > 100_000


def test_the_keys_that_guard_data_of_ones_own_are_new_each_time(tmp_path: Path) -> None:
    file = write(tmp_path / "rows", ROWS)
    keys = {key for _ in range(2) for key in Sandbox(data=file).api_keys.values()}

    assert len(keys) == 4
    assert all(re.fullmatch(r"aik_v1_[A-Za-z0-9_-]{40}", key) for key in keys)
    assert Sandbox(data=file, api_keys={"us": "mine"}).api_key == "mine"


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.csv", "rows.sqlite", "rows.parquet"])
async def test_null_names_and_awkward_strings_are_read_as_they_were_exported(tmp_path: Path, name: str) -> None:
    names = [None, "", "=1+1", "'", "a,b", 'say "it"', "two\nlines"]
    batch = Batch("us", "s1", ([f"e{n}" for n in range(7)], [1] * 7, names, [T] * 7, [5] * 7))
    choose_format(tmp_path / name, None).write(iter([batch]), tmp_path / name, System())

    session = read_recordings(tmp_path / name)["us"]["s1"]
    assert [session.log.event(index)["eventTypeName"] for index in range(session.log.size)] == names


async def test_regions_stay_apart_and_other_names_are_served_by_us(tmp_path: Path, ask: Asker) -> None:
    rows = [make_row("a", 0), make_row("a", 1, region="eu"), make_row("c", 2, region="acme-eu")]
    async with Sandbox(data=write(tmp_path / "rows", rows)) as sandbox:
        assert (sandbox.session_ids("us"), sandbox.session_ids("eu")) == (("a", "c"), ("a",))
        [event] = (await ask(sandbox, "/v1/sessions/a/events", region="eu")).json["data"]
        assert event["eventId"] == "a-1"
        assert (await ask(sandbox, "/v1/sessions/c/events", region="eu")).status == 404


async def test_events_keep_the_files_order_and_their_fields(tmp_path: Path, ask: Asker) -> None:
    async with Sandbox(data=write(tmp_path / "rows", ROWS)) as sandbox:
        listed = await ask.walk(sandbox, "/v1/sessions/b/events", pageSize=3)

    assert [event["eventId"] for event in listed] == [f"b-{n}" for n in range(8)]
    assert listed[1] == {
        "eventId": "b-1",
        "messageId": 201,
        "eventTypeName": "hover",
        "timestamp": T + 1_000,
        "payloadSize": 1,
    }


async def test_sessions_tell_what_the_file_knows_and_null_for_the_rest(tmp_path: Path, ask: Asker) -> None:
    async with Sandbox(data=write(tmp_path / "rows", ROWS)) as sandbox:
        listed = await ask.walk(sandbox, "/v1/sessions")
        missing = await ask(sandbox, "/v1/sessions/big-1")

    assert [session["id"] for session in listed] == ["b", "a"]
    assert listed[1] == {
        "id": "a",
        "createdAt": "2026-06-09T10:13:20.0000000+00:00",
        "updatedAt": "2026-06-09T10:13:22.0000000+00:00",
        "status": "closed",
        "botScore": None,
        "detectionFlags": [],
        "pageUrl": None,
        "userAgentSummary": None,
        "userId": None,
        "userName": None,
        "userUrl": None,
    }
    assert missing.status == 404


ORDERS: list[Callable[[list[Row]], list[Row]]] = [list, lambda rows: rows[::2] + rows[1::2]]


@pytest.mark.parametrize("order", ORDERS, ids=["in time order", "out of order"])
async def test_details_and_filters_are_true_in_any_order(
    tmp_path: Path, ask: Asker, order: Callable[[list[Row]], list[Row]]
) -> None:
    rows = order([make_row("b", n) for n in range(40)])
    async with Sandbox(data=write(tmp_path / "rows", rows)) as sandbox:
        details = (await ask(sandbox, "/v1/sessions/b/details")).json["data"]
        path = "/v1/sessions/b/events"
        within = await ask.walk(sandbox, path, startTime=T + 3_500, endTime=T + 9_000, pageSize=2)
        hovers = await ask.walk(sandbox, path, type="hover", endTime=T + 20_000, pageSize=2)
        same = await ask.walk(sandbox, path, type="0xC9", endTime=T + 20_000)

    assert (details["startTime"][:19], details["durationSeconds"]) == ("2026-06-09T10:13:20", 39.0)
    assert details["eventCounts"] == {
        "total": 40,
        "mouse": 13,
        "scroll": 0,
        "keyboard": 14,
        "touch": 0,
        "form": 0,
    }
    assert sum(bucket["eventCount"] for bucket in details["timeline"]) == 40
    assert {bucket["dominantEventType"] for bucket in details["timeline"]} == {"keypress", "hover", "mouse_move"}
    assert details["pageHistory"] == []
    assert [event["eventId"] for event in within] == [
        row["event_id"] for row in rows if T + 3_500 <= row["timestamp"] <= T + 9_000
    ]
    assert [event["eventId"] for event in hovers] == [
        row["event_id"] for row in rows if row["event_type_name"] == "hover" and row["timestamp"] <= T + 20_000
    ]
    assert same == hovers


async def test_times_that_no_date_can_say_are_served_all_the_same(tmp_path: Path, ask: Asker) -> None:
    rows = [make_row("a", 0, timestamp=-(2**63)), make_row("a", 1, timestamp=2**63 - 1)]
    for path in (write(tmp_path / "rows.jsonl", rows), write_parquet(tmp_path / "rows.parquet", rows)):
        async with Sandbox(data=path) as sandbox:
            [session] = await ask.walk(sandbox, "/v1/sessions")
            listed = await ask.walk(sandbox, "/v1/sessions/a/events")
            details = await ask(sandbox, "/v1/sessions/a/details")
        assert (session["createdAt"][:4], session["updatedAt"][:4]) == ("0001", "9999")
        assert [event["timestamp"] for event in listed] == [-(2**63), 2**63 - 1]
        assert details.status == 200


async def test_an_empty_file_is_a_region_without_sessions(tmp_path: Path, ask: Asker) -> None:
    async with Sandbox(data=write(tmp_path / "rows", [])) as sandbox:
        assert await ask.walk(sandbox, "/v1/sessions") == []
        assert (await ask(sandbox, "/v1/analytics")).status == 200


RIGHT = json.dumps(ROWS[0]).encode() + b"\n"
SURROGATE = json.dumps(make_row("a", 1, event_id="\ud800")).encode() + b"\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (RIGHT + b'{"region":\n', "line 2 is no JSON; export it again, or remove that line"),
        (RIGHT + b"[]\n", "line 2 is no JSON object"),
        (b"{" * 100_000 + b"\n", "line 1 is no JSON"),
        (b"{\xff}\n", "line 1 is no JSON"),
        (RIGHT + RIGHT[:-1], "line 2 is cut short or longer than"),
        (RIGHT.replace(b'"region"', b'"place"'), "line 1: region has to be a string, and is missing"),
        (RIGHT.replace(b"200", b'"2\\u001b"'), "line 1: message_id has to be a whole number, and is '2\\x1b'"),
        (RIGHT.replace(b"200", b"true"), "line 1: message_id has to be a whole number, and is True"),
        (RIGHT.replace(b"200", b"2147483648"), "line 1: a number is out of range"),
        (RIGHT + SURROGATE, "line 2 has a lone surrogate, which is no text"),
        (RIGHT + RIGHT.replace(b'"us"', b'"acme"'), "line 2: session 'b' occurs under two names, 'us' and 'acme'"),
        (b"region,session_id\n", "its first line has to be region,session_id,event_id"),
        (b"something else", "it is no JSON Lines, CSV, Parquet or SQLite"),
        (gzip.compress(RIGHT * 9_999)[:-20], "gzip data are cut short or damaged, after line "),
        (gzip.compress(RIGHT)[:-6] + b"xxxxxx", "CRC check failed"),
        (b"PAR1 and no more", "damaged or has other columns than an export, at its beginning"),
    ],
)
def test_a_broken_file_is_refused_with_the_place_and_what_to_do(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "rows"
    path.write_bytes(data)

    with pytest.raises(ConfigError, match="rows: ") as caught:
        Sandbox(data=path)
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_refused_without_a_place_in_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file or directory; name a file that an export wrote$"):
        Sandbox(data=tmp_path / "none.jsonl")


def test_parquet_of_another_kind_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ConfigError, match=r"there is no column event_id, .*; the columns are region, session_id"):
        Sandbox(data=tmp_path)

    path = write_parquet(tmp_path / "other.parquet", [make_row("a", 0), make_row("a", 1, payload_size=None)])
    with pytest.raises(ConfigError, match="null"):
        Sandbox(data=path)


def test_a_flipped_bit_in_parquet_is_refused(tmp_path: Path) -> None:
    rows = [make_row("a", n) for n in range(2_000)]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, tmp_path / "rows.parquet", write_page_checksum=True, use_dictionary=False)
    data = bytearray((tmp_path / "rows.parquet").read_bytes())
    column = pq.read_metadata(tmp_path / "rows.parquet").row_group(0).column(2)
    data[column.data_page_offset + column.total_compressed_size - 50] ^= 1
    (tmp_path / "rows.parquet").write_bytes(data)

    with pytest.raises(ConfigError, match="the file is damaged"):
        Sandbox(data=tmp_path / "rows.parquet")


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_what_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(ConfigError, match=r"No such file|there is no \*\.parquet in the folder"):
        Sandbox(data=tmp_path / name)


def test_data_and_made_up_sessions_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave out big_sessions"):
        Sandbox(data=write(tmp_path / "rows", ROWS), big_sessions=(5,))


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "rows.parquet", ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ConfigError, match=r"pip install 'isnotai-async\[arrow\]'"):
        Sandbox(data=path)


def test_an_event_takes_the_length_of_its_id_and_24_bytes(tmp_path: Path) -> None:
    count, length = 5_000, 36
    path = write(tmp_path / "rows", (make_row("a", n, event_id=f"{n:036}") for n in range(count)))
    tracemalloc.start()
    recordings = read_recordings(path)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(recordings["us"].ids) == 1
    assert held < 1.3 * count * (length + 24)


async def test_the_command_serves_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", ROWS)
    with Command(["sandbox", "--data", str(path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            settings: dict[str, str] = {}
            while "ISNOTAI_API_KEY" not in settings:
                line = process.stdout.readline()
                assert line, settings
                settings |= dict(word.split("=", 1) for word in line.split() if "=" in word)
            key, base_url = settings["ISNOTAI_API_KEY"], settings["ISNOTAI_BASE_URL"]
            async with Client(key, base_url=base_url) as client:
                assert [session.id async for session in client.list_sessions()] == ["b", "a"]
        finally:
            process.terminate()


def test_the_command_refuses_sessions_beside_data(tmp_path: Path) -> None:
    done = run_command(["sandbox", "--data", str(tmp_path), "--sessions", "3"], capture_output=True, text=True)

    assert done.returncode == 2
    assert "--data brings its own sessions; leave out --sessions" in done.stderr
