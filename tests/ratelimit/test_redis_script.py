"""The rules of the shared limit, in a real Valkey and in Python, at times that the test sets: they decide alike.

The script reads the clock of Redis; here the time is the third of its keys.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, TypeVar

import pytest
import redis
from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.file.rules import answer
from isnotai_async._ratelimit.file.slots import TABLE, StoredSlots
from isnotai_async._ratelimit.limiter import RequestOutcome
from isnotai_async._ratelimit.policy import FULL, PAUSED, PROBING, SPACED
from isnotai_async._ratelimit.shared.protocol import (
    BEHIND,
    JOINING,
    CompletedRequest,
    ScriptReply,
    ScriptRequest,
    name_keys,
    read_reply,
)
from tests.examples import scaled
from tests.redis_server import running_redis, script_at

START = 1_790_000_000.25
KEYS = ("{tag}:state", "{tag}:slots")
OK = RequestOutcome(200)
TICK = 2.0**-14


@define(eq=False)
class Script:
    """The script at a time that the test sets.

    Attributes:
        client: The connection.
        now: The time, in seconds.
    """

    client: Any
    now: float = START
    _run: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._run = self.client.register_script(script_at("{KEYS[3], 0}"))

    def __call__(self, ask: ScriptRequest) -> ScriptReply:
        return read_reply(self._run(keys=[*KEYS, repr(self.now)], args=[ask.pack()]))

    def slots(self) -> int:
        count = self.client.zcard(KEYS[1])
        assert isinstance(count, int)
        return count

    def forget(self) -> None:
        """Lose everything, as a store that comes back empty."""
        self.client.flushall()


@define(eq=False)
class PythonRules:
    """The rules in Python over the slots of a file, at a time that the test sets; else as `Script`."""

    now: float = START
    _connection: sqlite3.Connection = field(init=False)
    _packed: bytes | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.executescript(TABLE)

    def __call__(self, ask: ScriptRequest) -> ScriptReply:
        slots = StoredSlots(self.now, ask.length, ask.lease, self._connection, "key")
        reply, self._packed = answer(ask, self._packed, slots)
        return reply

    def slots(self) -> int:
        (count,) = self._connection.execute("select count(*) from slots").fetchone()
        assert isinstance(count, int)
        return count

    def forget(self) -> None:
        self._connection.execute("delete from slots")
        self._packed = None

    def close(self) -> None:
        self._connection.close()


Rules = Script | PythonRules


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server, redis.Redis(port=server.port) as client:
        yield client


@pytest.fixture
def redis_script(client: Any) -> Script:
    client.flushall()
    return begun(Script(client))


@pytest.fixture(params=["redis", "file"])
def script(client: Any, request: pytest.FixtureRequest) -> Iterator[Rules]:
    """The rules in both places."""
    if request.param == "redis":
        client.flushall()
        yield begun(Script(client))
        return
    with closing(PythonRules()) as rules:
        yield begun(rules)


R = TypeVar("R", Script, PythonRules)


def begun(script: R) -> R:
    """Let the state begin, and pass the moment in which processes may report what they sent."""
    script.now = START - 1.25
    assert script(ScriptRequest(singles=1)).wait == 1.25
    script.now = START
    return script


@define(eq=False)
class Process:
    """One process, as both stores know it.

    Attributes:
        prefix: Prefix of the names of its slots.
        lease: Its lease, in seconds.
        epochs: Epoch that it knows of each store; they are random.
        number: Number of the last permit that it knows.
        first: Number of its next slot.
        held: Slots of requests under way: name, and number of the permit.
        last: The last outcomes that it reported.
    """

    prefix: str
    lease: float
    epochs: tuple[str, str] | None = None
    number: int = 0
    first: int = 0
    held: list[tuple[str, int]] = field(factory=list)
    last: list[CompletedRequest] = field(factory=list)


class BothStores(RuleBasedStateMachine):
    """Two processes ask, end, give back and join again, in any order and at any time; the stores lose their data.

    Lua and Python compute in the same 64 bits, so the replies have to agree to the last digit.
    """

    client: Any

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.stores = begun(Script(self.client)), begun(PythonRules())
        self.processes = Process("a:", 65.0), Process("b:", 8.0)

    def teardown(self) -> None:
        self.stores[1].close()

    @property
    def now(self) -> float:
        return self.stores[0].now

    def move(self, seconds: float) -> None:
        for store in self.stores:
            store.now += seconds

    def call(self, process: Process, **options: Any) -> ScriptReply:
        ask = ScriptRequest(
            lease=process.lease, prefix=process.prefix, number=process.number, first=process.first, **options
        )
        self.move(TICK)  # the epoch in Redis is the time at which it started, so no two calls come at the same time
        mine, other = process.epochs or (None, None)
        script, rules = self.stores
        lua, python = script(replace(ask, epoch=mine)), rules(replace(ask, epoch=other))
        assert replace(lua, epoch="") == replace(python, epoch="")
        process.first += ask.singles + ask.bulk
        if lua.is_lost:
            process.epochs = None
            return lua
        process.epochs, process.number = (lua.epoch, python.epoch), lua.number
        granted = [*range(lua.singles), *range(ask.singles, ask.singles + lua.bulk)]
        numbers = range(lua.number - len(granted) + 1, lua.number + 1)
        process.held += [(ask.names[at], number) for at, number in zip(granted, numbers, strict=True)]
        return lua

    which = st.integers(0, 1)

    @rule(which=which, singles=st.integers(0, 3), bulk=st.integers(0, 3), expected=st.sampled_from([0, 60, 600]))
    def ask(self, which: int, singles: int, bulk: int, expected: int) -> None:
        self.call(self.processes[which], singles=singles, bulk=bulk, expected=expected)

    @rule(which=which, singles=st.integers(0, 80), bulk=st.integers(0, 80))
    def ask_for_many(self, which: int, singles: int, bulk: int) -> None:
        self.call(self.processes[which], singles=singles, bulk=bulk)

    def end(self, process: Process, count: int, answers: list[RequestOutcome | None]) -> None:
        ends, process.held = process.held[:count], process.held[count:]
        answers = answers + answers[-1:] * (len(ends) - len(answers))
        process.last = [CompletedRequest(*end, answer) for end, answer in zip(ends, answers, strict=False)]
        self.call(process, ended=process.last)

    @rule(
        which=which,
        count=st.integers(1, 100),
        status=st.sampled_from([200, 200, 404, 500]),
        tier=st.none() | st.sampled_from(Tier),
    )
    def get_responses(self, which: int, count: int, status: int, tier: Tier | None) -> None:
        self.end(self.processes[which], count, [RequestOutcome(status, None, tier)])

    @rule(
        which=which,
        rejected=st.integers(1, 3),
        after=st.none() | st.floats(0, 100) | st.floats(800, 2000),
        tier=st.none() | st.sampled_from(Tier),
    )
    def get_429s(self, which: int, rejected: int, after: float | None, tier: Tier | None) -> None:
        answers: list[RequestOutcome | None] = [RequestOutcome(429, after, tier)] * rejected
        self.end(self.processes[which], rejected + 1, [*answers, OK])

    @rule(which=which, count=st.integers(1, 100))
    def get_no_response(self, which: int, count: int) -> None:
        self.end(self.processes[which], count, [None])

    @rule(which=which)
    def report_twice(self, which: int) -> None:
        self.call(self.processes[which], ended=self.processes[which].last)

    @rule(which=which, count=st.integers(1, 3))
    def give_back(self, which: int, count: int) -> None:
        process = self.processes[which]
        unused, process.held = process.held[:count], process.held[count:]
        self.call(process, unused=[name for name, _ in unused])

    @rule(which=which, left=st.floats(0.001, 130), is_ended=st.booleans())
    def join_again(self, which: int, left: float, is_ended: bool) -> None:
        process = self.processes[which]
        process.epochs = None
        self.call(process, joining=[(name, left, is_ended) for name, _ in process.held], singles=1)

    @rule(which=which)
    def forget_what_was_sent(self, which: int) -> None:
        self.processes[which].held.clear()

    @rule(seconds=st.floats(0, 5) | st.floats(50, 66) | st.floats(60.3, 65.2) | st.floats(300, 700))
    def pass_time(self, seconds: float) -> None:
        self.move(seconds)

    @rule(seconds=st.floats(0, 0.9))
    def turn_the_clock_back_a_little(self, seconds: float) -> None:
        self.move(-seconds)

    @rule(
        which=which,
        how=st.sampled_from(["data", "clock", "newer number"]),
        seconds=st.floats(1.1, 3600),
        later=st.floats(0, 3),
    )
    def lose_the_state(self, which: int, how: str, seconds: float, later: float) -> None:
        """One rule for all ways, because a history of many losses and few requests shows little."""
        if how == "data":
            for store in self.stores:
                store.forget()
        elif how == "clock":
            self.move(-seconds)
        else:
            self.processes[which].number += 1
        self.call(self.processes[which])
        self.move(later)

    @rule(which=which, early=st.just(TICK) | st.floats(0, 2))
    def pass_until_something_may_happen(self, which: int, early: float) -> None:
        wait = self.call(self.processes[which], singles=1).wait
        self.move(max(0.0, wait - early))

    @invariant()
    def both_have_the_same_slots(self) -> None:
        assert self.stores[0].slots() == self.stores[1].slots()


def test_the_script_in_redis_and_the_rules_in_python_decide_alike(client: Any) -> None:
    machine = type("Machine", (BothStores,), {"client": client})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=scaled(60), stateful_step_count=50, deadline=None)
    )


def ask(**options: Any) -> ScriptRequest:
    return replace(ScriptRequest(lease=65.0, prefix="a:"), **options)


def test_permits_of_the_killed_come_back_after_lease_and_window(script: Rules) -> None:
    assert script(ask(singles=60)).singles == 60
    script.now += 65 + 60 * (1 + 0.25 / 60) - 0.001
    reply = script(ask(first=100, singles=1))
    assert (reply.singles, reply.reason) == (0, FULL)
    assert reply.wait == pytest.approx(0.001, abs=1e-6)
    script.now += 0.002
    assert script(ask(first=200, singles=1)).singles == 1


def test_a_probe_whose_process_is_killed_is_followed_by_another(script: Rules) -> None:
    name = script(ask(singles=1))
    assert script(ask(ended=[CompletedRequest("a:0", name.number, RequestOutcome(429, 2.0))])).paused == 2.0
    script.now += 2.0
    assert script(ask(first=1, singles=2)).singles == 1
    reply = script(ask(first=3, singles=1))
    assert (reply.reason, reply.wait) == (PROBING, 65.0)
    script.now += 65.0
    assert script(ask(first=4, singles=1)).singles == 1


def test_the_history_survives_a_change_of_tier(script: Rules) -> None:
    granted = script(ask(singles=60))
    first = granted.number - 59
    up = [CompletedRequest(f"a:{number}", first + number, RequestOutcome(200, None, Tier.PRO)) for number in range(2)]
    assert script(ask(ended=up[:1])).limit == 60
    assert script(ask(ended=up[1:])).limit == 600
    assert script(ask(first=100, singles=600)).singles == 540
    down = [CompletedRequest("a:2", first + 2, RequestOutcome(200, None, Tier.FREE))]
    assert script(ask(ended=down, first=800, singles=1)).reason == FULL


def test_single_calls_that_wait_hold_back_bulk_work_of_all_processes(script: Rules) -> None:
    first = script(ask(singles=60))
    script(ask(ended=[CompletedRequest(f"a:{at}", first.number - 59 + at, OK) for at in range(60)]))
    assert script(ask(first=100, singles=1)).reason == FULL
    assert script(replace(ask(bulk=1), prefix="b:")).reason == BEHIND
    script.now += 2
    assert script(replace(ask(bulk=1), prefix="b:")).reason == FULL


def test_what_an_emptied_redis_forgot_is_told_again(script: Rules) -> None:
    known = script(ask(singles=40))
    script.forget()
    script.now += 0.01
    lost = script(ask(epoch=known.epoch, number=known.number, first=40, singles=40))
    assert (lost.is_lost, lost.reason, lost.singles) == (True, JOINING, 0)

    mine = [(f"a:{number}", 125.0, False) for number in range(40)]
    reply = script(ask(first=80, singles=40, joining=mine))
    assert (reply.singles, reply.reason, reply.wait) == (0, JOINING, 1.25)  # the others get time to do the same
    other = script(replace(ask(epoch=known.epoch), prefix="b:"))
    assert other.is_lost
    assert script.slots() == 40
    script(replace(ask(joining=[(f"b:{number}", 60.0, True) for number in range(15)]), prefix="b:"))
    script.now += 1.25
    assert script(ask(first=120, singles=40)).singles == 60 - 40 - 15


def test_who_comes_new_to_an_emptied_redis_waits_until_the_others_have_told(script: Rules) -> None:
    known = script(ask(singles=60))
    script.forget()
    fresh = replace(ask(singles=60), prefix="b:")
    reply = script(fresh)
    assert (reply.singles, reply.reason, reply.wait) == (0, JOINING, 1.25)
    script.now += 1.0
    assert script(ask(epoch=known.epoch, number=known.number)).is_lost
    script(ask(first=60, joining=[(f"a:{number}", 60.0, True) for number in range(60)]))
    script.now += 0.25
    reply = script(replace(fresh, first=60))
    assert (reply.singles, reply.reason) == (0, FULL)


def test_old_data_is_noticed_by_who_remembers_more_permits(redis_script: Script) -> None:
    known = redis_script(ask(singles=10))
    old = redis_script.client.dump(KEYS[0]), redis_script.client.dump(KEYS[1])
    newer = redis_script(ask(first=10, singles=10))
    for name, data in zip(KEYS, old, strict=True):
        redis_script.client.restore(name, 0, data, replace=True)
    redis_script.now += 0.5
    lost = redis_script(ask(epoch=newer.epoch, number=newer.number))
    assert lost.is_lost
    assert lost.epoch != known.epoch
    assert redis_script.slots() == 0  # all of them are told again, by those who know them


def test_a_clock_of_redis_that_goes_back_costs_a_second(script: Rules) -> None:
    known = script(ask(singles=60))
    script.now -= 3600
    assert script(ask(epoch=known.epoch, number=known.number)).is_lost
    reply = script(ask(first=60, singles=1, joining=[(f"a:{number}", 60.0, True) for number in range(60)]))
    assert reply.reason == JOINING
    script.now += 1.25
    assert script(ask(first=70, singles=1)).reason == FULL
    script.now += 58.75
    assert script(ask(first=80, singles=60)).singles == 60


def test_a_clock_that_goes_back_a_little_stands_still(script: Rules) -> None:
    known = script(ask(singles=1))
    script.now -= 0.5
    reply = script(ask(epoch=known.epoch, number=known.number, first=1, singles=59))
    assert (reply.is_lost, reply.singles) == (False, 59)


def test_a_pause_ends_at_once_for_nobody_and_lets_one_probe_go_first(script: Rules) -> None:
    granted = script(ask(singles=3))
    refusal = CompletedRequest("a:0", granted.number - 2, RequestOutcome(429, 30.0))
    assert (
        script(ask(ended=[refusal, CompletedRequest("a:1", granted.number - 1, RequestOutcome(429, 30.0))])).paused
        == 30.0
    )
    assert script(replace(ask(singles=5), prefix="b:")).reason == PAUSED
    script.now += 30.0
    reply = script(replace(ask(singles=5, first=5), prefix="b:"))
    assert (reply.singles, reply.reason) == (1, PROBING)
    opened = script(replace(ask(singles=5, first=10, ended=[CompletedRequest("b:5", reply.number, OK)]), prefix="b:"))
    assert opened.reason in {"", SPACED}


def test_a_pause_without_advice_is_a_second_and_doubles_with_a_rejected_probe(script: Rules) -> None:
    first = script(ask(singles=3)).number - 2
    script(ask(ended=[CompletedRequest("a:0", first, OK)]))
    script.now += 1.2
    script(ask(ended=[CompletedRequest("a:1", first + 1, OK)]))
    script.now = START + 59.9  # the two slots are about to be free
    assert script(ask(ended=[CompletedRequest("a:2", first + 2, RequestOutcome(429))])).paused == pytest.approx(1.0)
    script.now += 1.001
    probe = script(ask(first=3, singles=1))
    assert probe.singles == 1
    assert script(ask(ended=[CompletedRequest("a:3", probe.number, RequestOutcome(429))])).paused == pytest.approx(
        2.0
    )


def test_what_is_told_twice_counts_once(script: Rules) -> None:
    granted = script(ask(singles=5))
    ended = [CompletedRequest("a:0", granted.number - 4, RequestOutcome(429, 3.0))]
    script(ask(ended=ended))
    assert script(ask(ended=ended)).paused == 0.0
    assert script.slots() == 5
    assert script(ask(unused=["a:1", "a:1", "a:77"])).limit == 60
    assert script.slots() == 4


def test_a_call_that_is_made_again_takes_its_slots_once(script: Rules) -> None:
    call = ask(singles=2, bulk=1)
    assert script(call).singles == 2
    reply = script(call.for_resend())
    assert (reply.singles, reply.bulk, script.slots()) == (2, 1, 3)


def test_the_keys_are_in_one_place_of_a_cluster_and_do_not_show_the_key(script: Rules) -> None:
    state, slots = name_keys("https://api.isnotai.com", "ab" * 16)
    assert "ab" * 8 not in state
    assert state.split("}")[0] == slots.split("}")[0]
    assert state.startswith("isnotai:{")
    others = {name_keys("https://api-eu.isnotai.com", "ab" * 16), name_keys("https://api.isnotai.com", "ac" * 16)}
    assert len({(state, slots)} | others) == 3


def test_the_keys_are_forgotten_when_nobody_uses_them(redis_script: Script) -> None:
    redis_script(ask(singles=1))
    assert 0 < redis_script.client.ttl(KEYS[0]) <= 86_400
    assert 0 < redis_script.client.ttl(KEYS[1]) <= 86_400


def test_a_process_with_a_short_lease_does_not_let_the_slots_of_others_expire(redis_script: Script) -> None:
    redis_script(ask(singles=1, lease=100_000.0))
    redis_script(ask(prefix="b:", singles=1, lease=1.0))
    assert 100_000 < redis_script.client.ttl(KEYS[1]) < 100_070
