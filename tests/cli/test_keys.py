"""API keys: read from files as they come, and shown nowhere, wherever they were put by mistake."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

import isnotai_async as isnotai
from isnotai_async._cli import main

KEY = "aik_v1_" + "Zm9vYmFyYmF6" * 3 + "quux"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "API_KEY_FILE", "REGION", "BASE_URL", "LOG"):
        monkeypatch.delenv(f"ISNOTAI_{name}", raising=False)


@pytest.mark.parametrize(
    "argv",
    [
        ["whoami", KEY], [KEY], ["whoami", "--api-key", KEY], ["whoami", "--api-key-file", KEY],
        ["whoami", "--region", KEY], ["whoami", "--base-url", f"https://{KEY}/../x"], ["whoami", f"--{KEY}"],
        ["events", "s", "--format", KEY], ["events", "s", "--limit", KEY],
        ["events", "s", "--start", KEY, "--sandbox"],
        ["events", "s", "--fields", KEY, "--sandbox"], ["whoami", "--proxy", f"ftp://{KEY}"],
        ["sandbox", "--fault", KEY], ["sandbox", "--tier", KEY], ["completion", KEY],
        ["export", "--out", f"{KEY}.txt", "--session", "s", "--sandbox"],
    ],
    ids=lambda argv: " ".join(argv).replace(KEY, "KEY"),
)  # fmt: skip
def test_a_key_in_the_wrong_place_is_not_printed_back(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) in {1, 2}

    said = capsys.readouterr()
    assert KEY[7:] not in said.out + said.err
    assert KEY[7:20] not in said.out + said.err
    assert "an API key was on the command line" in said.err


def test_a_key_in_the_region_variable_is_not_printed_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISNOTAI_REGION", KEY)
    assert main(["health"]) == 2
    assert KEY[7:20] not in capsys.readouterr().err


@pytest.mark.parametrize(
    "call",
    [
        lambda: isnotai.Client(region=KEY),
        lambda: isnotai.Client("k", tier=KEY),  # type: ignore[arg-type] # the fault
        lambda: isnotai.Client("k", base_url=f"https://{KEY}/../x"),
        lambda: isnotai.Client("k", proxy=KEY),
        lambda: isnotai.SessionManager({KEY: "us"}),
        lambda: isnotai.Position.from_json(KEY),
        lambda: isnotai.Client("k").list_events(f"{KEY}\n"),
        lambda: isnotai.Client("k").list_sessions(start_date=KEY),
        lambda: isnotai.Sandbox(tier=KEY),  # type: ignore[arg-type] # what is tried
    ],
    ids=["region", "tier", "base_url", "proxy", "manager", "position", "id", "date", "sandbox"],
)
def test_the_library_masks_it_too(call: Callable[[], object]) -> None:
    with pytest.raises(isnotai.ConfigError) as caught:
        call()
    error = caught.value
    assert KEY[7:20] not in f"{error} {error!r} {error.message} {error.args}"


@pytest.mark.parametrize(
    ("key", "says"),
    [(f"'{KEY}'", "is in quotes"), (f'"{KEY}"', "is in quotes"), (f"Bearer {KEY}", "starts with 'Bearer'")],
)
def test_a_key_with_something_around_it_says_what_is_wrong(key: str, says: str) -> None:
    with pytest.raises(isnotai.ConfigError, match=says):
        isnotai.Client(key)


@pytest.mark.parametrize("encoding", ["ascii", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["", "\n", "\r\n\r\n"])
async def test_a_key_file_is_read_as_editors_and_shells_write_it(
    encoding: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with isnotai.Sandbox(sessions=1) as sandbox:
        (tmp_path / "key").write_bytes(f"{sandbox.api_key}{ending}".encode(encoding))
        monkeypatch.setenv("ISNOTAI_API_KEY_FILE", str(tmp_path / "key"))
        async with isnotai.Client(base_url=sandbox.base_url) as client:
            assert await client.get_integration()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/dev/zero", "has more than 4,096 bytes; it must hold the API key alone"),
        ("/dev/null", "is empty; it must hold the API key"),
        ("/", "Is a directory"),
        ("/nowhere", "No such file"),
    ],
)
def test_a_key_file_that_holds_no_key_is_an_error_in_words(
    path: str, says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["whoami", "--api-key-file", path]) == 2
    assert says in capsys.readouterr().err
    monkeypatch.setenv("ISNOTAI_API_KEY_FILE", path)
    with pytest.raises(isnotai.ConfigError, match=says):
        isnotai.Client()


def test_the_key_itself_goes_before_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISNOTAI_API_KEY", "k")
    monkeypatch.setenv("ISNOTAI_API_KEY_FILE", "/nowhere")
    isnotai.Client()


def test_key_and_ids_can_come_from_stdin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"\xef\xbb\xbfbig-3\n\nbig-2\n")))
    argv = ["export", "--sandbox", "--sessions-file", "-", "--out", str(tmp_path / "o.jsonl"), "--quiet"]
    assert main(argv) == 0
    assert len((tmp_path / "o.jsonl").read_bytes().splitlines()) == 5

    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"'quoted'")))
    assert main(["whoami", "--api-key-file", "-", "--base-url", "http://127.0.0.1:9"]) == 2
    assert "is in quotes" in capsys.readouterr().err


def test_a_key_in_argv_does_not_hinder_a_shell_pipe() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "isnotai_async", "whoami", "--api-key", KEY],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "it is --api-key-file FILE, or ISNOTAI_API_KEY" in done.stderr
