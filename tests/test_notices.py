"""Notices reach the client's callback, and whoever overhears a block."""

import asyncio
import inspect
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest

import isnotai_async as isnotai
from isnotai_async._http.retry import _KINDS
from isnotai_async._notices import Notifier, PageNotice, capture_notices
from isnotai_async.sandbox import Fault, Sandbox

NOTICE = PageNotice(region="us", operation="list_events", records=3, has_more=False)


@pytest.fixture
async def client() -> AsyncIterator[isnotai.Client]:
    async with (
        Sandbox(rate_limit=None) as sandbox,
        isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=isnotai.Unlimited()) as client,
    ):
        yield client


async def test_a_block_hears_of_its_own_requests_only(client: isnotai.Client) -> None:
    heard: list[isnotai.Notice] = []
    started, done = asyncio.Event(), asyncio.Event()

    async def ask_beside() -> None:
        await started.wait()
        await client.list_events("big-7")
        done.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(ask_beside())
        with capture_notices(heard.append):
            await client.list_events("big-5")
            started.set()
            await done.wait()
    await client.list_events("big-9")

    assert [notice.records for notice in heard if isinstance(notice, PageNotice)] == [5]


async def test_a_stream_that_is_opened_in_a_block_is_heard_whole(client: isnotai.Client) -> None:
    heard: list[isnotai.Notice] = []
    with capture_notices(heard.append):
        async with client.stream_events(["big-3", "big-4"]) as pages:
            assert [len(page.data) async for page in pages]

    assert sorted(notice.records for notice in heard if isinstance(notice, PageNotice)) == [3, 4]
    assert sum(isinstance(notice, isnotai.AttemptNotice) for notice in heard) == 2


def test_both_hear_and_neither_can_break_the_call(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(notice: isnotai.Notice) -> None:
        raise ValueError("broken")

    heard: list[isnotai.Notice] = []
    with capture_notices(heard.append):
        Notifier("us", refuse).emit(NOTICE)
    with capture_notices(refuse):
        Notifier("us", heard.append).emit(NOTICE)

    assert heard == [NOTICE, NOTICE]
    assert caplog.text.count("on_notice raised an error on a PageNotice") == 2


class _FullDisk(logging.Handler):
    def handle(self, _: logging.LogRecord) -> bool:
        raise OSError(28, "No space left on device")


class _BrokenFilter(logging.Filter):
    def filter(self, _: logging.LogRecord) -> bool:
        raise KeyError("request_id")


@pytest.mark.parametrize("what", ["handler", "filter"])
async def test_a_log_handler_or_filter_that_raises_ends_no_call(
    client: isnotai.Client, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log, handler, filtering = logging.getLogger("isnotai_async"), _FullDisk(), _BrokenFilter()
    log.setLevel(logging.DEBUG)
    if what == "handler":
        log.addHandler(handler)
    else:
        log.addFilter(filtering)
    try:
        page = await client.list_events("big-3")
        assert len(page.data) == 3
    finally:
        log.removeHandler(handler)
        log.removeFilter(filtering)
        log.setLevel(logging.NOTSET)
    assert ("No space left" if what == "handler" else "request_id") in capsys.readouterr().err


async def test_a_log_record_names_the_line_that_wrote_it(
    client: isnotai.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "isnotai_async"):
        await client.list_events("big-3")
    assert {(record.module, record.funcName) for record in caplog.records if record.name == "isnotai_async"} == {
        ("retry", "_report_attempt")
    }


def test_every_log_call_of_the_package_goes_through_the_logger_that_cannot_raise() -> None:
    package = Path(isnotai.__file__).parent
    ours = [
        path
        for folder in ("_http", "_ratelimit", "_streaming", "_models")
        for path in package.glob(f"{folder}/**/*.py")
    ]
    assert [path.name for path in ours if "getLogger" in path.read_text()] == []


# What metrics and log systems get: stable words and fields.


def is_isnotai(name: str) -> bool:
    return name.startswith("isnotai_")


async def test_labels_of_retries_stay_few_whatever_hosts_and_ports_are_down() -> None:
    heard: list[isnotai.Notice] = []
    retry = isnotai.Retry(attempts=2, base=0.0)
    for port in range(1, 9):  # nothing listens there
        url = f"http://127.0.0.1:{port}"
        async with isnotai.Client("aik_v1_" + "0" * 32, base_url=url, retry=retry, on_notice=heard.append) as client:
            with pytest.raises(isnotai.ConnectError):
                await client.get_session("s1")

    retries = [notice for notice in heard if isinstance(notice, isnotai.RetryNotice)]
    attempts = [notice for notice in heard if isinstance(notice, isnotai.AttemptNotice)]
    assert len({notice.reason for notice in retries}) == 8
    assert {(notice.operation, notice.region, notice.kind) for notice in retries} == {
        ("get_session", "us", "connect")
    }
    labels = {(notice.operation, notice.region, notice.status, notice.error) for notice in attempts}
    assert labels == {("get_session", "us", None, "ConnectError")}


def test_each_kind_of_a_retry_is_one_of_the_words_that_are_documented() -> None:
    documented = set(re.findall(r'``"([a-z ]+)"``', inspect.cleandoc(isnotai.RetryNotice.__doc__ or "")))
    assert {name for _, name in _KINDS} == documented
    failures = {kind for kind, _ in _KINDS}
    assert {isnotai.TransportError, isnotai.APIError, isnotai.DecodeError} <= failures  # so every failure has one


async def test_a_log_record_has_the_values_of_its_text_as_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "isnotai_async")
    async with Sandbox(rate_limit=None) as sandbox:
        sandbox.inject(Fault.status(503))
        policy = isnotai.Retry(base=0.0)
        async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, retry=policy) as client:
            await client.get_session("big-1")
        records = [record for record in caplog.records if record.name == "isnotai_async"]
        fields = [{name: value for name, value in vars(record).items() if is_isnotai(name)} for record in records]

    for found in fields[::2]:
        assert found.pop("isnotai_elapsed") > 0
    common = {"isnotai_region": "us", "isnotai_operation": "get_session"}
    attempt = {**common, "isnotai_event": "attempt", "isnotai_error": None}
    retry = {**common, "isnotai_event": "retry", "isnotai_wait": 0.0, "isnotai_kind": "status"}
    assert fields == [
        {**attempt, "isnotai_attempt": 1, "isnotai_status": 503},
        {**retry, "isnotai_attempt": 2},
        {**attempt, "isnotai_attempt": 2, "isnotai_status": 200},
    ]


async def test_a_pause_is_logged_with_its_seconds_as_a_field(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "isnotai_async")
    limiter = isnotai.LocalLimiter(name="the key of us")
    await limiter.release(await limiter.acquire(bulk=False), isnotai.RequestOutcome(429, 30.0))

    (record,) = (record for record in caplog.records if record.name == "isnotai_async")
    fields = {name: value for name, value in vars(record).items() if is_isnotai(name)}
    assert fields == {
        "isnotai_event": "pause",
        "isnotai_limiter": "the key of us",
        "isnotai_wait": 30.0,
        "isnotai_waiting": 0,
    }


MONITORING = (Path(__file__).parents[1] / "docs" / "monitoring.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("notice", get_args(isnotai.Notice), ids=lambda notice: notice.__name__)
def test_the_page_and_the_client_name_each_notice(notice: type[object]) -> None:
    assert f"`{notice.__name__}`" in MONITORING
    assert f"`{notice.__name__}`" in str(isnotai.Client.__doc__)


def test_the_page_names_the_fields_of_each_log_record() -> None:
    package = Path(isnotai.__file__).parent
    calls = [
        call
        for path in package.rglob("*.py")
        for call in re.findall(r"(?<!def )log_fields\(([^()]*)\)", path.read_text(encoding="utf-8"))
    ]
    names = {name for call in calls for name in re.findall(r"(\w+)=", call)}
    names |= set(inspect.signature(isnotai.AttemptNotice).parameters)  # passed whole

    assert {"store", "waiting"} <= names
    assert [name for name in sorted(names) if f"`isnotai_{name}`" not in MONITORING] == []
