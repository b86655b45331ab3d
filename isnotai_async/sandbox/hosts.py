"""Which names mean this machine only: what the sandbox listens on, and what a request may call it."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name, without a look-up."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def names_this_machine(header: str) -> bool:
    """Whether a ``Host`` header names this machine.

    A web page can give its own name the address 127.0.0.1 (DNS rebinding) and so read what the sandbox serves. Its
    requests carry that name.
    """
    name, colon, port = header.rpartition(":")
    if not colon or not port.isdigit():  # an IPv6 address ends in "]" here
        name = header
    return is_loopback(name.removeprefix("[").removesuffix("]"))
