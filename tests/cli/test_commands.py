"""The command line, as a person types it."""

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from isnotai_async._cli import main
from tests.command import Command, in_shell, run_command


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "REGION", "BASE_URL"):
        monkeypatch.delenv(f"ISNOTAI_{name}", raising=False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_export_writes_every_session_of_the_sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "events.jsonl"

    assert main(["export", "--sandbox", "--all", "--out", str(out)]) == 0

    rows = out.read_bytes().splitlines()
    captured = capsys.readouterr()
    assert captured.out == ""
    *_, said, _ = captured.err.splitlines()  # after lines of progress, if the machine is slow
    assert said.startswith(f"exported {len(rows):,} events of 40 sessions to {out} (")
    assert list(json.loads(rows[0])) == [
        "region", "session_id", "event_id", "message_id", "event_type_name", "timestamp", "payload_size",
    ]  # fmt: skip


def test_export_takes_sessions_one_by_one_and_each_once(tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    ids = tmp_path / "ids.txt"
    ids.write_text("\ufeffbig-3\n\n  big-2  \nbig-3\n", encoding="utf-8")

    assert (
        main(
            [
                "export",
                "--sandbox",
                "--session",
                "big-2",
                "--session",
                "big-1",
                "--session",
                "big-2",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    assert len(out.read_bytes().splitlines()) == 3
    assert (
        main(["export", "--sandbox", "--sessions-file", str(ids), "--out", str(out), "--if-exists", "replace"]) == 0
    )
    assert [json.loads(row)["session_id"] for row in out.read_bytes().splitlines()] == ["big-3"] * 3 + ["big-2"] * 2


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--out", "x"], "say which sessions"),
        (["--out", "x", "--all", "--session", "a"], "say in one way only which sessions"),
        (["--out", "x", "--session", "a", "--bot-only"], "use them with --all"),
        (["--out", "x", "--all", "--since", "soon"], "--since 'soon' is no time"),
        (
            ["--out", "x", "--sessions-file", "missing.txt"],
            "cannot read the session ids in missing.txt: No such file",
        ),
    ],
    ids=str,
)
def test_export_refuses_what_it_cannot_do(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--sandbox", *argv]) == 2
    assert says in capsys.readouterr().err
    assert not Path("x").exists()


def test_export_into_a_place_that_cannot_be_written_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--sandbox", "--all", "--out", str(tmp_path), "--format", "jsonl"]) == 1
    assert capsys.readouterr().err == f"isnotai: {tmp_path} is a folder; name a file to write into [SinkError]\n"


def test_events_are_json_lines_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "big-1000", "--sandbox", "--type", "keypress", "--limit", "150", "--page-size", "20"]) == 0

    rows = lines(capsys)
    assert len(rows) == 150
    assert {row["event_type_name"] for row in rows} == {"keypress"}


def test_events_can_be_cut_by_time(capsys: pytest.CaptureFixture[str]) -> None:
    main(["events", "big-500", "--sandbox"])
    everything = lines(capsys)
    start, end = everything[100]["timestamp"], everything[200]["timestamp"]

    assert main(["events", "big-500", "--sandbox", "--start", str(start), "--end", str(end)]) == 0

    assert lines(capsys) == [row for row in everything if start <= row["timestamp"] <= end]  # type: ignore[operator] # JSON


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["..", "--sandbox"], "the session id '..' would point at another path"),
        (["big-5", "--sandbox", "--type", "256"], "not a byte"),
        (["big-5", "--sandbox", "--start", "noon"], "--start 'noon' is no time"),
        (["big-5", "--sandbox", "--start=+-5"], "--start '+-5' is no time"),
        (["big-5", "--sandbox", "--start", "2026-06-10T12:00:00"], "has no time zone; add one"),
        (["big-5", "--sandbox", "--start", "1781068140009", "--end", "1781068140008"], "exchange them"),
        (["big-5", "--sandbox", "--region", "mars"], "unknown region 'mars'"),
        (["big-5", "--sandbox", "--start", "20260610"], "'20260610' looks like a day, and as Unix milliseconds"),
        (["big-5", "--sandbox", "--start", "1781068140"], "--start 1781068140 looks like seconds; multiply by 1000"),
        (["big-5", "--sandbox", "--end", "1781068140"], "--end 1781068140 looks like seconds; multiply by 1000"),
        (["big-5", "--sandbox", "--end=-1"], "--end is -1; it must be from 0"),
        (["big-5", "--sandbox", "--end", "2026-02-30"], "--end '2026-02-30' is no time; write 7d or 12h"),
        (["big-5", "--sandbox", "--start", "2026-06-11", "--end", "2026-06-10"], "exchange them"),
        (["big-5", "--sandbox", "--api-key-file", "f"], "--sandbox brings its own key"),
        (["big-5", "--sandbox", "--base-url", "http://127.0.0.1:9"], "--sandbox brings its own address"),
        (["big-5"], "no API key. Set ISNOTAI_API_KEY, or pass --api-key-file"),
        (["big-5"], "To try without a key, add --sandbox"),
        (
            ["big-5", "--api-key-file", "missing.key"],
            "cannot read the key file missing.key of --api-key-file: No such file",
        ),
        (["big-5", "--base-url", "http://example.com"], "use https"),
    ],
    ids=str,
)
def test_bad_input_is_a_usage_error_in_words(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", *argv]) == 2

    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.startswith("isnotai: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize("argv", [["events"], ["nonsense"], ["events", "s", "--nonsense"], ["export"]], ids=str)
def test_a_command_line_that_makes_no_sense_is_a_usage_error(argv: list[str]) -> None:
    assert main(argv) == 2


@pytest.mark.parametrize("option", ["--start", "--end"])
def test_an_export_does_not_take_seconds_for_milliseconds(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["export", "--sandbox", "--session", "big-5", "--out", str(tmp_path / "o.jsonl"), option, "1781068140"]
    assert main(argv) == 2
    assert f"{option} 1781068140 looks like seconds" in capsys.readouterr().err


def test_an_unknown_session_fails_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "no such session", "--sandbox"]) == 1

    said = capsys.readouterr().err
    assert said.startswith("isnotai: 404 ")
    assert "(session 'no such session')" in said


def test_a_key_of_the_wrong_region_exits_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key"
    key.write_text("aik_v1_" + "x" * 40 + "\n")
    with Server("--sessions", "3") as server:
        argv = ["whoami", "--api-key-file", str(key), "--base-url", server.environment["ISNOTAI_BASE_URL"]]
        assert main(argv) == 3
    assert "check that this key belongs to us" in capsys.readouterr().err


def test_nobody_there_is_a_failure_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--base-url", "http://127.0.0.1:9"]) == 4
    assert "cannot connect to 127.0.0.1:9: Connection refused" in capsys.readouterr().err


def test_health_and_whoami_are_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--sandbox"]) == 0
    assert main(["whoami", "--sandbox", "--region", "eu"]) == 0

    health, me = lines(capsys)
    assert (health["status"], health["region"]) == ("healthy", "us")
    assert me["region"] == "eu"
    assert "apiKeyMasked" in str(me["integration"])


def test_sessions_are_json_lines_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "--sandbox", "--bot-only", "--limit", "3"]) == 0

    rows = lines(capsys)
    assert len(rows) == 3
    assert all(float(str(row["bot_score"])) >= 0.7 for row in rows)


def test_sessions_are_a_table_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    assert main(["sessions", "--sandbox", "--limit", "3"]) == 0

    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["id", "created", "(UTC)", "status", "bot", "user", "name"]
    assert all(len(line) <= 80 for line in shown)


def test_events_on_a_terminal_are_a_table_and_json_there_is_ascii(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    assert main(["events", "big-300", "--sandbox"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["time", "(UTC)", "type", "byte", "size", "id"]
    assert len(rows) == 300
    assert max(map(len, rows)) <= 80
    assert main(["events", "big-2", "--sandbox", "--format", "jsonl", "--fields", "event_id"]) == 0
    assert [list(row) for row in lines(capsys)] == [["event_id"]] * 2


def test_version_and_help_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    from isnotai_async import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__
    assert main(["export", "--help"]) == 0
    assert "--sessions-file" in capsys.readouterr().out


def test_without_the_extra_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    assert main(["health"]) == 1
    assert capsys.readouterr().err == (
        "isnotai: the command line needs cyclopts and rich; install it: pip install 'isnotai-async[cli]'\n"
    )


class Server:
    """The real `isnotai sandbox` in a process of its own."""

    def __init__(self, *argv: str) -> None:
        self._process = Command(["sandbox", *argv], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        lines = [self._process.stdout.readline() for _ in range(6)]  # a shell reads past those that start with #
        words = " ".join(line for line in lines if line.startswith("export")).replace("export", "").split()
        self.environment = dict(word.split("=", 1) for word in words)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self.exit_code = self._process.wait(timeout=30)
        assert self._process.stdout is not None
        self._process.stdout.close()


def test_the_sandbox_prints_what_a_shell_needs_and_stops_on_ctrl_c() -> None:
    with Server("--sessions", "3") as server:
        environment = os.environ | server.environment
        done = run_command(["sessions"], env=environment, capture_output=True, text=True, check=True)

    assert len(done.stdout.splitlines()) == 3
    assert server.environment["ISNOTAI_REGION"] == "us"
    assert set(server.environment) == {"ISNOTAI_REGION", "ISNOTAI_BASE_URL", "ISNOTAI_API_KEY"}
    assert server.exit_code == 130


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["sandbox", "--port", str(port)]) == 2
    words = f"isnotai: cannot listen on port {port} and the next: Address already in use; --port 0 takes free ones"
    assert capsys.readouterr().err == f"{words}\n"


def test_a_full_disk_under_stdout_is_told() -> None:
    command = f"{in_shell()} events big-5000 --sandbox > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (1, "isnotai: cannot write to stdout: No space left on device\n")


def test_a_closed_pipe_ends_the_events_quietly() -> None:
    command = f"{in_shell()} events big-100000 --sandbox | head -n 2"
    done = subprocess.run(
        ["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, timeout=60, check=True
    )

    *rows, code = done.stdout.splitlines()
    assert [json.loads(row)["session_id"] for row in rows] == ["big-100000"] * 2
    assert (code, done.stderr) == ("0", "")


@pytest.mark.parametrize(
    ("argv", "head", "said"),
    [
        (["sessions", "--user", "nobody"], "id,created_at,", "no session of user 'nobody'"),
        (["sessions", "--since", "2030-01-01"], "id,created_at,", "no session matches"),
        (["users", "--search", "nobody"], "user_id,", "no user matches"),
        (["events", "big-0"], "region,session_id,event_id,", "no event matches"),
        (["sessions", "--user", "nobody", "--fields", "status,id"], "status,id", "no session of user"),
    ],
)
def test_an_empty_listing_has_its_header_and_says_so(
    capsys: pytest.CaptureFixture[str], argv: list[str], head: str, said: str
) -> None:
    assert main([*argv, "--sandbox", "--format", "csv"]) == 0

    out, err = capsys.readouterr()
    assert out.startswith(head)
    assert out.count("\n") == 1
    assert said in err


def test_each_attempt_in_the_log_names_path_and_parameters_without_the_whole_cursor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["events", "big-150", "--sandbox", "--type", "0x07", "--page-size", "20", "-vv"]) == 0

    first, second, *_ = [line for line in capsys.readouterr().err.splitlines() if " attempt " in line]
    assert first.endswith("GET /v1/sessions/big-150/events?pageSize=20&type=0x07")
    assert re.search(r"type=0x07&cursor=\S{12}…$", second)
    assert "aik_v1_" not in first + second
