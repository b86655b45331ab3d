"""How the command starts, explains itself and ends: imports, completion, logs, proxies, names, exit codes."""

from __future__ import annotations

import asyncio
import importlib
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from isnotai_async._cli import main
from isnotai_async._cli.app import COMMANDS
from isnotai_async._cli.fault_options import inject_fault, read_latency
from isnotai_async.errors import ConfigError
from isnotai_async.sandbox import Fault, Sandbox
from isnotai_async.sandbox.limits import OPERATION_NAMES

ROOT = Path(__file__).parents[2]


def cpu_of(*argv: str) -> float:
    """Return the CPU seconds of the quickest of two runs."""
    seconds = []
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds)


def test_the_version_costs_no_more_than_importing_aiohttp() -> None:
    # A bound of 1.2; it takes a fifth, so a busy machine does not matter.
    assert cpu_of(sys.executable, "-m", "isnotai_async", "--version") <= cpu_of(
        sys.executable, "-c", "import aiohttp"
    )


def test_the_version_and_the_package_import_nothing_that_they_do_not_need() -> None:
    program = """
import sys
from isnotai_async._cli import main
assert main(["--version"]) == 0
heavy = {"aiohttp", "attrs", "asyncio", "cattrs", "cyclopts", "msgspec", "rich", "anyio"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True)


@pytest.mark.parametrize(("place", "line"), COMMANDS, ids=[place for place, _ in COMMANDS])
def test_the_overview_says_what_the_command_says(place: str, line: str) -> None:
    module, _, name = place.partition(":")
    command = getattr(importlib.import_module(f"isnotai_async._cli.{module}"), name)
    assert command.__doc__.splitlines()[0].startswith(line.removesuffix("."))


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_completion_script_knows_the_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("isnotai", "whoami", "events", "page-size"))


def test_the_bash_script_knows_the_commands_and_completes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("isnotai", "whoami", "events", "page-size"))
    (tmp_path / "script").write_text(script)
    line = f"source {tmp_path}/script; COMP_WORDS=(isnotai who); COMP_CWORD=1; _isnotai; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["whoami"]


@pytest.mark.parametrize(
    ("options", "variable", "says"),
    [
        (["-vv"], "", "debug: "), ([], "debug", "debug: "), (["-v"], "", ""), ([], "", ""), ([], "warning", ""),
    ],
)  # fmt: skip
def test_the_log_goes_to_stderr_as_asked(
    options: list[str],
    variable: str,
    says: str,
    capsys: pytest.CaptureFixture[str],
    *,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ISNOTAI_LOG", variable)
    assert main(["health", "--sandbox", *options]) == 0
    said = capsys.readouterr().err
    assert says in said
    assert bool(says) == bool(said)


def test_the_log_has_each_retry_and_its_times_are_utc(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(Sandbox()) as sandbox:
            sandbox.inject(Fault.status(503))
            monkeypatch.setenv("ISNOTAI_API_KEY", sandbox.api_key)
            assert main(["session", "big-1", "-v", "--base-url", sandbox.base_url]) == 0
    finally:
        monkeypatch.undo()
        time.tzset()

    said = capsys.readouterr().err
    line = re.fullmatch(r"(\d\d):(\d\d):(\d\d)Z info: get_session waits for .*, until (\d\d):(\d\d):.*\n", said)
    assert line is not None, said
    assert "before attempt 2: status 503" in said
    minutes = [int(hours) * 60 + int(rest) for hours, rest in ((line[1], line[2]), (line[4], line[5]))]
    assert (minutes[1] - minutes[0]) % (24 * 60) <= 1


def test_a_level_that_is_none_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISNOTAI_LOG", "loud")
    assert main(["health", "--sandbox"]) == 2
    assert "ISNOTAI_LOG is 'loud'; it must be warning, info, debug" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["events", "s", "--max-items", "3"], "there is no --max-items here; it is --limit (isnotai events --help)"),
        (["events", "s", "--limt", "3"], "Unknown option: --limt. Did you mean --limit? (isnotai events --help)"),
        (["sessions", "--from=7d"], "it is --since for sessions, --start for events"),
        (["session", "a", "b"], "too many arguments: 'b'"),
        (["evnts"], 'Unknown command "evnts". Did you mean "events"? (isnotai --help)'),
        (["health", "--region", "ue"], "unknown region 'ue'; the regions are: us, eu"),
        (["events", "s", "--format", "yaml"], 'Choose from: "table", "json", "jsonl", "csv"'),
    ],
    ids=str,
)
def test_a_wrong_name_says_what_it_is_called_here(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("isnotai: ")
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["export", "--all"], "isnotai: --out is missing (isnotai export --help)\n"),
        (["export", "--all", "--out"], "isnotai: --out needs a value (isnotai export --help)\n"),
        (["show"], "isnotai: SESSION is missing (isnotai show --help)\n"),
    ],
    ids=str,
)
def test_what_is_missing_is_not_taken_for_an_option_without_its_value(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err == says


def test_help_and_refusal_list_the_documented_event_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "--help"]) == 0
    assert "init, mouse_move, keypress" in capsys.readouterr().out
    assert main(["events", "big-3", "--sandbox", "--type", "keypres"]) == 1
    said = capsys.readouterr().err
    assert "Did you mean keypress instead of 'keypres'? Documented names are init, mouse_move, keypress" in said


def test_a_proxy_with_a_password_is_not_for_argv(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--proxy", "http://user:s3cret@p:1"]) == 2
    said = capsys.readouterr().err
    assert "set HTTPS_PROXY instead" in said
    assert "s3cret" not in said


@pytest.mark.parametrize("options", [[], ["--proxy", "http://127.0.0.1:9"]], ids=["environment", "option"])
def test_the_proxy_of_environment_or_option_is_asked(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "ISNOTAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:8" if options else "http://127.0.0.1:9")
    # api.isnotai.com is the proxy's to resolve: nothing leaves this machine.
    assert main(["health", "--deadline", "3", *options]) == 4
    assert "cannot connect to the proxy 127.0.0.1:9: Connection refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.rate_limited(3_000), 4),
        (Fault.status(503, retry_after=3_000), 4),
        (Fault.html(502, times=None), 4),
        (Fault.status(403), 1),
        (Fault.status(401), 3),
    ],
)
async def test_a_reading_ends_with_4_if_the_same_command_can_succeed_later_else_with_1(
    fault: Fault, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Sandbox(sessions=3) as sandbox:
        monkeypatch.setenv("ISNOTAI_API_KEY", sandbox.api_key)
        monkeypatch.setenv("ISNOTAI_BASE_URL", sandbox.base_url)
        sandbox.inject(fault)
        assert await asyncio.to_thread(main, ["sessions"]) == code
    assert capsys.readouterr().err.startswith("isnotai: ")


def test_faults_and_latencies_are_read() -> None:
    given = list[tuple[int | None, str | None, float | None]]()

    class Listening(Sandbox):
        def inject(self, fault: Fault, **where: Any) -> None:
            given.append((fault.times, where["operation"], where["probability"]))

    for text in ("503", "503:5", "cut:10%@list_events"):
        inject_fault(Listening(), text)
    assert given == [(1, None, None), (5, None, None), (1, "list_events", 0.1)]
    assert read_latency("0.2") == (0.2, 0.2)
    assert read_latency("0.1-0.4") == (0.1, 0.4)
    for text in ("50", "200", "600", "boom", "503:", "503:x", "503:0", "503:0%", "503:150%", ""):
        with pytest.raises(ConfigError, match=f"--fault '{text}'"):
            inject_fault(Sandbox(), text)
    for text in ("slow", "5-1", "nan", "inf", "-1"):
        with pytest.raises(ConfigError, match=f"--latency '{text}'"):
            read_latency(text)


@pytest.mark.parametrize("name", ["listEvents", "events", "List_events", "list-events"])
def test_a_fault_of_an_unknown_operation_lists_the_operations(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        inject_fault(Sandbox(), f"503@{name}")
    assert f"--fault '503@{name}': there is no operation '{name}'; the operations are: " in caught.value.message
    assert all(operation in caught.value.message for operation in OPERATION_NAMES)


@pytest.mark.parametrize("count", ["-1", "1000001"])
def test_a_wrong_number_of_sessions_is_named_by_its_option(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sandbox", "--sessions", count]) == 2
    assert f'Invalid value "{count}" for --sessions' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "times"),
    [("isnotai_async._cli.exit_codes", 1), ("isnotai_async._cli.exit_codes", 2), ("cyclopts.core", 1), ("signal", 2)],
)
def test_ctrl_c_while_it_imports_ends_it_in_words(module: str, times: int) -> None:
    program = f"""
import _signal as signal, os, sys
class Interrupter:
    left = ["{module}"] * {times}  # once more when the end imports it again
    def find_spec(self, name, *_):
        if name in self.left:
            self.left.remove(name)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupter())
from isnotai_async._cli import main
sys.exit(main(["health", "--sandbox"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "isnotai: interrupted\n")


def test_ctrl_c_is_awaited_before_anything_is_imported_that_takes_time() -> None:
    program = "import sys, isnotai_async._cli; print(*sys.modules)"
    argv = [sys.executable, "-S", "-c", program]  # without what other packages import when Python starts
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=True, timeout=60)
    assert not {"typing", "re", "enum", "threading", "pathlib"} & set(done.stdout.split())


def test_too_few_files_are_blamed_on_the_limit() -> None:
    line = f"ulimit -n 6; {sys.executable} -m isnotai_async health --sandbox"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "raise the limit, as with: ulimit -n 256" in done.stderr
