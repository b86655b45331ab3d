"""The client that openapi-python-client makes from the contract, beside ours: the same answers, value by value.

Outside CI, because that tool and what its client needs are in the group `bench`:
``uv run --group bench python -m tests.contract.generated``. Prints each difference; exit code 1 if there is one.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import attrs

import isnotai_async as isnotai
from isnotai_async.sandbox import Sandbox
from tests.contract.contract import PATH

# Module of the generated client, its arguments, and the same call of ours.
CALLS: Final[dict[str, tuple[tuple[str, ...], dict[str, Any]]]] = {
    "health.health": ((), {}),
    "self_.get_integration": ((), {}),
    "sessions.list_sessions": ((), {"page_size": 40, "bot_only": True}),
    "sessions.get_session": (("big-1000",), {}),
    "sessions.get_session_details": (("big-1000",), {}),
    "sessions.list_events": (("big-1000",), {"page_size": 100}),
    "users.list_users": ((), {"page_size": 40}),
    "users.get_user_sessions": (("u-1000",), {}),
    "courses.list_courses": ((), {}),
    "analytics.get_analytics": ((), {"period": "7d", "group_by": "hour"}),
    "stats.get_stats": ((), {}),
    "usage.get_usage": ((), {"metric": "Events"}),
}


def compare(theirs: Any, ours: Any, path: str) -> Iterator[str]:
    """Name the places at which two results differ."""
    if type(theirs).__name__ == "Unset":
        theirs = None
    if isinstance(theirs, list):
        if len(theirs) != len(ours):
            yield f"{path}: {len(theirs)} and {len(ours)} items"
        for index, (one, other) in enumerate(zip(theirs, ours, strict=False)):
            yield from compare(one, other, f"{path}[{index}]")
    elif attrs.has(type(theirs)):
        for name, value in _fields(theirs).items():
            own = ours.get(name) if isinstance(ours, Mapping) else getattr(ours, name)
            yield from compare(value, own, f"{path}.{name}")
    elif theirs != (dict(ours) if isinstance(ours, Mapping) else ours):
        yield f"{path}: {theirs!r} and {ours!r}"


def _fields(record: Any) -> dict[str, Any]:
    names = attrs.fields_dict(type(record)).keys() - {"additional_properties"}
    known = {name.rstrip("_"): getattr(record, name) for name in names}  # `type_` is how it writes `type`
    return {**known, **record.additional_properties}


def _without_envelope(theirs: Any, ours: Any) -> Any:
    if isinstance(ours, isnotai.Page | isnotai.Usage | isnotai.Health):
        return theirs
    return theirs.additional_properties if isinstance(ours, Mapping) else theirs.data


async def main() -> int:
    """Ask both, and compare."""
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "generated_client"
        options = ("--meta", "none", "--output-path", str(target))
        tool = str(Path(sys.executable).with_name("openapi-python-client"))
        command = [tool, "generate", "--path", str(PATH), *options]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        sys.path.insert(0, folder)
        async with Sandbox(rate_limit=None) as sandbox:
            theirs = importlib.import_module("generated_client").AuthenticatedClient(
                sandbox.base_url, sandbox.api_key
            )
            async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as ours:
                for name, (ids, options_of_call) in CALLS.items():
                    module = importlib.import_module(f"generated_client.api.{name}")
                    one = await anyio.to_thread.run_sync(partial(module.sync, *ids, client=theirs, **options_of_call))
                    other = await getattr(ours, name.partition(".")[2])(*ids, **options_of_call)
                    found += compare_results(one, other, name)
    print("\n".join([*found, f"{len(CALLS)} operations, {len(found)} differences"]))
    return 1 if found else 0


def compare_results(theirs: Any, ours: Any, name: str) -> Iterator[str]:
    """Compare what one operation gave."""
    if isinstance(ours, isnotai.Page):
        yield from compare(theirs.data, ours.data, f"{name}.data")
        pagination = theirs.pagination
        yield from compare(pagination.has_more, ours.has_more, f"{name}.has_more")
        yield from compare(pagination.limit, ours.limit, f"{name}.limit")
        yield from compare(pagination.next_cursor, ours.next_cursor, f"{name}.next_cursor")
    else:
        yield from compare(_without_envelope(theirs, ours), ours, name)


if __name__ == "__main__":
    sys.exit(anyio.run(main))
