"""Each message of a lost or failed connection says what to check."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from isnotai_async._http.transport_errors import translate

KEY: Any = SimpleNamespace(host="proxy.example", port=3128, ssl=True, is_ssl=True)
REFUSED = ConnectionRefusedError(111, "Connection refused")


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ClientConnectorError(KEY, REFUSED),
        aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "Name or service not known")),
        aiohttp.ClientProxyConnectionError(KEY, REFUSED),
        aiohttp.ClientConnectorSSLError(KEY, OSError(1, "wrong version number")),
        aiohttp.ClientPayloadError(),
        aiohttp.ServerDisconnectedError(),
        ConnectionResetError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_it_says_what_to_check(error: Exception) -> None:
    assert "; check " in str(translate(error, "api.isnotai.example:443", str))


def test_a_proxy_is_named() -> None:
    error = translate(aiohttp.ClientProxyConnectionError(KEY, REFUSED), "api.isnotai.example:443", str)
    assert str(error).startswith("cannot connect to the proxy proxy.example:3128: Connection refused; ")
