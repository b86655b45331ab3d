"""The command line `isnotai`: argv and environment in, exit code out; the only package that prints.

Everything else is imported within `main`, so that Ctrl-C ends the command in words from its first moment on. A wrong
value of an option is a `ConfigError`, wherever it is read.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments; default those of the process.

    Returns:
        The exit code: 0 all of it is there, 1 failed, 2 usage, 3 authentication, 4 not finished (run the same again),
        5 finished with failed sessions or rejected records, 130 Ctrl-C, 143 SIGTERM.
    """
    try:
        return _run_over_whole_streams(sys.argv[1:] if argv is None else argv)
    except (KeyboardInterrupt, RuntimeError) as error:
        # Python 3.11 raises a RuntimeError from it if Ctrl-C comes while a class is created.
        if not isinstance(error.__cause__ or error, KeyboardInterrupt):
            raise
        return _end_interrupted()


def _end_interrupted() -> int:
    import _signal as signal  # type: ignore[import-not-found]  # there from Python's start, so no file is read

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would show a traceback
    import warnings

    from isnotai_async._cli import exit_codes
    from isnotai_async._cli.streams import whole_streams

    warnings.simplefilter("ignore", RuntimeWarning)  # about the coroutines that this broke off
    if not exit_codes.has_said_why.is_set():
        with whole_streams():
            print("isnotai: interrupted", file=sys.stderr)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # if the end of the process takes long, the next one ends it at once
    return exit_codes.INTERRUPTED


def _run_over_whole_streams(argv: Sequence[str]) -> int:
    from isnotai_async._cli import exit_codes
    from isnotai_async._cli.streams import StdoutError, whole_streams

    exit_codes.has_said_why.clear()
    with whole_streams():
        try:
            code = _run(argv)
            sys.stdout.flush()
        except StdoutError as error:
            if error.is_reader_gone:
                return exit_codes.DONE
            print(f"isnotai: {error}", file=sys.stderr)
            return exit_codes.FAILED
        return code


def _run(argv: Sequence[str]) -> int:
    import importlib.util

    from isnotai_async._cli import exit_codes
    from isnotai_async._version import __version__

    if list(argv) == ["--version"]:  # for which nothing else is needed
        print(__version__)
        return exit_codes.DONE
    missing = [name for name in ("cyclopts", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"isnotai: the command line needs {' and '.join(missing)}; install it: pip install 'isnotai-async[cli]'",
            file=sys.stderr,
        )
        return exit_codes.FAILED
    from isnotai_async._cli.app import run

    return run(argv)
