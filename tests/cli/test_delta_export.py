"""`isnotai export --format delta`: what it prints, and its exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest
from aiohttp import web

from isnotai_async._cli import main
from tests.command import Command
from tests.export.sync_world import KEY, World
from tests.integrations.delta_processes import make_world, read_table


async def run(
    world: World, table: Path, *argv: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    monkeypatch.setenv("ISNOTAI_API_KEY", KEY)
    runner = await world.start()
    monkeypatch.setenv("ISNOTAI_BASE_URL", f"http://127.0.0.1:{runner.addresses[0][1]}")
    command = ["export", "--format", "delta", "--all", "--out", str(table), "--quota", "0.99", *argv]
    code = await asyncio.to_thread(main, command)
    await runner.cleanup()
    return code, *capfd.readouterr()


async def test_a_job_is_done_once_and_its_failures_are_exit_code_5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    world, table = make_world(sessions=3), tmp_path / "table"
    world.sessions["s01"].is_gone = True
    code, _, words = await run(world, table, "--job", "june", monkeypatch=monkeypatch, capfd=capfd)
    assert code == 5
    assert "added 40 events" in words
    assert "'s01' in us: NotFoundError" in words
    code, out, _ = await run(world, table, "--job", "june", "--json", monkeypatch=monkeypatch, capfd=capfd)
    report = json.loads(out)
    assert (code, report["rows"], report["sessions"], len(report["failures"])) == (5, 0, 3, 1)
    assert read_table(str(table)) == sorted(row for row in world.exists.values() if row[1] != "s01")


async def test_an_outage_is_exit_code_4_and_the_same_command_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    world, table = make_world(sessions=3), tmp_path / "table"
    world.refuse = lambda kind, request: 401 if kind == "events" else None
    code, _, words = await run(world, table, "--job", "june", monkeypatch=monkeypatch, capfd=capfd)
    assert (code, "run the same command again, on any machine" in words) == (3, True)
    world.refuse = lambda kind, request: 403 if kind == "list" else None
    code, _, words = await run(world, table, "--job", "july", monkeypatch=monkeypatch, capfd=capfd)
    assert code in {1, 4}
    world.refuse = lambda kind, request: None
    code, _, _ = await run(world, table, "--job", "june", "--quiet", monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0
    assert read_table(str(table)) == sorted(world.exists.values())


async def test_without_credentials_for_the_store_there_is_one_message(tmp_path: Path) -> None:
    """The service that gives a machine of Amazon its credentials is one that gives none."""
    nothing = web.AppRunner(web.Application())
    await nothing.setup()
    await web.TCPSite(nothing, "127.0.0.1", 0).start()
    service = f"http://127.0.0.1:{nothing.addresses[0][1]}"
    names = [name for name in os.environ if not name.startswith(("AWS_", "RUST_", "ISNOTAI_"))]
    environ = {name: os.environ[name] for name in names}
    environ |= {"HOME": str(tmp_path), "AWS_EC2_METADATA_SERVICE_ENDPOINT": service, "AWS_REGION": "us-east-1"}
    command = ["export", "--sandbox", "--all", "--format", "delta"]
    command += ["--out", "s3://bucket/table", "--job", "june", "--quiet"]
    process = Command(command, env=environ, stderr=subprocess.PIPE)
    _, words = await asyncio.to_thread(process.communicate)
    await nothing.cleanup()
    assert words.decode() == (
        "isnotai: cannot use the Delta table 's3://bucket/table': there are no credentials for its store. Set "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL if the store is not Amazon's, or pass "
        "them in storage_options [SinkError]\n"
    )
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--format", "delta", "--out", "t"], "needs --job NAME"),
        (["--format", "delta", "--out", "t", "--job", "a/b"], "no name of a job"),
        (["--format", "delta", "--out", "t", "--job", "j", "--shard", "1/2"], "only --concurrency and --on-error"),
        (["--format", "delta", "--out", "-", "--job", "j"], "needs a folder or a URL"),
        (["--format", "csv", "--out", "t.csv", "--job", "j"], "use it with --format delta"),
    ],
)
def test_contradicting_options_are_a_usage_error(
    argv: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--sandbox", "--all", *argv]) == 2
    assert message in capfd.readouterr().err
    assert not Path("t").exists()
