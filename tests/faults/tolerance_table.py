"""Prints what an answer with one field null or absent becomes: ``python -m tests.faults.tolerance_table``.

The answers and what is expected of them are those of `test_tolerance`. The last line counts the outcomes.
"""

from __future__ import annotations

import asyncio
import warnings
from collections import Counter

import isnotai_async as isnotai
from tests import sample
from tests.faults.answers import json_reply
from tests.faults.clients import connected
from tests.faults.server import FaultServer
from tests.faults.test_tolerance import ANSWERS, MUTATIONS, QUICK


async def outcome_of(name: str, way: tuple[str | int, ...], how: str) -> str:
    """Ask for an answer with one field changed; say what became of it, how it was reported, and what it cost."""
    body, ask = ANSWERS[name]
    bent = sample.without(body, way) if how == "absent" else sample.replaced(body, way, None)
    server, notices = FaultServer(json_reply(bent)), list[isnotai.Notice]()
    async with connected(server, retry=QUICK, on_notice=notices.append) as client:
        try:
            await ask(client)
        except isnotai.IsNotAIError as error:
            outcome = type(error).__name__
        else:
            told = sum(isinstance(notice, isnotai.DeviationNotice) for notice in notices)
            outcome = f"read, reported {told} times"
    return f"{outcome}, {len(server.requests)} requests"


async def print_table() -> None:
    """Print one row for each field, and the sum."""
    counts, rows = Counter[str](), dict[tuple[str, str], dict[str, str]]()
    for name, way in MUTATIONS:
        outcomes = {how: await outcome_of(name, way, how) for how in ("null", "absent")}
        counts.update(outcomes.values())
        rows[name, sample.json_path(way)] = outcomes
    print(f"{'answer':14} {'field':52} {'null':38} absent")
    for (name, path), outcomes in rows.items():
        print(f"{name:14} {path:52} {outcomes['null']:38} {outcomes['absent']}")
    print(f"\n{counts.total()} answers:", "; ".join(f"{count} {outcome}" for outcome, count in counts.most_common()))


if __name__ == "__main__":
    warnings.simplefilter("ignore", isnotai.IsNotAIWarning)
    asyncio.run(print_table())
