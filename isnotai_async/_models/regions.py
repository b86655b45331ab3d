"""Regions: name and base URL of each deployment; a new region is one line here and one in `sandbox.limits`.

Source: "Regions" of the vendor's guide (documentation version 1.0.17.0).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, TypeGuard
from urllib.parse import SplitResult, unquote, urlsplit

from attrs import frozen

from isnotai_async._models.validation import check_no_key
from isnotai_async._values import equals, hashed, show
from isnotai_async.errors import ConfigError, quoted


@frozen
class Region:
    """One deployment of the API.

    Example:
        >>> client.region.name
        'us'
        >>> isnotai.REGIONS["eu"].base_url
        'https://api-eu.isnotai.com'

    Attributes:
        name: Its name, ``"us"`` or ``"eu"``.
        base_url: Its base URL, without a trailing slash.
    """

    name: str
    base_url: str

    __repr__, __eq__, __hash__ = show, equals, hashed


REGIONS: Final = {
    "us": Region("us", "https://api.isnotai.com"),
    "eu": Region("eu", "https://api-eu.isnotai.com"),
}
DEFAULT_REGION: Final = "us"


def resolve_region(name: str | None = None, base_url: str | None = None) -> Region:
    """Return the region with a name, with another base URL if one is given.

    Args:
        name: ``"us"`` or ``"eu"``; None means ``"us"``, as in the vendor's examples.
        base_url: Base URL to use for the region (a proxy, a sandbox); None for the vendor's address.

    Raises:
        ConfigError: The region is unknown, or the base URL would not keep the key safe.
    """
    region = REGIONS.get(DEFAULT_REGION if name is None else name)
    if region is None:
        known = ", ".join(REGIONS)
        raise ConfigError(f"unknown region {quoted(name)}; the regions are: {known}")
    return region if base_url is None else Region(region.name, _checked_base_url(base_url))


def _checked_base_url(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except (TypeError, ValueError, AttributeError):
        parts = None
    if parts is None or not isinstance(base_url, str):
        raise ConfigError("base_url is not a URL; write it like https://api.isnotai.com")
    check_no_key(base_url, "base_url")
    if fault := _fault(base_url, parts, host):
        raise ConfigError(fault)
    authority = f"[{host}]" if host and ":" in host else host
    netloc = f"{authority}:{port}" if port else authority
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}"


def _fault(base_url: str, parts: SplitResult, host: str | None) -> str:
    # The user name is checked first, and its message does not show the URL, because it may contain a password.
    if "@" in parts.netloc:
        return "base_url carries a user name or password; the API takes its key from api_key alone, so remove it"
    shown = quoted(base_url)
    if parts.query or parts.fragment or "?" in base_url or "#" in base_url:
        return "base_url has a query or a fragment; give scheme, host and, if need be, a path prefix only"
    if not base_url.isascii() or not base_url.isprintable() or " " in base_url or not _is_host(host, parts.netloc):
        return f"base_url {shown} has no usable host; write it like https://api.isnotai.com"
    if parts.scheme not in {"http", "https"}:
        return f"base_url {shown} is not http(s); write it like https://api.isnotai.com"
    if parts.scheme == "http" and not is_loopback(host):
        return f"base_url {shown} would send the key unencrypted; use https (http is for loopback addresses)"
    return _path_fault(shown, parts)


def _path_fault(shown: str, parts: SplitResult) -> str:
    if parts.port == 0:
        return f"base_url {shown} has port 0, at which nothing answers; write the port of the server, or none"
    prefix = parts.path.strip("/")
    if prefix and not all(_is_plain(segment) for segment in prefix.split("/")):
        return (
            f"base_url {shown} has an empty, '.' or '..' path segment, or a backslash; write the path prefix plainly"
        )
    return ""


_LABEL: Final = "[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST: Final = rf"(?:{_LABEL}\.)*{_LABEL}\.?"
_PERCENT: Final = r"%(?![0-9A-Fa-f]{2})"


def _is_plain(segment: str) -> bool:
    """Return whether a path segment stays the same after a server or a proxy decodes and normalises it."""
    decoded = unquote(segment)
    return (
        decoded not in {"", ".", ".."} and not set(decoded) & {"/", "\\", "\0"} and not re.search(_PERCENT, segment)
    )


def _is_host(host: str | None, netloc: str) -> TypeGuard[str]:
    """Return whether a host is a name or an address, and is the complete host part of the URL."""
    if not host or "[" not in netloc:
        return bool(host and re.fullmatch(_HOST, host))
    try:
        return (
            bool(ipaddress.IPv6Address(host)) and netloc.startswith("[") and netloc[len(host) + 2 :][:1] in {"", ":"}
        )
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is always this machine, without a DNS query."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
