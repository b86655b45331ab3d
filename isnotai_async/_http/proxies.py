"""Chooses the proxy of a client: the one that is passed, the one from the environment, or none."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from isnotai_async._models.regions import is_loopback
from isnotai_async._models.validation import check_proxy
from isnotai_async.errors import ConfigError


def choose_proxy(proxy: str | None, *, trust_env: bool, base_url: str) -> str | None:
    """Return the URL of the proxy to use for a base URL, or None.

    Args:
        proxy: URL of the proxy that the caller passed, or None.
        trust_env: Whether to use ``HTTPS_PROXY`` or ``ALL_PROXY`` from the environment if `proxy` is None, unless
            ``NO_PROXY`` names the host. A loopback address never uses a proxy.
        base_url: Base URL of the region.

    Raises:
        ConfigError: The value is not the URL of an HTTP proxy, or the proxy would see the key unencrypted.
    """
    if not isinstance(trust_env, bool):
        raise ConfigError(f"trust_env must be True or False, not {type(trust_env).__name__}")
    if proxy is not None:
        checked, base = check_proxy(proxy), urlsplit(base_url)
        if base.scheme == "http":
            check_proxy_may_listen(urlsplit(proxy).hostname or "")
        return checked
    name, value = _find_in_environment(base_url) if trust_env else ("", None)
    if value is None:
        return None
    try:
        return check_proxy(value)
    except ConfigError:
        pass
    raise ConfigError(f"{name} is not the URL of an HTTP proxy; write it like http://proxy.example:3128, or unset it")


def check_proxy_may_listen(host: str) -> None:
    """Check that a proxy may see the key of a request that is not encrypted.

    Raises:
        ConfigError: The proxy is not on this machine.
    """
    if not is_loopback(host):
        raise ConfigError("base_url is http, so the proxy would see the key; use https, or no proxy")


def name_unused_proxy(base_url: str) -> str:
    """Return the name of the environment variable with a proxy for a base URL; empty if there is none."""
    return _find_in_environment(base_url)[0]


def _find_in_environment(base_url: str) -> tuple[str, str | None]:
    base = urlsplit(base_url)
    if is_loopback(base.hostname or "") or proxy_bypass(_host_and_port(base)):
        return "", None
    proxies = getproxies()
    for name in (base.scheme, "all"):
        if value := proxies.get(name):
            return f"{name.upper()}_PROXY", value if "://" in value else f"http://{value}"
    return "", None


def _host_and_port(base: SplitResult) -> str:
    """Return host and port; `proxy_bypass` compares ``NO_PROXY`` with it both with and without the port."""
    return f"{base.hostname}:{base.port or 443}"
