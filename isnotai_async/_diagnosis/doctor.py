"""`diagnose`: the probes of one client after another, each ending in findings rather than in an error.

A region is asked with its own client, and so with its own key only. About twenty requests are sent, each once. The
first that no connection can be made for is the last: the others would say the same.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Final
from urllib.parse import urlsplit

from attrs import define, field

from isnotai_async._client import Client
from isnotai_async._diagnosis.answers import ask_each_operation
from isnotai_async._diagnosis.contract import Change, find_differences, packaged_contract
from isnotai_async._diagnosis.findings import Diagnosis, Finding, Level
from isnotai_async._diagnosis.network import compare_clocks, find_name, judge_latency, show_host
from isnotai_async._http.proxies import name_unused_proxy
from isnotai_async._http.retry_policy import Retry
from isnotai_async._manager import SessionManager
from isnotai_async._models.responses import RawResponse
from isnotai_async._models.tiers import Tier, read_tier
from isnotai_async._version import __version__
from isnotai_async.errors import (
    APIError,
    AuthenticationError,
    ConfigError,
    ConnectError,
    IsNotAIError,
    TransportError,
    printable,
)

_TIMEOUT: Final = 15.0
_LATENCY_REQUESTS: Final = 3
_WORTH_COMPRESSING: Final = 1_000  # bytes
_MOST_DIFFERENCES: Final = 100
_LEVELS: Final[dict[Change, Level]] = {"new": "drift", "gone": "drift", "different": "drift", "described": "note"}
_WORDS: Final[dict[Change, str]] = {
    "new": "new in the API: {what} ({detail})",
    "gone": "gone from the API: {what} ({detail})",
    "different": "different in the API: {what} is {detail}",
    "described": "not known to this package, described by the API: {what} ({detail})",
}


async def diagnose(client: Client | SessionManager) -> Diagnosis:
    """Ask the live API what this package takes for granted, and report what is different.

    Looked at are name resolution, proxy, TLS, clock, key, tier, latency, keep-alive, compression, one answer of each
    operation, and the API's own OpenAPI document, which is compared with the contract that this package carries.

    Example:
        >>> diagnosis = await isnotai.diagnose(client)
        >>> diagnosis.has("trouble"), diagnosis.has("drift")
        (False, False)

    Args:
        client: The client to look at; of a `SessionManager` each of its clients. It has to be open.

    Returns:
        The findings. What goes wrong is a finding, not an error, and none of them holds a secret.

    Raises:
        ConfigError: The client is not open.
    """
    clients = [client[name] for name in client.regions] if isinstance(client, SessionManager) else [client]
    findings = [finding for each in clients for finding in await _Examination(each).run()]
    return Diagnosis(version=__version__, findings=tuple(findings))


@define(eq=False)
class _Examination:
    """The probes of one client."""

    client: Client
    findings: list[Finding] = field(factory=list, init=False)
    _answers: list[RawResponse] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        # One attempt: what happens is reported, not mended.
        self.client = self.client.with_options(timeout=_TIMEOUT, retry=Retry(attempts=1))

    async def run(self) -> list[Finding]:
        """Run all probes, and return what they found."""
        if await self._can_connect():
            await self._measure()
            if await self._is_let_in():
                await self._ask()
            await self._compare()
            self._look_at_compression()
        return self.findings

    def _add(self, level: Level, probe: str, message: str) -> None:
        self.findings.append(Finding(level=level, probe=probe, region=self.client.region.name, message=message))

    async def _can_connect(self) -> bool:
        base_url = self.client.region.base_url
        proxy = self.client._transport.proxy  # noqa: SLF001 - not public, because it may hold a password
        unused = "" if proxy else name_unused_proxy(base_url)
        if proxy:
            self._add("ok", "name", f"{show_host(base_url)} is resolved by the proxy")
        elif not await self._resolve(base_url, unused):
            return False
        try:
            answer = await self.client.request("/health")
        except (TransportError, APIError) as error:
            self._add_connection_trouble(error)
            return isinstance(error, APIError)
        self._answers.append(answer)
        way = f"through the proxy {show_host(proxy)}" if proxy else "directly"
        secured = "; its certificate is trusted" if base_url.startswith("https") else ", without TLS"
        self._add("ok", "connection", f"connected to {show_host(base_url)} {way}{secured}")
        if unused:
            self._add("note", "proxy", f"{unused} is set and not used, and a direct connection works without it")
        level, message = compare_clocks(answer.headers.get("date"), time.time())
        self._add(level, "clock", message)
        return True

    async def _resolve(self, base_url: str, unused: str) -> bool:
        level, message = await find_name(urlsplit(base_url).hostname or "")
        self._add(level, "name", message)
        if level == "trouble" and unused:
            self._add("trouble", "proxy", f"{unused} is set and not used: to use it, pass trust_env=True")
        return level == "ok"

    def _add_connection_trouble(self, error: IsNotAIError) -> None:
        if isinstance(error, ConnectError) and error.tls:
            self._add("trouble", "connection", f"{error}. {_OWN_AUTHORITY}")
        else:
            self._add("trouble", "connection", str(error))

    async def _measure(self) -> None:
        try:
            self._answers += [await self.client.request("/health") for _ in range(_LATENCY_REQUESTS)]
        except IsNotAIError as error:
            self._add("trouble", "latency", str(error))
            return
        first, *others = (answer.elapsed for answer in self._answers[:1] + self._answers[-_LATENCY_REQUESTS:])
        level, message = judge_latency(first, others)
        self._add(level, "latency", message)
        if any(answer.headers.get("connection", "").lower() == "close" for answer in self._answers):
            self._add("note", "keep-alive", _CLOSES)
        else:
            self._add("ok", "keep-alive", "connections are kept for the next request")

    async def _is_let_in(self) -> bool:
        try:
            answer = await self.client.request("/v1/integration")
        except AuthenticationError as error:
            self._add("refused", "key", str(error))
            return False
        except ConfigError as error:
            self._add("trouble", "key", f"{error}; only what needs no key was asked")
            return False
        except IsNotAIError as error:
            self._add("trouble", "key", str(error))
            return False
        self._add("ok", "key", f"the key works in region {self.client.region.name}")
        self._judge_tier(answer.headers.get("x-isnotai-tier"))
        return True

    def _judge_tier(self, name: str | None) -> None:
        tier = None if name is None else read_tier(name.lower())
        if name is None:
            self._add("drift", "tier", f"the answer names no tier, which is documented for each; {_AS_FREE}")
        elif tier is None:
            self._add("drift", "tier", f"the tier {printable(name, 40)!r} is not a documented one; {_AS_FREE}")
        else:
            self._add("ok" if name == tier else "note", "tier", f"{printable(name, 40)}: {_describe_tier(tier)}")

    async def _ask(self) -> None:
        for level, probe, message in await ask_each_operation(self.client):
            self._add(level, probe, message)
        try:
            self._answers.append(await self.client.request("/v1/sessions", params={"pageSize": 100}))
        except IsNotAIError:  # which the typed operation has reported
            return

    async def _compare(self) -> None:
        try:
            answer = await self.client.request("/openapi/v3.json")
            self._answers.append(answer)
            differences = find_differences(answer.json())
        except IsNotAIError as error:
            self._add("drift", "contract", f"the API's document /openapi/v3.json could not be compared: {error}")
            return
        for each in differences[:_MOST_DIFFERENCES]:
            message = _WORDS[each.change].format(what=each.what, detail=each.detail)
            self._add(_LEVELS[each.change], "contract", message)
        counts = Counter(each.change for each in differences)
        told = ", ".join(f"{counts[change]} {change}" for change in _WORDS if counts[change]) or "no difference"
        built = packaged_contract()["info"]["version"]
        level: Level = "drift" if counts.keys() - {"described"} else "ok"
        self._add(level, "contract", f"compared with the contract of version {built}: {told}")

    def _look_at_compression(self) -> None:
        # A page of sessions, or if that is small the API's document.
        large = next((answer for answer in self._answers if len(answer.body) >= _WORTH_COMPRESSING), None)
        if large is None:
            self._add("note", "compression", "no answer was large enough to be compressed")
        elif coding := large.headers.get("content-encoding"):
            self._add("ok", "compression", f"answers come compressed ({printable(coding, 20)})")
        else:
            self._add("note", "compression", _NOT_COMPRESSED)


def _describe_tier(tier: Tier) -> str:
    requests, days = tier.requests_per_minute, tier.history.days
    return f"{requests:,} requests a minute, pages of at most {tier.max_page_size}, {days:,} days of history"


_OWN_AUTHORITY: Final = (
    "If this network inspects TLS, or uses an authority of its own, name the file of its certificate in "
    "SSL_CERT_FILE (in a program also: Client(ssl=…))"
)
_CLOSES: Final = (
    "the connection is closed after each answer, so each request pays for a new one; ask what sits between this "
    "machine and the API to keep connections"
)
_AS_FREE: Final = "the client keeps to the free tier's 60 requests a minute (in a program, Client(tier=…) raises it)"
_NOT_COMPRESSED: Final = (
    "answers come uncompressed though gzip is accepted: pages take about five times the bytes; ask what sits between "
    "this machine and the API to leave Accept-Encoding alone"
)
