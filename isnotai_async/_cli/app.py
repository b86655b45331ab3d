"""The table of commands, and the function that runs one and returns its exit code."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Final

from cyclopts import App, CycloptsError

from isnotai_async._cli import exit_codes
from isnotai_async._cli.output import say, told_warnings
from isnotai_async._cli.usage import explain_usage
from isnotai_async._version import __version__
from isnotai_async.errors import IsNotAIError, has_key

# A command's module is imported when the command is run, so each has its first line of help here (a test compares).
COMMANDS: Final = (
    ("read_commands:health", "Ask whether the API is alive. Needs no key."),
    ("read_commands:whoami", "Show which integration the key stands for: the best test of a key."),
    ("doctor_command:doctor", "Look for what is wrong between here and the API."),
    ("read_commands:sessions", "List sessions."),
    ("read_commands:session", "Show the record of one session; `isnotai show` shows what happened in it."),
    ("read_commands:events", "List the events of one session."),
    ("read_commands:users", "List the users of the learning platform."),
    ("read_commands:courses", "List courses, with whatever fields the API gives them."),
    ("read_commands:analytics", "Show summary and time series of a period."),
    ("read_commands:stats", "Show the API's counters, whatever they are."),
    ("read_commands:usage", "Show the consumption of the API."),
    (
        "show_command:show",
        "Show what happened in a session: user, time, each event type over time, bursts, pauses and pages.",
    ),
    ("export_command:export", "Write the events of many sessions into one file, each exactly once."),
    ("sync_command:sync", "Bring an SQLite database of sessions and events up to date. Run it each night, say."),
    ("sandbox_command:sandbox", "Serve the sandbox until Ctrl-C: the API on this machine."),
    ("completion_command:completion", "Write a completion script for a shell to stdout."),
)

app = App(
    name="isnotai",
    help="Read event data out of the Not AI API. Data goes to stdout, words go to stderr.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
for place, line in COMMANDS:
    app.command(f"isnotai_async._cli.{place}", help=line)

_HELP: Final = {"--help", "-h"}
_NAMES: Final = {place.rpartition(":")[2] for place, _ in COMMANDS}
_KEY_IN_ARGV: Final = (
    "isnotai: an API key was on the command line, where every user of the machine can see it: revoke it, and set "
    "ISNOTAI_API_KEY or pass --api-key-file FILE"
)


def show_whole_help(name: str) -> None:
    """Let the help of a command be its whole docstring. It has only the first line, for the overview, until then."""
    text = (app[name].default_command.__doc__ or "").partition("Parameters\n")[0]
    app[name].help = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def run(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    if _HELP & set(argv) and argv[0] in _NAMES:
        show_whole_help(argv[0])
    code = _run(argv)
    if any(map(has_key, argv)):
        say(_KEY_IN_ARGV)
    return code


def _run(argv: Sequence[str]) -> int:
    try:
        with told_warnings():
            result = app(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        say(f"isnotai: {explain_usage(error)}")
        return exit_codes.USAGE
    except IsNotAIError as error:
        say(f"isnotai: {exit_codes.explain(error)}")
        return exit_codes.exit_code(error)
    except OSError as error:
        say(f"isnotai: {_explain_system(error)}")
        return exit_codes.FAILED
    return result if isinstance(result, int) else exit_codes.DONE


def _explain_system(error: OSError) -> str:
    # What concerns a user's file or the network is an IsNotAIError; here the process itself lacks something.
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return "the system lets this process open no more files; raise the limit, as with: ulimit -n 256"
    place = f"{error.filename}: " if error.filename else ""
    return f"the system failed: {place}{error.strerror or type(error).__name__}"
