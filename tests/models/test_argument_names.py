"""An argument under another package's name, or on the wrong call: the error says what it is called here."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import isnotai_async as isnotai
from tests.canary import CANARY_KEY, shows_key

CLIENT = isnotai.Client("aik_v1_" + "a" * 40)
CALLS: list[tuple[Callable[..., Any], str, str]] = [
    (CLIENT.list_events, "limit", "here it is page_size= (records a page) or max_items= (records in all)"),
    (CLIENT.list_sessions, "per_page", "here it is page_size="),
    (CLIENT.list_users, "query", "here it is search="),
    (CLIENT.list_events, "cursor", "here it is resume="),
    (CLIENT.list_events, "event_type", "here it is type="),
    (CLIENT.list_events, "startTime", "did you mean start_time="),
    (CLIENT.list_events, "start_date", "here it is start_time="),
    (CLIENT.list_sessions, "end_time", "here it is end_date="),
    (CLIENT.list_events, "max_retries", "pass it to client.with_options(retry=Retry(attempts=…))"),
    (CLIENT.list_events, "timeout", "pass it to client.with_options(timeout=…)"),
    (CLIENT.stream_events, "max_items", "pass it to a list, such as list_events(…, max_items=…)"),
    (CLIENT.stream_events, "limit", "here it is page_size="),
    (CLIENT.stream_events, "max_concurrency", "here it is concurrency="),
    (CLIENT.with_options, "max_retries", "here it is retry=Retry(attempts=…)"),
    (CLIENT.list_courses, "colour", "it takes max_items, page_size, resume"),
    (isnotai.Client, "max_retries", "here it is retry=Retry(attempts=…)"),
    (isnotai.Client, "session", "here it is http_session="),
    (isnotai.Client, "token", "here it is api_key="),
    (isnotai.SessionManager, "concurrency", "here it is max_concurrency="),
    (isnotai.Retry, "max_retries", "here it is attempts="),
    (isnotai.Retry, "backoff_factor", "here it is base= or factor="),
    (isnotai.Retry, "max_delay", "here it is cap="),
    (isnotai.Credential, "url", "here it is base_url="),
]


@pytest.mark.parametrize(("call", "name", "says"), CALLS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_the_error_says_what_it_is_called_here(call: Callable[..., Any], name: str, says: str) -> None:
    with pytest.raises(TypeError) as caught:
        call("s1", **{name: 1})

    assert str(caught.value).startswith(f"{call.__name__}() has no argument '{name}'; ")
    assert says in str(caught.value)


AWAITED: list[tuple[Callable[..., Any], str, str]] = [
    (CLIENT.get_analytics, "groupBy", "did you mean group_by="),
    (CLIENT.get_analytics, "max_retries", "pass it to client.with_options(retry=Retry(attempts=…))"),
    (CLIENT.get_usage, "since", "here it is start_date="),
    (CLIENT.request, "query", "it takes params, path"),
    (isnotai.export_events, "max_retries", "pass it to client.with_options(retry=Retry(attempts=…))"),
    (isnotai.export_events, "max_items", "pass it to a list, such as list_events(…, max_items=…)"),
    (isnotai.export_events, "path", "here it is to="),
    (isnotai.export_events, "overwrite", "here it is if_exists="),
    (isnotai.estimate_export, "samples", "did you mean sample="),
    (isnotai.export_store, "output", "here it is to="),
    (isnotai.update_store, "since", "here it is start_date="),
]


@pytest.mark.parametrize(("call", "name", "says"), AWAITED, ids=lambda value: getattr(value, "__name__", str(value)))
async def test_a_coroutine_says_so_when_it_is_awaited(call: Callable[..., Any], name: str, says: str) -> None:
    assert inspect.iscoroutinefunction(call)
    with pytest.raises(TypeError) as caught:
        await call(**{name: 1})

    assert str(caught.value).startswith(f"{call.__name__}() has no argument '{name}'; ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda: isnotai.export_events(CLIENT, "s1", "a.jsonl", api_key=CANARY_KEY),  # type: ignore[call-arg]
        lambda: CLIENT.request(f"/v1/sessions/{CANARY_KEY}"),
        lambda: CLIENT.get_analytics(period=CANARY_KEY),
    ],
    ids=["an argument that there is not", "a path", "a value"],
)
async def test_no_frame_of_a_coroutine_holds_the_key(call: Callable[[], Any]) -> None:
    with pytest.raises((TypeError, isnotai.ConfigError)) as caught:
        await call()

    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    wrapped = [frame for frame in frames if frame.name in {"call", "call_later"}]
    assert wrapped
    assert not any(shows_key(str(frame.locals)) for frame in wrapped)


def test_signatures_and_other_errors_are_as_before() -> None:
    assert "max_items" in inspect.signature(CLIENT.list_events).parameters
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        isnotai.Client.list_events(CLIENT)  # type: ignore[call-arg]


def test_no_frame_of_the_error_holds_the_key() -> None:
    with pytest.raises(TypeError) as caught:
        isnotai.Client(api_key=CANARY_KEY, colour="red")  # type: ignore[call-arg]

    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    ours = [frame for frame in frames if "isnotai_async" in frame.filename]
    assert ours
    assert not any(shows_key(str(frame.locals)) for frame in ours)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: isnotai.Client("k", region="EU"), "the regions are: us, eu"),
        (lambda: isnotai.Client("k", tier="PRO"), "tier must be free, pro, enterprise"),  # type: ignore[arg-type]
        (lambda: isnotai.SessionManager({"uss": "k"}), "'uss' is no region (they are us, eu)"),
    ],
    ids=["region", "tier", "name of a credential"],
)
def test_a_region_or_tier_that_there_is_not_is_answered_with_those_that_there_are(
    make: Callable[[], object], says: str
) -> None:
    with pytest.raises(isnotai.ConfigError) as caught:
        make()

    assert says in str(caught.value)
