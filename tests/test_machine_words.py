"""The four machines have one word for each state and each rule, in Python, in Lua and in docs/architecture.md."""

from __future__ import annotations

import inspect
import re
from enum import Enum
from types import ModuleType
from typing import Any

import msgspec
import pytest

from isnotai_async._http import retry_policy
from isnotai_async._ratelimit import pacer, policy, policy_state, sliding_window
from isnotai_async._ratelimit.file import rules, slots
from isnotai_async._ratelimit.shared import protocol
from isnotai_async._streaming import split_plan, walk
from tests.test_architecture import PACKAGE, section

LUA = (PACKAGE / "_ratelimit/redis/rate_limit.lua").read_text(encoding="utf-8")
MACHINES: dict[str, tuple[ModuleType, type[Enum] | None]] = {
    "Walk": (walk, walk.Step),
    "SplitPlan": (split_plan, split_plan.PlanStep),
    "RateLimitPolicy": (policy, None),
    "Backoff": (retry_policy, None),
}


def table() -> dict[str, list[str]]:
    """Return the table of the page: by class the module, the states and the transitions."""
    rows = [line.strip("| ").split(" | ") for line in section("The four machines").splitlines() if "| `" in line]
    return {row[1].strip("`"): [row[0].split("`")[1], *row[2:]] for row in rows}


def test_the_page_has_the_four_machines() -> None:
    assert set(table()) == set(MACHINES)


@pytest.mark.parametrize("name", MACHINES)
def test_states_and_transitions_of_the_page_are_those_of_the_module(name: str) -> None:
    module, steps = MACHINES[name]
    path, states, transitions = table()[name]
    machine = getattr(module, name)
    named = [state.strip(" `") for state in states.split(",")]
    methods = [method.strip(" `") for method in transitions.split(",")]

    assert module.__file__ == str(PACKAGE / path)
    assert steps is None or named == [step.name for step in steps]
    assert [state for state in named if not re.search(rf"\b{state}\b", module.__doc__ or "")] == []
    assert methods == [method for method in vars(machine) if method in methods]  # all are there, in their order


def test_each_rule_of_the_script_has_the_name_that_it_has_in_python() -> None:
    beginning, of_redis, of_rules = LUA.partition("-- The slots: `StoredSlots`.")
    in_python = {
        method.removeprefix("_")
        for module in (policy, pacer, sliding_window, rules, slots)
        for kind in vars(module).values()
        if inspect.isclass(kind)
        for method in vars(kind)
    }

    found = set(re.findall(r"^local function (\w+)", of_rules, re.MULTILINE))
    assert {"try_acquire", "record_outcome", "spend", "put"} <= found
    assert found - in_python == set()
    assert "local function" in beginning
    assert of_redis


def test_each_field_of_the_script_s_state_has_the_name_that_it_has_in_python() -> None:
    made = LUA.partition("local function make_state()")[2].partition("\nend")[0]
    found = set(re.findall(r"\b(\w+) = ", re.sub("--.*", "", made)))
    states: list[Any] = [rules.SharedState, policy_state.PolicyState, pacer.Pacer]
    in_python = {each.name for state in states for each in msgspec.structs.fields(state)}

    assert in_python - found == {"policy", "pacer", "length"}  # the states within, and what each request says
    assert found - in_python == {
        "slots",
        "last_leaving",
    }  # an eviction shows by the first; the keys expire by the other


def test_the_script_counts_the_reasons_in_the_order_of_python() -> None:
    names = re.search(r"local ([A-Z, ]+) = 1, 2, 3, 4, 5, 6", LUA)
    assert names is not None
    reasons = [getattr(protocol, name) for name in names[1].split(", ")]

    assert reasons == list(protocol.REASONS[1:])


def test_the_request_has_the_fields_that_the_script_reads() -> None:
    read = set(re.findall(r"\bask\.(\w+)", LUA))

    assert read <= {each.name for each in msgspec.structs.fields(protocol.ScriptRequest)} | {
        "first",
        "prefix",
        "highest",
    }
