"""Chance that never changes: the same names give the same numbers on every run, machine and Python."""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, TypeVar

T = TypeVar("T")

_MASK: Final = 2**64 - 1


def seed_of(*names: object) -> int:
    """Turn names into a 64-bit seed. Not `hash()`, which differs from process to process."""
    text = "\x1f".join(str(name) for name in names)
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


def scramble(value: int) -> int:
    """Mix 64 bits thoroughly and cheaply: neighbouring inputs give unrelated outputs.

    The finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014, https://doi.org/10.1145/2660193.2660195).
    Used where a `Dice` per item would cost too much: one per block of events.
    """
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK
    return value ^ value >> 31


class Dice:
    """A stream of random choices named by what it is for.

    Only `random.Random.random` is used: the one method whose sequence Python promises to keep for a given seed
    (https://docs.python.org/3/library/random.html#notes-on-reproducibility).
    """

    def __init__(self, *names: object) -> None:
        self._next = random.Random(seed_of(*names)).random  # noqa: S311 - made-up data, not secrets

    def fraction(self) -> float:
        """A number from 0 up to, not including, 1."""
        return self._next()

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._next() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True in that share of the calls."""
        return self._next() < probability

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, each equally likely."""
        return options[int(self._next() * len(options))]
