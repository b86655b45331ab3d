"""The rules of a rate limit that processes share: what the store does with one request of a process.

The rules of one key (`policy`, `sliding_window`) hold for all processes together. These are added:

1. Time is the clock of the store, never a process's. If it goes back by more than a second, the state is lost.
2. A slot has a name. It becomes free a lease plus a window after it was taken, because a killed process cannot
   report. A probe whose process is silent for a lease is followed by another.
3. A single call that has to wait holds back the bulk work of all processes until it has asked again.
4. The state has an epoch. A process may know another epoch, or more permits than the state has (the store came back
   empty, or with old data). It then receives the reply "lost", and joins again with the slots that it remembers. A
   new state grants nothing for 1.25 s, so that every process that waits or ends a request in that time can join: the
   process that created the state cannot know what the others sent. The slots of a process that joins later count
   from then on.
5. Each report may arrive twice: the second one changes the same slot again.

A `FileLimiter` runs this module, and `RedisLimiter` the same rules in ``redis/rate_limit.lua``. The tests run both on
the same random histories.
"""

from __future__ import annotations

from math import inf

import msgspec

from isnotai_async._ratelimit.constants import CONSTANTS
from isnotai_async._ratelimit.file.slots import StoredSlots
from isnotai_async._ratelimit.limiter import Permit
from isnotai_async._ratelimit.policy import FULL, PROBING, SPACED, RateLimitPolicy
from isnotai_async._ratelimit.policy_state import PolicyState
from isnotai_async._ratelimit.shared.protocol import (
    BEHIND,
    JOINING,
    TIERS,
    CompletedRequest,
    ScriptReply,
    ScriptRequest,
)


class SharedState(msgspec.Struct, eq=False):
    """State of one key's rate limit that processes share, without its slots.

    Attributes:
        epoch: Name of the state. A new state gets a new name, for example after the old one was lost.
        last: Time of the last request.
        joined: Time from which permits are granted. Before it, the processes report what they sent.
        policy: The state of the key. Numbers of permits start at 1, because 0 means "no permit of this epoch".
        single_until: Time until which a waiting single call holds back bulk work.
        probe: Name of the slot of the probe that is under way; empty if there is none.
        probe_until: Time at which the probe's process counts as dead.
    """

    epoch: str
    last: float
    joined: float
    policy: PolicyState
    single_until: float = -inf
    probe: str = ""
    probe_until: float = -inf


def answer(ask: ScriptRequest, packed: bytes | None, slots: StoredSlots) -> tuple[ScriptReply, bytes]:
    """Process one request of a process. Only one process at a time may do so.

    Args:
        ask: The outcomes to record and the permits that are wanted.
        packed: The last state that this function returned; None if there is none.
        slots: The slots of all processes.

    Returns:
        The reply, and the state to keep.
    """
    state, is_foreign = _read_state(ask, packed, slots.now)
    if state is None:
        slots.clear()
        state = SharedState(f"{slots.now:.17g}", slots.now, slots.now + CONSTANTS.joining, PolicyState(number=1))
    slots.now = state.last = max(slots.now, state.last)
    turn = _Turn(ask, state, slots)
    is_lost = ask.epoch is not None and ask.epoch != state.epoch
    reply = turn.reply_lost(is_foreign) if is_lost else turn.reply(is_foreign)
    return reply, msgspec.msgpack.encode(state)


def _read_state(ask: ScriptRequest, packed: bytes | None, now: float) -> tuple[SharedState | None, bool]:
    """Return the state, None if it was lost, and whether other data was in its place."""
    if packed is None:
        return None, False
    try:
        state = msgspec.msgpack.decode(packed, type=SharedState)
    except (ValueError, msgspec.MsgspecError):
        return None, True
    knows_more = ask.epoch == state.epoch and ask.number > state.policy.number
    return (None if knows_more or now < state.last - CONSTANTS.backward else state), False


class _Turn:
    """One request of a process, and the state that it changes."""

    def __init__(self, ask: ScriptRequest, state: SharedState, slots: StoredSlots) -> None:
        self.ask, self.state, self.slots, self.now = ask, state, slots, slots.now
        self.policy = RateLimitPolicy(length=ask.length, slots=slots, state=state.policy)

    def reply_lost(self, is_foreign: bool) -> ScriptReply:
        """Return the reply to a process that knows another state."""
        return ScriptReply(True, self.state.epoch, 0, self.policy.limit, 0, 0, 0.0, JOINING, 0.0, 0, is_foreign)

    def reply(self, is_foreign: bool) -> ScriptReply:
        """Record what the process reports, and grant what it wants."""
        paused = self._take_news()
        singles, bulk, wait, reason = self._grant()
        number, limit, used = self.policy.state.number, self.policy.limit, self.slots.occupied(self.now)
        return ScriptReply(
            False, self.state.epoch, number, limit, singles, bulk, wait, reason, paused, used, is_foreign
        )

    def _take_news(self) -> float:
        """Record what the process reports; return the seconds for which it paused the key."""
        ask, state, policy, now = self.ask, self.state, self.policy, self.now
        self.slots.occupied(now)  # drops the slots that became free
        if ask.expected > policy.limit:
            policy.expect(TIERS[ask.expected])
        if state.probe and now >= state.probe_until:  # its process counts as dead
            self._drop_probe(state.probe)
        if ask.joining and now > state.joined + CONSTANTS.calm:
            state.joined = now + CONSTANTS.joining  # other processes will join again too
        for name, seconds, is_ended in ask.joining:
            self.slots.put(name, seconds)
            if is_ended:
                self._drop_probe(name)
        paused = max((self._record(ended) for ended in ask.ended), default=0.0)
        for name in ask.unused:
            self.slots.remove(name)
            self._drop_probe(name)
        return paused

    def _drop_probe(self, name: str) -> None:
        if name == self.state.probe:
            self.state.probe = ""
            self.policy.forget_probe()

    def _record(self, ended: CompletedRequest) -> float:
        state, last = self.state, self.policy.state
        self.slots.name, number = ended.name, ended.number or last.number
        if ended.name == state.probe:
            state.probe, number = "", last.probe
        elif number == last.probe:  # a number of another epoch; it must not count as the probe's
            number += 1
        return self.policy.record_outcome(Permit(number), ended.answer, self.now)

    def _grant(self) -> tuple[int, int, float, str]:
        ask, granted, wait, reason = self.ask, [0, 0], 0.0, ""
        for index, name in enumerate(ask.names):
            bulk = index >= ask.singles
            wait, reason = self._try_acquire(name, bulk=bulk)
            if wait > 0:
                if not bulk and reason in {FULL, SPACED}:
                    self.state.single_until = self.now + min(wait, CONSTANTS.poll) + CONSTANTS.poll_reserve
                break
            granted[bulk] += 1
        return granted[0], granted[1], wait, reason

    def _try_acquire(self, name: str, *, bulk: bool) -> tuple[float, str]:
        state, now = self.state, self.now
        if now < state.joined:
            return state.joined - now, JOINING
        if bulk and now < state.single_until:
            return state.single_until - now, BEHIND
        self.slots.name = name
        if self.policy.try_acquire(now, bulk=bulk) is None:
            wait, reason = self.policy.wait(now, bulk=bulk)
            return (state.probe_until - now if reason == PROBING else wait), reason
        if state.policy.probe and not state.probe:
            state.probe, state.probe_until = name, now + self.ask.lease
        return 0.0, ""
