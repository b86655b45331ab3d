"""The rules of the shared limit, in a real Redis and in a file, at times that the test sets: they decide as the gate.

The script's rules take the time from what stands before them; here that is the third of its keys.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from math import inf
from typing import Any, TypeVar

import pytest
import redis
from attrs import define, evolve, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, precondition, rule, run_state_machine_as_test

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.file.rules import answer
from isnotai_async._ratelimit.file.store import TABLES, StoredSlots
from isnotai_async._ratelimit.limiter import Permit, RequestOutcome
from isnotai_async._ratelimit.policy import FULL, PAUSED, PROBING, SPACED, RateLimitPolicy
from isnotai_async._ratelimit.redis.script import RULES
from isnotai_async._ratelimit.shared.protocol import (
    BEHIND,
    JOINING,
    CompletedRequest,
    ScriptReply,
    ScriptRequest,
    name_keys,
    read_reply,
)
from tests.redis_server import running_redis

START = 1_790_000_000.25
KEYS = ("{tag}:state", "{tag}:slots")
OK = RequestOutcome(200)


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
        self._run = self.client.register_script("local now = tonumber(KEYS[3])\n" + RULES)

    def __call__(self, ask: ScriptRequest) -> ScriptReply:
        return read_reply(self._run(keys=[*KEYS, repr(self.now)], args=[ask.to_json()]))

    def slots(self) -> int:
        count = self.client.zcard(KEYS[1])
        assert isinstance(count, int)
        return count

    def forget(self) -> None:
        """Lose everything, as a store that comes back empty."""
        self.client.flushall()


@define(eq=False)
class FileRules:
    """The rules of the file at a time that the test sets; as `Script` else."""

    now: float = START
    _connection: sqlite3.Connection = field(init=False)
    _packed: bytes | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.executescript(TABLES)

    def __call__(self, ask: ScriptRequest) -> ScriptReply:
        slots = StoredSlots(self._connection, "key", self.now, ask.length, ask.lease)
        reply, self._packed = answer(ask, self._packed, slots, self.now)
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


Rules = Script | FileRules


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
    with closing(FileRules()) as rules:
        yield begun(rules)


R = TypeVar("R", Script, FileRules)


def begun(script: R) -> R:
    """Let the state begin, and pass the moment in which processes may tell what they sent."""
    script.now = START - 1.25
    assert script(ScriptRequest(singles=1)).wait == 1.25
    script.now = START
    return script


@define(eq=False)
class Sent:
    """A permit as both sides know it."""

    permit: Permit
    name: str
    number: int


class ScriptMachine(RuleBasedStateMachine):
    """Any order of asking, answering, cancelling, waiting, tiers and 429s, told to the script and to a gate.

    Both compute in the same 64 bits, so they have to agree to the last digit. What only the script has, that single
    calls which wait hold back bulk work, is added to the gate here.
    """

    sent = Bundle("sent")
    make: Callable[[], Rules]

    def __init__(self) -> None:
        super().__init__()
        self.script = self.make()
        self.policy = RateLimitPolicy()
        self.single_until = -inf
        self.first = 0

    def call(self, **options: Any) -> ScriptReply:
        return self.script(ScriptRequest(lease=1e7, prefix="me:", **options))

    @rule(target=sent, singles=st.integers(0, 3), bulk=st.integers(0, 3))
    def ask(self, singles: int, bulk: int) -> list[Sent]:
        return self.want(singles, bulk)

    @rule(target=sent, singles=st.integers(0, 80), bulk=st.integers(0, 80))
    def ask_many(self, singles: int, bulk: int) -> list[Sent]:
        return self.want(singles, bulk)

    def want(self, singles: int, bulk: int) -> list[Sent]:
        first, now = self.first, self.script.now
        self.first += singles + bulk
        reply = self.call(first=first, singles=singles, bulk=bulk)
        permits, granted, wait, reason = [], [0, 0], 0.0, ""
        for number in range(singles + bulk):
            is_bulk = number >= singles
            if is_bulk and now < self.single_until:
                wait, reason = self.single_until - now, BEHIND
                break
            permit = self.policy.try_acquire(now, bulk=is_bulk)
            if permit is None:
                wait, reason = self.policy.wait(now, bulk=is_bulk)
                if not is_bulk and reason in {FULL, SPACED}:
                    self.single_until = now + min(wait, 1.05) + 0.05
                break
            permits.append((permit, f"me:{first + number}"))
            granted[is_bulk] += 1
        assert [reply.singles, reply.bulk] == granted
        assert reply.reason == reason
        assert reply.wait == wait or (wait == inf and reply.wait > 1e6)
        assert reply.limit == self.policy.tier.requests_per_minute
        assert self.script.slots() == self.policy.occupied(now)
        numbers = range(reply.number - len(permits) + 1, reply.number + 1)
        return [Sent(permit, name, number) for (permit, name), number in zip(permits, numbers, strict=True)]

    def end(self, ends: list[tuple[Sent, RequestOutcome | None]]) -> None:
        reply = self.call(ended=[CompletedRequest(sent.name, sent.number, answer) for sent, answer in ends])
        pauses = [self.policy.record_outcome(sent.permit, answer, self.script.now) for sent, answer in ends]
        assert reply.paused == max(pauses, default=0.0)

    @rule(sents=consumes(sent), status=st.sampled_from([200, 200, 404, 500]), tier=st.none() | st.sampled_from(Tier))
    def be_answered(self, sents: list[Sent], status: int, tier: Tier | None) -> None:
        self.end([(sent, RequestOutcome(status, None, tier)) for sent in sents])

    @rule(
        sents=consumes(sent),
        count=st.integers(1, 3),
        after=st.none() | st.floats(0, 100) | st.floats(800, 2000),
        tier=st.none() | st.sampled_from(Tier),
    )
    def be_refused(self, sents: list[Sent], count: int, after: float | None, tier: Tier | None) -> None:
        statuses = [429] * count + [200] * len(sents)
        self.end(
            [
                (sent, RequestOutcome(status, after, tier))
                for sent, status in zip(reversed(sents), statuses, strict=False)
            ]
        )

    @rule(sents=consumes(sent))
    def be_given_up(self, sents: list[Sent]) -> None:
        self.end([(sent, None) for sent in sents])

    @rule(sents=consumes(sent))
    def be_cancelled_before_sending(self, sents: list[Sent]) -> None:
        for sent in sents:
            self.policy.withdraw(sent.permit)
        self.call(unused=[sent.name for sent in sents])

    @rule(seconds=st.floats(0, 5))
    def pass_time(self, seconds: float) -> None:
        self.script.now += seconds

    @rule(seconds=st.floats(50, 66))
    def pass_a_window(self, seconds: float) -> None:
        self.script.now += seconds

    @rule(seconds=st.floats(300, 700))
    def pass_many_windows(self, seconds: float) -> None:
        self.script.now += seconds

    @precondition(lambda self: self.policy.occupied(self.script.now))
    @rule(early=st.just(0.0) | st.floats(0, 2))
    def pass_until_something_may_happen(self, early: float) -> None:
        wait = self.policy.wait(self.script.now, bulk=False)[0]
        if early < wait < inf:
            self.script.now += wait - early


@pytest.mark.parametrize("place", ["redis", "file"])
def test_the_script_decides_as_the_gate_does(client: Any, place: str) -> None:
    def make_script() -> Script:
        client.flushall()
        return begun(Script(client))

    def make_file() -> FileRules:
        return begun(stack.enter_context(closing(FileRules())))

    with ExitStack() as stack:
        make = staticmethod(make_script if place == "redis" else make_file)
        machine = type("Machine", (ScriptMachine,), {"make": make})
        run_state_machine_as_test(machine, settings=settings(max_examples=80, stateful_step_count=50, deadline=None))


def ask(**options: Any) -> ScriptRequest:
    return evolve(ScriptRequest(lease=65.0, prefix="a:"), **options)


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
    assert script(evolve(ask(bulk=1), prefix="b:")).reason == BEHIND
    script.now += 2
    assert script(evolve(ask(bulk=1), prefix="b:")).reason == FULL


def test_what_an_emptied_redis_forgot_is_told_again(script: Rules) -> None:
    known = script(ask(singles=40))
    script.forget()
    script.now += 0.01
    lost = script(ask(epoch=known.epoch, number=known.number, first=40, singles=40))
    assert (lost.is_lost, lost.reason, lost.singles) == (True, JOINING, 0)

    mine = [(f"a:{number}", 125.0, False) for number in range(40)]
    reply = script(ask(first=80, singles=40, joining=mine))
    assert (reply.singles, reply.reason, reply.wait) == (0, JOINING, 1.25)  # the others get time to do the same
    other = script(evolve(ask(epoch=known.epoch), prefix="b:"))
    assert other.is_lost
    assert script.slots() == 40
    script(evolve(ask(joining=[(f"b:{number}", 60.0, True) for number in range(15)]), prefix="b:"))
    script.now += 1.25
    assert script(ask(first=120, singles=40)).singles == 60 - 40 - 15


def test_who_comes_new_to_an_emptied_redis_waits_until_the_others_have_told(script: Rules) -> None:
    known = script(ask(singles=60))
    script.forget()
    fresh = evolve(ask(singles=60), prefix="b:")
    reply = script(fresh)
    assert (reply.singles, reply.reason, reply.wait) == (0, JOINING, 1.25)
    script.now += 1.0
    assert script(ask(epoch=known.epoch, number=known.number)).is_lost
    script(ask(first=60, joining=[(f"a:{number}", 60.0, True) for number in range(60)]))
    script.now += 0.25
    reply = script(evolve(fresh, first=60))
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
    assert script(evolve(ask(singles=5), prefix="b:")).reason == PAUSED
    script.now += 30.0
    reply = script(evolve(ask(singles=5, first=5), prefix="b:"))
    assert (reply.singles, reply.reason) == (1, PROBING)
    opened = script(evolve(ask(singles=5, first=10, ended=[CompletedRequest("b:5", reply.number, OK)]), prefix="b:"))
    assert opened.reason in {"", SPACED}


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
    reply = script(call.again())
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
