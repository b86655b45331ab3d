"""The commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import anyio
from cyclopts import App, CycloptsError, Parameter

from isnotai_async._version import __version__
from isnotai_async.cli import outcome
from isnotai_async.cli.options import (
    Connection,
    EventFilters,
    SessionFilters,
    choose_sessions,
    list_events,
    list_sessions,
    open_client,
)
from isnotai_async.cli.output import leave_stdout, say, write_json, write_line, write_lines, write_table
from isnotai_async.cli.progress import RowCounter
from isnotai_async.errors import ConfigError, IsNotAIError
from isnotai_async.export import encode_rows, export_jsonl
from isnotai_async.sandbox import Sandbox

app = App(
    name="isnotai",
    help="Read event data out of the Not AI API. Data goes to stdout, words go to stderr.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        result = app(sys.argv[1:] if argv is None else argv, exit_on_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError:
        return outcome.USAGE  # cyclopts has printed what was wrong
    except IsNotAIError as error:
        say(f"isnotai: {outcome.explain(error)}")
        return outcome.exit_code(error)
    except BrokenPipeError:
        leave_stdout()
        return outcome.DONE
    except OSError as error:
        leave_stdout()
        say(f"isnotai: cannot write to stdout: {error.strerror or type(error).__name__}")
        return outcome.FAILED
    except KeyboardInterrupt:
        say("isnotai: interrupted")
        return outcome.INTERRUPTED
    return result if isinstance(result, int) else outcome.DONE


@app.command
async def health(*, connection: Connection = Connection()) -> None:
    """Ask whether the API is alive. Needs no key."""
    async with open_client(connection) as client:
        answer = await client.health()
        write_json({"region": client.region.name, "status": answer.status, "version": answer.version})


@app.command
async def whoami(*, connection: Connection = Connection()) -> None:
    """Show which integration the key stands for: the best test of a key."""
    async with open_client(connection) as client:
        write_json({"region": client.region.name, "integration": await client.get_integration()})


@app.command
async def sessions(
    *,
    filters: SessionFilters = SessionFilters(),
    limit: int | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    connection: Connection = Connection(),
) -> None:
    """List sessions: a table on a terminal, JSON lines in a pipe.

    Parameters
    ----------
    limit
        Most sessions to list; default all.
    json
        JSON lines on a terminal, too.
    """
    async with open_client(connection) as client:
        walk = list_sessions(client, filters, max_items=limit)
        if json or not sys.stdout.isatty():
            async for session in walk:
                write_json(session)
            return
        rows = [(s.id, s.created_at, s.status, s.bot_score, s.user_name, s.page_url) async for s in walk]
        write_table(("id", "created (UTC)", "status", "bot", "user", "page"), rows)


@app.command
async def events(
    session: str,
    /,
    *,
    filters: EventFilters = EventFilters(),
    limit: int | None = None,
    connection: Connection = Connection(),
) -> None:
    """Write the events of one session to stdout, as JSON lines.

    Parameters
    ----------
    session
        Id of the session.
    limit
        Most events to write; default all.
    """
    async with open_client(connection) as client:
        async for page in list_events(client, session, filters, max_items=limit).pages():
            write_lines(encode_rows(page, session))


@app.command
async def export(
    *,
    out: Path,
    session: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    sessions_file: Path | None = None,
    all: Annotated[bool, Parameter(negative=())] = False,
    session_filters: SessionFilters = SessionFilters(),
    filters: EventFilters = EventFilters(),
    force: Annotated[bool, Parameter(negative=())] = False,
    connection: Connection = Connection(),
) -> None:
    """Write the events of many sessions into one JSON Lines file.

    The file appears under its name when it is complete, and not before.

    Parameters
    ----------
    out
        File to write.
    session
        Id of a session; give it as often as needed.
    sessions_file
        File with one session id a line.
    all
        Every session, or every one that the filters below let through.
    force
        Replace the file if it exists.
    """
    async with open_client(connection) as client:
        ids = choose_sessions(client, given=session, file=sessions_file, all=all, filters=session_filters)
        with RowCounter() as counter:
            report = await export_jsonl(
                ids,
                lambda session_id: list_events(client, session_id, filters).pages(),
                out,
                force=force,
                on_rows=counter,
            )
    say(
        f"exported {report.rows:,} events of {report.sessions:,} sessions to {report.path} "
        f"({report.size / 1e6:.1f} MB) in {report.elapsed:.1f} s"
    )


@app.command
async def sandbox(
    *, port: int = 0, seed: str = "isnotai", session_count: Annotated[int, Parameter(name="--sessions")] = 40
) -> None:
    """Serve the sandbox until Ctrl-C: the API on this machine, with made-up people and bots.

    Parameters
    ----------
    port
        Port of region us; eu gets the next one. Default: two free ones.
    seed
        The same seed makes the same data.
    session_count
        Sessions to make up. Besides them, every id from big-0 to big-1000000 is a session of that many events.
    """
    server = Sandbox(port=port, seed=seed, sessions=session_count)
    try:
        await server.start()
    except OSError as error:
        raise ConfigError(f"cannot listen on port {port} and the next: {os.strerror(error.errno or 0)}") from None
    async with server:
        for region, base_url in server.base_urls.items():
            say(f"# region {region}; this key opens nothing else")
            write_line(f"export ISNOTAI_REGION={region} ISNOTAI_BASE_URL={base_url}")
            write_line(f"export ISNOTAI_API_KEY={server.api_keys[region]}")
        say("# serving until Ctrl-C")
        await anyio.sleep_forever()
