"""Each probe of the doctor, seen to pass and to fail over real sockets."""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
import trustme

import isnotai_async as isnotai
from isnotai_async._diagnosis.contract import packaged_contract
from isnotai_async._diagnosis.network import compare_clocks, judge_latency
from isnotai_async.sandbox import Fault, Sandbox
from tests.canary import CANARY_KEY, shows_key
from tests.faults.answers import http_reply
from tests.faults.server import FaultServer

AUTHORITY = trustme.CA()
NAMED = "api.isnotai.test"
"""A name for 127.0.0.1 that is not a loopback address by its very name: for those no proxy is used."""
HEALTHY = http_reply(b'{"status": "healthy"}', headers=[("Date", "Thu, 01 Jan 2026 00:00:00 GMT")])


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `NAMED` be found, as an entry in the hosts file would."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if host == NAMED else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[tuple[Sandbox, isnotai.Client]]:
    """Open a sandbox whose key is the canary, and a client of it."""
    async with (
        Sandbox(api_keys={"us": CANARY_KEY}, **options) as sandbox,
        isnotai.Client(CANARY_KEY, base_url=sandbox.base_url, limiter=isnotai.Unlimited()) as client,
    ):
        yield sandbox, client


async def find(client: isnotai.Client | isnotai.SessionManager) -> Mapping[str, list[tuple[str, str]]]:
    """Diagnose, and return levels and messages by probe. No secret is in them."""
    diagnosis = await isnotai.diagnose(client)
    assert not shows_key(str(diagnosis) + repr(diagnosis))
    assert str(diagnosis).replace("\n", "").isprintable()
    found: dict[str, list[tuple[str, str]]] = {}
    for finding in diagnosis.findings:
        found.setdefault(finding.probe, []).append((finding.level, finding.message))
    return found


async def diagnose_at(base_url: str, **options: Any) -> Mapping[str, list[tuple[str, str]]]:
    async with isnotai.Client(CANARY_KEY, base_url=base_url, **options) as client:
        return await find(client)


async def test_a_healthy_api_has_no_trouble_and_no_drift() -> None:
    async with opened() as (sandbox, client):
        found = await find(client)

    assert {level for findings in found.values() for level, _ in findings} == {"ok"}
    assert list(found) == [
        "name", "connection", "clock", "latency", "keep-alive", "key", "tier", "answers", "contract", "compression",
    ]  # fmt: skip
    assert sandbox.stats.requests == 17
    assert set(sandbox.stats.statuses) == {200}


async def test_it_reports_a_line_for_each_finding() -> None:
    async with opened() as (_, client):
        diagnosis = await isnotai.diagnose(client)

    first, *lines = str(diagnosis).splitlines()
    assert first == f"isnotai_async {isnotai.__version__}"
    assert len(lines) == len(diagnosis.findings)
    assert "ok       us  key          the key works in region us" in lines


async def test_an_unknown_host_is_not_found_and_nothing_else_is_tried() -> None:
    found = await diagnose_at("https://api.isnotai.invalid")

    ((level, message),) = found["name"]
    assert level == "trouble"
    assert message.startswith("api.isnotai.invalid was not found: ")
    assert message.endswith("; check the base URL and the DNS of this machine")
    assert list(found) == ["name"]


async def test_a_port_that_nobody_listens_on_is_a_connection_that_fails() -> None:
    async with FaultServer() as server:
        base_url = server.base_url
    ((level, message),) = (await diagnose_at(base_url))["connection"]

    assert (level, message) == (
        "trouble",
        f"cannot connect to {base_url.removeprefix('http://')}: Connection refused; check base_url, the network, and "
        "whether a proxy is needed",
    )


def speaking_tls(*replies: bytes) -> FaultServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1", NAMED).configure_cert(context)
    return FaultServer(*replies, tls=context)


@asynccontextmanager
async def trusting() -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield session


async def test_an_authority_of_ones_own_is_trouble_with_what_to_do() -> None:
    async with speaking_tls(HEALTHY) as server:
        ((level, message),) = (await diagnose_at(server.base_url))["connection"]

    assert level == "trouble"
    assert "the TLS certificate of 127.0.0.1" in message
    assert message.endswith("name the file of its certificate in SSL_CERT_FILE (in a program also: Client(ssl=…))")


@pytest.mark.usefixtures("_names")
async def test_a_proxy_of_the_environment_that_is_not_used_is_named_if_no_connection_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    async with FaultServer() as server:
        port = server.port
    ((level, message),) = (await diagnose_at(f"https://{NAMED}:{port}"))["connection"]

    assert level == "trouble"
    assert "HTTPS_PROXY is set and not used: to use it, pass trust_env=True" in message


async def test_what_it_says_of_an_authority_of_ones_own_helps(tmp_path: Path) -> None:
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    code = "import sys; from isnotai_async._cli import main; sys.exit(main(['doctor', '--json']))"
    async with speaking_tls(HEALTHY) as server:
        environment = {"ISNOTAI_API_KEY": CANARY_KEY, "ISNOTAI_BASE_URL": server.base_url}
        trust = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
        done = await anyio.run_process(
            [sys.executable, "-c", code], env={**os.environ, **environment, **trust}, check=False
        )
        where = server.base_url.removeprefix("https://")

    findings = {each["probe"]: each for each in json.loads(done.stdout)["findings"]}
    assert findings["connection"]["message"] == f"connected to {where} directly; its certificate is trusted"


async def test_a_proxy_that_wants_a_login_is_named_without_it() -> None:
    async with FaultServer(http_reply(status=407)) as proxy:
        found = await diagnose_at(
            "https://api.isnotai.invalid", proxy=f"http://someone:s3cret@127.0.0.1:{proxy.port}"
        )

    assert found["name"] == [("ok", "api.isnotai.invalid is resolved by the proxy")]
    ((level, message),) = found["connection"]
    assert level == "trouble"
    assert "proxy refused to connect to api.isnotai.invalid" in message
    assert message.endswith("check the login in the URL of the proxy")
    assert "s3cret" not in str(found)
    assert "someone" not in str(found)


async def test_a_proxy_that_is_used_is_named_without_its_login() -> None:
    async with FaultServer(HEALTHY) as proxy:
        found = await diagnose_at("http://127.0.0.1:9/gateway", proxy=f"http://someone:s3cret@127.0.0.1:{proxy.port}")
        where = f"127.0.0.1:{proxy.port}"

    assert found["connection"] == [("ok", f"connected to 127.0.0.1:9 through the proxy {where}, without TLS")]
    assert "s3cret" not in str(found)


async def test_a_proxy_of_the_environment_that_is_not_used_is_named_if_the_name_is_not_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://someone:s3cret@proxy.example:3128")
    found = await diagnose_at("https://api.isnotai.invalid")

    assert found["name"][0][0] == "trouble"
    assert found["proxy"] == [("trouble", "HTTPS_PROXY is set and not used: to use it, pass trust_env=True")]
    assert "s3cret" not in str(found)


@pytest.mark.usefixtures("_names")
async def test_a_proxy_of_the_environment_that_is_not_used_is_a_note_if_it_works_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    async with speaking_tls(HEALTHY) as server, trusting() as session:
        found = await diagnose_at(f"https://{NAMED}:{server.port}", http_session=session)

    assert found["proxy"] == [("note", "HTTPS_PROXY is set and not used, and a direct connection works without it")]


async def test_a_proxy_that_the_environment_excludes_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "isnotai.invalid")

    assert "proxy" not in await diagnose_at("https://api.isnotai.invalid")


@pytest.mark.parametrize(("seconds", "way"), [(600, "behind"), (-600, "ahead of")])
async def test_a_clock_ten_minutes_off_is_trouble(seconds: float, way: str) -> None:
    async with opened() as (sandbox, client):
        sandbox.inject(Fault.clock_skew(seconds, times=None))
        ((level, message),) = (await find(client))["clock"]

    assert level == "trouble"
    off, words = message.removeprefix("this machine's clock is ").split(" s ", 1)
    assert int(off) == pytest.approx(600, abs=30)
    assert words.startswith(f"{way} the API's (")
    assert words.endswith("set it, best by NTP")


@pytest.mark.parametrize("date", [None, "", "yesterday", "Thu, 99 Jan 2026 00:00:00 GMT"])
def test_a_date_that_is_none_is_a_note(date: str | None) -> None:
    assert compare_clocks(date, 0.0)[0] == "note"


def test_slow_answers_are_a_note() -> None:
    assert judge_latency(0.3, [0.2, 0.1, 0.9]) == ("ok", "200 ms (median of 3), the first with its connection 300 ms")
    assert judge_latency(3.0, [2.0])[0] == "note"


async def test_a_key_of_the_other_region_is_refused_and_the_other_region_not_asked() -> None:
    async with Sandbox(api_keys={"eu": CANARY_KEY}) as sandbox:
        found = await diagnose_at(sandbox.base_url)
        asked = sandbox.region_stats("eu").requests

    ((level, message),) = found["key"]
    assert level == "refused"
    assert message.startswith("401 INVALID_API_KEY from region us: ")
    assert "choose its region (region= or ISNOTAI_REGION)" in message
    assert asked == 0
    assert found["contract"][0][0] == "ok"  # it needs no key
    assert "answers" not in found


async def test_each_region_of_a_manager_is_asked_with_its_own_key() -> None:
    async with Sandbox() as sandbox:
        credentials = {
            name: isnotai.Credential(key, region=name, base_url=sandbox.base_urls[name], limiter=isnotai.Unlimited())
            for name, key in sandbox.api_keys.items()
        }
        async with isnotai.SessionManager(credentials) as manager:
            diagnosis = await isnotai.diagnose(manager)
        statuses = [set(sandbox.region_stats(name).statuses) for name in ("us", "eu")]

    assert statuses == [{200}, {200}]
    assert [f.region for f in diagnosis.findings if f.probe == "key"] == ["us", "eu"]
    assert not diagnosis.has("refused")


async def test_without_a_key_what_needs_none_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISNOTAI_API_KEY", raising=False)
    async with Sandbox() as sandbox, isnotai.Client(base_url=sandbox.base_url) as client:
        found = await find(client)

    ((level, message),) = found["key"]
    assert level == "trouble"
    assert message.startswith("no API key")
    assert found["contract"][0][0] == "ok"


async def test_a_refused_integration_is_trouble() -> None:
    async with opened() as (sandbox, client):
        sandbox.inject(Fault.status(403, times=None), operation="get_integration")
        ((level, message),) = (await find(client))["key"]

    assert (level, message.partition(":")[0]) == ("trouble", "403 SANDBOX_FORBIDDEN from region us")


@pytest.mark.parametrize(
    ("name", "level", "words"),
    [
        ("Pro", "note", "Pro: 600 requests a minute, pages of at most 100, 30 days of history"),
        ("platinum", "drift", "the tier 'platinum' is not a documented one; the client keeps to the free tier's 60"),
        (None, "drift", "the answer names no tier, which is documented for each; the client keeps to the free"),
    ],
)
async def test_another_tier_is_reported(name: str | None, level: str, words: str) -> None:
    async with opened() as (sandbox, client):
        sandbox.inject(Fault.tier_name(name, times=None))
        ((found, message),) = (await find(client))["tier"]

    assert found == level
    assert message.startswith(words)


async def test_no_compression_is_a_note() -> None:
    async with opened(compress=False) as (_, client):
        ((level, message),) = (await find(client))["compression"]

    assert level == "note"
    assert message.startswith("answers come uncompressed though gzip is accepted")


async def test_connections_that_are_not_kept_are_a_note() -> None:
    async with opened() as (sandbox, client):
        fault = Fault.raw(200, {"status": "healthy"}, {"Connection": "close"}, times=None)
        sandbox.inject(fault, operation="health")
        ((level, message),) = (await find(client))["keep-alive"]

    assert level == "note"
    assert message.startswith("the connection is closed after each answer")


async def test_an_operation_that_fails_is_named() -> None:
    async with opened() as (sandbox, client):
        sandbox.inject(Fault.status(500, times=None), operation="list_users")
        found = (await find(client))["answers"]

    assert found[0][0] == "trouble"
    assert found[0][1].startswith("list_users: 500 SANDBOX_INTERNAL_SERVER_ERROR from region us")
    assert found[1] == ("ok", "8 of 9 operations were asked and read")


async def test_each_deviation_is_a_note() -> None:
    async with opened() as (sandbox, client):
        sandbox.inject(Fault.changed_field("data[*].detectionFlags", times=None), operation="list_sessions")
        sandbox.inject(Fault.success_status(203, times=None), operation="get_usage")
        with pytest.warns(isnotai.IsNotAIWarning):
            found = (await find(client))["answers"]

    assert found == [
        ("note", "list_sessions: not as documented: the field is null, at $.data[*].detectionFlags"),
        ("note", "get_usage: not as documented: the status is 203, where 200 is documented, at $"),
        ("ok", "10 of 10 operations were asked and read"),
    ]


async def test_an_api_that_is_down_is_not_called_a_connection_that_works() -> None:
    async with opened() as (sandbox, client):
        sandbox.inject(Fault.html(503, times=None), operation="health")
        found = await find(client)

    assert found["connection"][0][0] == "trouble"
    assert found["connection"][0][1].startswith("503 ")


def differing() -> dict[str, Any]:
    """The contract, changed in five ways."""
    document: dict[str, Any] = json.loads(json.dumps(packaged_contract()))
    paths, schemas = document["paths"], document["components"]["schemas"]
    paths["/v1/alerts"] = {"get": {"operationId": "listAlerts"}}
    del paths["/v1/usage"]
    paths["/v1/users"]["get"]["parameters"].append({"name": "risk", "in": "query", "schema": {"type": "string"}})
    schemas["Event"]["properties"]["size"] = schemas["Event"]["properties"].pop("payloadSize")
    schemas["PublicSession"]["properties"]["botScore"] = {"type": "string"}
    return document


async def test_a_document_that_differs_in_five_ways_is_drift_in_each() -> None:
    async with opened() as (sandbox, client):
        sandbox.inject(Fault.raw(200, differing(), times=None), operation="openapi")
        found = (await find(client))["contract"]

    score = "data[].botScore is string instead of number double"
    assert found == [
        ("drift", "new in the API: GET /v1/alerts (operation listAlerts)"),
        ("drift", f"different in the API: GET /v1/sessions {score}"),
        ("drift", f"different in the API: GET /v1/sessions/{{}} {score.replace('[]', '')}"),
        ("drift", "gone from the API: GET /v1/sessions/{}/events data[].payloadSize (integer int32)"),
        ("drift", "new in the API: GET /v1/sessions/{}/events data[].size (integer int32)"),
        ("drift", "gone from the API: GET /v1/usage (operation getUsage)"),
        ("drift", "new in the API: GET /v1/users ?risk (string)"),
        ("drift", f"different in the API: GET /v1/users/{{}}/sessions {score}"),
        ("drift", "compared with the contract of version 1.0.17.0: 3 new, 2 gone, 3 different"),
    ]


async def test_what_the_document_says_of_open_answers_is_a_note_and_no_drift() -> None:
    document = json.loads(json.dumps(packaged_contract()))
    document["components"]["schemas"]["OpenObject"] = {"properties": {"total": {"type": "integer"}}}
    async with opened() as (sandbox, client):
        sandbox.inject(Fault.raw(200, document, times=None), operation="openapi")
        found = (await find(client))["contract"]

    assert ("note", "not known to this package, described by the API: GET /v1/stats total (integer)") in found
    assert found[-1] == ("ok", "compared with the contract of version 1.0.17.0: 3 described")


@pytest.mark.parametrize(
    "fault", [Fault.html(404, times=None), Fault.garbage(times=None), Fault.raw(200, b"[]", times=None)], ids=str
)
async def test_a_document_that_cannot_be_compared_is_drift(fault: Fault) -> None:
    async with opened() as (sandbox, client):
        sandbox.inject(fault, operation="openapi")
        ((level, message),) = (await find(client))["contract"]

    assert level == "drift"
    assert message.startswith("the API's document /openapi/v3.json could not be compared: ")


async def test_a_key_that_the_document_echoes_is_not_shown() -> None:
    document = json.loads(json.dumps(packaged_contract()))
    document["paths"][f"/v1/{CANARY_KEY}"] = {"get": {"operationId": CANARY_KEY}}
    async with opened() as (sandbox, client):
        sandbox.inject(Fault.raw(200, document, times=None), operation="openapi")
        await find(client)  # looks for it


async def test_a_client_that_is_not_open_is_an_error() -> None:
    with pytest.raises(isnotai.ConfigError, match="not open"):
        await isnotai.diagnose(isnotai.Client(CANARY_KEY, base_url="http://127.0.0.1:9"))
