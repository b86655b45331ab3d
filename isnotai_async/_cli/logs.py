"""Writes the package's log to stderr, at the level set by -v, -vv or ISNOTAI_LOG."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from isnotai_async._cli.output import say
from isnotai_async.errors import ConfigError, printable, quoted

VARIABLE: Final = "ISNOTAI_LOG"
_LEVELS: Final = {"warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}


@contextmanager
def logged(verbose: int) -> Iterator[None]:
    """Write the log `isnotai_async` to stderr within this block.

    Args:
        verbose: How often -v was given: once for info, twice for debug; 0 for the level in the environment.
    """
    level = logging.DEBUG if verbose > 1 else logging.INFO if verbose else _read_level(os.environ.get(VARIABLE))
    if level is None:
        yield
        return
    logger, handler = logging.getLogger("isnotai_async"), _Saying(level)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(level, before or level))
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


def _read_level(name: str | None) -> int | None:
    if not name:
        return None
    if name.lower() not in _LEVELS:
        raise ConfigError(f"{VARIABLE} is {quoted(name)}; it must be {', '.join(_LEVELS)}")
    return _LEVELS[name.lower()]


class _Saying(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        moment = datetime.fromtimestamp(record.created, UTC)  # as the times in the texts
        say(f"{moment:%H:%M:%SZ} {record.levelname.lower()}: {printable(record.getMessage())}")
