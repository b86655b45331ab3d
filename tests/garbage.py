"""What is freed at once, and what only the garbage collector would free."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collector() -> Iterator[None]:
    """Leave alone what is part of a cycle, so that a weak reference tells of it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
