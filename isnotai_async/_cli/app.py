"""The table of commands, and the function that runs one and returns its exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from isnotai_async._cli import (
    doctor_command,
    exit_codes,
    export_command,
    read_commands,
    sandbox_command,
    show_command,
    sync_command,
)
from isnotai_async._cli.output import say, told_warnings
from isnotai_async._cli.streams import StdoutError
from isnotai_async._version import __version__
from isnotai_async.errors import IsNotAIError

app = App(
    name="isnotai",
    help="Read event data out of the Not AI API. Data goes to stdout, words go to stderr.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
app.command(read_commands.health)
app.command(read_commands.whoami)
app.command(doctor_command.doctor)
app.command(read_commands.sessions)
app.command(read_commands.session)
app.command(read_commands.events)
app.command(read_commands.users)
app.command(read_commands.user_sessions)
app.command(read_commands.courses)
app.command(read_commands.analytics)
app.command(read_commands.stats)
app.command(read_commands.usage)
app.command(show_command.show)
app.command(export_command.export)
app.command(sync_command.sync)
app.command(sandbox_command.sandbox)


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        with told_warnings():
            result = app(sys.argv[1:] if argv is None else argv, exit_on_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError:
        return exit_codes.USAGE  # cyclopts has printed what was wrong
    except IsNotAIError as error:
        say(f"isnotai: {exit_codes.explain(error)}")
        return exit_codes.exit_code(error)
    except StdoutError as error:
        if error.is_reader_gone:
            return exit_codes.DONE
        say(f"isnotai: {error}")
        return exit_codes.FAILED
    except KeyboardInterrupt:
        say("isnotai: interrupted")
        return exit_codes.INTERRUPTED
    return result if isinstance(result, int) else exit_codes.DONE
