"""Records in the answers of web frameworks, each in the way that docs/web-apps.md documents."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from aiohttp import ClientSession, web
from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import FastAPIError
from pydantic import BaseModel, InstanceOf, PlainSerializer
from starlette.responses import Response

import isnotai_async as isnotai

EVENT = isnotai.Event("e1", 1, None, 1_781_092_800_123, 0)
PLAIN_EVENT = {
    "event_id": "e1",
    "message_id": 1,
    "event_type_name": None,
    "timestamp": 1_781_092_800_123,
    "payload_size": 0,
}
HEALTH = isnotai.Health("healthy", "1", datetime(2026, 6, 10, tzinfo=UTC), extra={"zone": "a"})
PLAIN_HEALTH = {
    "status": "healthy",
    "version": "1",
    "timestamp": "2026-06-10T00:00:00Z",
    "extra": {"zone": "a"},
}
PAGE = isnotai.Page((EVENT,), "c2", True, 1, isnotai.Tier.PRO, "us", "s1")

Plain = PlainSerializer(isnotai.to_dict, return_type=dict[str, Any])
EventOut = Annotated[InstanceOf[isnotai.Event], Plain]
HealthOut = Annotated[InstanceOf[isnotai.Health], Plain]


class Overview(BaseModel):
    """A model of an app's own, with records in it."""

    health: HealthOut
    events: list[EventOut]


async def ask(app: FastAPI, path: str) -> tuple[int, Any]:
    """Ask an app as a server does; return the status and the JSON of its answer."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "server": ("testserver", 80),
        "client": ("testclient", 1),
    }
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent))


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()

    @app.get("/plain")
    async def plain() -> dict[str, Any]:
        found: dict[str, Any] = isnotai.to_dict(EVENT)
        return found

    @app.get("/record")
    async def record() -> EventOut:
        return EVENT

    @app.get("/list")
    async def listed() -> list[EventOut]:
        return [EVENT, EVENT]

    @app.get("/model", response_model=EventOut)
    async def model() -> isnotai.Event:
        return EVENT

    @app.get("/own")
    async def own() -> Overview:
        return Overview(health=HEALTH, events=[EVENT])

    @app.get("/response")
    async def response() -> Response:
        return Response(isnotai.to_json(PAGE), media_type="application/json")

    @app.get("/wrong")
    async def wrong() -> EventOut:
        return PLAIN_EVENT  # type: ignore[return-value]

    return app


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/plain", PLAIN_EVENT),
        ("/record", PLAIN_EVENT),
        ("/list", [PLAIN_EVENT, PLAIN_EVENT]),
        ("/model", PLAIN_EVENT),
        ("/own", {"health": PLAIN_HEALTH, "events": [PLAIN_EVENT]}),
        ("/response", isnotai.to_dict(PAGE)),
    ],
)
async def test_fastapi_answers_with_records(app: FastAPI, path: str, answer: object) -> None:
    assert await ask(app, path) == (200, answer)


async def test_fastapi_documents_them_as_objects(app: FastAPI) -> None:
    status, document = await ask(app, "/openapi.json")

    answer = document["paths"]["/record"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert (status, answer["type"]) == (200, "object")


async def test_fastapi_checks_what_is_answered(app: FastAPI) -> None:
    with pytest.raises(Exception, match="instance of Event"):
        await ask(app, "/wrong")


def test_fastapi_rejects_a_bare_record_when_the_app_is_made_and_not_in_a_request() -> None:
    async def bare() -> isnotai.Event:
        return EVENT

    with pytest.raises(FastAPIError, match="valid Pydantic field type"):
        FastAPI().get("/bare")(bare)


def test_jsonable_encoder_takes_to_dict() -> None:
    value = {"event": EVENT, "events": [EVENT]}

    assert jsonable_encoder(value, custom_encoder={isnotai.Event: isnotai.to_dict}) == {
        "event": PLAIN_EVENT,
        "events": [PLAIN_EVENT],
    }
    assert jsonable_encoder(isnotai.to_dict(PAGE)) == isnotai.to_dict(PAGE)


async def test_aiohttp_answers_with_records_and_pages() -> None:
    async def handle(_: web.BaseRequest) -> web.Response:
        return web.json_response({"page": PAGE, "health": HEALTH}, dumps=isnotai.to_json)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with ClientSession() as session, session.get(f"http://{host}:{port}/") as response:
            assert await response.json() == {"page": isnotai.to_dict(PAGE), "health": PLAIN_HEALTH}
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("value", [EVENT, HEALTH, PAGE, [EVENT], {"a": (EVENT, HEALTH)}])
def test_json_takes_to_dict_as_its_default(value: object) -> None:
    assert json.loads(json.dumps(value, default=isnotai.to_dict)) == isnotai.to_dict(value)
