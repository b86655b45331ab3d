"""In each round of the loop one turn or as many as have little to read, first come first served; none is lost."""

import asyncio
from collections import Counter

import pytest

from isnotai_async._http.retry import FairReader
from tests.event_source import settle


class Rounds:
    """Counts the rounds of the event loop."""

    def __init__(self) -> None:
        self.number = 0
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self.number += 1
        asyncio.get_running_loop().call_soon(self._next)


async def test_who_is_alone_does_not_wait() -> None:
    fair_reader, rounds = FairReader(), Rounds()

    for _ in range(3):
        before = rounds.number
        await fair_reader.take(12_000)
        assert rounds.number == before
        await settle(2)


async def test_turns_are_wanted_where_another_answer_is_expected_or_has_its_turn() -> None:
    fair_reader = FairReader()
    assert not fair_reader.are_wanted

    fair_reader.expected = 1
    assert fair_reader.are_wanted

    fair_reader.expected = 0
    await fair_reader.take(12_000)
    assert fair_reader.are_wanted
    await settle(2)
    assert not fair_reader.are_wanted


@pytest.mark.parametrize(("size", "a_round"), [(0, 20), (8_000, 4), (12_000, 2), (20_000, 1), (8 * 2**20, 1)])
async def test_of_many_as_many_as_have_32_kib_read_in_one_round_in_the_order_they_came(
    size: int, a_round: int
) -> None:
    fair_reader, rounds, had = FairReader(), Rounds(), list[tuple[int, int]]()

    async def take(number: int) -> None:
        await fair_reader.take(size)
        had.append((rounds.number, number))

    await asyncio.gather(*(take(number) for number in range(20)))

    assert [number for _, number in had] == list(range(20))
    assert set(Counter(number for number, _ in had).values()) == {a_round}


async def test_who_comes_while_others_wait_is_after_them() -> None:
    fair_reader, had = FairReader(), list[int]()

    async def take(number: int, size: int) -> None:
        await fair_reader.take(size)
        had.append(number)

    large = [asyncio.create_task(take(number, 40_000)) for number in range(4)]
    await settle(1)
    small = [asyncio.create_task(take(number, 1_000)) for number in range(4, 8)]
    await asyncio.gather(*large, *small)

    assert had == list(range(8))


async def test_a_turn_of_someone_who_is_cancelled_goes_to_the_next() -> None:
    for rounds in range(12):
        fair_reader, had = FairReader(), list[int]()

        async def take(number: int, fair_reader: FairReader = fair_reader, had: list[int] = had) -> None:
            await fair_reader.take(30_000)
            had.append(number)

        tasks = [asyncio.create_task(take(number)) for number in range(6)]
        await settle(rounds)
        for number in (1, 2, 4):
            tasks[number].cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks, return_exceptions=True)
            await settle(5)
            await fair_reader.take(30_000)

        assert {0, 3, 5} <= set(had)
