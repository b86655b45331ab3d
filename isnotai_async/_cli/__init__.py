"""The command line `isnotai`: argv and environment in, exit code out; the only package that prints."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from isnotai_async._cli.streams import whole_streams


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments; default those of the process.

    Returns:
        The exit code: 0 done, 1 failed, 2 usage, 3 authentication, 4 rate limited or unfinished,
        130 Ctrl-C, 143 SIGTERM.
    """
    with whole_streams():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    missing = [name for name in ("cyclopts", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"isnotai: the command line needs {' and '.join(missing)}; install it: pip install 'isnotai-async[cli]'",
            file=sys.stderr,
        )
        return 1
    from isnotai_async._cli.app import run  # after the look: it needs what may be missing

    return run(argv)
