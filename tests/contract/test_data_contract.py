"""The sandbox with data from a file against the contract, as strictly as with data that it makes up."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal
from schemathesis import GenerationMode

from isnotai_async.sandbox import Sandbox
from tests.contract.test_sandbox_contract import CHECKS, SERVED, Case, call, key_of, operations, try_many

# Out of order, of unknown types, at times that no date can say, and with all that an id can have.
ROWS = [
    ("ordered", [1_781_092_800_000 + number for number in range(300)]),
    ("mixed", [5, 4, 5, -(2**63), 2**63 - 1]),
    ("a/ü ?%#\u2028", [0]),
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    rows = [
        {
            "region": "us",
            "session_id": session_id,
            "event_id": f"{session_id}-{number}",
            "message_id": number % 4 - 1,
            "event_type_name": f"kind {number % 4}",
            "timestamp": timestamp,
            "payload_size": 2**31 - 1,
        }
        for session_id, timestamps in ROWS
        for number, timestamp in enumerate(timestamps)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with start_blocking_portal() as portal:
        server = Sandbox(rate_limit=None, data=path)
        with portal.wrap_async_context_manager(server):
            yield server


@pytest.mark.parametrize("name", SERVED)
def test_any_request_gets_an_answer_of_the_contract(recorded: Sandbox, name: str) -> None:
    def check(case: Case) -> None:
        response = case.call(base_url=recorded.base_url, headers=key_of(recorded))
        case.validate_response(response, checks=CHECKS)

    try_many(operations()[name].as_strategy(GenerationMode.POSITIVE), check, examples=10)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_events_of_its_sessions_keep_to_the_contract(recorded: Sandbox, mode: GenerationMode) -> None:
    session_ids = iter(recorded.session_ids() * 100)

    def check(case: Case) -> None:
        case.path_parameters = {"sessionId": next(session_ids)}
        response = case.call(base_url=recorded.base_url, headers=key_of(recorded))
        case.validate_response(response, checks=CHECKS)

    try_many(operations()["list_events"].as_strategy(mode), check, examples=15)


@pytest.mark.parametrize("name", ["get_session", "get_session_details", "list_events"])
def test_every_listed_session_keeps_to_the_contract(recorded: Sandbox, name: str) -> None:
    assert recorded.session_ids() == tuple(session_id for session_id, _ in ROWS)
    for session_id in recorded.session_ids():
        call(name, recorded, key_of(recorded), path_parameters={"sessionId": session_id})


def test_all_pages_of_the_sessions_keep_to_the_contract(recorded: Sandbox) -> None:
    for size in (1, 2, 100):
        call("list_sessions", recorded, key_of(recorded), query={"pageSize": size})
