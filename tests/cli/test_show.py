"""`isnotai show`: what a session's picture says, in a terminal, in a pipe and as a page, whatever the data holds."""

from __future__ import annotations

import csv
import fcntl
import itertools
import json
import os
import pty
import re
import struct
import subprocess
import termios
from collections import Counter
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from rich.cells import cell_len

from isnotai_async._cli import main
from tests.canary import CANARY_KEY
from tests.command import Command, run_command
from tests.faults.answers import error_reply, json_reply
from tests.faults.server import FaultServer, Received

BOT: Final = "ses-ae9f8f9c4f7ae686"
ESCAPE: Final = "\x1b[31mred\x1b]0;title\x07"
SCRIPT: Final = "<script>alert(1)</script>"
OVERRIDE: Final = "\u202egnp.exe\u2066"
HEBREW: Final = "שלום"
PLAIN: Final = """
<html lang><head><meta charset><meta http-equiv content><meta name><title></title><style></style></head><body>
<h1></h1><dl><dt></dt><dd class><bdi></bdi></dd></dl>
<h2><small></small></h2><figure><figcaption></figcaption>
<div><span><svg viewbox preserveaspectratio role aria-label><path d></svg></span></div></figure>
<table class><tr><th></th><td></td></tr></table></body></html>
"""
"""All elements and attributes that a page has."""
HOSTILE: Final = (ESCAPE, SCRIPT, OVERRIDE, HEBREW, "\"'><img src=x onerror=alert(1)>", "tab\tnew\nline", "x" * 900)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "REGION", "BASE_URL"):
        monkeypatch.delenv(f"ISNOTAI_{name}", raising=False)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def show(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["show", *argv, "--sandbox"]) == 0
    return capsys.readouterr().out


def show_at_terminal(*argv: str, width: int, **environment: str) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    settings = {**os.environ, "TERM": "xterm-256color", **environment}
    command = ["show", *argv, "--sandbox"]
    with Command(command, stdout=theirs, stderr=subprocess.DEVNULL, env=settings) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65_536)
            except OSError:  # the end of a terminal, on Linux
                break
        os.close(ours)
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


def read_rows(text: str) -> dict[str, int]:
    """Read the numbers beside the sparklines."""
    chart = text.partition("Events over time")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [re.match(r"  (\S.*?) +([\d,]+)  ", line) for line in chart]
    return {row[1]: int(row[2].replace(",", "")) for row in rows if row}


class Page(HTMLParser):
    """The elements, attributes, style and text of a page, and the numbers beside its charts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.rows: dict[str, int] = {}
        self.text = ""
        self._row: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "div" and (dict(attrs).get("class") or "").startswith("row"):
            self._row = []

    def handle_endtag(self, tag: str) -> None:
        if tag == "div" and self._row is not None:
            if len(self._row) == 3:
                self.rows[self._row[0]] = int(self._row[1].replace(",", ""))
            self._row = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._row is not None:
            self._row.append(data)


@pytest.mark.parametrize("session", ["big-700", BOT])
def test_picture_page_and_export_have_the_same_counts(
    session: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported, page = tmp_path / "events.csv", tmp_path / "page.html"
    assert main(["export", "--sandbox", "--session", session, "--out", str(exported)]) == 0
    with exported.open(newline="") as lines:
        counts = Counter(row["event_type_name"] for row in csv.DictReader(lines))
    shown = read_rows(show(capsys, session))
    show(capsys, session, "--html", str(page))
    on_page = Page(page.read_text("utf-8")).rows

    assert len(counts) > 5
    assert shown.pop("all") == on_page.pop("all") == counts.total()
    opened = shown.pop("pages opened")
    assert on_page.pop("pages opened") == opened
    assert shown == counts
    assert on_page == counts
    assert opened >= 1


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("session", ["big-0", "big-1", "big-5", "big-4000", "big-1000000", BOT])
def test_every_line_fits_the_terminal(
    session: str, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))

    lines = show(capsys, session).splitlines()

    assert all(cell_len(line) <= width for line in lines)
    assert session in ("big-0", "big-1", "big-5") or max(map(cell_len, lines)) > width - 16


def test_a_terminal_gets_colours_and_no_color_takes_them_away() -> None:
    assert "\x1b[" in show_at_terminal(BOT, width=80)
    plain = show_at_terminal(BOT, width=80, NO_COLOR="1")
    assert not re.search(r"\x1b\[[\d;]*3[0-7]", plain)
    assert "\x1b" not in show_at_terminal(BOT, width=80, TERM="dumb")


def test_a_pipe_gets_nothing_but_text(capsys: pytest.CaptureFixture[str]) -> None:
    shown = show(capsys, BOT)

    assert all(line.isprintable() for line in shown.splitlines())
    assert "0.88, a bot (0.7 and above)" in shown
    assert "regular_rhythm, large_pastes" in shown
    assert "No pause of 5 s or more" in shown
    assert "█" in shown


def test_without_unicode_it_is_all_ascii() -> None:
    settings = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "80"}
    done = run_command(["show", "big-1000", "--sandbox"], capture_output=True, env=settings, check=True)

    assert done.stdout.isascii()
    assert re.search(rb"mouse_move +[\d,]+  [ .:\-=+*#@]*@", done.stdout)


def test_a_large_session_is_drawn_from_its_timeline_and_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shown = show(capsys, "big-1000000")
    show(capsys, "big-1000000", "--html", str(tmp_path / "page.html"))
    page = Page((tmp_path / "page.html").read_text("utf-8"))

    words = " ".join(shown.split())
    assert "1,000,000, as the session's details report" in words
    for text in (words, page.text):
        assert "Drawn from the timeline of the session's details, without reading the events" in text
        assert "Busiest stretch of 35 min 48 s from" in text
        assert "burst" not in text
    assert read_rows(shown)["mostly mouse_move"] == page.rows["mostly mouse_move"] == 1_000_000


def test_all_events_of_a_large_session_are_read_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    shown = show(capsys, "big-20000", "--full")

    assert "Drawn from" not in shown
    rows = read_rows(shown)
    assert rows.pop("all") == 20_000
    rows.pop("pages opened")
    assert sum(rows.values()) == 20_000
    assert "Busiest minute" in shown
    assert "pauses of 5 s or more" in shown


def test_events_of_one_instant_are_said_to_be(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shown = show(capsys, "big-2")
    show(capsys, "big-2", "--html", str(tmp_path / "page.html"))
    page = Page((tmp_path / "page.html").read_text("utf-8"))

    assert "Events over time: all events at one instant" in shown
    assert "all events at one instant" in page.text
    assert page.text.partition("Busiest")[0].count("12:00:00.000") == 1


def test_json_is_the_record_of_the_details(capsys: pytest.CaptureFixture[str]) -> None:
    details = json.loads(show(capsys, "big-700", "--json"))

    assert details["event_counts"]["total"] == 700
    assert sum(stretch["event_count"] for stretch in details["timeline"]) == 700


def test_a_page_that_cannot_be_written_is_an_error_with_its_reason(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["show", "big-5", "--sandbox", "--html", str(tmp_path / "none" / "page.html")]) == 1
    assert "page.html: No such file or directory" in capsys.readouterr().err


def answer(request: Received, *, details: Callable[[], bytes], has_more: bool = False) -> bytes:
    """Answer as an API whose every text is hostile."""
    if request.target.endswith("/details"):
        return details()
    if "/events" in request.target:
        names = [*HOSTILE, None] * 9
        data: list[dict[str, Any]] = [
            {"eventId": f"e{at}", "messageId": at, "timestamp": 1_781_092_800_000 + at * 7_001, "payloadSize": 1}
            | {"eventTypeName": name or "mouse_move"}
            for at, name in enumerate(names)
        ]
        cursor = request.line if has_more and len(request.line) < 3_000 else None
        return json_reply({"data": data, "pagination": {"hasMore": has_more, "limit": 100, "nextCursor": cursor}})
    texts = ("status", "pageUrl", "userAgentSummary", "userId", "userName", "userUrl")
    times = dict.fromkeys(("createdAt", "updatedAt"), "2026-06-10T12:00:00Z")
    record = dict(zip(texts, HOSTILE, strict=False)) | times
    return json_reply({"data": record | {"id": SCRIPT, "botScore": 0.97, "detectionFlags": list(HOSTILE)}})


def hostile_details() -> bytes:
    counts = dict.fromkeys(("mouse", "scroll", "keyboard", "touch", "form"), 1)
    visits = [{"url": url, "timestamp": "2026-06-10T12:00:00Z", "type": url, "durationMs": None} for url in HOSTILE]
    data = {
        "sessionId": SCRIPT,
        "startTime": "2026-06-10T12:00:00Z",
        "endTime": "2026-06-10T12:10:00Z",
        "durationSeconds": 600,
        "eventCounts": counts | {"total": 72},
        "timeline": [],
        "pageHistory": [*visits, {**visits[0], "url": "javascript:alert(1)"}],
    }
    return json_reply({"data": data})


async def show_from(server: FaultServer, *argv: str, key_file: Path) -> int:
    key_file.write_text(CANARY_KEY)
    options = ["--api-key-file", str(key_file), "--base-url", server.base_url]
    return await anyio.to_thread.run_sync(partial(main, ["show", "s1", *argv, *options]))


async def test_nothing_of_the_data_is_an_escape_in_a_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    async with FaultServer(partial(answer, details=hostile_details)) as server:
        assert await show_from(server, key_file=tmp_path / "key") == 0
    shown = capsys.readouterr().out

    assert not set("\x1b\x07\t\r\u202e\u2066") & set(shown)
    assert shown.count("\u2068") == shown.count("\u2069") > 0
    assert all(cell_len(line) <= 80 for line in shown.splitlines())
    assert r"\x1b[31mred" in shown
    assert HEBREW in shown


async def test_nothing_of_the_data_is_markup_in_a_page(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    async with FaultServer(partial(answer, details=hostile_details)) as server:
        assert await show_from(server, "--html", str(target), key_file=tmp_path / "key") == 0
    text = target.read_text("utf-8")
    page = Page(text)

    assert SCRIPT in page.text
    assert "javascript:alert(1)" in page.text
    assert page.tags == Page(PLAIN).tags
    assert page.attributes == Page(PLAIN).attributes
    assert not set("\x1b\x07\u202e\u2066") & set(text)
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert "http" not in text.partition("<body>")[0].replace("http-equiv", "")


async def test_without_details_it_is_drawn_from_the_events(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    refuse = partial(error_reply, 503, "DETAILS_UNAVAILABLE", "not now")
    async with FaultServer(partial(answer, details=refuse)) as server:
        assert await show_from(server, key_file=tmp_path / "key") == 0
    shown = capsys.readouterr().out

    assert "The API could not compute the session's details (503)." in shown
    assert read_rows(shown)["all"] == 72


async def test_more_events_than_the_details_report_are_not_read_without_end(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isnotai_async._cli.show_command.MOST_EVENTS", 100)
    async with FaultServer(partial(answer, details=hostile_details, has_more=True)) as server:
        assert await show_from(server, key_file=tmp_path / "key") == 0
    shown = capsys.readouterr().out

    assert "Drawn from the first 144 events; more follow." in " ".join(shown.split())
    assert "144 listed; the session's details report 72" in shown


GUIDE: Final = (Path(__file__).parents[2] / "docs" / "look-at-a-session.md").read_text("utf-8")


@pytest.mark.parametrize("session", re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL), ids=itertools.count())
def test_the_guide_shows_what_the_command_prints(session: str, tmp_path: Path) -> None:
    line, _, shown = session.partition("\n")
    assert line.startswith("$ isnotai show ")
    settings = {**os.environ, "COLUMNS": "80"}
    done = run_command(line.split()[2:], cwd=tmp_path, capture_output=True, env=settings, check=True)

    assert (done.stdout + done.stderr).decode() == shown
