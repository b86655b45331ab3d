"""A plain aiohttp client: the sandbox's tests must not lean on the client that leans on the sandbox."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from attrs import frozen

from isnotai_async.sandbox import Sandbox


@frozen
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def field(self) -> str:
        return str(self.json["error"]["details"]["field"])


class Asker:
    """Sends one GET with the right key, unless told otherwise."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def __call__(
        self,
        sandbox: Sandbox,
        path: str,
        *,
        region: str = "us",
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        **query: object,
    ) -> Reply:
        if headers is None:
            headers = {"Authorization": f"Bearer {sandbox.api_keys[region]}"}
        params = {name: str(value) for name, value in query.items()}
        url = sandbox.base_urls[region] + path
        async with self._session.request(method, url, params=params, headers=headers) as response:
            return Reply(response.status, response.headers.copy(), await response.read())

    async def walk(self, sandbox: Sandbox, path: str, **query: Any) -> list[Any]:
        """All rows of a list, page after page."""
        rows: list[Any] = []
        cursor: dict[str, Any] = {}
        for _ in range(10_000):
            page = (await self(sandbox, path, **query, **cursor)).json
            rows += page["data"]
            if not page["pagination"]["hasMore"]:
                return rows
            cursor = {"cursor": page["pagination"]["nextCursor"]}
        raise AssertionError("the walk does not end")


@pytest.fixture
async def ask() -> AsyncIterator[Asker]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Asker(session)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as server:
        yield server
