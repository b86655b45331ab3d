"""Identity: what has to be the same if an export is to be resumed. It holds no key, nor anything made of one.

The format is no part of it: the store has rows, and any format can be written from them.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Collection, Iterator, Mapping
from contextlib import aclosing
from hashlib import blake2b
from typing import Any, Final, cast

from attrs import evolve

from isnotai_async._models.stream_positions import ANY, SessionRef
from isnotai_async._models.validation import FilterValue, check_id
from isnotai_async._streaming.paginator import Paginator
from isnotai_async._streaming.sources import Sessions
from isnotai_async.errors import StoreError, quoted
from isnotai_async.export.batches import SCHEMA_VERSION
from isnotai_async.export.source import ExportSource

Identity = Mapping[str, Any]

_DIGEST_BYTES: Final = 16
_LABELS: Final = {
    "schema": "version of the schema",
    "filters": "filters of the events",
    "regions": "regions",
    "shard": "shard",
    "sessions": "sessions",
}


def digest_target(target: SessionRef) -> bytes:
    """Return the digest of a session: a million of them have to fit into memory."""
    name, session_id = (text.encode(errors="surrogatepass") for text in target)
    return blake2b(b"%d:%b%b" % (len(name), name, session_id), digest_size=_DIGEST_BYTES).digest()


async def identify(source: ExportSource, *, filters: Mapping[str, FilterValue], strict: bool) -> Identity:
    """Return the identity of an export, as values of JSON.

    Raises:
        ConfigError: The sessions are no source of sessions, or have such an id.
    """
    return {
        "schema": SCHEMA_VERSION,
        "filters": dict(filters),
        "regions": dict(source.regions),
        "shard": None if source.shard is None else list(source.shard),
        "sessions": await identify_sessions(source, strict=strict),
    }


async def identify_sessions(source: ExportSource, *, strict: bool = False) -> Mapping[str, Any] | None:
    """Return what is known of the sessions of a source without using it up.

    Returns:
        For a `Paginator` its query; for what can be read more than once the number of its sessions and a digest that
        does not depend on their order; None for what can be read only once. For sources by name, that of each.
    """

    async def look(given: object, part: ExportSource) -> Mapping[str, Any] | None:
        if isinstance(given, Paginator):
            return {"listed": given.position.operation, "filters": dict(given.position.filters)}
        if isinstance(given, Iterator | AsyncIterable):
            return None
        return sum_digests(await read_digests(part, strict=strict))

    if ANY in source.read():
        return await look(source.sessions, source)
    named = cast(Mapping[str, Sessions], source.sessions)
    parts = {name: evolve(source, sessions={name: given}) for name, given in named.items()}
    return {"named": {name: await look(named[name], part) for name, part in parts.items()}}


async def read_digests(source: ExportSource, *, strict: bool = False) -> set[bytes]:
    """Return the digests of all sessions of a source that can be read more than once; see `identify`."""
    digests = set[bytes]()
    for read in source.read().values():
        async with aclosing(read) as targets:
            async for target in targets:
                if strict:
                    check_id(target.session_id)
                    source.client(target.name)
                digests.add(digest_target(target))
    return digests


def sum_digests(digests: Collection[bytes]) -> Mapping[str, Any]:
    """Return the number of sessions and one digest of them that does not depend on their order."""
    return _describe(len(digests), sum(int.from_bytes(digest) for digest in digests))


def _describe(count: int, total: int) -> Mapping[str, Any]:
    return {"count": count, "digest": f"{total % 2 ** (8 * _DIGEST_BYTES):0{2 * _DIGEST_BYTES}x}"}


def sum_sessions(sessions: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the number and the digest of all sessions, as of `sum_digests`, if their identity shows them."""
    match sessions:
        case {"count": int(), "digest": str()}:
            return sessions
        case {"named": parts}:
            sums = [found for part in parts.values() if (found := sum_sessions(part)) is not None]
            if len(sums) < len(parts):
                return None
            return _describe(sum(each["count"] for each in sums), sum(int(each["digest"], 16) for each in sums))
        case _:
            return None


def count_sessions(sessions: Mapping[str, Any] | None) -> int | None:
    """Return how many sessions there are, if their identity shows it."""
    found = sum_sessions(sessions)
    return None if found is None else found["count"]


def find_difference(ours: Identity, theirs: Identity) -> StoreError | None:
    """Return the error that says why a store belongs to another export; None if it belongs to this one."""
    for name, label in _LABELS.items():
        our, their = ours.get(name), theirs.get(name)
        if our != their and not (name == "sessions" and None in (our, their)):
            return StoreError(
                f"this target was started by another export: its {label} {_say(their)}, now {_say(our)}. Run that "
                "one again to finish it, start over with resume=False (--no-resume), or choose another target"
            )
    return None


def _say(value: object) -> str:
    match value:
        case {"count": int(count), "digest": str(digest)}:
            return f"{count:,} given (digest {digest[:8]})"
        case {"listed": _, "filters": filters}:
            return f"those listed with the filters {quoted(filters)}"
        case _:
            return quoted(value)
