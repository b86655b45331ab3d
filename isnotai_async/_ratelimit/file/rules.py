"""The rules of the shared limit over named slots: the work of the Lua script in Redis, done here with `policy`.

The numbered rules of `redis.script` hold here too. The caller ensures that only one process at a time runs them.
"""

from __future__ import annotations

import secrets
from math import inf
from typing import Any, Final, Protocol

import msgspec
from attrs import asdict, define

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.limiter import Permit
from isnotai_async._ratelimit.policy import FULL, PROBING, SPACED, RateLimitPolicy
from isnotai_async._ratelimit.shared.protocol import BEHIND, JOINING, CompletedRequest, ScriptReply, ScriptRequest
from isnotai_async._ratelimit.sliding_window import OccupiedSlots

POLL: Final = 1.05
GRACE: Final = 1.25
CALM: Final = 10.0
_TIERS: Final = {tier.requests_per_minute: tier for tier in Tier}


class NamedSlots(OccupiedSlots, Protocol):
    """The occupied slots of all processes. The methods of `OccupiedSlots` act on the slot called `name`."""

    name: str

    def put(self, name: str, until: float) -> None:
        """Occupy a slot until a time, or change the time of an occupied slot."""
        ...

    def remove(self, name: str) -> None:
        """Free a slot, if it is occupied."""
        ...

    def clear(self) -> None:
        """Free all slots."""
        ...


@define(eq=False)
class SharedState:
    """State of one key's rate limit that processes share, without its slots.

    Attributes:
        epoch: Name of the state. A new state gets a new name, for example after the old one was lost.
        last: Time of the last call.
        opens: Time from which permits are granted. Before it, the processes report what they sent.
        single_until: Time until which a waiting single call holds back bulk work.
        probe: Name of the slot of the probe that is under way; empty if there is none.
        probe_until: Time at which the probe's process counts as dead.
        policy: The rate limit of the key.
    """

    epoch: str
    last: float
    opens: float
    policy: RateLimitPolicy
    single_until: float = -inf
    probe: str = ""
    probe_until: float = -inf

    @classmethod
    def begin(cls, slots: NamedSlots, ask: ScriptRequest, now: float) -> SharedState:
        """Create an empty state."""
        slots.clear()
        return cls(secrets.token_hex(8), now, now + GRACE, RateLimitPolicy(length=ask.length, slots=slots))

    @classmethod
    def read(cls, packed: bytes, slots: NamedSlots, ask: ScriptRequest) -> SharedState:
        """Read a state that `write` returned.

        Raises:
            ValueError: The bytes did not come from `write`.
        """
        saved = msgspec.msgpack.decode(packed, type=_Saved)
        policy = RateLimitPolicy.restore(saved.policy, length=ask.length, slots=slots)
        return cls(saved.epoch, saved.last, saved.opens, policy, saved.single_until, saved.probe, saved.probe_until)

    def write(self) -> bytes:
        """Return the state as bytes, without the slots."""
        saved = asdict(self, filter=lambda attribute, _: attribute.name != "policy")
        return msgspec.msgpack.encode(_Saved(policy=self.policy.save(), **saved))


class _Saved(msgspec.Struct):
    epoch: str
    last: float
    opens: float
    single_until: float
    probe: str
    probe_until: float
    policy: dict[str, Any]


def answer(ask: ScriptRequest, packed: bytes | None, slots: NamedSlots, now: float) -> tuple[ScriptReply, bytes]:
    """Process one request of a process to the store.

    Args:
        ask: The outcomes to record and the permits that are wanted.
        packed: The last written state; None if there is none.
        slots: The occupied slots of all processes.
        now: The time on a clock that all processes share.

    Returns:
        The reply, and the state to write.
    """
    state, is_foreign = _find_state(ask, packed, slots, now)
    now = state.last = max(now, state.last)
    policy = state.policy
    if ask.epoch is not None and ask.epoch != state.epoch:
        limit = policy.tier.requests_per_minute
        return ScriptReply(True, state.epoch, 0, limit, 0, 0, 0.0, JOINING, 0.0, is_foreign), state.write()
    paused = _take_news(state, ask, slots, now)
    singles, bulk, wait, reason = _grant(state, ask, slots, now)
    limit = policy.tier.requests_per_minute
    return (
        ScriptReply(False, state.epoch, policy.number, limit, singles, bulk, wait, reason, paused, is_foreign),
        state.write(),
    )


def _find_state(ask: ScriptRequest, packed: bytes | None, slots: NamedSlots, now: float) -> tuple[SharedState, bool]:
    if packed is None:
        return SharedState.begin(slots, ask, now), False
    try:
        state = SharedState.read(packed, slots, ask)
    except (ValueError, msgspec.MsgspecError):
        return SharedState.begin(slots, ask, now), True
    is_old = now < state.last - 1 or (ask.epoch == state.epoch and ask.number > state.policy.number)
    return (SharedState.begin(slots, ask, now) if is_old else state), False


def _take_news(state: SharedState, ask: ScriptRequest, slots: NamedSlots, now: float) -> float:
    policy = state.policy
    slots.occupied(now)  # drops the slots that became free
    if ask.expected > policy.tier.requests_per_minute:
        policy.expect(_TIERS[ask.expected])
    if policy.probe and now >= state.probe_until:  # its process counts as dead
        state.probe = ""
        policy.forget_probe()
    if ask.joining and now > state.opens + CALM:
        state.opens = now + GRACE  # other processes will join again too
    for name, seconds, is_ended in ask.joining:
        slots.put(name, now + seconds)
        if is_ended:
            _drop_probe(state, name)
    paused = max((_record(state, ended, slots, now) for ended in ask.ended), default=0.0)
    for name in ask.unused:
        slots.remove(name)
        _drop_probe(state, name)
    return paused


def _drop_probe(state: SharedState, name: str) -> None:
    if name == state.probe:
        state.probe = ""
        state.policy.forget_probe()


def _record(state: SharedState, ended: CompletedRequest, slots: NamedSlots, now: float) -> float:
    policy, slots.name = state.policy, ended.name
    number = ended.number or max(1, policy.number)
    if ended.name == state.probe:
        state.probe, number = "", policy.probe
    elif number == policy.probe:  # a number of another epoch
        number -= 1
    return policy.record_outcome(Permit(number), ended.answer, now)


def _grant(state: SharedState, ask: ScriptRequest, slots: NamedSlots, now: float) -> tuple[int, int, float, str]:
    granted, wait, reason = [0, 0], 0.0, ""
    for index, name in enumerate(ask.names):
        bulk = index >= ask.singles
        slots.name = name
        wait, reason = _admit(state, now, bulk=bulk)
        if wait == 0:
            granted[bulk] += 1
            if state.policy.probe and not state.probe:
                state.probe, state.probe_until = name, now + ask.lease
            continue
        if not bulk and reason in {FULL, SPACED}:
            state.single_until = now + min(wait, POLL) + 0.05
        break
    return granted[0], granted[1], wait, reason


def _admit(state: SharedState, now: float, *, bulk: bool) -> tuple[float, str]:
    if now < state.opens:
        return state.opens - now, JOINING
    if bulk and now < state.single_until:
        return state.single_until - now, BEHIND
    policy = state.policy
    if policy.try_acquire(now, bulk=bulk) is None:
        wait, reason = policy.wait(now, bulk=bulk)
        return (state.probe_until - now if reason == PROBING else wait), reason
    return 0.0, ""
