"""The export command: what it says, and the exit codes it ends with."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import get_args
from unittest.mock import patch

import pytest
from anyio.from_thread import start_blocking_portal

from isnotai_async._cli import main
from isnotai_async._cli.export_options import ExportFormat
from isnotai_async.export.formats import FORMATS
from isnotai_async.sandbox import Fault, Sandbox
from tests.command import Command


@pytest.fixture(name="sandbox")
def serve_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Serve a sandbox from a thread of its own, so that a command in this process can ask it."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Sandbox()) as sandbox:
        monkeypatch.setenv("ISNOTAI_API_KEY", sandbox.api_key)
        monkeypatch.setenv("ISNOTAI_BASE_URL", sandbox.base_url)
        yield sandbox


async def run(*argv: str, sandbox: Sandbox, when: Callable[[], bool] | None = None, send: int = 0) -> tuple[int, str]:
    """Run the real command against a sandbox, in this process if no signal is sent; return its exit code and words.

    Args:
        argv: Arguments of ``isnotai export``.
        sandbox: Where it asks.
        when: Tells when to send a signal, if any.
        send: The signal.
    """
    environment = {**os.environ, "ISNOTAI_API_KEY": sandbox.api_key, "ISNOTAI_BASE_URL": sandbox.base_url}
    if when is None:
        with patch.dict(os.environ, environment), redirect_stderr(StringIO()) as said:
            return await asyncio.to_thread(main, ["export", *argv]), said.getvalue()
    process = Command(["export", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    while process.poll() is None:
        if when():
            process.send_signal(send)
            break
        await asyncio.sleep(0.01)
    _, words = await asyncio.to_thread(process.communicate)
    return process.returncode, words.decode()


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [(signal.SIGTERM, 143, "stopped by SIGTERM"), (signal.SIGINT, 130, "interrupted")],
    ids=["SIGTERM", "SIGINT"],
)
async def test_a_signal_ends_it_with_a_checkpoint_and_the_same_command_goes_on(
    tmp_path: Path, number: int, code: int, says: str
) -> None:
    out = tmp_path / "out.jsonl"
    argv = ("--session", "big-900", "--page-size", "10", "--out", str(out))
    async with Sandbox() as sandbox:
        sandbox.inject(Fault.slow_headers(0.05, times=None))
        given = await run(*argv, sandbox=sandbox, when=lambda: sandbox.stats.requests > 30, send=number)
        sandbox.clear_faults()
        assert given[0] == code
        assert says in given[1]
        assert given[1].count("\n") == 2  # the plan, and how it ended
        assert "run the same command again to resume" in given[1]
        code, words = await run(*argv, sandbox=sandbox)
    assert code == 0, words
    assert len(out.read_bytes().splitlines()) == 900
    assert "rows were there from before" in words


@pytest.mark.parametrize("waits_for_the_line", [False, True], ids=["at once", "when it ends"])
async def test_a_second_ctrl_c_adds_no_line(tmp_path: Path, waits_for_the_line: bool) -> None:
    async with Sandbox() as sandbox:
        sandbox.inject(Fault.slow_headers(0.05, times=None))
        out = str(tmp_path / "out.jsonl")
        environment = {**os.environ, "ISNOTAI_API_KEY": sandbox.api_key, "ISNOTAI_BASE_URL": sandbox.base_url}
        command = ["export", "--session", "big-900", "--out", out, "--quiet"]
        process = Command(command, stderr=subprocess.PIPE, env=environment)
        assert process.stderr is not None
        while sandbox.stats.requests < 3:
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        words = await asyncio.to_thread(process.stderr.readline) if waits_for_the_line else b""
        process.send_signal(signal.SIGINT)
        words += (await asyncio.to_thread(process.communicate))[1]

    assert words.count(b"\n") == 1, words
    assert words.startswith(b"isnotai: interrupted; ")
    assert words.endswith(b"rows are safe; run the same command again to resume\n")


def test_trouble_of_the_api_ends_it_with_4_and_a_refused_key_with_3(
    tmp_path: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    argv = ["export", "--session", "big-300", "--session", "big-5", "--out", str(out), "--on-error", "collect"]
    sandbox.inject(Fault.status(401), operation="list_events")
    assert main(argv) == 3
    assert "run the same command again" in capsys.readouterr().err
    sandbox.inject(Fault.status(500, times=100), operation="list_events")
    assert main(argv) == 4
    assert "ServerError" in capsys.readouterr().err
    assert not out.exists()


def test_it_is_silent_when_asked_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.csv"
    assert main(["export", "--sandbox", "--session", "big-250", "--out", str(out), "--quiet"]) == 0

    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    with out.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 250


def test_the_report_can_be_had_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl.gz"
    argv = ["export", "--sandbox", "--session", "big-250", "--session", "none"]
    assert main([*argv, "--out", str(out), "--json"]) == 5

    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert (report["path"], report["rows"], report["sessions"], report["is_complete"]) == (str(out), 250, 2, True)
    assert report["failures"][0]["error"] == "NotFoundError"
    first, *others = captured.err.splitlines()
    assert first.startswith(f"exported 250 events of 2 sessions to {out} (")
    assert any("'none' in us: NotFoundError" in line for line in others)


def test_an_estimate_exports_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["export", "--sandbox", "--session", "big-250", "--session", "big-750", "--out", str(tmp_path / "o.csv")]
    assert main([*argv, "--estimate"]) == 0
    assert main([*argv, "--estimate", "--json"]) == 0

    *words, line = capsys.readouterr().out.splitlines()
    assert "about 1,000 in all" in "\n".join(words)
    estimate = json.loads(line)
    assert (estimate["sessions"], estimate["events"], estimate["pages"]) == (2, 1_000, 11)
    assert not list(tmp_path.iterdir())


def test_formulas_are_left_alone_only_when_asked(tmp_path: Path) -> None:
    argv = ["export", "--sandbox", "--session", "big-10", "--out", str(tmp_path / "o.csv"), "--raw-csv"]
    assert main(argv) == 0
    assert main([*argv[:-1], "--quiet", "--if-exists", "replace"]) == 0


@pytest.mark.parametrize(
    ("name", "options", "ending"),
    [
        ("o.txt", [], (2, "is not that of a format")),
        ("o.jsonl", ["--segments"], (2, "segments are for the format parquet")),
        ("none/o.jsonl", [], (1, "there is no folder")),
        ("o.jsonl", ["--all"], (2, "in one way only")),
        ("o.jsonl", ["--type", "presskey"], (1, "type must be a byte in decimal or hex, or a known short name")),
        ("o.jsonl", ["--concurrency", "0"], (2, "concurrency")),
        ("o.jsonl", ["--split", "many"], (2, "--split")),
        ("o.jsonl", ["--shard", "2"], (2, "--shard '2' is no shard; write 2/8")),
        ("o.jsonl", ["--shard", "3/2"], (2, "shard 3/2 does not exist")),
    ],
    ids=["ending", "segments", "folder", "ways", "type", "concurrency", "split", "k", "k/n"],
)
def test_what_cannot_work_is_refused(name: str, options: list[str], ending: tuple[int, str], tmp_path: Path) -> None:
    words = StringIO()
    with redirect_stderr(words):
        code = main(["export", "--sandbox", "--session", "big-10", "--out", str(tmp_path / name), *options])
    assert code == ending[0]
    assert ending[1] in words.getvalue()


def test_a_name_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "\x1b[31mred\u202e.jsonl"
    assert main(["export", "--sandbox", "--session", "big-10", "--session", "\u202eno", "--out", str(out)]) == 5
    assert main(["export", "--sandbox", "--session", "big-10", "--out", str(out), "--no-resume"]) == 1

    words = capsys.readouterr().err
    assert words.replace("\n", "").isprintable()


def test_after_a_mistyped_command_the_right_one_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["export", "--sandbox", "--session", "big-100", "--out", str(tmp_path / "o.jsonl")]
    assert main([*argv, "--type", "presskey"]) == 1
    assert "again" not in capsys.readouterr().err
    assert main([*argv, "--type", "mouse_move"]) == 0


def test_a_session_that_is_not_there_can_be_left_out_by_going_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["export", "--sandbox", "--session", "big-10", "--session", "none", "--concurrency", "1"]
    argv += ["--out", str(tmp_path / "o.jsonl")]
    assert main([*argv, "--on-error", "raise"]) == 1
    assert "10 rows are safe; to resume without this session" in capsys.readouterr().err
    assert main(argv) == 5
    assert "10 rows were there from before" in capsys.readouterr().err
    assert main(argv) == 5, "as the receipt says"


def test_no_session_at_all_is_worth_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--all", "--since", "2020-01-01", "--until", "2020-01-02", "--out", str(tmp_path / "o.jsonl")]
    assert main(["export", "--sandbox", *argv]) == 0
    assert "warning: there was no session to export" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "\n \n", "id\n", "[]\n", "\ufeff"])
@pytest.mark.parametrize("shard", [[], ["--shard", "1/2"]])
@pytest.mark.parametrize("is_piped", [False, True])
def test_a_file_without_a_session_id_is_a_usage_error_and_nothing_is_written(
    text: str,
    shard: list[str],
    is_piped: bool,
    tmp_path: Path,
    *,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, ids = tmp_path / "folder", tmp_path / "ids"
    folder.mkdir()
    ids.write_text(text, encoding="utf-8")
    with ids.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        place = "-" if is_piped else str(ids)
        argv = ["--sessions-file", place, "--out", str(folder / "o.jsonl"), *shard]
        assert main(["export", "--sandbox", *argv]) == 2

    assert f"there is no session id in {'stdin' if is_piped else ids}" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_shards_and_what_exists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "o.sqlite"
    argv = ["export", "--sandbox", *(f"--session=big-{size}" for size in range(1, 9)), "--out", str(out)]
    assert main([*argv, "--shard", "1/2"]) == 0
    assert main([*argv, "--shard", "1/2", "--quiet"]) == 0, "it is finished already"
    assert main([*argv, "--shard", "2/2"]) == 1
    assert main([*argv, "--shard", "2/2", "--if-exists", "skip"]) == 0
    assert main([*argv, "--shard", "2/2", "--if-exists", "replace"]) == 0

    words = capsys.readouterr().err
    assert "exists; choose another name" in words
    assert "o.sqlite exists; nothing was done" in words
    done = [line for line in words.splitlines() if line.startswith("exported")]
    assert sum(int(line.split()[1]) for line in done) == 36


def test_a_run_whose_sessions_are_all_refused_names_the_address_and_publishes_nothing(
    tmp_path: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    assert main(["export", "--session", "nope", "--out", str(out)]) == 1
    assert f"{sandbox.base_url} rejected 1 of 1 sessions" in capsys.readouterr().err
    assert not out.exists()


async def test_when_the_store_is_removed_no_row_is_called_safe(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    out = folder / "out.jsonl"

    def remove() -> bool:
        if sandbox.stats.requests <= 30:
            return False
        shutil.rmtree(folder)
        return True

    async with Sandbox() as sandbox:
        sandbox.inject(Fault.slow_headers(0.05, times=None))
        argv = ("--session", "big-900", "--page-size", "10", "--out", str(out))
        code, words = await run(*argv, sandbox=sandbox, when=remove, send=signal.SIGTERM)
    assert code == 1
    assert "no row is safe" in words


@pytest.mark.parametrize(
    ("out", "says"),
    [("s3://b/o.jsonl", "is a URL, and an export is written to a local path"), ("-", "isnotai events")],
)
def test_a_place_that_is_no_file_is_refused_with_what_to_do(
    out: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--sandbox", "--session", "big-10", "--out", out]) == 2
    assert says in capsys.readouterr().err


def test_an_export_without_a_key_is_a_usage_error_and_not_unfinished_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ISNOTAI_API_KEY", raising=False)

    assert main(["export", "--session", "a", "--session", "b", "--out", str(tmp_path / "x.jsonl")]) == 2

    assert "no API key" in capsys.readouterr().err


async def test_relative_times_mean_the_same_when_it_resumes_and_are_shown(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    argv = ("--session", "big-900", "--session", "big-5", "--start", "9000d", "--page-size", "10", "--out", str(out))
    async with Sandbox() as sandbox:
        sandbox.inject(Fault.slow_headers(0.05, times=None))
        code, words = await run(*argv, sandbox=sandbox, when=lambda: sandbox.stats.requests > 60, send=signal.SIGINT)
        sandbox.clear_faults()
        assert code == 130, words
        shown = words.splitlines()[0]
        assert re.fullmatch(r"events from 200\d-\d\d-\d\d \d\d:\d\d:\d\d \(UTC\)", shown)

        code, words = await run(*argv, sandbox=sandbox)
        assert (code, words.splitlines()[0]) == (0, shown)
        assert "rows were there from before" in words
        code, words = await run(*argv, sandbox=sandbox)
        assert code == 1, "the file is there: seven days ago is another time now"
        assert words.splitlines()[0] != shown


def test_an_export_without_a_key_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISNOTAI_API_KEY", raising=False)
    assert main(["export", "--session", "a", "--out", str(tmp_path / "x.jsonl")]) == 2
    assert main(["export", "--all", "--since", "7d", "--out", str(tmp_path / "x.jsonl")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_the_option_offers_each_format_of_files_and_delta() -> None:
    assert get_args(ExportFormat) == (*FORMATS, "delta")


@pytest.mark.parametrize("command", [["export", "--all"], ["sync"]])
def test_a_misspelt_type_ends_it_after_one_refused_request(
    tmp_path: Path, command: list[str], sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--type", "keypres", "--out", str(tmp_path / "out.db")]) == 1
    assert sandbox.stats.statuses[400] == 1
    assert "Did you mean keypress instead of 'keypres'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["keypress", "0x07", "7", "scroll"])
def test_a_type_that_the_api_knows_is_exported_whole(tmp_path: Path, kind: str, sandbox: Sandbox) -> None:
    out = tmp_path / "out.jsonl"
    code = main(["export", "--session", "gone", "--session", "big-1000", "--type", kind, "--out", str(out)])

    assert code == 5  # one session does not exist, and that is found by the export, not by the check
    assert len(out.read_text().splitlines()) > 5


@pytest.mark.parametrize("command", ["export", "sync"])
def test_a_whole_command_is_bounded_by_timeout_and_not_by_a_deadline(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, "--sandbox", "--deadline", "3", "--out", "x.db"]) == 2
    assert "timeout -s INT 3600 isnotai" in capsys.readouterr().err


def test_a_finished_target_says_that_a_relative_time_is_another_interval_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISNOTAI_API_KEY", "aik_v1_" + "a" * 40)
    monkeypatch.setenv("ISNOTAI_BASE_URL", "http://127.0.0.1:9")
    out = tmp_path / "out.jsonl"
    out.write_text("of another export")

    assert main(["export", "--all", "--since", "5000d", "--out", str(out)]) == 1
    assert "--since 5000d is another interval now; write a date" in capsys.readouterr().err


@pytest.mark.parametrize(
    "lines",
    [
        "big-3\nbig-4\n",
        '{"id":"big-3","status":"x"}\n{"id":"big-4"}\n',
        "id\nbig-3\nbig-4\n",
        '"big-3"\n"big-4"\n',
        '[\n{"id":"big-3","status":"x"},\n{"id":"big-4"}\n]\n',
        '\n["big-3", "big-4"]',
        '"id"\n"big-3"\n"big-4"\n',
    ],
)
def test_ids_come_as_lines_as_json_lines_or_as_csv(tmp_path: Path, lines: str) -> None:
    (tmp_path / "ids").write_text(lines)
    out = tmp_path / "out.jsonl"

    assert main(["export", "--sandbox", "--sessions-file", str(tmp_path / "ids"), "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 7


@pytest.mark.parametrize(
    "line",
    [
        *("big-4,closed", '{"user":"x"}', "{broken", '{"id":7}', '{"id":""}', "{", "]", '["big-4"]', "# big-4", '"'),
        *("big-4  2026-06-10  active", '"id"x'),
    ],
)
def test_a_line_that_is_no_id_is_a_usage_error_with_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    (tmp_path / "ids").write_text(f"big-3\n{line}\n")

    argv = ["--sessions-file", str(tmp_path / "ids"), "--out", str(tmp_path / "out.jsonl")]
    assert main(["export", "--sandbox", *argv]) == 2
    assert "line 2 of the session ids" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('["big-3", 7]', "item 2 of the session ids is neither an id nor an object with an id: '7'"),
        ('[{"id":"big-3"},{"user":"x"}]', "item 2 of the session ids is neither an id nor an object with an id"),
        ('[\n{"id":"big-3"},\n', "are a JSON document that is broken or not complete"),
        ('["big-3"]\nbig-4\n', "are a JSON document that is broken or not complete"),
    ],
)
def test_a_json_document_is_read_whole_or_not_at_all(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = tmp_path / "ids.json"
    ids.write_text(text)
    argv = ["--sessions-file", str(ids), "--out", str(tmp_path / "out.jsonl")]
    assert main(["export", "--sandbox", *argv]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [ids]


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_what_the_command_lists_is_a_list_of_ids_for_an_export(
    form: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    fields = ["--fields", "id"] if form == "csv" else []
    assert main(["sessions", "--sandbox", "--bot-only", "--limit", "2", "--format", form, *fields]) == 0
    ids, out = tmp_path / "ids", tmp_path / "out.jsonl"
    ids.write_bytes(capfdbinary.readouterr().out)

    assert main(["export", "--sandbox", "--sessions-file", str(ids), "--out", str(out), "--json"]) == 0
    assert json.loads(capfdbinary.readouterr().out)["sessions"] == 2


def test_what_stays_of_a_store_is_a_receipt_of_the_size_that_the_pages_name(tmp_path: Path) -> None:
    assert main(["export", "--sandbox", "--all", "--out", str(tmp_path / "out.jsonl"), "--quiet"]) == 0
    size = (tmp_path / ".out.jsonl.isnotai").stat().st_size
    for page in ("README.md", "docs/export.md"):
        text = " ".join((Path(__file__).parents[2] / page).read_text(encoding="utf-8").split())
        assert f"receipt of {size // 1024} KiB" in text
