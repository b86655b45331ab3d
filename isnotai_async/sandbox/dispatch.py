"""From a request to its response: host, key, rate limit, method, fault, operation, in this order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from isnotai_async.sandbox.faults import Fault
from isnotai_async.sandbox.hosts import names_this_machine
from isnotai_async.sandbox.pagination import Visit
from isnotai_async.sandbox.params import RefusedError
from isnotai_async.sandbox.region import SandboxRegion
from isnotai_async.sandbox.responses import SandboxReply, envelope
from isnotai_async.sandbox.routes import OPERATIONS, Operation

_ALLOW: Final = {"Allow": "GET"}


@frozen
class Call:
    """A request, independent of the HTTP library.

    Attributes:
        method: Its method.
        path: Its path, percent-encoded as it came.
        query: Its query, decoded; of a repeated name the first value.
        headers: Its headers, case-insensitive.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


def respond(region: SandboxRegion, call: Call, now: float) -> tuple[SandboxReply, Fault | None]:
    """Return the answer of a request, and the fault to apply when it is sent; `now` is monotonic seconds."""
    if not names_this_machine(call.headers.get("Host", "")):
        return envelope(421, "SANDBOX_FOREIGN_HOST", "The sandbox answers to localhost and loopback addresses."), None
    operation, names = _find(call.path)
    visit = Visit(region, names, call.query, now)
    if operation is not None and operation.public:
        # What is public never returns the envelope: documented of /health.
        return _operate(operation, visit) if call.method == "GET" else (SandboxReply(405, headers=_ALLOW), None)
    if not call.path.startswith("/v1/"):
        return _not_found(), None
    bucket = region.authenticate(call.headers)
    if bucket is None:
        text = "The API key is missing, malformed or unknown in this region."
        return envelope(401, "INVALID_API_KEY", text), None
    wait = region.accept(bucket, now)
    if wait is not None:
        return _too_many(region, wait), None
    if operation is None:
        return _with_tier(_not_found(), region), None
    if call.method != "GET":
        refusal = envelope(405, "SANDBOX_METHOD_NOT_ALLOWED", "Every route of this API is a GET.")
        return _with_tier(refusal, region).with_headers(**_ALLOW), None
    return _operate(operation, visit)


def _find(path: str) -> tuple[Operation | None, Mapping[str, str]]:
    for operation in OPERATIONS:
        if (names := operation.match(path)) is not None:
            return operation, names
    return None, {}


def _operate(operation: Operation, visit: Visit) -> tuple[SandboxReply, Fault | None]:
    region = visit.region
    fault = region.faults.take(region.name, operation.name, has_cursor=bool(visit.query.get("cursor")))
    if fault is not None and fault.answer is not None:
        tiered = fault.from_api and not operation.public
        return _with_tier(fault.answer, region) if tiered else fault.answer, fault
    answer = _handle(operation, visit if fault is None else evolve(visit, page_fault=fault.page))
    answer = answer if operation.public else _with_tier(answer, region)
    return answer if fault is None or fault.change is None else fault.change(answer), fault


def _handle(operation: Operation, visit: Visit) -> SandboxReply:
    try:
        return operation.handle(visit)
    except RefusedError as refused:
        if operation.rejects or refused.parameter is None:
            return refused.answer
        rest = {name: value for name, value in visit.query.items() if name != refused.parameter}
    return _handle(operation, evolve(visit, query=rest))


def _with_tier(answer: SandboxReply, region: SandboxRegion) -> SandboxReply:
    return answer.with_headers(x_isnotai_tier=region.tier)


def _not_found() -> SandboxReply:
    return envelope(404, "SANDBOX_NOT_FOUND", "There is no such route.")


def _too_many(region: SandboxRegion, wait: float) -> SandboxReply:
    answer = envelope(429, "SANDBOX_RATE_LIMITED", "The rate limit of this key is reached.")
    if not region.options.retry_after:
        return answer
    # Whole seconds, rounded up and never 0, so that a client that waits exactly that long is admitted.
    return answer.with_headers(Retry_After=str(max(1, math.ceil(wait + 0.001))))
