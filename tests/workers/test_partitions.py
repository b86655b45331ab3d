"""Partitions: what a queue carries, and what it may not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from isnotai_async._models.positions import Target
from isnotai_async.errors import ConfigError
from isnotai_async.workers import Partition

PARTITION = Partition(
    job="0123456789abcdef",
    index=7,
    sessions=(Target("us", "s1"), Target("us", "s2"), Target("eu", "s1")),
    format="jsonl",
    filters={"type": "keypress", "start_time": 5},
)


def edited(**changes: Any) -> str:
    """Write the partition with other values, as somebody with access to the queue might."""
    return json.dumps({**json.loads(PARTITION.to_json()), **changes})


def test_a_partition_comes_back_as_it_was() -> None:
    assert Partition.from_json(PARTITION.to_json()) == PARTITION
    assert Partition.from_json(PARTITION.to_json()).name == PARTITION.name


def test_its_name_is_the_same_for_everybody() -> None:
    assert PARTITION.name == "part-000007-e2402797b3ceb0e5"


@pytest.mark.parametrize(
    "change",
    [
        {"sessions": (Target("us", "s1"), Target("us", "s2"))},
        {"sessions": PARTITION.sessions[::-1]},
        {"index": 8},
        {"format": "csv"},
        {"filters": {"type": "keypress", "start_time": 6}},
        {"on_error": "skip"},
        {"formula_guard": False},
    ],
    ids=str,
)
def test_another_partition_has_another_name(change: dict[str, Any]) -> None:
    assert evolve(PARTITION, **change).name != PARTITION.name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{" * 5_000,
        edited(version=2),
        edited(name="part-000007-0000000000000000"),
        edited(job="../../../../etc/x"),
        edited(index=-1),
        edited(index="7"),
        edited(index=True),
        edited(sessions=[]),
        edited(sessions=[["us", "s1"]]),
        edited(sessions=[["us", ["s1", ".."]]]),
        edited(sessions=[["us", [7]]]),
        edited(sessions=[[7, ["s1"]]]),
        edited(sessions={"us": ["s1"]}),
        edited(sessions=[["us", [f"s{n}" for n in range(10_001)]]]),
        edited(format="exe"),
        edited(format=None),
        edited(on_error="ignore"),
        edited(formula_guard="yes"),
        edited(filters={"limit": 1}),
        edited(filters={"type": 7_000}),
        edited(filters={"session_id": "s2"}),
        edited(filters=[]),
        edited(more=1),
        PARTITION.to_json().replace("s2", "s3"),
    ],
    ids=range(27),
)
def test_what_no_plan_has_written_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Partition.from_json(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(field=st.sampled_from(sorted(json.loads(PARTITION.to_json()))), value=values)
def test_whatever_a_field_is_changed_to_is_refused_in_words(field: str, value: object) -> None:
    if value == json.loads(PARTITION.to_json())[field]:
        return
    try:
        partition = Partition.from_json(edited(**{field: value}))
    except ConfigError as error:
        assert str(error)
    else:
        assert partition.name == PARTITION.name  # what does not matter for the part: its job
        assert field == "job"


def test_its_repr_does_not_list_its_sessions() -> None:
    assert "s1" not in repr(PARTITION)
    assert "<3>" in repr(PARTITION)
