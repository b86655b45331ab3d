"""The sandbox against the contract, judged by schemathesis: a tool that neither side wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, given, settings
from schemathesis import Case as GenericCase
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.openapi.checks import JsonSchemaError, UndefinedContentType, UndefinedStatusCode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from isnotai_async.sandbox import Fault, Sandbox
from isnotai_async.sandbox.routes import OPERATIONS
from tests.contract.contract import PATH
from tests.examples import scaled

Case = GenericCase[Any]
CHECKS: list[Any] = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# API.md: the last page's cursor may be absent; `details` is given "often".
OPTIONAL = {"nextCursor", "details"}
SERVED = [operation.name for operation in OPERATIONS if operation.name != "openapi"]
KEYED = [name for name in SERVED if name != "health"]
WITH_QUERY = [
    "list_events", "list_sessions", "list_users", "get_user_sessions", "list_courses", "get_analytics", "get_usage",
]  # fmt: skip
KNOWN_IDS = {"sessionId": "big-1", "userId": "u-1000"}
KNOWN_SESSIONS = ["big-0", "big-1", "big-1000"]


def be_strict(node: object) -> None:
    """Require every documented property and no other, and integers that fit their format.

    The contract's schemas name no required properties, so that an empty object would pass, and JSON Schema takes
    `int32` for a remark. The sandbox has to do better than that: it stands for the API in the tests of everything
    else.
    """
    if isinstance(node, dict):
        if bits := {"int32": 32, "int64": 64}.get(str(node.get("format"))):
            node.update(minimum=-(2 ** (bits - 1)), maximum=2 ** (bits - 1) - 1)
        properties = node.get("properties")
        if isinstance(properties, dict):
            node["required"] = sorted(set(properties) - OPTIONAL)
            node.setdefault("additionalProperties", False)
        for value in node.values():
            be_strict(value)
    elif isinstance(node, list):
        for value in node:
            be_strict(value)


@cache
def operations() -> Mapping[str, APIOperation[Any, Any, Any, Any]]:
    raw = deepcopy(dict(schemathesis.openapi.from_path(PATH).raw_schema))
    be_strict(raw["components"]["schemas"])
    schema = schemathesis.openapi.from_dict(raw)
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    # The sandbox names operations as the client names its methods.
    ids = {operation: str(operation.definition.raw["operationId"]) for operation in found}
    return {re.sub("[A-Z]", lambda m: f"_{m[0].lower()}", name): operation for operation, name in ids.items()}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    # In a thread of its own, because schemathesis sends with a blocking client.
    with start_blocking_portal() as portal:
        server = Sandbox(rate_limit=None)
        with portal.wrap_async_context_manager(server):
            yield server


@pytest.fixture(autouse=True)
def _no_faults_left(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.clear_faults()


def key_of(sandbox: Sandbox) -> dict[str, str]:
    return {"Authorization": f"Bearer {sandbox.api_key}"}


def try_many(strategy: Any, check: Callable[[Case], object], *, examples: int = 10) -> None:
    every = settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=scaled(examples),
        suppress_health_check=list(HealthCheck),
    )

    @every
    @given(case=strategy)
    def run(case: Case) -> None:
        check(case)

    run()


def call(name: str, sandbox: Sandbox, headers: dict[str, str], **parts: Any) -> None:
    case = operations()[name].Case(**parts)
    response = case.call(base_url=sandbox.base_url, headers=headers)
    case.validate_response(response, checks=CHECKS)


@pytest.mark.parametrize("name", SERVED)
def test_any_request_gets_an_answer_of_the_contract(sandbox: Sandbox, name: str) -> None:
    def check(case: Case) -> None:
        response = case.call(base_url=sandbox.base_url, headers=key_of(sandbox))
        case.validate_response(response, checks=CHECKS)

    try_many(operations()[name].as_strategy(GenerationMode.POSITIVE), check)


@pytest.mark.parametrize("examples", [10, pytest.param(300, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("name", WITH_QUERY)
def test_malformed_requests_get_an_answer_of_the_contract(sandbox: Sandbox, name: str, examples: int) -> None:
    statuses: set[int] = set()

    def check(case: Case) -> None:
        response = case.call(base_url=sandbox.base_url, headers=key_of(sandbox))
        case.validate_response(response, checks=CHECKS)
        statuses.add(response.status_code)

    try_many(operations()[name].as_strategy(GenerationMode.NEGATIVE), check, examples=examples)

    assert (400 in statuses) == (name not in {"list_users", "list_courses"})
    assert statuses <= {200, 400, 404}


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("session_id", KNOWN_SESSIONS)
def test_events_of_known_sessions_keep_to_the_contract(
    sandbox: Sandbox, session_id: str, mode: GenerationMode
) -> None:
    def check(case: Case) -> None:
        case.path_parameters = {"sessionId": session_id}
        response = case.call(base_url=sandbox.base_url, headers=key_of(sandbox))
        case.validate_response(response, checks=CHECKS)

    try_many(operations()["list_events"].as_strategy(mode), check)


@pytest.mark.parametrize("name", KEYED)
def test_requests_without_a_key_get_an_answer_of_the_contract(sandbox: Sandbox, name: str) -> None:
    def check(case: Case) -> None:
        case.headers.clear()
        response = case.call(base_url=sandbox.base_url)
        case.validate_response(response, checks=CHECKS)
        assert response.status_code == 401

    try_many(operations()[name].as_strategy(GenerationMode.POSITIVE), check, examples=10)


@pytest.mark.parametrize("name", ["get_session", "get_session_details", "list_events"])
def test_every_listed_session_keeps_to_the_contract(sandbox: Sandbox, name: str) -> None:
    for session_id in (*sandbox.session_ids("us"), *KNOWN_SESSIONS):
        call(name, sandbox, key_of(sandbox), path_parameters={"sessionId": session_id})


@pytest.mark.parametrize("name", ["list_sessions", "list_users", "list_courses"])
def test_pages_of_any_size_keep_to_the_contract(sandbox: Sandbox, name: str) -> None:
    for size in (1, 7, 40, 100):
        call(name, sandbox, key_of(sandbox), query={"pageSize": size})


def test_the_sessions_of_every_user_keep_to_the_contract(sandbox: Sandbox) -> None:
    for number in range(1000, 1016):
        call("get_user_sessions", sandbox, key_of(sandbox), path_parameters={"userId": f"u-{number}"})


@pytest.mark.parametrize("period", ["24h", "7d", "30d", "90d"])
@pytest.mark.parametrize("group_by", ["hour", "day", "week"])
def test_every_analysis_keeps_to_the_contract(sandbox: Sandbox, period: str, group_by: str) -> None:
    call("get_analytics", sandbox, key_of(sandbox), query={"period": period, "groupBy": group_by})


@pytest.mark.parametrize("metric", ["ApiCalls", "events", "SESSIONS", "storagebytes", "BotAnalyses"])
def test_every_metric_keeps_to_the_contract(sandbox: Sandbox, metric: str) -> None:
    call("get_usage", sandbox, key_of(sandbox), query={"metric": metric, "endDate": "0001-01-05"})
    call("get_usage", sandbox, key_of(sandbox), query={"metric": metric, "startDate": "2026-06-01"})


@pytest.mark.parametrize("name", KEYED)
def test_an_exhausted_window_keeps_to_the_contract(sandbox: Sandbox, name: str) -> None:
    sandbox.inject(Fault.rate_limited(7))
    path = operations()[name].path
    parts = {"path_parameters": {key: value for key, value in KNOWN_IDS.items() if f"{{{key}}}" in path}}

    call(name, sandbox, key_of(sandbox), **parts)


RIGHT = {"eventId": "e", "messageId": 1, "eventTypeName": "init", "timestamp": 1, "payloadSize": 0}
WHOLE = {"nextCursor": None, "hasMore": False, "limit": 1}


def test_a_right_answer_made_by_hand_passes(sandbox: Sandbox) -> None:
    sandbox.inject(Fault.raw(200, {"data": [RIGHT], "pagination": WHOLE}))

    call("list_events", sandbox, key_of(sandbox), path_parameters={"sessionId": "big-1"})


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        (Fault.raw(200, {"data": [RIGHT | {"timestamp": "1"}], "pagination": WHOLE}), JsonSchemaError),
        (Fault.raw(200, {"data": [RIGHT | {"messageId": 2**31}], "pagination": WHOLE}), JsonSchemaError),
        (Fault.raw(200, {"data": [{"eventId": "e"}], "pagination": WHOLE}), JsonSchemaError),
        (Fault.raw(200, {"data": [RIGHT | {"invented": 1}], "pagination": WHOLE}), JsonSchemaError),
        (Fault.raw(200, {"data": [RIGHT]}), JsonSchemaError),
        (Fault.raw(400, {"error": "bad"}), JsonSchemaError),
        (Fault.raw(418, {"error": {"code": "TEAPOT", "message": ""}}), UndefinedStatusCode),
        (Fault.captive_portal(), UndefinedContentType),
    ],
    ids=["retyped", "too wide", "missing", "invented", "no pagination", "no envelope", "status", "html"],
)
def test_a_wrong_page_is_caught(sandbox: Sandbox, fault: Fault, failure: type[Exception]) -> None:
    sandbox.inject(fault)

    with pytest.raises(FailureGroup) as caught:
        call("list_events", sandbox, key_of(sandbox), path_parameters={"sessionId": "big-1"})

    assert caught.group_contains(failure)


def test_a_date_that_is_none_is_caught(sandbox: Sandbox) -> None:
    sandbox.inject(Fault.raw(200, {"status": "healthy", "version": "1", "timestamp": "yesterday"}))

    with pytest.raises(FailureGroup) as caught:
        call("health", sandbox, {})

    assert caught.group_contains(JsonSchemaError)
