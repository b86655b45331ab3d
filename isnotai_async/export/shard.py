"""Shards: which sessions belong to the k-th of n exports that are one together."""

from __future__ import annotations

from hashlib import blake2b

from isnotai_async.errors import ConfigError, quoted

Shard = tuple[int, int]
"""The number of a shard, from 1, and how many there are."""


def check_shard(shard: object) -> Shard | None:
    """Check what a caller passed as a shard; None is all sessions.

    Raises:
        ConfigError: It is no pair of ints, or out of range.
    """
    if shard is None:
        return None
    if not (isinstance(shard, tuple | list) and len(shard) == 2 and all(type(part) is int for part in shard)):
        raise ConfigError(f"shard must be two ints like (2, 8), the second of eight shards, not {quoted(shard)}")
    number, count = shard
    if not 1 <= number <= count:
        last = max(count, 1)
        raise ConfigError(f"shard {number}/{count} does not exist; the shards are 1/{last} to {last}/{last}")
    return number, count


def is_in_shard(name: str, session_id: str, shard: Shard | None) -> bool:
    """Return whether a session is in a shard; the same in every release."""
    if shard is None:
        return True
    number, count = shard
    data = f"{name}\0{session_id}".encode(errors="surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest()) % count == number - 1
