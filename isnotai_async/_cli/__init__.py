"""The command line `isnotai`: argv and environment in, exit code out; the only package that prints."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Sequence

from isnotai_async._cli import exit_codes
from isnotai_async._cli.streams import StdoutError, whole_streams
from isnotai_async._version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments; default those of the process.

    Returns:
        The exit code: 0 all of it is there, 1 failed, 2 usage, 3 authentication, 4 not finished (run the same again),
        5 finished with failed sessions or rejected records, 130 Ctrl-C, 143 SIGTERM.
    """
    exit_codes.has_said_why.clear()
    with whole_streams():
        try:
            code = _run(sys.argv[1:] if argv is None else argv)
            sys.stdout.flush()
        except StdoutError as error:
            if error.is_reader_gone:
                return exit_codes.DONE
            print(f"isnotai: {error}", file=sys.stderr)
            return exit_codes.FAILED
        except KeyboardInterrupt:
            warnings.simplefilter("ignore", RuntimeWarning)  # about the coroutines that this broke off
            if not exit_codes.has_said_why.is_set():
                print("isnotai: interrupted", file=sys.stderr)
            return exit_codes.INTERRUPTED
        return code


def _run(argv: Sequence[str]) -> int:
    # Imports are inside: for the version nothing is needed, and Ctrl-C has to work during each of them.
    if list(argv) == ["--version"]:
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
