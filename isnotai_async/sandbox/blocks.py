"""Blocks: the fixed-size pieces that every session is put together from.

Rules:

1. A block is `BLOCK_SIZE` events; times inside it are relative to its first event, which is at 0.
2. A `Library` holds the blocks of one persona: some that open a session, some that open a new page, and many in
   the middle. It is made once from the seed.
3. A session is a sequence of block numbers drawn from (session seed, block index). So a session of a million
   events is 15,625 small numbers, any event is found without making those before it, and counting means adding up
   the counts of whole blocks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

from attrs import frozen

from isnotai_async.sandbox.catalogue import EventType
from isnotai_async.sandbox.dice import Dice
from isnotai_async.sandbox.rhythm import NEW_PAGE, OPENING, Persona, Step

BLOCK_SIZE: Final = 64
_OPENINGS: Final = 8
_NEW_PAGES: Final = 8
_MIDDLES: Final = 64
_PAUSES: Final = 256
# One block in sixteen opens a page: often enough for a history, and 977 entries for a million events.
_BLOCKS_PER_PAGE: Final = 16


@frozen(eq=False)
class Block:
    """Sixty-four events in a row.

    Attributes:
        kinds: Message-type byte of each.
        offsets: Milliseconds from the first event, never falling.
        sizes: Payload bytes of each.
        counts: How often each message-type byte occurs.
        places: Where each message-type byte occurs, rising.
    """

    kinds: tuple[int, ...]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    counts: Counter[int]
    places: dict[int, tuple[int, ...]]

    @classmethod
    def of(cls, steps: list[Step]) -> Block:
        """Make a block from the first `BLOCK_SIZE` steps."""
        steps = steps[:BLOCK_SIZE]
        kinds = tuple(int(kind) for _, kind, _ in steps)
        offsets, at = [], 0
        for place, (gap, _, _) in enumerate(steps):
            at += gap if place else 0
            offsets.append(at)
        places = {kind: tuple(i for i, k in enumerate(kinds) if k == kind) for kind in sorted(set(kinds))}
        return cls(kinds, tuple(offsets), tuple(size for *_, size in steps), Counter(kinds), places)

    def first_place_at(self, offset: int) -> int:
        """Place of the first event at or after this many milliseconds; `BLOCK_SIZE` when there is none."""
        return bisect_left(self.offsets, offset)


@frozen(eq=False)
class Library:
    """The blocks of one persona and the pauses between them.

    Attributes:
        blocks: Openings, then page openings, then middles.
        pauses: Milliseconds, drawn from by eight bits.
    """

    blocks: tuple[Block, ...]
    pauses: tuple[int, ...]

    @classmethod
    def of(cls, seed: int, persona: Persona) -> Library:
        """Make the library of a persona from the seed."""
        openings = (OPENING,) * _OPENINGS + (NEW_PAGE,) * _NEW_PAGES + ((),) * _MIDDLES
        blocks = tuple(
            _make_block(Dice(seed, persona.name, number), opening, persona) for number, opening in enumerate(openings)
        )
        dice = Dice(seed, persona.name, "pauses")
        return cls(blocks, tuple(dice.between(*dice.pick(persona.value.pauses)) for _ in range(_PAUSES)))

    def draw(self, index: int, roll: int) -> tuple[int, int]:
        """Choose what comes at a block index.

        Args:
            index: Index of the block in its session.
            roll: 64 random bits of this session and index.

        Returns:
            The number of the block, and the milliseconds from its last event to the next block.
        """
        pause = self.pauses[roll >> 56]
        if index == 0:
            return roll % _OPENINGS, pause
        if roll % _BLOCKS_PER_PAGE == 0:
            return _OPENINGS + (roll >> 8) % _NEW_PAGES, pause
        return _OPENINGS + _NEW_PAGES + (roll >> 8) % _MIDDLES, pause


def _make_block(dice: Dice, opening: tuple[Step, ...], persona: Persona) -> Block:
    steps = list(opening)
    while len(steps) < BLOCK_SIZE:
        steps.extend(dice.pick(persona.value.scenes)(dice))
    return Block.of(steps)


def is_page_opening(block: Block) -> bool:
    """Whether a page begins in this block (in its first millisecond)."""
    return EventType.NAVIGATE in block.places
