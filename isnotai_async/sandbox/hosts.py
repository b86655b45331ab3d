"""Checks host names: the sandbox listens on this machine only, and requests must address it by a local name."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is always this machine, without a DNS query."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def names_this_machine(header: str) -> bool:
    """Return whether a ``Host`` header names this machine.

    A web page can give its own name the address 127.0.0.1 (DNS rebinding) and so read what the sandbox serves. Its
    requests carry that name.
    """
    name, colon, port = header.rpartition(":")
    if not colon or not port.isdigit():  # an IPv6 address ends in "]" here
        name = header
    return is_loopback(name.removeprefix("[").removesuffix("]"))
