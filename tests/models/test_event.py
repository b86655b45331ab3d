"""An event is a frozen attrs class like all records, though msgspec creates it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import AsyncIterator
from typing import get_type_hints

import attrs
import cattrs
import msgspec
import pytest

import isnotai_async as isnotai

EVENT = isnotai.Event("e1", 1, "keypress", 1_780_574_400_000, 212)


@pytest.fixture
async def page() -> AsyncIterator[isnotai.Page[isnotai.Event]]:
    async with isnotai.Sandbox() as sandbox, isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
        yield await client.list_events("big-50")


def test_attrs_knows_each_of_its_fields() -> None:
    assert attrs.has(isnotai.Event)
    assert [field.name for field in attrs.fields(isnotai.Event)] == list(msgspec.structs.asdict(EVENT))
    assert attrs.asdict(EVENT) == {
        "event_id": "e1",
        "message_id": 1,
        "event_type_name": "keypress",
        "timestamp": 1_780_574_400_000,
        "payload_size": 212,
    }
    assert attrs.astuple(attrs.evolve(EVENT, event_type_name=None)) == ("e1", 1, None, 1_780_574_400_000, 212)


def test_its_annotations_say_what_can_be_there() -> None:
    assert get_type_hints(isnotai.Event) == {
        "event_id": str,
        "message_id": int,
        "event_type_name": str | None,
        "timestamp": int,
        "payload_size": int,
    }


@pytest.mark.parametrize("name", ["event_id", "payload_size", "another"])
def test_it_cannot_be_changed(name: str) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(EVENT, name, "e2")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        delattr(EVENT, name)

    assert EVENT.event_id == "e1"
    assert not hasattr(EVENT, "__dict__")


def test_equal_events_are_equal_and_have_one_hash() -> None:
    same = isnotai.Event(
        event_id="e1", message_id=1, event_type_name="keypress", timestamp=1_780_574_400_000, payload_size=212
    )

    assert same == EVENT
    assert len({EVENT, same}) == 1
    assert attrs.evolve(EVENT, payload_size=213) != EVENT
    with pytest.raises(TypeError, match="not supported"):
        sorted([EVENT, same])  # type: ignore[type-var]


def test_an_event_without_all_fields_or_with_others_is_not_created() -> None:
    with pytest.raises(TypeError, match="payload_size"):
        isnotai.Event("e1", 1, None, 2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="size"):
        isnotai.Event("e1", 1, None, 2, 3, size=3)  # type: ignore[call-arg]


def test_it_is_copied_matched_and_structured_like_any_attrs_class() -> None:
    assert pickle.loads(pickle.dumps(EVENT)) == copy.copy(EVENT) == copy.deepcopy(EVENT) == EVENT
    assert cattrs.structure(attrs.asdict(EVENT), isnotai.Event) == EVENT
    match EVENT:
        case isnotai.Event(event_id, message_id):
            assert (event_id, message_id) == ("e1", 1)


async def test_events_of_a_page_are_such_records(page: isnotai.Page[isnotai.Event]) -> None:
    assert isinstance(page.data, tuple)
    assert {type(event) for event in page.data} == {isnotai.Event}
    assert pickle.loads(pickle.dumps(page)) == page
    assert hash(pickle.loads(pickle.dumps(page))) == hash(page)
    assert repr(page.data[0]).startswith("Event(event_id='ev-")
