"""Messages of the command: options in place of Python arguments, the session, the heading in docs/errors.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from isnotai_async import errors
from isnotai_async._cli import exit_codes, main
from isnotai_async._cli.exit_codes import explain
from isnotai_async._cli.option_names import in_options
from isnotai_async._models.queries import (
    AnalyticsQuery,
    CourseQuery,
    EventQuery,
    Query,
    SessionQuery,
    UsageQuery,
    UserQuery,
    UserSessionQuery,
)

PACKAGE = Path(errors.__file__).parent
ARGUMENT = re.compile(r"(?<![-\w?&/])[a-z][a-z_]*=")
NOT_OF_A_COMMAND = {  # modules, or arguments, whose messages no command can cause
    *("_cli/session_html.py", "_models/validation.py", "_streaming/stream.py", "_arrow.py"),
    *("_ratelimit/file/place.py", "_ratelimit/file/store.py", "integrations/spark.py"),
    *(
        "integrations/_environment.py",
        "_ratelimit/redis/limiter.py",
        "_http/http_session.py",
        "_http/endpoints.py",
        "_http/messages.py",
    ),
    *("http_session=", "trust_env=", "Credential(", "retry must be a Retry", "PRAGMA", "mode=rw", "password="),
    *("tzinfo=", "params=", "api_key=", "etag", "in a program", "with limiter=", "tier= is for the client's own"),
}


def texts_of(path: Path) -> Iterator[str]:
    """Return the texts in a module that are no docstrings, with an X for each value."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    parts |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


def messages() -> Iterator[str]:
    """Return the texts of the package that name a Python argument, and that a command can write."""
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith("sandbox/") or name in NOT_OF_A_COMMAND:
            continue
        for text in texts_of(path):
            if ARGUMENT.search(text) and " " in text and not any(each in text for each in NOT_OF_A_COMMAND):
                yield text


QUERIES = (SessionQuery, EventQuery, UserQuery, UserSessionQuery, CourseQuery, AnalyticsQuery, UsageQuery)
CLOSED_PORT = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("timeout is 0.0 seconds; use None for no limit", "--timeout is 0.0 seconds; use none for no limit"),
        ("start over with resume=False (--no-resume), please", "start over with --no-resume, please"),
        ('replace it with if_exists="replace" (--if-exists replace)', "replace it with --if-exists replace"),
        ("or choose its region (region= or ISNOTAI_REGION)", "or choose its region (--region or ISNOTAI_REGION)"),
        ("in parts, with start_time and end_time", "in parts, with --start and --end"),
        ("base_url 'ftp://x' is not http(s)", "--base-url 'ftp://x' is not http(s)"),
        ("page_size must be an int of at least 1", "--page-size must be an int of at least 1"),
        ("quota=0.5, but another uses quota=1", "--quota 0.5, but another uses --quota 1"),
        ("session_id is empty", "the session id is empty"),
        ("nothing came within the timeout of 60 s", "nothing came within the timeout of 60 s"),
        ("the fields are: session_id, timestamp", "the fields are: session_id, timestamp"),
        ("shard 9/8 does not exist", "--shard 9/8 does not exist"),
        ("--page-size 0", "--page-size 0"),
    ],
)
def test_a_message_has_the_names_of_options(text: str, shown: str) -> None:
    assert in_options(text) == shown


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["sessions", "--status", ""], "--status is empty"),
        (["sessions", "--user", ""], "--user is empty"),
        (["events", ""], "the session id is empty"),
        (["events", "s", "--type", "300"], "--type '300' is not a byte"),
        (["analytics", "--period", ""], "--period is empty"),
        (["health", "--timeout", "0"], "use none for no limit"),
        (["health", "--base-url", "ftp://x"], "--base-url 'ftp://x'"),
        (["export", "--session", "a", "--out", "x.jsonl", "--split", "0"], "--split is 0"),
        (["export", "--session", "a", "--out", "x.jsonl", "--bom"], "--bom is for the format csv"),
        (["show", "big-3", "--json", "--html", "x.html"], "leave out one of them"),
        (["usage", "--since", "7"], "--since '7' has no unit; write 7d or 7h (ago)"),
        (["events", "big-3", "--start", "0"], "--start '0' has no unit; write 7d"),
        (["sync", "--out", "x.db", "--settle", "10d"], "--settle 10 days must not be above --watch 7 days"),
        (
            ["sync", "--out", "x.db", "--watch", "0d"],
            "--watch is 0:00:00; it must be longer than 0 s and shorter than 1e12 s",
        ),
        (["events", "big-3", "--start", "1781067140"], "looks like seconds; multiply by 1000: 1781067140000"),
    ],
    ids=str,
)
def test_a_usage_error_is_in_the_words_of_the_command(
    argv: list[str],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ISNOTAI_API_KEY", "aik_v1_" + "a" * 40)
    place = [] if "--base-url" in argv else ["--sandbox"]
    assert main([*argv, *place]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_no_message_of_a_command_names_an_argument_of_python() -> None:
    found = list(messages())
    assert len(found) > 20
    assert [in_options(text) for text in found if ARGUMENT.search(in_options(text))] == []


@pytest.mark.parametrize("command", ["session", "events", "show"])
def test_a_missing_session_is_named(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "no-such", "--sandbox"]) == 1
    said = capsys.readouterr().err
    assert said.endswith("There is no session of this id. (session 'no-such') [NotFoundError]\n")


def test_a_redis_that_is_down_leads_to_options_of_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISNOTAI_API_KEY", "aik_v1_" + "a" * 40)
    assert main(["session", "s1", "--base-url", CLOSED_PORT, "--redis", "redis://127.0.0.1:9/0"]) == 4
    said = capsys.readouterr().err
    assert "make sure that it runs, or use --quota 1/N without --redis (session 's1') [LimiterError]" in said


def test_a_timeout_longer_than_a_lease_leads_to_the_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISNOTAI_API_KEY", "aik_v1_" + "a" * 40)
    argv = ["session", "s1", "--base-url", CLOSED_PORT, "--redis", "redis://127.0.0.1:9/0", "--timeout", "300"]
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert "--timeout 300.0 is not below the limiter's lease of 65 s" in said
    assert said.endswith("a request would outlive its permit; choose a shorter --timeout\n")


@pytest.mark.parametrize("command", [["session", "s1"], ["events", "s1"], ["sessions"]], ids=str)
def test_trouble_with_the_network_ends_with_4(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISNOTAI_API_KEY", "aik_v1_" + "a" * 40)
    assert main([*command, "--base-url", CLOSED_PORT, "--deadline", "2"]) == 4
    said = capsys.readouterr().err
    assert "Connection refused" in said
    assert said.endswith("[ConnectError]\n")
    assert ("session 's1'" in said) is ("s1" in command)


def test_the_message_names_the_heading_that_explains_it() -> None:
    page = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
    for error in (errors.ServerError("down", status=503), errors.SinkError("full"), errors.DecodeError("no JSON")):
        heading = explain(error).rpartition("[")[2].removesuffix("]")
        assert f"\n## {heading}\n" in page


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.__name__)
def test_every_filter_has_the_name_of_an_option(query: type[Query]) -> None:
    for name in [field.name for field in attrs.fields(query)]:
        assert in_options(f"{name}=3") != f"{name}=3"


def test_the_page_of_errors_explains_each_exit_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
    headings = " ".join(line for line in page.splitlines() if line.startswith("### Exit code"))
    codes = [value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)]
    assert set(re.findall(r"\d+", headings)) == set(map(str, codes))


@pytest.mark.parametrize("page", ["errors", "export", "operations"])
def test_each_table_of_exit_codes_has_all_of_them_and_says_that_a_target_which_exists_is_1(page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / f"{page}.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([0-9][0-9, ]*) \| (.*)$", text, re.MULTILINE))
    codes = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}

    assert {int(code) for codes in rows for code in codes.split(",")} == codes
    assert "exists" in rows["1"]
