"""Finds the proxy for a request: the option --proxy, else HTTPS_PROXY with the exceptions in NO_PROXY."""

from __future__ import annotations

import os
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined] # typeshed lacks it

from isnotai_async._models.validation import check_proxy
from isnotai_async.errors import ConfigError


def find_proxy(given: str | None, base_url: str) -> str | None:
    """Return the URL of the proxy to use for an address, or None.

    Args:
        given: What --proxy says, if anything.
        base_url: The address.

    Raises:
        ConfigError: It is not the URL of an HTTP proxy, or --proxy shows a password.
    """
    if given is not None:
        if "@" in given:
            raise ConfigError(
                "--proxy has a user name or password, which all users of the machine can see; set HTTPS_PROXY instead"
            )
        return check_proxy(given)
    target = urlsplit(base_url)
    # http is allowed for loopback addresses only, and the key must not go to a proxy in clear.
    if target.scheme != "https" or proxy_bypass_environment(target.netloc):
        return None
    proxies = getproxies_environment()
    found = proxies.get("https") or proxies.get("all")
    try:
        return check_proxy(found or None)
    except ConfigError:
        name = next((name for name in ("https_proxy", "HTTPS_PROXY") if os.environ.get(name)), "ALL_PROXY")
        text = f"{name} is not the URL of an HTTP proxy; write it like http://proxy.example:3128"
        raise ConfigError(text) from None
