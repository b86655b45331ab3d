"""API keys: read from files as they come, and shown nowhere, wherever they were put by mistake."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Literal

import pytest

import isnotai_async as isnotai
from isnotai_async._cli import main
from isnotai_async.integrations.delta import export_to_delta
from tests.command import run_command

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


def test_a_sandbox_does_not_show_a_key_that_was_passed_as_its_seed() -> None:
    assert KEY[7:20] not in repr(isnotai.Sandbox(seed=KEY))


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
    done = run_command(["whoami", "--api-key", KEY], capture_output=True, text=True)
    assert done.returncode == 2
    assert "it is --api-key-file FILE, or ISNOTAI_API_KEY" in done.stderr


CALLS: dict[str, Callable[[isnotai.Client], object]] = {
    "session id": lambda client: client.get_session(KEY),
    "session id with more around it": lambda client: client.list_events(f"x-{KEY.upper()}"),
    "details": lambda client: client.get_session_details(KEY),
    "user id": lambda client: client.get_user_sessions(KEY),
    "search": lambda client: client.list_users(search=KEY),
    "status": lambda client: client.list_sessions(status=KEY),
    "type": lambda client: client.list_events("s", type=KEY),
    "period": lambda client: client.get_analytics(period=KEY),
    "path": lambda client: client.request(f"/v1/courses/{KEY}"),
    "parameter": lambda client: client.request("/v1/courses", params={"cursor": KEY}),
    "name of a parameter": lambda client: client.request("/v1/courses", params={KEY: "1"}),
    "cursor of a position": lambda client: client.list_events("s", resume=_at(KEY)),
    "base URL": lambda _: isnotai.Client("k", base_url=f"https://api.isnotai.com/{KEY}"),
    "host": lambda _: isnotai.Client("k", base_url=f"https://{KEY}.example.com"),
    "proxy": lambda _: isnotai.Client("k", proxy=f"http://{KEY}@proxy.example:3128"),
    "user agent": lambda _: isnotai.Client("k", user_agent=f"mine/{KEY}"),
    "name of a credential": lambda _: isnotai.SessionManager({KEY: isnotai.Credential("k")}),
    "file of a limiter": lambda _: isnotai.FileLimiter(f"/tmp/{KEY}"),
    "session of a stream": lambda client: client.stream_events(["s", KEY]).to_arrow(),
    "file of an export": lambda client: isnotai.export_events(client, "s", f"/tmp/{KEY}.jsonl"),
    "store of a sync": lambda client: isnotai.update_store(client, f"/tmp/{KEY}.db"),
    "job": lambda client: export_to_delta(client, "s", "/tmp/table", job=KEY),
    "table": lambda client: export_to_delta(client, "s", f"s3://events/{KEY}", job="june"),
}


def _at(cursor: str) -> isnotai.Position:
    return isnotai.Position(operation="list_events", region="us", session_id="s", cursor=cursor)


@pytest.mark.parametrize("where", CALLS)
async def test_a_key_in_place_of_another_value_is_neither_sent_nor_shown(where: str) -> None:
    async with isnotai.Sandbox(sessions=1) as sandbox:
        async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
            with pytest.raises(isnotai.ConfigError, match=r"is or contains an API key \(aik_v1_\*\*\*\)") as caught:
                await _finish(CALLS[where](client))

        assert KEY[7:20] not in f"{caught.value} {caught.value!r} {caught.value.args}"
        assert sandbox.stats.requests == 0


async def _finish(called: object) -> None:
    if inspect.isawaitable(called):
        await called


@pytest.mark.parametrize("on_error", ["raise", "collect"])
@pytest.mark.parametrize("make", [list, tuple, dict.fromkeys, iter], ids=["list", "tuple", "dict", "iterator"])
async def test_a_key_among_the_sessions_of_a_stream_ends_it_and_is_not_sent(
    make: Callable[[list[str]], Iterable[str]], on_error: Literal["raise", "collect"]
) -> None:
    sessions = make(["big-2", KEY])
    async with isnotai.Sandbox(sessions=1) as sandbox:
        async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
            stream = client.stream_events(sessions, on_error=on_error)
            with pytest.raises(isnotai.ConfigError, match="a session id is or contains an API key"):
                async with stream:
                    async for _ in stream:
                        pass

        assert KEY not in str(stream.failures) + stream.position.to_json()
        assert sandbox.stats.requests <= (1 if isinstance(sessions, Iterator) else 0)


async def test_a_key_among_the_sessions_of_two_regions_is_found_before_its_region_is_asked() -> None:
    async with isnotai.Sandbox(sessions=1) as sandbox:
        keys = {
            name: isnotai.Credential(key, region=name, base_url=sandbox.base_urls[name])
            for name, key in sandbox.api_keys.items()
        }
        async with isnotai.SessionManager(keys) as manager:
            with pytest.raises(isnotai.ConfigError, match="a session id is or contains an API key"):
                await manager.stream_events([("us", "big-2"), ("eu", KEY)]).to_arrow()
            with pytest.raises(isnotai.ConfigError, match="a session id is or contains an API key"):
                await manager.stream_events({"eu": ["big-2", KEY]}).to_arrow()
        assert sandbox.stats.requests + sandbox.region_stats("eu").requests == 0


@pytest.mark.parametrize("on_error", ["raise", "collect"])
@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
async def test_an_export_stores_no_key_that_stands_among_its_sessions(
    make: Callable[[list[str]], Iterable[str]], on_error: Literal["raise", "collect"], tmp_path: Path
) -> None:
    sessions = make(["big-2", KEY])
    async with isnotai.Sandbox(sessions=1) as sandbox:
        async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
            with pytest.raises(isnotai.ConfigError, match="a session id is or contains an API key"):
                await isnotai.export_events(client, sessions, tmp_path / "e.jsonl", on_error=on_error)
        assert not any(KEY[7:20].encode() in path.read_bytes() for path in tmp_path.iterdir())
        if isinstance(sessions, list):
            assert sandbox.stats.requests == 0
            assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", [KEY, f'{{"id": "{KEY}"}}', f" {KEY} "])
def test_a_key_in_a_file_of_session_ids_is_an_error_with_its_line(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = tmp_path / "ids"
    ids.write_text(f"big-2\n{line}\n")
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(ids.read_bytes())))

    for file in (str(ids), "-"):
        argv = ["export", "--sandbox", "--sessions-file", file, "--out", str(tmp_path / "o.jsonl"), "--quiet"]
        assert main(argv) == 2

    said = capsys.readouterr().err
    assert said.count("line 2 of the session ids is or contains an API key (aik_v1_***)") == 2
    assert KEY[7:20] not in said
    assert [path.name for path in tmp_path.iterdir()] == ["ids"]


@pytest.mark.parametrize(
    "words",
    [
        f"the session id: events {KEY}",
        f"the session id: session {KEY}",
        f"the session id: show {KEY}",
        f"--user: sessions --user {KEY}",
        f"--search: users --search {KEY}",
        f"--session: export --out o.jsonl --session big-2 --session {KEY}",
        f"the name of the file: export --out {KEY}.jsonl --session big-2",
        f"the name of the file: sync --out {KEY}.db",
        f"job: export --out t --session s --format delta --job {KEY}",
    ],
    ids=lambda words: words.replace(KEY, "KEY"),
)
def test_a_key_as_an_argument_is_named_and_not_used(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, _, argv = words.partition(": ")

    assert main([*argv.split(), "--sandbox"]) == 2

    said = capsys.readouterr().err
    assert f"{name} is or contains an API key (aik_v1_***)" in said
    assert KEY[7:20] not in said
    assert not list(tmp_path.iterdir())
