"""Which export it is: what has to be the same when one goes on. It never holds the key, nor anything made of it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final, cast

from isnotai_async._models.positions import ANY
from isnotai_async._models.validation import check_id
from isnotai_async._streaming.paginator import Paginator
from isnotai_async._streaming.sources import Sessions
from isnotai_async.errors import CheckpointError, quoted
from isnotai_async.export.checkpoint import DIGEST_BYTES, Identity, digest_target
from isnotai_async.export.origin import AnySessions, Origin

VERSION: Final = 1

_LABELS: Final = {
    "version": "version of the checkpoint",
    "format": "format",
    "schema": "version of the row's schema",
    "formula_guard": "formula guard",
    "segments": "segments",
    "filters": "filters of the events",
    "regions": "regions",
    "sessions": "sessions",
}


async def identify_sessions(
    origin: Origin, sessions: AnySessions, *, strict: bool = False
) -> Mapping[str, Any] | None:
    """Tell what is known of a source of sessions without using it up.

    Args:
        origin: Whose sessions they are.
        sessions: The source.
        strict: Refuse an id that cannot be one, where they can be read more than once.

    Raises:
        ConfigError: It is no source of sessions, or has such an id.

    Returns:
        For a `Paginator` its query; for what can be read more than once the number of its sessions and a digest that
        does not depend on their order; None for what can be read only once. For sources by name, that of each.
    """
    if ANY in origin.read(sessions):
        return await _identify(origin, sessions, sessions, strict)
    named = cast(Mapping[str, Sessions], sessions)
    return {
        "named": {name: await _identify(origin, source, {name: source}, strict) for name, source in named.items()}
    }


async def _identify(origin: Origin, source: object, readable: AnySessions, strict: bool) -> Mapping[str, Any] | None:
    if isinstance(source, Paginator):
        return {"listed": source.position.operation, "filters": dict(source.position.filters)}
    if isinstance(source, Iterator | AsyncIterable):
        return None
    return await _digest(origin, readable, strict)


async def _digest(origin: Origin, sessions: AnySessions, strict: bool) -> Mapping[str, Any]:
    count = total = 0
    for source in origin.read(sessions).values():
        async with aclosing(source) as targets:
            async for target in targets:
                if strict:
                    check_id(target.session_id)
                    origin.client(target.name)
                count += 1
                total += int.from_bytes(digest_target(target))
    return {"count": count, "digest": f"{total % 2 ** (8 * DIGEST_BYTES):0{2 * DIGEST_BYTES}x}"}


def check_identity(ours: Identity, theirs: Identity) -> None:
    """Check that a checkpoint belongs to this export.

    Args:
        ours: Of this export.
        theirs: Of the checkpoint.

    Raises:
        CheckpointError: It belongs to another; the message says what differs.
    """
    for name in dict.fromkeys([*_LABELS, *ours]):
        our, their = ours.get(name), theirs.get(name)
        if our == their or (name == "sessions" and None in {_kind(our), _kind(their)}):
            continue
        raise CheckpointError(
            f"this target was begun by another export: its {_LABELS.get(name, name)} {_say(their)}, now "
            f"{_say(our)}. Run that one again to finish it, start over with resume=False (--no-resume), "
            "or choose another target"
        )


def _kind(sessions: object) -> object:
    return None if sessions is None else type(sessions)


def _say(value: object) -> str:
    match value:
        case {"count": int(count), "digest": str(digest)}:
            return f"{count:,} given (digest {digest[:8]})"
        case {"listed": _, "filters": filters}:
            return f"those listed with the filters {quoted(filters)}"
        case _:
            return quoted(value)
