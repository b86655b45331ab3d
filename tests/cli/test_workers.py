"""The export by workers, as a person types it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isnotai_async._cli import main
from isnotai_async._cli.progress import JobDisplay
from tests.redis_server import RedisServer, running_redis

NO_TASK = json.dumps(
    {"task_id": "t", "task_name": "isnotai:export_part", "labels": {}, "labels_types": {}, "args": [], "kwargs": {}}
)
ENVIRONMENT = ("API_KEY", "REGION", "BASE_URL", "REDIS_URL")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(f"ISNOTAI_{name}", raising=False)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    with running_redis(tmp_path / "redis") as server:
        yield server


@contextmanager
def worker(url: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``isnotai worker`` on a sandbox, which has the same data as that of the export."""
    environment = {**os.environ, "ISNOTAI_REDIS_URL": url}
    command = [sys.executable, "-m", "isnotai_async", "worker", "--sandbox"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_export_by_a_worker_into_a_folder_and_then_into_a_file(
    redis: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tmp_path / "job"
    command = ["export", "--sandbox", "--all", "--out", str(job), "--part-size", "15"]
    with worker(redis.url) as process:
        assert main([*command, "--workers", redis.url]) == 0
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[1]
    assert process.returncode == 0
    assert said == "working for the queue 'isnotai'; Ctrl-C ends it\n"

    rows = [line for part in sorted(job.glob("part-*.jsonl")) for line in part.read_bytes().splitlines(keepends=True)]
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == "40 sessions in 3 parts, for the workers of 'isnotai'"
    assert last.startswith(f"exported {len(rows):,} events of 40 sessions to {job} (3 parts, 3.5 MB) in ")
    assert len({json.loads(row)["event_id"] for row in rows}) == len(rows) > 10_000

    # Without any worker: nothing is missing, so it needs none.
    monkeypatch.setenv("ISNOTAI_REDIS_URL", redis.url)
    assert main([*command, "--workers", "env", "--merge", str(tmp_path / "all.jsonl"), "--json", "--quiet"]) == 0

    captured = capsys.readouterr()
    assert (tmp_path / "all.jsonl").read_bytes() == b"".join(rows)
    assert json.loads(captured.out)["rows"] == len(rows)
    assert captured.err == ""
    assert json.loads((job / "_manifest.json").read_text())["rows"] == len(rows)


def test_another_export_into_the_same_folder_is_refused(
    redis: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "--sandbox", "--sessions-file", str(tmp_path / "ids"), "--out", str(tmp_path / "job")]
    (tmp_path / "ids").write_text("")
    assert main([*command, "--workers", redis.url]) == 0

    assert main([*command, "--workers", redis.url, "--type", "keypress"]) == 1
    assert "has another job: its filters of the events {}, now {'type': 'keypress'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--workers", "env"], "no Redis: set ISNOTAI_REDIS_URL"),
        (["--workers", "redis://127.0.0.1:1"], "Redis does not answer"),
        (["--workers", "redis://u:s3cret@127.0.0.1:1"], "Redis does not answer"),
        (["--workers", "http://u:s3cret@127.0.0.1"], "URL"),
        (["--workers", "redis://127.0.0.1:1", "--split", "4"], "--split, --segments and --no-resume are not for"),
        (["--workers", "redis://127.0.0.1:1", "--concurrency", "4"], "--concurrency is not for --workers"),
        (["--part-size", "7"], "--queue, --part-size and --merge are for --workers URL"),
    ],
    ids=str,
)
def test_what_cannot_be_distributed_is_said_in_words(
    tmp_path: Path, argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--sandbox", "--all", "--out", str(tmp_path / "job"), *argv]) == 2

    said = capsys.readouterr().err
    assert says in said
    assert "s3cret" not in said
    assert "Traceback" not in said
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "no Redis: set ISNOTAI_REDIS_URL"),
        (["redis://u:s3cret@127.0.0.1:1"], "Redis does not answer"),
        (["s3cret"], "URL"),
    ],
    ids=str,
)
def test_a_worker_without_a_redis_says_so(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "--sandbox", *argv]) == 2

    said = capsys.readouterr().err
    assert says in said
    assert "s3cret" not in said


def test_the_page_on_scale_names_options_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "scale.md").read_text()
    helps = ""
    for command in ("export", "worker"):
        assert main([command, "--help"]) == 0
        helps += capsys.readouterr().out
    named = set(re.findall(r"--[a-z][a-z-]*", page))
    assert named >= {"--workers", "--part-size", "--merge", "--queue"}
    assert {option for option in named if option not in helps} == set()


async def test_a_log_is_told_where_no_part_is_finished(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isnotai_async._cli.progress._SILENT_SECONDS", 0.05)
    display = JobDisplay(3, quiet=False)
    said = ""

    reminding = asyncio.create_task(display.remind("june", Path("/shared/june")))
    async with asyncio.timeout(10):
        while said.count("\n") < 2:
            await asyncio.sleep(0.01)
            said += capsys.readouterr().err
    reminding.cancel()

    asked = "no part finished for 0 s; are workers running for queue 'june', and do they see /shared/june?"
    assert said.splitlines()[:2] == [asked, asked]


def test_a_worker_says_what_the_package_warns_of(redis: RedisServer) -> None:
    redis.ask("XADD", "isnotai", "*", "data", NO_TASK)
    with worker(redis.url) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(2)]
    assert said[1].startswith("isnotai: a task that cannot be one was dropped: ")
