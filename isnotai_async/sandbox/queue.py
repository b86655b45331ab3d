"""Which request meets which fault."""

from __future__ import annotations

from attrs import define, field, frozen

from isnotai_async.sandbox.dice import Dice
from isnotai_async.sandbox.faults import Fault, PageFault
from isnotai_async.sandbox.limits import LIST_OPERATIONS


@frozen
class Target:
    """What a fault looks at before it strikes.

    Attributes:
        region: Name of the region.
        operation: Name of the operation.
        has_cursor: Whether the request carries a cursor.
    """

    region: str
    operation: str
    has_cursor: bool = False


@define(eq=False)
class _Rule:
    fault: Fault
    operation: str | None
    region: str | None
    probability: float | None
    left: int | None

    def fits(self, target: Target) -> bool:
        page = self.fault.page
        return (
            self.operation in {None, target.operation}
            and self.region in {None, target.region}
            and (page is None or target.operation in LIST_OPERATIONS)
            and (page is not PageFault.REPEATED_CURSOR or target.has_cursor)
        )


@define(eq=False)
class FaultQueue:
    """Faults in the order they were injected.

    A request meets at most one: the first scripted one that fits it and has times left; else each random one is
    tried in turn.

    Args:
        dice: Decides about the random ones.
    """

    dice: Dice
    _rules: list[_Rule] = field(factory=list, init=False)

    def add(
        self,
        fault: Fault,
        *,
        operation: str | None = None,
        region: str | None = None,
        probability: float | None = None,
    ) -> None:
        """Put a fault at the end of the queue; None means any operation, any region, or not at random."""
        left = fault.times if probability is None else None
        self._rules.append(_Rule(fault, operation, region, probability, left))

    def clear(self) -> None:
        """Forget all faults."""
        self._rules.clear()

    def take(self, target: Target) -> Fault | None:
        """Take the fault that this request meets, or None."""
        fitting = [rule for rule in self._rules if rule.fits(target)]
        for rule in fitting:
            if rule.probability is None:
                self._use(rule)
                return rule.fault
        for rule in fitting:
            if rule.probability is not None and self.dice.chance(rule.probability):
                return rule.fault
        return None

    def _use(self, rule: _Rule) -> None:
        if rule.left is None:
            return
        rule.left -= 1
        if rule.left == 0:
            self._rules.remove(rule)
