"""Query values, without a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isnotai_async._models.queries import EventFilters
from isnotai_async.errors import ConfigError
from isnotai_async.sandbox import params
from isnotai_async.sandbox.params import RefusedError


def size(query: dict[str, str]) -> int:
    return params.page_size(query, default=100, cap=50)


@pytest.mark.parametrize(
    ("read", "query", "expected"),
    [
        (size, {}, 50),
        (size, {"pageSize": "1"}, 1),
        (size, {"pageSize": "+7"}, 7),
        (size, {"pageSize": "2147483647"}, 50),
        (params.event_type, {}, None),
        (params.event_type, {"type": "2"}, 2),
        (params.event_type, {"type": "0x02"}, 2),
        (params.event_type, {"type": "0Xff"}, 255),
        (params.event_type, {"type": "0x001"}, 1),
        (params.event_type, {"type": "0" * 5000 + "255"}, 255),
        (params.event_type, {"type": "mouse_move"}, 2),
        (lambda query: params.boolean(query, "botOnly"), {"botOnly": "True"}, True),
        (lambda query: params.boolean(query, "botOnly"), {}, False),
        (lambda query: params.instant(query, "startDate"), {"startDate": "1970-01-02"}, 86_400_000),
        (lambda query: params.instant(query, "startDate"), {"startDate": "1970-01-01T00:00:00.0010000z"}, 1),
        (lambda query: params.instant(query, "startDate"), {"startDate": "1970-01-01T01:00:00+01:00"}, 0),
        (lambda query: params.whole(query, "endTime"), {"endTime": "-9223372036854775808"}, -(2**63)),
    ],
)
def test_good_values_are_read(read: Callable[[Any], object], query: dict[str, str], expected: object) -> None:
    assert read(query) == expected


@given(st.from_regex(r"[-+]?(0[xX]0{0,3}[0-9a-fA-F]{1,3}|0{0,3}[0-9]{1,4})", fullmatch=True))
@example("0x001")
@example("0001")
@example("+1")
def test_client_and_sandbox_judge_numbers_of_event_types_alike(text: str) -> None:
    assert accepts(lambda value: EventFilters(type=value), text) == accepts(
        lambda value: params.event_type({"type": value}), text
    )


def accepts(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except (ConfigError, RefusedError):
        return False
    return True


@pytest.mark.parametrize(
    ("read", "name", "texts"),
    [
        (size, "pageSize", ["0", "-1", "", "ten", "1.0", "1e2", "0x10", "2147483648", "٣", "1_0", " 1", "9" * 5000]),
        (
            params.event_type,
            "type",
            ["", "256", "-1", "+1", "0x", "0x100", "0x0100", "nonsense", "MOUSE_MOVE", "1.5", "9" * 5000],
        ),
        (lambda query: params.boolean(query, "botOnly"), "botOnly", ["", "1", "yes"]),
        (
            lambda query: params.instant(query, "startDate"),
            "startDate",
            # The fourth is what an unencoded plus becomes; the fifth has no offset.
            ["", "today", "2026-13-01", "2026-06-01T00:00:00 00:00", "2026-06-01T00:00:00", "1780272000", "2026-6-1"],
        ),
        (lambda query: params.whole(query, "endTime"), "endTime", ["", "now", "1.5", str(2**63)]),
    ],
)
def test_bad_values_are_refused_with_the_name_of_the_field(
    read: Callable[[Any], object], name: str, texts: list[str]
) -> None:
    for text in texts:
        with pytest.raises(RefusedError) as refused:
            read({name: text})
        assert refused.value.answer.status == 400
        assert f'"field":"{name}"'.encode() in refused.value.answer.body
