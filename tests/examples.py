"""How many examples the tests of properties take."""

from __future__ import annotations

import os


def scaled(count: int) -> int:
    """Return how many examples to take: eight times as many if ISNOTAI_TEST_EXAMPLES is `many`."""
    return count * 8 if os.environ.get("ISNOTAI_TEST_EXAMPLES") == "many" else count
